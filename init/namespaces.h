/* SPDX-License-Identifier: Apache-2.0 */
/* The container's namespaces inside the guest. */
#ifndef INIT_NAMESPACES_H
#define INIT_NAMESPACES_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/gspec.h"

/* When asked for, a time namespace with the spec's offsets for every child that the calling process
 * forks from now on; itself it stays where it is. */
int ns_time(const struct gspec *spec, struct err *err);

/* A time of the container's CLOCK_BOOTTIME as the guest's. */
uint64_t ns_boot_time(const struct gspec *spec, uint64_t ns);

/* CLONE_NEW* of GNS_* for a new process; the mount and cgroup namespaces are made later, by
 * ns_enter_mount(), as both depend on where the process is by then. */
uint64_t ns_clone_flags(uint32_t gns);

/* fork(2) into new namespaces and, when group is not -1, that cgroup. 0 in the child, a pid, or
 * -errno. */
pid_t ns_fork(uint64_t clone_flags, int group);

/* fork(2) beside the process that pidfd names: into its pid namespace, if the container has one of
 * its own, and the cgroup; the child is the caller's all the same. */
pid_t ns_fork_beside(int pidfd, uint32_t gns, int group);

/* Joins all other namespaces of that process, and takes its root. */
int ns_enter(int pidfd, uint32_t gns, struct err *err);

/* A mount namespace always (the root is pivoted), a cgroup namespace if asked for. */
int ns_enter_mount(uint32_t gns, struct err *err);

/* Host and domain name of the calling process's uts namespace; "" leaves one. */
int ns_names(const struct gspec *spec, struct err *err);

/* Brings the loopback device of the calling process's network namespace up. */
int ns_loopback_up(struct err *err);

#endif
