/* SPDX-License-Identifier: Apache-2.0 */
/* Never calls: the boot timeout, or a signal, must end it. */
	.text
	.globl _start
_start:
1:	pause
	jmp 1b
	.section .note.GNU-stack, "", @progbits
