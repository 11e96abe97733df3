/* SPDX-License-Identifier: Apache-2.0 */
/* Dies at once: the interrupt table is empty, so the first exception is a triple fault. */
	.text
	.globl _start
_start:
	ud2
	.section .note.GNU-stack, "", @progbits
