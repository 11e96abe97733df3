/* SPDX-License-Identifier: Apache-2.0 */
/* The container's cgroup in the guest: "container", right below the given cgroup v2 directory. */
#ifndef INIT_CGROUP_H
#define INIT_CGROUP_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/gspec.h"

/* Makes the group, hands it every controller `base` has and writes the spec's values. Gives a
 * descriptor of the group for CLONE_INTO_CGROUP. */
int cgroup_make(int base, const struct gspec *spec, int *ret_group, struct err *err);

/* Attaches the spec's device program, if any: when the container is prepared, so that it binds the
 * user's program and not the making of /dev. */
int cgroup_attach_devices(int group, const struct gspec *spec, struct err *err);

/* Writes one file of the group; its name is one name, not a hidden one. A limit of huge pages of a size that
 * this machine has not is met. */
int cgroup_put(int group, const struct gkeyval *kv, struct err *err);

/* Calls fn for every process of the group and of those below it, as init numbers them, until it
 * fails. 0, fn's failure or -errno; -ELOOP: the groups are nested too deep. */
int cgroup_each(int group, int (*fn)(void *arg, pid_t pid), void *arg);

/* Waits until all processes of a group that was told to freeze have stopped, and what they were doing in the kernel is
 * done. One that the kernel holds up elsewhere is waited for for so long. */
void cgroup_await_frozen(int group, unsigned wait_ms);

/* Signals every process of the group and of those below it: they are stopped meanwhile, so that
 * none escapes by forking. cgroup_thaw() undoes what is left when the caller of this is killed. 0
 * or -errno. */
int cgroup_signal(int group, int signo);
void cgroup_thaw(int group);

/* Kills whatever is left in the group. 0 or -errno. */
int cgroup_kill(int group);

/* A descriptor of the group that the process is in, which is `group` or below it; or -errno. */
int cgroup_of(int group, pid_t pid);

/* Moves the calling process to the group `path` ("/a/b") below `group`. */
int cgroup_join(int group, const char *path, struct err *err);

/* Turns "cpu memory pids\n" into "+cpu +memory +pids" (out_bytes at least twice as long). */
void cgroup_enable_text(const char *controllers, char *out, size_t out_bytes);

#endif
