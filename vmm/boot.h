/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts into guest memory all the guest needs to start: kernel, initial cpio, command line, memory
 * map, MP table; and sets the boot processor's registers. The kernel is entered by the 64-bit boot
 * protocol (Documentation/arch/x86/boot.rst): its first instruction is the one that PVH would reach
 * only after a detour of some 4000 instructions (kernel/bootcost counts pvh_start_xen and
 * xen_prepare_pvh), so this is the cheaper of the two.
 */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include <stddef.h>

#include "lib/err.h"
#include "lib/vm_config.h"
#include "vmm/vm.h"

/* The kernel's command line for n_devices virtio-mmio windows, `extra` at the end (the last word
 * wins in Linux). 0 or -E2BIG. */
int boot_cmdline(char *buf, size_t cap, uint32_t flags, unsigned n_devices, const char *extra,
	struct err *err);

/* Reads the kernel, init and spec from cfg's descriptors. vm has its memory. 0 or -errno. */
int boot_load(struct vm *vm, const struct vm_config *cfg, unsigned n_devices, struct err *err);

#endif
