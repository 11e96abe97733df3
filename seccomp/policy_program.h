/* SPDX-License-Identifier: Apache-2.0 */
/* What policyc generates and policy.c uses. */
#ifndef SECCOMP_POLICY_PROGRAM_H
#define SECCOMP_POLICY_PROGRAM_H

#include <linux/filter.h>
#include <stdint.h>

struct policy_program {
	const char *kind;    /* "vsock": from vsock.policy */
	uint32_t audit_arch; /* AUDIT_ARCH_*: what it was compiled for */
	uint16_t len;        /* instructions */
	const struct sock_filter *code;
};

struct policy_syscall {
	const char *name;      /* NULL: the number is not used */
	int8_t must_constrain; /* the argument a rule must have a condition on; -1: none */
};

extern const struct policy_program policy_programs[];
extern const unsigned policy_n_programs;
extern const struct policy_syscall policy_syscalls[]; /* by number */
extern const unsigned policy_n_syscalls;

#endif
