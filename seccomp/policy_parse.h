/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy files: the text from which the filters are made at build time (docs/seccomp.md has the
 * language). The parser is the linter (policy_lint.h has what it asks): what it accepts has a reason
 * on every line, no line that another makes pointless, and no ioctl, mmap, mprotect, prctl, clone and
 * the like without a condition on the arguments that matter.
 *
 *	# a comment
 *	@include common.policy
 *	read                                # eventfds: worker.c
 *	ioctl int1 == KVM_RUN               # vcpu.c: runs the guest
 *	mmap arg2 & PROT_EXEC == 0, int4 == -1  # ...
 *	unlinkat int2 & ~AT_REMOVEDIR == 0  # any bits but these are 0
 *	x86_64: epoll_wait                  # only where the architecture has the call
 */
#ifndef SECCOMP_POLICY_PARSE_H
#define SECCOMP_POLICY_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define POLICY_TEXT_MAX    (256u << 10) /* bytes of one file */
#define POLICY_LINE_MAX    256
#define POLICY_RULES_MAX   256
#define POLICY_CONDS_MAX   6 /* one per argument */
#define POLICY_NAME_MAX    32
#define POLICY_FILE_MAX    64
#define POLICY_INCLUDE_MAX 4 /* depth */

enum policy_op { POLICY_EQ, POLICY_NE, POLICY_LT, POLICY_LE, POLICY_GE, POLICY_GT, POLICY_MASKED };

struct policy_cond {
	uint8_t arg; /* 0..5 */
	uint8_t op;  /* enum policy_op; POLICY_MASKED: (argument & mask) == value */
	uint64_t mask;
	uint64_t value;
};

struct policy_rule {
	char name[POLICY_NAME_MAX];
	int nr;
	unsigned n_conds;
	struct policy_cond cond[POLICY_CONDS_MAX]; /* by argument */
	char file[POLICY_FILE_MAX];
	unsigned line;
};

struct policy {
	unsigned n;
	struct policy_rule rule[POLICY_RULES_MAX];
};

#define POLICY_ARCHES 2
extern const char *const policy_arches[POLICY_ARCHES]; /* as lines are marked with them */

struct policy_env {
	const char *arch; /* of policy_arches[]: the lines marked for others are skipped */
	/* The number of a call on one of policy_arches[]; negative: there is none. */
	int (*syscall_nr)(void *opaque, const char *arch, const char *name);
	/* The text of an included file (a name without '/'), which the parser frees. 0 or -errno.
	 */
	int (*include)(void *opaque, const char *name, char **ret_text, size_t *ret_len);
	void *opaque;
};

/* Adds the rules of one file to p. err says "<file>:<line>: ..." of the first thing that is wrong; an
 * included file is shown with the directory that `file` has. */
int policy_parse(struct policy *p, const struct policy_env *env, const char *file, const char *text,
	size_t len, struct err *err);

/* policy_lint.c: the arguments on which rules for this call must have a condition, as bits. */
unsigned policy_must_constrain(const char *syscall);
/* policy_lint.c: no rule may allow it. */
bool policy_is_never(const char *syscall);

/* policy_const.c: a constant of the kernel's headers by its name, as that architecture has it. */
bool policy_constant(const char *name, size_t len, const char *arch, uint64_t *ret_value);

#endif
