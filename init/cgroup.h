/* SPDX-License-Identifier: Apache-2.0 */
/* The container's cgroup in the guest: "container", right below the given cgroup v2 directory. */
#ifndef INIT_CGROUP_H
#define INIT_CGROUP_H

#include "lib/err.h"
#include "lib/gspec.h"

/* Makes the group, hands it every controller `base` has, writes the spec's values and attaches the
 * device program. Gives a descriptor of the group for CLONE_INTO_CGROUP. */
int cgroup_make(int base, const struct gspec *spec, int *ret_group, struct err *err);

/* Kills whatever is left in the group. 0 or -errno. */
int cgroup_kill(int group);

/* Turns "cpu memory pids\n" into "+cpu +memory +pids" (out_bytes at least twice as long). */
void cgroup_enable_text(const char *controllers, char *out, size_t out_bytes);

#endif
