/* SPDX-License-Identifier: Apache-2.0 */
/* What each vCPU's CPUID says about itself, over a made-up list of leaves. */
#include <stdlib.h>

#include "tests/tap.h"
#include "vmm/cpuid.h"

static struct kvm_cpuid2 *made_up(void)
{
	static const struct kvm_cpuid_entry2 leaves[] = {
		{.function = 1, .ebx = 0xff00bb00, .ecx = 0, .edx = 1u << 28},
		{.function = 4, .index = 0, .eax = 0xfc03c021, .ebx = 7},
		{.function = 4, .index = 1, .eax = 0xfc03c063}, /* level 3 */
		{.function = 4, .index = 2, .eax = 0},
		{.function = 0xb, .index = 0, .ebx = 99, .edx = 99},
		{.function = 0xd, .index = 0, .eax = 7, .ebx = 576, .ecx = 832},
		{.function = 0x80000008, .eax = 0x3028, .ecx = 0x2f00f},
		{.function = 0x8000001e, .eax = 9, .ebx = 9, .ecx = 9},
	};
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + CPUID_ENTRIES_MAX * sizeof(c->entries[0]));

	c->nent = sizeof(leaves) / sizeof(leaves[0]);
	memcpy(c->entries, leaves, sizeof(leaves));
	return c;
}

static const struct kvm_cpuid_entry2 *leaf(const struct kvm_cpuid2 *c, uint32_t f, uint32_t index)
{
	static const struct kvm_cpuid_entry2 none = {.function = 0xdead};

	for (unsigned i = 0; i < c->nent; i++)
		if (c->entries[i].function == f && c->entries[i].index == index)
			return &c->entries[i];
	return &none;
}

static void check(const struct kvm_cpuid2 *c, uint32_t cpu, uint32_t vcpus, uint32_t width)
{
	const struct kvm_cpuid_entry2 *e = leaf(c, 1, 0);

	printf("# vCPU %u of %u\n", cpu, vcpus);
	eq_int(e->ebx >> 24, cpu, "APIC id");
	eq_int(e->ebx >> 16 & 0xff, 1u << width, "room for ids in the package");
	eq_int(e->ebx & 0xffff, 0xbb00, "the rest of the leaf is as reported");
	ok(e->ecx >> 31, "a hypervisor is there");
	eq_int(e->edx >> 28 & 1, vcpus > 1, "more than one in the package");
	e = leaf(c, 4, 0);
	eq_int(e->eax >> 14 & 0xfff, 0, "the first level cache is the core's own");
	eq_int(e->eax >> 26, (1u << width) - 1, "cores in the package");
	eq_int(e->eax & 0x3fff, 0x0021, "its kind is as reported");
	eq_int(leaf(c, 4, 1)->eax >> 14 & 0xfff, (1u << width) - 1,
		"the last level cache is shared");
	eq_int(leaf(c, 4, 2)->eax, 0, "the list's end stays");
	e = leaf(c, 0xb, 0);
	ok(e->eax == 0 && e->ebx == 1 && e->ecx == 0x100 && e->edx == cpu, "topology: threads");
	e = leaf(c, 0xb, 1);
	ok(e->eax == width && e->ebx == vcpus && e->ecx == 0x201 && e->edx == cpu,
		"topology: cores");
	e = leaf(c, 0xb, 2);
	ok(e->eax == 0 && e->ebx == 0 && e->ecx == 2 && e->edx == cpu, "topology: the end");
	eq_int(leaf(c, 0x1f, 0)->function, 0xdead, "a leaf the processor lacks is not made up");
	e = leaf(c, 0xd, 0);
	ok(e->eax == 7 && e->ebx == 576 && e->ecx == 832, "leaf 0xd is as reported");
	e = leaf(c, 0x80000008, 0);
	ok(e->eax == 0x3028 && e->ecx == 0x20000u + ((vcpus - 1) | width << 12), "AMD: sizes");
	e = leaf(c, 0x8000001e, 0);
	ok(e->eax == cpu && e->ebx == cpu && e->ecx == 0, "AMD: ids");
}

int main(void)
{
	static const struct {
		uint32_t vcpus, width;
	} shapes[] = {{1, 0}, {2, 1}, {3, 2}, {16, 4}};

	for (unsigned s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
		struct kvm_cpuid2 *c = made_up();
		uint32_t n = 0;

		for (uint32_t cpu = 0; cpu < shapes[s].vcpus; cpu++) {
			cpuid_adjust(c, cpu, shapes[s].vcpus); /* the same copy, again and again */
			n = n ? n : c->nent;
			if (cpu == 0 || cpu == shapes[s].vcpus - 1)
				check(c, cpu, shapes[s].vcpus, shapes[s].width);
		}
		eq_int(c->nent, n, "leaves are added once");
		free(c);
	}
	return tap_done();
}
