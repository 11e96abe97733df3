/* SPDX-License-Identifier: Apache-2.0 */
/* How large the VM of a container is: its annotations, else its limits, else a default. */
#ifndef RUNTIME_VM_SIZE_H
#define RUNTIME_VM_SIZE_H

#include <stdint.h>

#include "oci/spec.h"

/* What this machine has, for this process. */
struct vm_host {
	uint64_t memory_bytes;
	unsigned cpus;
};

struct vm_host vm_host(void);

/* Guest RAM, as vm_config wants it: a multiple of 2 MiB within VM_MEMORY_MIN and VM_MEMORY_MAX. */
uint64_t vm_size_memory(const struct container_spec *spec, const struct vm_host *host);
/* memory.max of the VMM's cgroup on the host: all of that RAM and what the VMM and the kernel need for
 * it, so that the guest's own limits are met first (docs/resources.md). */
uint64_t vm_size_host_memory(uint64_t ram_bytes);
/* At least one. */
uint32_t vm_size_vcpus(const struct container_spec *spec, const struct vm_host *host);

#endif
