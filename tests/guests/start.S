/* SPDX-License-Identifier: Apache-2.0 */
/* Entered by the boot processor as Linux would be: 64-bit mode, no stack, rsi: the zero page. */
	.text
	.globl _start
_start:
	leaq	stack_end(%rip), %rsp
	xorl	%ebp, %ebp
	movq	%rsi, %rdi
	call	guest_start			/* does not return */
	ud2

/*
 * Where another processor begins once the boot processor sends it a start-up IPI: copied to AP_PAGE, which is the
 * IPI's vector times 4 KiB, in real mode. Straight to 64-bit mode on the boot processor's page tables and GDT.
 */
	.globl ap_begin, ap_end
	.code16
ap_begin:
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	ap_gdt - ap_begin
	movl	$0x20, %eax			/* CR4.PAE */
	movl	%eax, %cr4
	movl	$0x9000, %eax			/* the VMM's PML4 (vmm/layout.h) */
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx		/* EFER */
	xorl	%edx, %edx
	movl	$0x100, %eax			/* LME */
	wrmsr
	movl	$0x80000011, %eax		/* CR0: PG, ET, PE */
	movl	%eax, %cr0
	ljmpl	$0x10, $ap_long
ap_gdt:	.word	31
	.long	0x500				/* the VMM's GDT: code 0x10, data 0x18 */
ap_end:

	.code64
ap_long:
	movw	$0x18, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	leaq	ap_stack_end(%rip), %rsp
	xorl	%ebp, %ebp
	call	ap_main				/* does not return */
	ud2

/* The one interrupt there is: what wakes a processor from guest_wait_for(). It says so to its local APIC. */
	.globl wake_interrupt
wake_interrupt:
	pushq	%rax
	pushq	%rbx
	movl	$0xfee000b0, %ebx		/* EOI */
	xorl	%eax, %eax
	movl	%eax, (%rbx)
	popq	%rbx
	popq	%rax
	iretq

	.bss
	.balign	16
	.space	65536
stack_end:
	.space	65536
ap_stack_end:
	.section .note.GNU-stack, "", @progbits
