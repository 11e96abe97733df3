/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's physical address space and interrupt lines.
 *
 *	from		to		what
 *	0x00000500	0x00000530	GDT of the boot processor
 *	0x00007000	0x00008000	zero page (struct boot_params)
 *	0x00009000	0x0000c000	page tables of the boot processor: PML4, PDPT, 512 large pages (1 GiB)
 *	0x00020000	0x00020800	kernel command line
 *	0x0009fc00	0x000a0000	MP table (reserved in e820; Linux looks for it in this kilobyte)
 *	0x00100000	LOW END		RAM: the kernel at 16 MiB (from its ELF header), the cpio at the end
 *	0xc0000000	0xffffffff	hole for devices:
 *	0xd0000000	+ n * 4 KiB	  virtio-mmio window of device n, GSI 5 + n
 *	0xfec00000	  + 4 KiB	  IOAPIC (KVM)
 *	0xfee00000	  + 4 KiB	  local APIC (KVM)
 *	0xfffbc000	  + 4 KiB	  KVM's identity map (old VMX without unrestricted guests)
 *	0xfffbd000	  + 12 KiB	  KVM's task state segment
 *	0x100000000	HIGH END	the rest of RAM
 */
#ifndef VMM_LAYOUT_H
#define VMM_LAYOUT_H

#define LAYOUT_GDT         0x500ull
#define LAYOUT_ZERO_PAGE   0x7000ull
#define LAYOUT_PAGE_TABLES 0x9000ull
#define LAYOUT_CMDLINE     0x20000ull
#define LAYOUT_CMDLINE_MAX 2048u /* with the NUL; COMMAND_LINE_SIZE of x86 */
#define LAYOUT_MPTABLE     0x9fc00ull
#define LAYOUT_MPTABLE_MAX 0x400u
#define LAYOUT_LOW_END     0xa0000ull  /* conventional memory, MP table included */
#define LAYOUT_HIMEM       0x100000ull /* RAM from here on; the kernel may not load below */

#define LAYOUT_VIRTIO_BASE 0xd0000000ull
#define LAYOUT_IOAPIC      0xfec00000u
#define LAYOUT_LAPIC       0xfee00000u
#define LAYOUT_IDENTITY    0xfffbc000ull
#define LAYOUT_TSS         0xfffbd000ull

#define LAYOUT_GSI_BASE    5 /* 0-4 are lines legacy drivers probe */
#define LAYOUT_GSI_END     16
#define LAYOUT_DEVICES_MAX (LAYOUT_GSI_END - LAYOUT_GSI_BASE)

#endif
