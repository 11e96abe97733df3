/* SPDX-License-Identifier: Apache-2.0 */
/* linux.resources -> files of the guest's cgroup v2 and the device program. */
#ifndef OCI_RESOURCES_H
#define OCI_RESOURCES_H

#include "oci/spec_ctx.h"

/* linux_node: the `linux` object, or NULL when there is none: the default devices then still apply.
 */
int spec_resources(struct spec_ctx *c, const struct jnode *linux_node, struct container_spec *spec);

/* cgroup v1 cpu.shares to cgroup v2 cpu.weight. shares > 0. */
uint64_t cpu_weight_of_shares(uint64_t shares);

#endif
