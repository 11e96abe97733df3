/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `coracle exec` runs: a process.json, or the process of the bundle's config.json with what the
 * command line puts in its place. Either becomes a struct gproc, as the container's own process does.
 */
#ifndef OCI_EXEC_PROCESS_H
#define OCI_EXEC_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/gspec.h"
#include "oci/arena.h"
#include "oci/json.h"
#include "oci/spec.h"

struct exec_strings {
	const char *const *v;
	size_t n;
};

/* The command line's part, borrowed. NULL and empty: config.json's stays. */
struct exec_overrides {
	struct exec_strings args; /* replace process.args; at least one */
	const char *cwd;          /* absolute */
	const char *user;         /* "UID[:GID]", numbers */
	struct exec_strings env;  /* NAME=VALUE each, added */
	struct exec_strings gids; /* numbers, added */
	struct exec_strings caps; /* CAP_..., added to all sets but the inheritable one */
	const char *apparmor, *label;
	bool no_new_privs;
	bool terminal; /* counts, whatever config.json says */
};

struct exec_process {
	struct jdoc doc;
	struct arena arena;
	struct gproc proc; /* strings belong to doc, arena and the overrides */
};

/* A process.json from an open descriptor: all that config.json's `process` may hold. */
int exec_process_read(
	struct exec_process *ret_p, int fd, const struct spec_opts *opts, struct err *err);
/* From config.json in an open bundle directory. */
int exec_process_from_bundle(struct exec_process *ret_p, int bundle_fd,
	const struct exec_overrides *o, const struct spec_opts *opts, struct err *err);
/* Also after a failure of the two above. */
void exec_process_release(struct exec_process *p);

/* The encoded gproc: *ret_buf is malloc'd, the caller frees it. */
int exec_process_encode(
	const struct exec_process *p, uint8_t **ret_buf, size_t *ret_len, struct err *err);

#endif
