/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --systemd-cgroup: the sandbox's cgroup as a transient scope unit of the host's systemd, which makes
 * the group when it is told which process belongs to it. linux.cgroupsPath is then SLICE:PREFIX:NAME
 * and the unit PREFIX-NAME.scope, as with runc.
 */
#ifndef RUNTIME_SCOPE_H
#define RUNTIME_SCOPE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "oci/resources.h"

#define SCOPE_NAME_MAX 255 /* bytes of a unit's name */

struct scope {
	char slice[SCOPE_NAME_MAX + 1], unit[SCOPE_NAME_MAX + 1];
};

/* NULL or "": system.slice, "coracle", id. */
int scope_parse(const char *cgroups_path, const char *id, struct scope *ret, struct err *err);

/* Whether it can be had: systemd runs, and this program was built for it. The error says which. */
int scope_check(struct err *err);

/* Starts the unit with pid in it and waits for that, bounded. *ret_group: its cgroup, "/system.slice/...",
 * malloc'd. The limits that systemd would otherwise set back are given to it, too. */
int scope_start(const struct scope *s, pid_t pid, const struct resources *res, uint64_t memory_max,
	char **ret_group, struct err *err);

/* Further values for the files of a unit that is there, as systemd's properties, so that it does not write the
 * old ones again. Those it has no property for are not its affair. */
int scope_set(const char *unit, const struct gkeyval *files, uint32_t n, uint64_t memory_max,
	struct err *err);

/* The part of both that talks to nobody: "MemoryMax=67108864" and the like, appended. -E2BIG, -ENOMEM. */
struct scope_args {
	char *v[256]; /* malloc'd, then NULL */
	unsigned n;
};
int scope_properties(
	struct scope_args *a, const struct gkeyval *files, uint32_t n, uint64_t memory_max);
void scope_args_release(struct scope_args *a);

/* Ends a unit whose processes are gone. A unit that is gone, too, is fine; so is a systemd. */
void scope_stop(const char *unit);

#endif
