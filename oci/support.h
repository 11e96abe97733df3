/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row per field of the runtime spec (config.md and its platform files): what Coracle does with
 * it. The parser is driven by this table, docs/oci-support.md shows it, and `features` is generated
 * beside it.
 *
 * Paths: "process.user.uid", "mounts[].options" (field of each element of an array),
 * "linux.sysctl.*" (any key of a map). A row without rows below it covers everything below itself.
 */
#ifndef OCI_SUPPORT_H
#define OCI_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/err.h"
#include "oci/json.h"

enum support {
	SUPPORT_GUEST,   /* enforced in the guest */
	SUPPORT_HOST,    /* acted on by the host side */
	SUPPORT_BOTH,    /* enforced on both sides */
	SUPPORT_REFUSED, /* an error that names the field, unless it is empty; --lenient warns */
	SUPPORT_MOOT, /* without effect in a VM: passed over, or when somebody relies on it refused */
	SUPPORT_FOREIGN, /* belongs to another platform: treated as refused */
	SUPPORT_STATES
};

struct field {
	const char *path;
	enum support support;
	bool zero_counts; /* 0 or false is a setting, not the same as absent */
	const char *note;
};

extern const struct field support_table[];
extern const size_t support_rows;

const char *support_name(enum support s); /* "guest", "host", "both", "refused", "other platform" */
const struct field *support_find(const char *path);

/* null, false, 0, "", [], {} and objects of nothing but those. */
bool json_is_empty(struct json_object *o);

typedef void support_warn_fn(void *arg, const char *msg);

/* Walks the tree from n (whose own path is `path`, "" for the root of config.json; "process" for a
 * process.json). A field of the spec that is not supported and not empty is an error, or a warning
 * when lenient; a field unknown to the spec is a warning (config.md, "Extensibility"). */
int support_check(const struct jnode *n, const char *path, bool lenient, support_warn_fn *warn,
	void *arg, struct err *err);

/* docs/oci-support.md's table, in Markdown. */
int support_print(FILE *f);

#endif
