/* SPDX-License-Identifier: Apache-2.0 */
/* What policyc generates and policy.c uses. */
#ifndef SECCOMP_POLICY_PROGRAM_H
#define SECCOMP_POLICY_PROGRAM_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#define POLICY_SYSCALLS_MAX 1024 /* numbers of calls are below */

struct policy_program {
	const char *kind;    /* "vsock": from vsock.policy */
	uint32_t audit_arch; /* AUDIT_ARCH_*: what it was compiled for */
	uint16_t len;        /* instructions */
	const struct sock_filter *code;
	const uint8_t
		*args; /* by number: the arguments that its rules have conditions on, as bits */
};

struct policy_syscall {
	const char *name;       /* NULL: the number is not used */
	uint8_t must_constrain; /* the arguments that a rule must have conditions on, as bits */
	bool never;             /* no policy may allow it */
	bool everywhere;        /* every architecture has it: else rules are marked */
};

extern const struct policy_program policy_programs[];
extern const unsigned policy_n_programs;
extern const struct policy_syscall policy_syscalls[]; /* by number */
extern const unsigned policy_n_syscalls;

#endif
