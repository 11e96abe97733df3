/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/vm_size.h"

#include "lib/base.h"
#include "lib/vm_config.h"
#include "tests/tap.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

static const struct {
	const char *name;
	uint64_t given, limit, host, want;
} memory[] = {
	{"nothing given", 0, 0, GIB(8), MIB(512)},
	{"a limit: the guest's own need is added", 0, MIB(256), GIB(8), MIB(312)},
	{"a limit that is no multiple of 2 MiB: rounded up", 0, MIB(256) + 1, GIB(8), MIB(314)},
	{"a tiny limit", 0, 1, GIB(8), MIB(50)},
	{"a limit beyond the host", 0, GIB(100), GIB(8), GIB(8) + MIB(304)},
	{"a limit that means none", 0, INT64_MAX, GIB(8), GIB(8) + MIB(304)},
	{"the largest number", 0, UINT64_MAX, GIB(8), GIB(8) + MIB(304)},
	{"a limit on a host that is no multiple of 2 MiB", 0, GIB(9), GIB(8) + 4096,
		GIB(8) + MIB(306)},
	{"an annotation: as it says", MIB(128), 0, GIB(8), MIB(128)},
	{"an annotation beats the limit", MIB(128), MIB(512), GIB(8), MIB(128)},
	{"an annotation beyond the host: memory can be overcommitted", GIB(16), 0, GIB(8), GIB(16)},
	{"too small an annotation", MIB(2), 0, GIB(8), VM_MEMORY_MIN},
	{"too large an annotation", 2 * VM_MEMORY_MAX, 0, GIB(8), VM_MEMORY_MAX},
	{"a host beyond what a VM can have", 0, UINT64_MAX, 4 * VM_MEMORY_MAX, VM_MEMORY_MAX},
};

static const struct {
	const char *name;
	uint32_t given, limit;
	unsigned host;
	uint32_t want;
} vcpus[] = {
	{"no more than the host has", 0, 0, 1, 1},
	{"two", 0, 0, 2, 2},
	{"not more", 0, 0, 64, 2},
	{"at least one", 0, 0, 0, 1},
	{"the annotation's", 5, 0, 2, 5},
	{"a limit: as many as it leaves", 0, 3, 64, 3},
	{"a limit beyond the host", 0, 3, 2, 2},
	{"a limit beyond what a VM can have", 0, 100, 64, VM_VCPUS_MAX},
	{"the annotation beats the limit", 5, 1, 2, 5},
};

int main(void)
{
	struct vm_host host = vm_host();

	ok(host.memory_bytes >= MIB(64), "this machine has some memory");
	ok(host.cpus >= 1, "and a processor");
	for (size_t i = 0; i < ARRAY_SIZE(memory); i++) {
		struct container_spec spec = {.vm.memory_bytes = memory[i].given,
			.resources.memory_limit = memory[i].limit};

		host.memory_bytes = memory[i].host;
		eq_int(vm_size_memory(&spec, &host), memory[i].want, memory[i].name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(vcpus); i++) {
		struct container_spec spec = {
			.vm.vcpus = vcpus[i].given, .resources.cpus = vcpus[i].limit};

		host.cpus = vcpus[i].host;
		eq_int(vm_size_vcpus(&spec, &host), vcpus[i].want, vcpus[i].name);
	}
	eq_int(vm_size_host_memory(MIB(128)), MIB(128 + 64 + 16), "memory of the VMM's cgroup");
	return tap_done();
}
