/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the first device with a queue of size 3, which no queue may have, and resets it, 300 times; says on
 * the early serial port whether it wanted to be reset each time; dies.
 */
#include "devices.inc"
	.text
	.globl _start
_start:
	map_devices
	leaq	bad(%rip), %rsi
	movl	$0xd0000000, %ebx
	movl	$300, %ebp
again:
	movl	$0, 0x70(%rbx)			/* Status: reset */
	movl	$1, 0x70(%rbx)			/* ACKNOWLEDGE */
	movl	$3, 0x70(%rbx)			/* DRIVER */
	movl	$1, 0x24(%rbx)			/* DriverFeaturesSel */
	movl	$1, 0x20(%rbx)			/* DriverFeatures: VERSION_1 */
	movl	$0xb, 0x70(%rbx)		/* FEATURES_OK */
	movl	$0, 0x30(%rbx)			/* QueueSel */
	movl	$3, 0x38(%rbx)			/* QueueNum */
	movl	$1, 0x44(%rbx)			/* QueueReady */
	movl	$0xf, 0x70(%rbx)		/* DRIVER_OK */
	movl	0x70(%rbx), %eax
	testl	$0x40, %eax			/* DEVICE_NEEDS_RESET */
	jz	say
	decl	%ebp
	jnz	again
	leaq	good(%rip), %rsi
say:
	say_and_die
good:	.asciz	"Kernel panic - not syncing: the device failed each time\n"
bad:	.asciz	"Kernel panic - not syncing: the device did not fail\n"
	.section .note.GNU-stack, "", @progbits
