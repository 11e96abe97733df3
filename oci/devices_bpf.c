/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/devices_bpf.h"

#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>

#include "lib/base.h"
#include "lib/gspec.h"

#define ACC_ALL     (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)
#define PROLOG_INSN 6 /* load the context */
#define RULE_INSN   8 /* longest test for one rule */
#define EPILOG_INSN 2

static_assert(PROLOG_INSN + DEVICE_RULES_MAX * RULE_INSN + EPILOG_INSN <= GSPEC_BPF_MAX,
	"the longest program must fit");

/* runc's list: nothing a VM's own kernel would mind, and what programs expect to work. */
static const struct device_rule default_rules[] = {
	{true, 'c', DEVICE_ALL, DEVICE_ALL, BPF_DEVCG_ACC_MKNOD},
	{true, 'b', DEVICE_ALL, DEVICE_ALL, BPF_DEVCG_ACC_MKNOD},
	{true, 'c', 1, 3, ACC_ALL},            /* null */
	{true, 'c', 1, 5, ACC_ALL},            /* zero */
	{true, 'c', 1, 7, ACC_ALL},            /* full */
	{true, 'c', 1, 8, ACC_ALL},            /* random */
	{true, 'c', 1, 9, ACC_ALL},            /* urandom */
	{true, 'c', 5, 0, ACC_ALL},            /* tty */
	{true, 'c', 5, 1, ACC_ALL},            /* console */
	{true, 'c', 5, 2, ACC_ALL},            /* ptmx */
	{true, 'c', 136, DEVICE_ALL, ACC_ALL}, /* pts */
	{true, 'c', 10, 200, ACC_ALL},         /* net/tun */
};

void device_policy_init(struct device_policy *p)
{
	p->default_allow = false;
	p->n = 0;
}

static struct device_rule *find(struct device_policy *p, char type, int64_t major, int64_t minor)
{
	for (unsigned i = 0; i < p->n; i++) {
		struct device_rule *r = &p->rules[i];

		if (r->type == type && r->major == major && r->minor == minor)
			return r;
	}
	return NULL;
}

/* Another exception to the default. */
static int add_exception(struct device_policy *p, const struct device_rule *r, struct err *err)
{
	struct device_rule *old = find(p, r->type, r->major, r->minor);

	if (old) {
		old->access |= r->access;
		return 0;
	}
	if (!r->access)
		return 0;
	if (p->n == DEVICE_RULES_MAX)
		return err_plain(err, E2BIG, "more than %u device rules", DEVICE_RULES_MAX);
	p->rules[p->n++] = *r;
	return 0;
}

static void number(char *buf, size_t cap, int64_t v)
{
	if (v == DEVICE_ALL)
		snprintf(buf, cap, "*");
	else
		snprintf(buf, cap, "%lld", (long long)v);
}

/* Takes an exception back. Taking back part of a wider one is an error. */
static int remove_exception(struct device_policy *p, const struct device_rule *r, struct err *err)
{
	const int64_t wider[][2] = {
		{DEVICE_ALL, r->minor}, {r->major, DEVICE_ALL}, {DEVICE_ALL, DEVICE_ALL}};
	struct device_rule *old;
	char major[24], minor[24];

	for (size_t i = 0; i < ARRAY_SIZE(wider); i++) {
		if (wider[i][0] == r->major && wider[i][1] == r->minor)
			continue;
		old = find(p, r->type, wider[i][0], wider[i][1]);
		if (!old || !(old->access & r->access))
			continue;
		number(major, sizeof(major), r->major);
		number(minor, sizeof(minor), r->minor);
		return err_plain(err, EINVAL,
			"device rule '%s %c %s:%s' cuts a hole into a wider rule",
			r->allow ? "allow" : "deny", r->type, major, minor);
	}
	old = find(p, r->type, r->major, r->minor);
	if (!old)
		return 0;
	old->access &= ~r->access;
	if (!old->access)
		*old = p->rules[--p->n];
	return 0;
}

int device_policy_apply(struct device_policy *p, const struct device_rule *r, struct err *err)
{
	if (r->type == 'a') {
		p->default_allow = r->allow;
		p->n = 0;
		return 0;
	}
	if (r->allow == p->default_allow)
		return remove_exception(p, r, err);
	return add_exception(p, r, err);
}

int device_policy_add_defaults(struct device_policy *p, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(default_rules); i++) {
		int r = device_policy_apply(p, &default_rules[i], err);

		if (r)
			return r;
	}
	return 0;
}

struct program {
	uint64_t *insns;
	unsigned n, cap;
};

static void emit(
	struct program *pr, uint8_t code, uint8_t dst, uint8_t src, int16_t off, uint32_t imm)
{
	struct bpf_insn in = {
		.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = (int32_t)imm};

	static_assert(sizeof(in) == sizeof(uint64_t), "one instruction is one u64");
	BUG_ON(pr->n == pr->cap);
	memcpy(&pr->insns[pr->n++], &in, sizeof(in));
}

/* r2: device type, r3: access asked for, r4: major, r5: minor. 32-bit forms, so that numbers above
 * 2^31 compare as they are. */
static void emit_prolog(struct program *pr)
{
	emit(pr, BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(struct bpf_cgroup_dev_ctx, access_type),
		0);
	emit(pr, BPF_ALU | BPF_MOV | BPF_X, 3, 2, 0, 0);
	emit(pr, BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
	emit(pr, BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
	emit(pr, BPF_LDX | BPF_MEM | BPF_W, 4, 1, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	emit(pr, BPF_LDX | BPF_MEM | BPF_W, 5, 1, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
}

static void emit_return(struct program *pr, bool allow)
{
	emit(pr, BPF_ALU | BPF_MOV | BPF_K, 0, 0, 0, allow);
	emit(pr, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Everything asked for must be within one rule, as in cgroup v1. Tests jump behind the rule. */
static void emit_rule(struct program *pr, const struct device_rule *r, bool verdict)
{
	bool test_access = r->access != ACC_ALL;
	unsigned tests = 1 + (test_access ? 3 : 0) + (r->major >= 0) + (r->minor >= 0);
	unsigned end = pr->n + tests + 2;
	uint32_t type = r->type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK;
	const uint8_t jne = BPF_JMP32 | BPF_JNE;

#define TO_END ((int16_t)(end - pr->n - 1))
	emit(pr, jne | BPF_K, 2, 0, TO_END, type);
	if (test_access) {
		emit(pr, BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0);
		emit(pr, BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, r->access);
		emit(pr, jne | BPF_X, 1, 3, TO_END, 0);
	}
	if (r->major >= 0)
		emit(pr, jne | BPF_K, 4, 0, TO_END, (uint32_t)r->major);
	if (r->minor >= 0)
		emit(pr, jne | BPF_K, 5, 0, TO_END, (uint32_t)r->minor);
#undef TO_END
	emit_return(pr, verdict);
}

unsigned device_policy_compile(const struct device_policy *p, uint64_t *insns, unsigned cap)
{
	struct program pr = {.insns = insns, .cap = cap};

	if (p->default_allow && !p->n)
		return 0;
	emit_prolog(&pr);
	for (unsigned i = 0; i < p->n; i++)
		emit_rule(&pr, &p->rules[i], !p->default_allow);
	emit_return(&pr, p->default_allow);
	return pr.n;
}
