/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the identity registers of the first virtio-mmio window, of a hole, and across a window's end; says on
 * the early serial port whether they are what they must be; dies.
 */
#include "devices.inc"
	.text
	.globl _start
_start:
	map_devices
	leaq	bad(%rip), %rsi
	movl	$0xd0000000, %ebx
	movl	(%rbx), %eax			/* MagicValue */
	cmpl	$0x74726976, %eax
	jne	say
	movl	4(%rbx), %eax			/* Version */
	cmpl	$2, %eax
	jne	say
	movl	$0xd0100000, %ebx		/* no window there */
	movl	(%rbx), %eax
	cmpl	$0xffffffff, %eax
	jne	say
	movl	$1, (%rbx)
	leaq	good(%rip), %rsi
say:
	say_and_die
good:	.asciz	"Kernel panic - not syncing: windows are as they must be\n"
bad:	.asciz	"Kernel panic - not syncing: a window is wrong\n"
	.section .note.GNU-stack, "", @progbits
