/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.resources -> files of cgroup v2, for the container's group in the guest and for the
 * sandbox's on the host, and the guest's device program. What counts memory and processor time
 * stands on both sides, as do huge pages and the weight of block I/O; pids and the like are the
 * guest's; CPU and memory node numbers and block devices are the host's.
 */
#ifndef OCI_RESOURCES_H
#define OCI_RESOURCES_H

#include <stdint.h>

#include "lib/gspec.h"
#include "oci/json.h"

struct container_spec;
struct spec_ctx;

struct resources {
	struct gkeyval *guest, *host; /* file name, value; in the arena */
	uint32_t n_guest, n_host;
	uint64_t memory_limit; /* what memory.max comes to, in bytes; 0: none or unlimited */
	uint32_t cpus;         /* what cpu.max and cpuset.cpus leave, rounded up; 0: no limit */
};

/* n: an object such as linux.resources, its devices not looked at. */
int resources_parse(struct spec_ctx *c, const struct jnode *n, struct resources *ret);

/* linux_node: the `linux` object, or NULL when there is none: the default devices then still apply.
 */
int spec_resources(struct spec_ctx *c, const struct jnode *linux_node, struct container_spec *spec);

/* How many CPUs a list such as "0-3,7" names; 0 when it is none, or names too many to be one. */
uint32_t cpu_list_count(const char *list);

/* cgroup v1 cpu.shares to cgroup v2 cpu.weight. shares > 0. */
uint64_t cpu_weight_of_shares(uint64_t shares);

/* blkio.weight's scale (10 to 1000) to io.weight's (1 to 10000), as runc converts it. */
uint64_t io_weight_of_blkio(uint64_t weight);

#endif
