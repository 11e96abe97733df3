/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/vm_size.h"

#include <sched.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/vm_config.h"

#define DEFAULT_MEMORY (512ull << 20)
/* What stands beside the container's limit; docs/resources.md has what was measured. In the guest:
 * kernel and init; a page structure per page. On the host: the VMM, and page cache for its file
 * server; page tables, and what the file server knows about each file that the guest has in use. */
#define GUEST_OVERHEAD (48ull << 20)
#define GUEST_SHARE    32
#define HOST_OVERHEAD  (64ull << 20)
#define HOST_SHARE     8
#define MEMORY_STEP    (2ull << 20)
#define DEFAULT_VCPUS  2 /* at most: never more than the host has */

struct vm_host vm_host(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
	struct vm_host host = {.memory_bytes = DEFAULT_MEMORY, .cpus = 1};
	cpu_set_t set;

	if (pages > 0 && bytes > 0)
		host.memory_bytes = (uint64_t)pages * (uint64_t)bytes;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		host.cpus = (unsigned)MAX(CPU_COUNT(&set), 1);
	return host;
}

static uint64_t with_kernel(uint64_t limit)
{
	return limit + GUEST_OVERHEAD + limit / GUEST_SHARE;
}

uint64_t vm_size_memory(const struct container_spec *spec, const struct vm_host *host)
{
	uint64_t bytes = spec->vm.memory_bytes;

	/* "Unlimited" is often a very large number: what the host has is as good. */
	if (!bytes && spec->resources.memory_limit)
		bytes = with_kernel(MIN(spec->resources.memory_limit, host->memory_bytes));
	if (!bytes)
		bytes = DEFAULT_MEMORY;
	bytes = MAX(MIN(bytes, VM_MEMORY_MAX), VM_MEMORY_MIN);
	return (bytes + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP;
}

uint64_t vm_size_host_memory(uint64_t ram_bytes)
{
	return ram_bytes + HOST_OVERHEAD + ram_bytes / HOST_SHARE;
}

uint32_t vm_size_vcpus(const struct container_spec *spec, const struct vm_host *host)
{
	if (spec->vm.vcpus)
		return spec->vm.vcpus;
	if (spec->resources.cpus)
		return MIN(MIN(MAX(host->cpus, 1u), spec->resources.cpus), VM_VCPUS_MAX);
	return MIN(MAX(host->cpus, 1u), DEFAULT_VCPUS);
}
