/* SPDX-License-Identifier: Apache-2.0 */
/* The hooks of config.json (config.md, "POSIX-platform Hooks"), and those kept in state.json. */
#ifndef OCI_HOOKS_H
#define OCI_HOOKS_H

#include "lib/err.h"
#include "lib/gspec.h"
#include "oci/arena.h"
#include "oci/json.h"

struct spec_ctx;

#define HOOK_TIMEOUT_MAX 2000000u /* seconds: 23 days, what poll(2) takes in milliseconds */

/* In the order in which a container meets them. */
enum hook_kind {
	HOOK_PRESTART,
	HOOK_CREATE_RUNTIME,
	HOOK_CREATE_CONTAINER,
	HOOK_START_CONTAINER,
	HOOK_POSTSTART,
	HOOK_POSTSTOP,
	HOOK_KINDS
};

struct hook_list {
	uint32_t n;
	const struct ghook *v;
};

struct hooks {
	struct hook_list list[HOOK_KINDS];
};

const char *hook_kind_name(enum hook_kind kind); /* as in config.json: "prestart" */

/* The hooks of the object n (config.json or state.json); strings belong to the document, arrays to
 * the context's arena. */
int hooks_parse(struct spec_ctx *c, const struct jnode *n, struct hooks *ret);

/* The part of a configuration's hooks that commands after `create` run: an object with poststart
 * and poststop, as they stand in the file. NULL when there are none. New reference. */
struct json_object *hooks_to_keep(const struct jnode *root, bool *ok);

/* The hooks of that object again, hostile: a state file's. kept NULL: none. */
int hooks_kept(struct json_object *kept, struct arena *arena, struct hooks *ret, struct err *err);

#endif
