/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/probe.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/kvm_caps.h"
#include "lib/timeline.h"

#define GUEST_BYTES (2u << 20)
#define PML4        0x1000
#define PDPT_LOW    0x2000
#define PDPT_HIGH   0x3000
#define PD          0x4000
#define CODE        0x8000
#define KERNEL_BASE 0xffffffff80000000ull
#define LOOP_WARM   100u
#define LOOP_COUNT  200000u
#define LOOP_INSTRS 2u  /* dec, jnz */
#define PTE_PRESENT 0x3 /* present, writable */
#define PTE_LARGE   0x83
#define CR0_LONG    0x80000031ull /* PG, NE, ET, PE */
#define CR4_PAE     0x20ull
#define CPUID_MAX   256
#define EFER_LONG   0x500ull /* LME, LMA */

/* mov %edi,%ecx; 1: dec %ecx; jnz 1b; hlt; jmp back to the start */
static const uint8_t code[] = {0x89, 0xf9, 0xff, 0xc9, 0x75, 0xfc, 0xf4, 0xeb, 0xf7};

static const struct {
	int cap;
	const char *name;
} needed[] = {KVM_CAPS_NEEDED(KVM_CAP_ROW)};

bool probe_kvm_caps(int kvm_fd, const char **ret_name)
{
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0) {
			*ret_name = needed[i].name;
			return false;
		}
	}
	return true;
}

static void put64(uint8_t *mem, unsigned at, uint64_t v)
{
	memcpy(mem + at, &v, sizeof(v));
}

static void fill_memory(uint8_t *mem)
{
	put64(mem, PML4, PDPT_LOW | PTE_PRESENT);
	put64(mem, PML4 + 511 * 8, PDPT_HIGH | PTE_PRESENT);
	put64(mem, PDPT_LOW, PD | PTE_PRESENT);
	put64(mem, PDPT_HIGH + 510 * 8, PD | PTE_PRESENT);
	put64(mem, PD, PTE_LARGE);
	memcpy(mem + CODE, code, sizeof(code));
}

/* Long mode is accepted only once the vCPU's CPUID has it. */
static int set_cpuid(int kvm_fd, int vcpu)
{
	autofree struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_MAX * sizeof(cpuid->entries[0]));

	if (!cpuid)
		return -ENOMEM;
	cpuid->nent = CPUID_MAX;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 ||
		ioctl(vcpu, KVM_SET_CPUID2, cpuid) < 0)
		return -errno;
	return 0;
}

static int set_registers(int vcpu)
{
	struct kvm_segment seg = {.limit = 0xffffffff,
		.type = 3,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1,
		.selector = 0x10};
	struct kvm_segment cs = {.limit = 0xffffffff,
		.type = 11,
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1,
		.selector = 0x8};
	struct kvm_sregs s;
	struct kvm_regs regs = {.rip = KERNEL_BASE + CODE, .rflags = 2, .rdi = LOOP_WARM};

	if (ioctl(vcpu, KVM_GET_SREGS, &s) < 0)
		return -errno;
	s.cs = cs;
	s.ds = s.es = s.fs = s.gs = s.ss = seg;
	s.cr0 = CR0_LONG;
	s.cr3 = PML4;
	s.cr4 = CR4_PAE;
	s.efer = EFER_LONG;
	if (ioctl(vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
		return -errno;
	return 0;
}

/* Runs until the guest's HLT. */
static int run_loop(int vcpu, const struct kvm_run *run, struct err *err)
{
	int r;

	do {
		r = ioctl(vcpu, KVM_RUN, 0);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_set(err, errno, "KVM_RUN");
	if (run->exit_reason != KVM_EXIT_HLT)
		return err_plain(err, EIO, "a loop at a kernel address ends with exit reason %u",
			run->exit_reason);
	return 0;
}

static int measure(int vcpu, const struct kvm_run *run, uint64_t *ret_per_second, struct err *err)
{
	struct kvm_regs regs;
	uint64_t start, ns;
	int r = run_loop(vcpu, run, err);

	if (r < 0)
		return r;
	if (ioctl(vcpu, KVM_GET_REGS, &regs) < 0)
		return err_set(err, errno, "KVM_GET_REGS");
	regs.rdi = LOOP_COUNT;
	if (ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
		return err_set(err, errno, "KVM_SET_REGS");
	start = timeline_now();
	r = run_loop(vcpu, run, err);
	if (r < 0)
		return r;
	ns = MAX(timeline_now() - start, 1u);
	*ret_per_second = (uint64_t)LOOP_COUNT * LOOP_INSTRS * 1000000000u / ns;
	return 0;
}

static int probe_vcpu(int kvm_fd, int vm, uint64_t *ret_per_second, struct err *err)
{
	autofd int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	int size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;
	int r;

	if (vcpu < 0 || size < (int)sizeof(struct kvm_run))
		return err_set(err, errno, "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		return err_set(err, errno, "cannot map the vCPU");
	r = set_cpuid(kvm_fd, vcpu);
	if (r == 0)
		r = set_registers(vcpu);
	r = r < 0 ? err_set(err, -r, "cannot set the vCPU's registers")
		  : measure(vcpu, run, ret_per_second, err);
	munmap(run, (size_t)size);
	return r;
}

int probe_kernel_code(int kvm_fd, uint64_t *ret_per_second, struct err *err)
{
	autofd int vm = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	struct kvm_userspace_memory_region slot = {.memory_size = GUEST_BYTES};
	uint8_t *mem;
	int r;

	if (vm < 0)
		return err_set(err, errno, "KVM_CREATE_VM");
	mem = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return err_set(err, errno, "cannot allocate guest memory");
	fill_memory(mem);
	slot.userspace_addr = (uint64_t)(uintptr_t)mem;
	ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000); /* wanted by VMX without unrestricted guest */
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		r = err_set(err, errno, "KVM_SET_USER_MEMORY_REGION");
	else
		r = probe_vcpu(kvm_fd, vm, ret_per_second, err);
	munmap(mem, GUEST_BYTES);
	return r;
}
