/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "lib/kvm_caps.h"
#include "lib/base.h"
#include "lib/cleanup.h"
#include "vmm/cpuid.h"
#include "vmm/layout.h"
#include "vmm/virtio/mmio.h"

static const struct {
	int cap;
	const char *name;
} caps_needed[] = {KVM_CAPS_NEEDED(KVM_CAP_ROW)};

static int check_kvm(int kvm_fd, uint32_t vcpus, struct err *err)
{
	int v = ioctl(kvm_fd, KVM_GET_API_VERSION, 0);

	if (v < 0)
		return err_set(err, errno, "cannot ask KVM for its version");
	if (v != KVM_API_VERSION)
		return err_plain(err, ENOTSUP,
			"KVM speaks version %d of its interface, expected %d", v, KVM_API_VERSION);
	for (unsigned i = 0; i < ARRAY_SIZE(caps_needed); i++)
		if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, caps_needed[i].cap) <= 0)
			return err_plain(err, ENOTSUP,
				"this machine's KVM lacks %s: a newer host kernel is needed",
				caps_needed[i].name);
	v = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (v <= 0)
		v = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS);
	if (v > 0 && (uint32_t)v < vcpus)
		return err_plain(err, ENOTSUP,
			"this machine's KVM allows %d vCPUs, %u are asked for", v, vcpus);
	return 0;
}

/* The addresses of KVM's own pages must be set before the first vCPU exists. */
static int create_vm(struct vm *vm, int kvm_fd, struct err *err)
{
	uint64_t identity = LAYOUT_IDENTITY;

	do {
		vm->fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return err_set(err, errno, "cannot create a virtual machine");
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, (unsigned long)LAYOUT_TSS) < 0)
		return err_set(err, errno, "cannot place KVM's task state segment");
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return err_set(err, errno, "cannot place KVM's identity map");
	if (ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return err_set(err, errno, "cannot create the interrupt controllers");
	return 0;
}

static int create_vcpu(struct vm *vm, uint32_t i, struct err *err)
{
	vm->vcpu_fd[i] = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)i);
	if (vm->vcpu_fd[i] < 0)
		return err_set(err, errno, "cannot create vCPU %u", i);
	vm->run[i] =
		mmap(NULL, vm->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu_fd[i], 0);
	if (vm->run[i] == MAP_FAILED) {
		vm->run[i] = NULL;
		return err_set(err, errno, "cannot map the state of vCPU %u", i);
	}
	return cpuid_install(vm->vcpu_fd[i], vm->cpuid, i, vm->vcpus, err);
}

int vm_init(struct vm *vm, int kvm_fd, uint32_t vcpus, struct err *err)
{
	int r, bytes;

	*vm = (struct vm){.fd = -1, .vcpus = vcpus, .mem = {.fd = -1}};
	for (unsigned i = 0; i < VM_VCPUS_MAX; i++)
		vm->vcpu_fd[i] = -1;
	r = check_kvm(kvm_fd, vcpus, err);
	if (r < 0)
		return r;
	bytes = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (bytes < (int)sizeof(struct kvm_run))
		return err_set(
			err, bytes < 0 ? errno : EPROTO, "KVM reports no size for a vCPU's state");
	vm->run_bytes = (uint32_t)bytes;
	r = cpuid_read(kvm_fd, &vm->cpuid, err);
	if (r < 0)
		return r;
	r = create_vm(vm, kvm_fd, err);
	for (uint32_t i = 0; r == 0 && i < vcpus; i++)
		r = create_vcpu(vm, i, err);
	free(take_ptr(&vm->cpuid));
	return r;
}

int vm_add_memory(struct vm *vm, uint64_t bytes, struct err *err)
{
	int r = guest_mem_init(&vm->mem, bytes, err);

	for (unsigned i = 0; r == 0 && i < vm->mem.n; i++) {
		const struct guest_region *g = &vm->mem.region[i];
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = g->gpa,
			.memory_size = g->bytes,
			.userspace_addr = (uintptr_t)g->hva,
		};

		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			r = err_set(err, errno, "cannot give the guest its memory");
	}
	return r;
}

void vm_release(struct vm *vm)
{
	for (unsigned i = 0; i < VM_VCPUS_MAX; i++) {
		if (vm->run[i])
			munmap(vm->run[i], vm->run_bytes);
		vm->run[i] = NULL;
		close_fd(&vm->vcpu_fd[i]);
	}
	close_fd(&vm->fd);
	guest_mem_release(&vm->mem);
	free(take_ptr(&vm->cpuid));
}

int vm_ioeventfd(struct vm *vm, uint64_t gpa, uint32_t value, int efd, struct err *err)
{
	struct kvm_ioeventfd e = {
		.datamatch = value,
		.addr = gpa,
		.len = 4,
		.fd = efd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	if (ioctl(vm->fd, KVM_IOEVENTFD, &e) < 0)
		return err_set(err, errno, "cannot tie a queue's doorbell to its eventfd");
	return 0;
}

int vm_irqfd(struct vm *vm, uint32_t gsi, int efd, struct err *err)
{
	struct kvm_irqfd e = {.fd = (uint32_t)efd, .gsi = gsi};

	if (ioctl(vm->fd, KVM_IRQFD, &e) < 0)
		return err_set(err, errno, "cannot tie interrupt line %u to its eventfd", gsi);
	return 0;
}

static void segment(struct kvm_segment *s, uint16_t sel, bool code)
{
	*s = (struct kvm_segment){
		.selector = sel,
		.limit = 0xffffffff,
		.type = code ? 11 : 3, /* accessed, readable/writable */
		.present = 1,
		.s = 1,
		.g = 1,
		.l = code,
		.db = !code,
	};
}

int vm_set_entry(struct vm *vm, const struct vm_entry *e, struct err *err)
{
	struct kvm_regs regs = {.rip = e->rip, .rsi = e->rsi, .rflags = 2 /* always one */};
	struct kvm_sregs s;
	int fd = vm->vcpu_fd[0];

	if (ioctl(fd, KVM_GET_SREGS, &s) < 0)
		return err_set(err, errno, "cannot read the boot processor's registers");
	segment(&s.cs, e->code_sel, true);
	segment(&s.ds, e->data_sel, false);
	s.es = s.fs = s.gs = s.ss = s.ds;
	s.gdt.base = e->gdt;
	s.gdt.limit = (uint16_t)(e->gdt_bytes - 1);
	s.idt.base = 0;
	s.idt.limit = 0; /* an exception before the kernel has its own table is a triple fault */
	s.cr3 = e->cr3;
	s.cr4 |= 0x20;       /* PAE */
	s.efer |= 0x500;     /* LME, LMA */
	s.cr0 |= 0x80000001; /* PG, PE */
	if (ioctl(fd, KVM_SET_SREGS, &s) < 0 || ioctl(fd, KVM_SET_REGS, &regs) < 0)
		return err_set(err, errno, "cannot set the boot processor's registers");
	return 0;
}
