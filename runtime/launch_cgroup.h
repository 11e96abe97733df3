/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's cgroup in the course of a launch: made by us before there is a process, or by systemd
 * once there is one. */
#ifndef RUNTIME_LAUNCH_CGROUP_H
#define RUNTIME_LAUNCH_CGROUP_H

#include "lib/err.h"
#include "oci/spec.h"
#include "runtime/container.h"
#include "runtime/launch.h"

/* Before the VMM's process. What limits hold is noted for `update`. The groups are noted in c's state once they are ours: what is in a
 * container's groups is killed when it is deleted. */
int launch_cgroup_make(struct launch *l, const struct global *g, const struct container_spec *spec,
	struct container *c, struct err *err);
/* Once it waits (sandbox_prepared()). Saves the state. */
int launch_cgroup_adopt(struct launch *l, const struct global *g, const struct container_spec *spec,
	struct container *c, struct err *err);

/* Takes the groups of a container away whose VMM has ended, and its unit. */
int launch_cgroup_remove(const struct cstate *s, struct err *err);

#endif
