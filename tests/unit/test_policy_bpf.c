/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs that policyc made for one architecture (POLICY_AARCH64: arm64's, on whatever machine),
 * run by a small interpreter against what the policies say. Whether libseccomp and we mean the same is
 * looked at for every rule and every single bit of its arguments.
 *
 *	test_policy_bpf DIR	(of the policy files)
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The numbers as the kernel's headers have them: arm64 has the generic ones, and renameat. */
#ifdef POLICY_AARCH64
#define __ARCH_WANT_RENAMEAT
#include <asm-generic/unistd.h>
#define ARCH         "aarch64"
#define PROGRAM_ARCH AUDIT_ARCH_AARCH64
#else
#include <asm/unistd_64.h>
#define ARCH         "x86_64"
#define PROGRAM_ARCH AUDIT_ARCH_X86_64
#endif

#include "lib/base.h"
#include "lib/cleanup.h"
#include "seccomp/policy_program.h"
#include "tests/policy_text.h"
#include "tests/tap.h"

#define X32_BIT 0x40000000

/* Every call that a policy allows; number_checked() says when one is missing. */
#define N(name)                    \
	{                          \
#name, __NR_##name \
	}
static const struct {
	const char *name;
	int nr;
} numbers[] = {
#ifndef POLICY_AARCH64
	N(epoll_wait),
#endif
	N(accept4),
	N(capset),
	N(clock_gettime),
	N(close),
	N(copy_file_range),
	N(epoll_ctl),
	N(epoll_pwait),
	N(exit),
	N(exit_group),
	N(fallocate),
	N(fchmodat),
	N(fchownat),
	N(fcntl),
	N(fdatasync),
	N(fstatfs),
	N(fsync),
	N(ftruncate),
	N(futex),
	N(getdents64),
	N(geteuid),
	N(getpid),
	N(getrandom),
	N(getsockopt),
	N(getxattr),
	N(ioctl),
	N(linkat),
	N(listxattr),
	N(lseek),
	N(madvise),
	N(mkdirat),
	N(mknodat),
	N(munmap),
	N(name_to_handle_at),
	N(open_by_handle_at),
	N(openat),
	N(openat2),
	N(pidfd_send_signal),
	N(ppoll),
	N(prctl),
	N(pread64),
	N(preadv),
	N(preadv2),
	N(pwritev2),
	N(read),
	N(readlinkat),
	N(readv),
	N(recvfrom),
	N(recvmsg),
	N(removexattr),
	N(renameat),
	N(renameat2),
	N(restart_syscall),
	N(rt_sigprocmask),
	N(rt_sigreturn),
	N(sendmsg),
	N(sendto),
	N(setxattr),
	N(statx),
	N(symlinkat),
	N(syncfs),
	N(tgkill),
	N(truncate),
	N(umask),
	N(unlinkat),
	N(utimensat),
	N(waitid),
	N(write),
	N(writev),
};

/* Of classic BPF what libseccomp makes: loads, a mask, jumps. The step that does not end, or leads
 * nowhere, is -1, which no filter returns. */
static uint32_t run(const struct policy_program *p, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < p->len; pc++) {
		const struct sock_filter *i = &p->code[pc];
		bool jump;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (i->k % 4 || i->k >= sizeof(*data))
				return UINT32_MAX;
			memcpy(&a, (const char *)data + i->k, 4);
			continue;
		case BPF_ALU | BPF_AND | BPF_K: a &= i->k; continue;
		case BPF_JMP | BPF_JA: pc += i->k; continue;
		case BPF_JMP | BPF_JEQ | BPF_K: jump = a == i->k; break;
		case BPF_JMP | BPF_JGT | BPF_K: jump = a > i->k; break;
		case BPF_JMP | BPF_JGE | BPF_K: jump = a >= i->k; break;
		case BPF_JMP | BPF_JSET | BPF_K: jump = a & i->k; break;
		case BPF_RET | BPF_K: return i->k;
		default: return UINT32_MAX;
		}
		pc += jump ? i->jt : i->jf;
	}
	return UINT32_MAX;
}

static bool holds(const struct policy_cond *c, uint64_t v)
{
	switch ((enum policy_op)c->op) {
	case POLICY_EQ: return v == c->value;
	case POLICY_NE: return v != c->value;
	case POLICY_LT: return v < c->value;
	case POLICY_LE: return v <= c->value;
	case POLICY_GE: return v >= c->value;
	case POLICY_GT: return v > c->value;
	case POLICY_MASKED: return (v & c->mask) == c->value;
	}
	return false;
}

/* What the text says. */
static bool allows(const struct policy *p, const struct seccomp_data *data)
{
	for (unsigned i = 0; i < p->n; i++) {
		const struct policy_rule *rule = &p->rule[i];
		bool all = rule->nr == data->nr;

		for (unsigned j = 0; j < rule->n_conds && all; j++)
			all = holds(&rule->cond[j], data->args[rule->cond[j].arg]);
		if (all)
			return true;
	}
	return false;
}

static bool agree(
	const struct policy_program *prog, const struct policy *p, const struct seccomp_data *data)
{
	uint32_t want = allows(p, data) ? SECCOMP_RET_ALLOW : SECCOMP_RET_TRAP;
	uint32_t got = run(prog, data);

	if (got != want)
		printf("# %s, call %d (%llx %llx %llx %llx %llx %llx): %x, not %x\n", prog->kind,
			data->nr, data->args[0], data->args[1], data->args[2], data->args[3],
			data->args[4], data->args[5], got, want);
	return got == want;
}

/* The call as the rule has it, the rest of its arguments all one or all zero; then with each bit of each
 * argument turned. */
static unsigned around(const struct policy_program *prog, const struct policy *p,
	const struct policy_rule *rule, bool ones)
{
	struct seccomp_data data = {.arch = PROGRAM_ARCH, .nr = rule->nr}, other;
	unsigned wrong = 0;

	memset(data.args, ones ? 0xff : 0, sizeof(data.args));
	for (unsigned j = 0; j < rule->n_conds; j++) {
		const struct policy_cond *c = &rule->cond[j];
		uint64_t free_bits = c->op == POLICY_MASKED && ones ? ~c->mask : 0;

		data.args[c->arg] = c->value | free_bits;
	}
	wrong += !agree(prog, p, &data);
	for (unsigned arg = 0; arg < 6; arg++) {
		for (unsigned bit = 0; bit < 64; bit++) {
			other = data;
			other.args[arg] ^= 1ull << bit;
			wrong += !agree(prog, p, &other);
		}
	}
	return wrong;
}

static void semantics(const struct policy_program *prog, const struct policy *p)
{
	struct seccomp_data data = {.arch = PROGRAM_ARCH};
	unsigned wrong = 0;

	for (unsigned i = 0; i < p->n; i++) {
		wrong += around(prog, p, &p->rule[i], false);
		wrong += around(prog, p, &p->rule[i], true);
	}
	ok(wrong == 0, "%s: each rule allows what it says, and not a bit more", prog->kind);
	wrong = 0;
	for (data.nr = 0; data.nr < POLICY_SYSCALLS_MAX; data.nr++) {
		memset(data.args, 0, sizeof(data.args));
		wrong += !agree(prog, p, &data);
		memset(data.args, 0xff, sizeof(data.args));
		wrong += !agree(prog, p, &data);
	}
	ok(wrong == 0, "%s: no call without a rule", prog->kind);
}

static void other_numbering(const struct policy_program *prog)
{
	static const uint32_t arches[] = {
		AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64, AUDIT_ARCH_I386, AUDIT_ARCH_ARM, 0};
	struct seccomp_data data = {.nr = 0};
	unsigned wrong = 0;

	ok(prog->audit_arch == PROGRAM_ARCH, "%s: is for " ARCH, prog->kind);
	for (size_t i = 0; i < ARRAY_SIZE(arches); i++) {
		data.arch = arches[i];
		for (data.nr = 0; data.nr < POLICY_SYSCALLS_MAX && data.arch != PROGRAM_ARCH;
			data.nr++)
			wrong += run(prog, &data) != SECCOMP_RET_KILL_PROCESS;
	}
	ok(wrong == 0, "%s: calls in another numbering kill", prog->kind);
#ifndef POLICY_AARCH64
	data.arch = PROGRAM_ARCH;
	for (data.nr = X32_BIT; data.nr < X32_BIT + POLICY_SYSCALLS_MAX; data.nr++)
		wrong += run(prog, &data) != SECCOMP_RET_KILL_PROCESS;
	ok(wrong == 0, "%s: and those of x32", prog->kind);
#endif
}

static bool number_checked(int nr)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (numbers[i].nr == nr)
			return true;
	}
	return false;
}

static void known_numbers(const struct policy *p, const char *kind)
{
	unsigned missing = 0;

	for (unsigned i = 0; i < p->n; i++) {
		if (number_checked(p->rule[i].nr))
			continue;
		printf("# %s is not in numbers[] of this test\n", p->rule[i].name);
		missing++;
	}
	ok(missing == 0, "%s: the numbers of its calls are known here", kind);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		ok(policy_text_number(numbers[i].name) == numbers[i].nr, "the number of %s",
			numbers[i].name);
	for (unsigned i = 0; i < policy_n_programs; i++) {
		const struct policy_program *prog = &policy_programs[i];
		autofree struct policy *p = calloc(1, sizeof(*p));
		struct err err = ERR_INIT;

		if (!p || policy_text_parse(argv[1], prog->kind, NULL, p, &err) < 0) {
			printf("Bail out! %s\n", err.msg);
			return 1;
		}
		other_numbering(prog);
		known_numbers(p, prog->kind);
		semantics(prog, p);
	}
	ok(policy_n_programs >= 7, "there are programs");
	return tap_done();
}
