/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest's processors say they are: everything KVM supports, as it reports it, except for
 * what must differ per vCPU (APIC ids, topology) and the timer KVM offers but does not list.
 */
#ifndef VMM_CPUID_H
#define VMM_CPUID_H

#include <linux/kvm.h>
#include <stdint.h>

#include "lib/err.h"

#define CPUID_ENTRIES_MAX 256
#define CPUID_ENTRIES_NEW 8 /* room for leaves cpuid_adjust() adds */

/* Asks KVM what it supports. The caller frees *ret_cpuid. */
int cpuid_read(int kvm_fd, struct kvm_cpuid2 **ret_cpuid, struct err *err);
/* Adapts `c` to vCPU `cpu` of `vcpus`. May be applied to the same copy again for the next vCPU. */
void cpuid_adjust(struct kvm_cpuid2 *c, uint32_t cpu, uint32_t vcpus);
/* cpuid_adjust(), then KVM_SET_CPUID2 and the model-specific registers a firmware would set. */
int cpuid_install(int vcpu_fd, struct kvm_cpuid2 *c, uint32_t cpu, uint32_t vcpus, struct err *err);

#endif
