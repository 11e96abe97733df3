/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's capabilities that coracle-vmm cannot do without: `coracle check` and the VMM ask for the same. */
#ifndef LIB_KVM_CAPS_H
#define LIB_KVM_CAPS_H

#include <linux/kvm.h>

#define KVM_CAPS_NEEDED(X)               \
	X(KVM_CAP_USER_MEMORY)           \
	X(KVM_CAP_SET_TSS_ADDR)          \
	X(KVM_CAP_SET_IDENTITY_MAP_ADDR) \
	X(KVM_CAP_IRQCHIP)               \
	X(KVM_CAP_IOEVENTFD)             \
	X(KVM_CAP_IRQFD)                 \
	X(KVM_CAP_EXT_CPUID)             \
	X(KVM_CAP_MP_STATE)              \
	X(KVM_CAP_IMMEDIATE_EXIT)

#define KVM_CAP_ROW(cap) {cap, #cap},

#endif
