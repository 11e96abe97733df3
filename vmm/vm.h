/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual machine as KVM sees it: memory slots, in-kernel interrupt controllers, vCPU
 * descriptors with their CPUID and registers. Known to the VMM's own threads only, never to a
 * device.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/vm_config.h"
#include "vmm/bus.h"
#include "vmm/mem.h"

struct vm {
	int fd;
	uint32_t vcpus;
	int vcpu_fd[VM_VCPUS_MAX];
	struct kvm_run *run[VM_VCPUS_MAX];
	uint32_t run_bytes;
	struct guest_mem mem;
	struct bus bus;
	struct kvm_cpuid2 *
		cpuid; /* as reported; room for what one vCPU changes. Freed once all have theirs */
};

/* Checks KVM, creates the VM with its interrupt controllers and vCPUs. kvm_fd is borrowed and not
 * needed any more afterwards. vm may be released after a failure. */
int vm_init(struct vm *vm, int kvm_fd, uint32_t vcpus, struct err *err);
/* Maps guest memory of `bytes` and shows it to the guest. */
int vm_add_memory(struct vm *vm, uint64_t bytes, struct err *err);
void vm_release(struct vm *vm);

/* A 4-byte write of `value` to gpa signals eventfd `efd` without leaving the kernel. */
int vm_ioeventfd(struct vm *vm, uint64_t gpa, uint32_t value, int efd, struct err *err);
/* A write to eventfd `efd` raises interrupt line gsi. */
int vm_irqfd(struct vm *vm, uint32_t gsi, int efd, struct err *err);

/* The boot processor's registers: 64-bit mode at rip with rsi, paging by cr3 (vmm/boot.h prepares
 * it). */
struct vm_entry {
	uint64_t rip, rsi, cr3, gdt;
	uint16_t gdt_bytes, code_sel, data_sel;
};
int vm_set_entry(struct vm *vm, const struct vm_entry *e, struct err *err);

#endif
