/* SPDX-License-Identifier: Apache-2.0 */
/* Where in the life of a container the host's hooks run, and what their failure means (runtime.md,
 * "Lifecycle"). */
#ifndef RUNTIME_HOOK_POINTS_H
#define RUNTIME_HOOK_POINTS_H

#include "lib/err.h"
#include "oci/hooks.h"
#include "runtime/container.h"

/* prestart, createRuntime, createContainer: once c's VMM process has its namespaces and its cgroup,
 * before it boots anything. The first two run in the bundle; the last in the VMM's namespaces and in
 * the share tree's root file system. A failure ends the creation. */
int hook_points_create(
	const struct hooks *hooks, const struct container *c, int signal_fd, struct err *err);

/* Once the program was executed. A failure is an error, on which the caller ends the container, for
 * a configuration of spec 1.3 and later; before that a warning, and the other hooks run. */
int hook_points_started(const struct container *c, int signal_fd, struct err *err);

/* Once the container is gone. Never fails. c's state is still there in memory. */
void hook_points_deleted(const struct container *c);

#endif
