/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cpuid.h"

#include <asm/kvm_para.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/base.h"
#include "lib/cleanup.h"

/* Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E. */
#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_HYPERVISOR   BIT(31)
#define LEAF1_EDX_HTT          BIT(28)
#define LEAF_TOPOLOGY          0xbu
#define LEAF_TOPOLOGY_V2       0x1fu
#define LEAF_AMD_SIZES         0x80000008u
#define LEAF_AMD_TOPOLOGY      0x8000001eu
#define LEVEL_SMT              1u
#define LEVEL_CORE             2u

#define MSR_IA32_MISC_ENABLE    0x1a0
#define MISC_ENABLE_FAST_STRING BIT(0)

int cpuid_read(int kvm_fd, struct kvm_cpuid2 **ret_cpuid, struct err *err)
{
	struct kvm_cpuid2 *c =
		calloc(1, sizeof(*c) + CPUID_ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2));
	bool deadline = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;

	if (!c)
		return err_set(err, ENOMEM, "cannot read KVM's CPUID");
	c->nent = CPUID_ENTRIES_MAX - CPUID_ENTRIES_NEW;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, c) < 0) {
		int e = errno;

		free(c);
		return err_set(err, e, "cannot read KVM's CPUID");
	}
	for (unsigned i = 0; i < c->nent; i++)
		if (c->entries[i].function == 1 && deadline)
			c->entries[i].ecx |= LEAF1_ECX_TSC_DEADLINE;
	*ret_cpuid = c;
	return 0;
}

static unsigned bits_for(uint32_t n) /* to count from 0 to n-1 */
{
	return n > 1 ? 32 - (unsigned)__builtin_clz(n - 1) : 0;
}

/* Leaf 4 (and AMD's 0x8000001d): who shares a cache. One thread per core; the last level is shared
 * by all. */
static void adjust_cache(struct kvm_cpuid_entry2 *e, uint32_t vcpus)
{
	unsigned level = (e->eax >> 5) & 7;
	uint32_t sharing = level >= 3 ? (1u << bits_for(vcpus)) - 1 : 0;
	uint32_t cores = (1u << bits_for(vcpus)) - 1;

	if (!(e->eax & 0x1f))
		return;
	e->eax &= ~0x03ffc000u;
	e->eax |= sharing << 14;
	if (e->function == 4) {
		e->eax &= ~0xfc000000u;
		e->eax |= cores << 26;
	}
}

/* Leaves 0xb and 0x1f: one thread per core, all cores in one package. */
static void adjust_topology(struct kvm_cpuid_entry2 *e, uint32_t cpu, uint32_t vcpus)
{
	e->edx = cpu; /* x2APIC id */
	switch (e->index) {
	case 0:
		e->eax = 0;
		e->ebx = 1;
		e->ecx = LEVEL_SMT << 8;
		break;
	case 1:
		e->eax = bits_for(vcpus);
		e->ebx = vcpus;
		e->ecx = 1 | LEVEL_CORE << 8;
		break;
	default:
		e->eax = e->ebx = 0;
		e->ecx = e->index;
		break;
	}
}

static void adjust_entry(struct kvm_cpuid_entry2 *e, uint32_t cpu, uint32_t vcpus)
{
	switch (e->function) {
	case 1:
		e->ebx &= 0x0000ffffu;
		e->ebx |= (1u << bits_for(vcpus)) << 16 | cpu << 24;
		e->ecx |= LEAF1_ECX_HYPERVISOR;
		if (vcpus > 1)
			e->edx |= LEAF1_EDX_HTT;
		else
			e->edx &= ~LEAF1_EDX_HTT;
		break;
	case 4:
	case 0x8000001d: adjust_cache(e, vcpus); break;
	case LEAF_TOPOLOGY:
	case LEAF_TOPOLOGY_V2: adjust_topology(e, cpu, vcpus); break;
	case LEAF_AMD_SIZES:
		e->ecx &= ~0xf0ffu;
		e->ecx |= (vcpus - 1) | bits_for(vcpus) << 12;
		break;
	case LEAF_AMD_TOPOLOGY:
		e->eax = cpu; /* extended APIC id */
		e->ebx = cpu; /* core id, one thread each */
		e->ecx = 0;   /* node 0 of 1 */
		break;
	}
}

/* KVM lists only subleaf 0 of leaf 0xb, or a subleaf 1 of the host's. Make sure of subleaves 0, 1
 * and 2. */
static void complete_topology(struct kvm_cpuid2 *c, uint32_t leaf)
{
	bool have[3] = {false, false, false};

	for (unsigned i = 0; i < c->nent; i++)
		if (c->entries[i].function == leaf && c->entries[i].index < ARRAY_SIZE(have))
			have[c->entries[i].index] = true;
	if (!have[0])
		return; /* this processor has no such leaf */
	for (unsigned i = 1; i < ARRAY_SIZE(have); i++)
		if (!have[i] && c->nent < CPUID_ENTRIES_MAX)
			c->entries[c->nent++] = (struct kvm_cpuid_entry2){
				.function = leaf,
				.index = i,
				.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			};
}

void cpuid_adjust(struct kvm_cpuid2 *c, uint32_t cpu, uint32_t vcpus)
{
	complete_topology(c, LEAF_TOPOLOGY);
	complete_topology(c, LEAF_TOPOLOGY_V2);
	for (unsigned i = 0; i < c->nent; i++)
		adjust_entry(&c->entries[i], cpu, vcpus);
}

/* Intel's firmware enables fast string operations; a guest that finds them off does without. */
static int set_msrs(int vcpu_fd, struct err *err)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry[1];
	} m = {
		.head = {.nmsrs = 1},
		.entry = {{.index = MSR_IA32_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING}},
	};
	int n = ioctl(vcpu_fd, KVM_SET_MSRS, &m);

	if (n == 1)
		return 0;
	return err_set(
		err, n < 0 ? errno : ENOTSUP, "cannot set a processor's MISC_ENABLE register");
}

int cpuid_install(int vcpu_fd, struct kvm_cpuid2 *c, uint32_t cpu, uint32_t vcpus, struct err *err)
{
	cpuid_adjust(c, cpu, vcpus);
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, c) < 0)
		return err_set(err, errno, "cannot set the CPUID of vCPU %u", cpu);
	return set_msrs(vcpu_fd, err);
}
