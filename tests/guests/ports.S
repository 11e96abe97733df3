/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port I/O: every read must give all ones, every write be ignored. Speaks through the early serial port (0x3f8)
 * like earlyprintk does, then dies: the VMM must report the text with the triple fault.
 */
#include "devices.inc"
	.text
	.globl _start
_start:
	leaq	bad(%rip), %rsi
	movw	$0x3fd, %dx
	inb	%dx, %al
	cmpb	$0xff, %al
	jne	say
	movw	$0x1234, %dx
	inl	%dx, %eax
	cmpl	$0xffffffff, %eax
	jne	say
	outl	%eax, %dx
	leaq	good(%rip), %rsi
say:
	say_and_die
good:	.asciz	"Kernel panic - not syncing: ports read all ones\n"
bad:	.asciz	"Kernel panic - not syncing: a port read something else\n"
	.section .note.GNU-stack, "", @progbits
