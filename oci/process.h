/* SPDX-License-Identifier: Apache-2.0 */
/* The `process` object of config.json, also what `exec --process FILE` is given. */
#ifndef OCI_PROCESS_H
#define OCI_PROCESS_H

#include "oci/spec_ctx.h"

#define OCI_ID_MAX \
	(UINT32_MAX - 1) /* of a user or group: the kernel takes (uid_t)-1 for "leave it" */

/* n: the process object. Missing capabilities mean none at all, as in runc. */
int spec_process(struct spec_ctx *c, const struct jnode *n, struct gproc *ret_p);

/* Of variables with one name only the last stays, at its place, as in runc: given both, most programs would
 * take the first. 0 or -ENOMEM. */
int process_env_last(struct arena *arena, struct gstrv *env);

/* Number of RLIMIT_<name>, or -1. */
int rlimit_number(const char *name);

/* Number of a capability by its exact name "CAP_...", or -1: unknown to libcap. */
int capability_number(const char *name);

#define CAPABILITY_NAME_MAX 40

/* The name of capability `number` into buf (CAPABILITY_NAME_MAX bytes): false when libcap has none.
 */
bool capability_name(int number, char *buf);

#endif
