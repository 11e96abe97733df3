/* SPDX-License-Identifier: Apache-2.0 */
#include "seccomp/policy_lint.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base.h"

/* What a rule for a call must say of an argument. */
enum lint {
	LINT_ANY,     /* something */
	LINT_EQ,      /* one value: it says what the call does */
	LINT_NO_EXEC, /* not PROT_EXEC */
	LINT_THREAD,  /* CLONE_THREAD: no new process */
};

static const struct {
	const char *name;
	uint8_t arg;
	uint8_t lint; /* enum lint */
} must[] = {
	{"ioctl", 1, LINT_EQ},
	{"mmap", 2, LINT_NO_EXEC},
	{"mprotect", 2, LINT_NO_EXEC},
	{"pkey_mprotect", 2, LINT_NO_EXEC},
	{"prctl", 0, LINT_EQ},
	{"clone", 0, LINT_THREAD},
	{"fcntl", 1, LINT_EQ},
	{"madvise", 2, LINT_EQ},
	{"futex", 1, LINT_EQ},
	{"socket", 0, LINT_EQ},
	{"socket", 1, LINT_EQ},
	{"socketpair", 0, LINT_EQ},
	{"socketpair", 1, LINT_EQ},
	{"getsockopt", 1, LINT_EQ},
	{"getsockopt", 2, LINT_EQ},
	{"setsockopt", 1, LINT_EQ},
	{"setsockopt", 2, LINT_EQ},
	/* which signal */
	{"kill", 1, LINT_EQ},
	{"tkill", 1, LINT_EQ},
	{"tgkill", 2, LINT_EQ},
	{"rt_sigqueueinfo", 1, LINT_EQ},
	{"rt_tgsigqueueinfo", 2, LINT_EQ},
	{"pidfd_send_signal", 1, LINT_EQ},
	/* whose limit is in another argument: which one */
	{"prlimit64", 1, LINT_EQ},
	/* flags and modes; openat2()'s are in memory */
	{"openat", 2, LINT_ANY},
	{"open_by_handle_at", 2, LINT_ANY},
	{"mknodat", 2, LINT_ANY},
	{"memfd_create", 1, LINT_ANY},
	{"fallocate", 1, LINT_ANY},
	{"accept4", 3, LINT_ANY},
	{"preadv2", 5, LINT_ANY},
	{"pwritev2", 5, LINT_ANY},
	{"renameat2", 4, LINT_ANY},
	{"unlinkat", 2, LINT_ANY},
	{"linkat", 4, LINT_ANY},
	{"lseek", 2, LINT_EQ},
	{"recvmsg", 2, LINT_ANY},
	{"sendmsg", 2, LINT_ANY},
	{"recvfrom", 3, LINT_ANY},
	{"sendto", 3, LINT_ANY},
	/* an address: who else could be sent to */
	{"sendto", 4, LINT_ANY},
};

/* In no policy, whatever the reason: new programs, new privileges, other processes, and the doors
 * around the filter itself (io_uring performs its operations without it). */
static const char *const never[] = {"execve", "execveat", "fork", "vfork", "clone3", "ptrace",
	"process_vm_readv", "process_vm_writev", "pidfd_getfd", "bpf", "seccomp", "io_uring_setup",
	"io_uring_enter", "io_uring_register", "perf_event_open", "userfaultfd", "init_module",
	"finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "mount",
	"umount2", "move_mount", "open_tree", "fsopen", "fsmount", "mount_setattr", "pivot_root",
	"chroot", "unshare", "setns", "personality", "keyctl", "add_key", "request_key", "setuid",
	"setgid", "setresuid", "setresgid", "setgroups", "modify_ldt", "iopl", "ioperm"};

unsigned policy_must_constrain(const char *syscall)
{
	unsigned args = 0;

	for (size_t i = 0; i < ARRAY_SIZE(must); i++) {
		if (!strcmp(must[i].name, syscall))
			args |= 1u << must[i].arg;
	}
	return args;
}

bool policy_is_never(const char *syscall)
{
	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		if (!strcmp(never[i], syscall))
			return true;
	}
	return false;
}

/* Conditions as sets of values. */

/* Bits that the condition fixes, and to what. */
static bool fixes_bits(const struct policy_cond *c, uint64_t *ret_mask)
{
	*ret_mask = c->op == POLICY_MASKED ? c->mask : UINT64_MAX;
	return c->op == POLICY_MASKED || c->op == POLICY_EQ;
}

/* The smallest and the largest value that fulfil it; false when none does. */
static bool bounds(const struct policy_cond *c, uint64_t *ret_lo, uint64_t *ret_hi)
{
	*ret_lo = 0;
	*ret_hi = UINT64_MAX;
	switch ((enum policy_op)c->op) {
	case POLICY_EQ: *ret_lo = *ret_hi = c->value; break;
	case POLICY_MASKED:
		*ret_lo = c->value;
		*ret_hi = c->value | ~c->mask;
		break;
	case POLICY_LT: *ret_hi = c->value - 1; return c->value > 0;
	case POLICY_LE: *ret_hi = c->value; break;
	case POLICY_GT: *ret_lo = c->value + 1; return c->value < UINT64_MAX;
	case POLICY_GE: *ret_lo = c->value; break;
	case POLICY_NE: break;
	}
	return true;
}

static bool excludes(const struct policy_cond *c, uint64_t value)
{
	uint64_t mask, lo, hi;

	if (c->op == POLICY_NE)
		return c->value == value;
	if (fixes_bits(c, &mask))
		return (value & mask) != c->value;
	return !bounds(c, &lo, &hi) || value < lo || value > hi;
}

/* True when every value that fulfils `narrow` fulfils `wide`. Some mixes of masks and bounds are not
 * looked into: then false. */
static bool implies(const struct policy_cond *narrow, const struct policy_cond *wide)
{
	uint64_t mask, wide_mask, lo, hi, wide_lo, wide_hi;

	if (wide->op == POLICY_NE)
		return excludes(narrow, wide->value);
	if (narrow->op == POLICY_NE)
		return false;
	if (fixes_bits(wide, &wide_mask))
		return fixes_bits(narrow, &mask) && !(wide_mask & ~mask) &&
		       (narrow->value & wide_mask) == wide->value;
	if (!bounds(narrow, &lo, &hi) || !bounds(wide, &wide_lo, &wide_hi))
		return false;
	return lo >= wide_lo && hi <= wide_hi;
}

const char *policy_lint_cond(const struct policy_cond *c)
{
	uint64_t lo, hi;

	if (c->op == POLICY_MASKED && !c->mask)
		return "the mask is empty: the condition says nothing";
	if (c->op == POLICY_MASKED && c->value & ~c->mask)
		return "the value has bits outside the mask: it is never equal";
	if (!bounds(c, &lo, &hi))
		return "the condition is never true";
	if (lo == 0 && hi == UINT64_MAX && c->op != POLICY_NE && c->op != POLICY_MASKED)
		return "the condition is always true";
	return NULL;
}

static const struct policy_cond *cond_on(const struct policy_rule *rule, unsigned arg)
{
	for (unsigned i = 0; i < rule->n_conds; i++) {
		if (rule->cond[i].arg == arg)
			return &rule->cond[i];
	}
	return NULL;
}

/* Whatever `rule` allows, `wide` allows. */
static bool covers(const struct policy_rule *wide, const struct policy_rule *rule)
{
	for (unsigned i = 0; i < wide->n_conds; i++) {
		const struct policy_cond *c = cond_on(rule, wide->cond[i].arg);

		if (!c || !implies(c, &wide->cond[i]))
			return false;
	}
	return true;
}

static bool excludes_exec(const struct policy_cond *c)
{
	uint64_t mask;

	return fixes_bits(c, &mask) && mask & PROT_EXEC && !(c->value & PROT_EXEC);
}

static bool says_enough(
	const struct policy_rule *rule, unsigned arg, enum lint lint, char *msg, size_t msg_size)
{
	const struct policy_cond *c = cond_on(rule, arg);
	uint64_t mask;

	if (!c) {
		snprintf(msg, msg_size, "%s needs a condition on argument %u", rule->name, arg);
		return false;
	}
	if (lint == LINT_NO_EXEC && !excludes_exec(c)) {
		snprintf(msg, msg_size, "%s must exclude PROT_EXEC (arg2 & PROT_EXEC == 0)",
			rule->name);
		return false;
	}
	if (lint == LINT_THREAD && !(fixes_bits(c, &mask) && c->value & CLONE_THREAD)) {
		snprintf(msg, msg_size,
			"%s must make threads only (arg0 & CLONE_THREAD == CLONE_THREAD)",
			rule->name);
		return false;
	}
	if (lint == LINT_EQ && (!fixes_bits(c, &mask) || mask < UINT32_MAX)) {
		snprintf(msg, msg_size, "%s needs argument %u to be one value (int%u == ...)",
			rule->name, arg, arg);
		return false;
	}
	return true;
}

static bool is_new(
	const struct policy *p, const struct policy_rule *rule, char *msg, size_t msg_size)
{
	for (unsigned i = 0; i < p->n; i++) {
		const struct policy_rule *o = &p->rule[i];
		bool wider = covers(o, rule), narrower = covers(rule, o);

		if (o->nr != rule->nr || (!wider && !narrower))
			continue;
		snprintf(msg, msg_size,
			wider && narrower ? "%s: the same rule stands at %s:%u"
			: wider           ? "%s: the rule at %s:%u allows all of this already"
					  : "%s: this makes the narrower rule at %s:%u pointless",
			rule->name, o->file, o->line);
		return false;
	}
	return true;
}

bool policy_lint_rule(
	const struct policy *p, const struct policy_rule *rule, char *msg, size_t msg_size)
{
	if (policy_is_never(rule->name)) {
		snprintf(msg, msg_size, "%s is never allowed", rule->name);
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(must); i++) {
		if (!strcmp(must[i].name, rule->name) &&
			!says_enough(rule, must[i].arg, (enum lint)must[i].lint, msg, msg_size))
			return false;
	}
	return is_new(p, rule, msg, msg_size);
}
