/* SPDX-License-Identifier: Apache-2.0 */
/* The `mounts` of config.json, and the mount options Coracle knows. */
#ifndef OCI_MOUNTS_H
#define OCI_MOUNTS_H

#include "oci/spec_ctx.h"

enum mount_option_kind {
	MOPT_SET,     /* value: MS_* to set */
	MOPT_CLEAR,   /* value: MS_* to clear */
	MOPT_SET_REC, /* the same for all mounts below as well */
	MOPT_CLEAR_REC,
	MOPT_PROPAGATION, /* value: MS_PRIVATE... | MS_REC */
	MOPT_BIND,        /* value: 0 or MS_REC */
	MOPT_COPY_UP,     /* tmpcopyup */
	MOPT_IDMAP,       /* value: 0 or MS_REC */
	MOPT_REMOUNT,
};

struct mount_option {
	const char *name;
	enum mount_option_kind kind;
	uint64_t value;
};

extern const struct mount_option mount_options[]; /* sorted by name */
extern const size_t mount_options_n;

const struct mount_option *mount_option_find(const char *name);

/* root: the root object of config.json. Fills spec->guest.mounts and spec->shares. */
int spec_mounts(struct spec_ctx *c, const struct jnode *root, struct container_spec *spec);

#endif
