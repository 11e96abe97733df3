/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/seccomp_program.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"

/* How libseccomp numbers the parts of i386's two collective calls: -(base + part). */
#define PART_SOCKETCALL 100
#define PART_IPC        200
#define PART_LAST       299

bool seccomp_arch_runs_here(uint32_t token)
{
	uint32_t native = seccomp_arch_native();

	switch (token) {
	case SCMP_ARCH_X86:
	case SCMP_ARCH_X32: return native == SCMP_ARCH_X86_64 || native == token;
	case SCMP_ARCH_ARM: return native == SCMP_ARCH_AARCH64 || native == token;
	}
	return native == token;
}

void seccomp_program_init(struct seccomp_program *p, uint32_t default_action, bool stub)
{
	bool passes = default_action == SCMP_ACT_ALLOW || default_action == SCMP_ACT_LOG ||
		      (default_action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRACE;

	*p = (struct seccomp_program){.default_action = default_action, .stub = stub && !passes};
	p->archs[p->n_archs++].token = seccomp_arch_native();
}

void seccomp_program_add_arch(struct seccomp_program *p, uint32_t token)
{
	if (token == SCMP_ARCH_X32) {
		p->x32 = true;
		return;
	}
	for (unsigned i = 0; i < p->n_archs; i++)
		if (p->archs[i].token == token)
			return;
	BUG_ON(p->n_archs == SECCOMP_ARCHS_MAX);
	p->archs[p->n_archs++].token = token;
}

static bool same_conditions(const struct seccomp_rule *a, const struct seccomp_rule *b)
{
	if (a->nr != b->nr || a->n_args != b->n_args)
		return false;
	for (unsigned i = 0; i < a->n_args; i++)
		if (a->args[i].arg != b->args[i].arg || a->args[i].op != b->args[i].op ||
			a->args[i].datum_a != b->args[i].datum_a ||
			a->args[i].datum_b != b->args[i].datum_b)
			return false;
	return true;
}

static int add_rule(struct seccomp_arch *a, const struct seccomp_rule *rule)
{
	unsigned cap = a->cap ? 2 * a->cap : 512;

	for (unsigned i = 0; rule->n_args && i < a->n; i++)
		if (same_conditions(&a->rules[i], rule))
			return a->rules[i].action == rule->action ? 0 : -EEXIST;
	if (a->n == a->cap) {
		struct seccomp_rule *v = reallocarray(a->rules, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		a->rules = v;
		a->cap = cap;
	}
	a->rules[a->n] = *rule;
	a->rules[a->n].order = a->n;
	a->n++;
	return 0;
}

/* The way in through socketcall(2) or ipc(2): the part is the first argument, for ipc in its lower
 * half, whatever the rule says of that one. */
static int add_part(struct seccomp_arch *a, unsigned part, const struct seccomp_rule *rule)
{
	bool ipc = part > PART_IPC;
	int nr = seccomp_syscall_resolve_name_arch(a->token, ipc ? "ipc" : "socketcall");
	struct seccomp_rule way = {.nr = (uint32_t)nr, .action = rule->action, .n_args = 1};
	int r;

	way.args[0] = (struct scmp_arg_cmp){.op = SCMP_CMP_MASKED_EQ,
		.datum_a = ipc ? 0xffff : UINT32_MAX,
		.datum_b = part - (ipc ? PART_IPC : PART_SOCKETCALL)};
	for (unsigned i = 0; i < rule->n_args; i++)
		if (rule->args[i].arg)
			way.args[way.n_args++] = rule->args[i];
	if (nr < 0)
		return 0;
	r = add_rule(a, &way);
	/* Rules that differed in the first argument are one here: the first stands. */
	return r == -EEXIST ? 0 : r;
}

static int add_to_arch(
	struct seccomp_arch *a, const char *name, struct seccomp_rule *rule, bool is_default)
{
	int nr = seccomp_syscall_resolve_name_arch(a->token, name), r = 0;

	if (nr < -PART_SOCKETCALL && nr >= -PART_LAST) {
		r = is_default ? 0 : add_part(a, (unsigned)-nr, rule);
		nr = seccomp_i386_number(name);
	}
	if (r || nr < 0)
		return r;
	rule->nr = (uint32_t)nr;
	a->last = a->named ? MAX(a->last, rule->nr) : rule->nr;
	a->named = true;
	return is_default ? 0 : add_rule(a, rule);
}

static int add_everywhere(struct seccomp_program *p, const char *name, uint32_t action,
	const struct scmp_arg_cmp *args, unsigned n_args)
{
	struct seccomp_rule rule = {.action = action, .n_args = n_args};
	int r = 0;

	for (unsigned i = 0; i < n_args; i++)
		rule.args[i] = args[i];
	for (unsigned i = 0; !r && i < p->n_archs; i++)
		r = add_to_arch(&p->archs[i], name, &rule, action == p->default_action);
	return r;
}

static bool index_twice(const struct scmp_arg_cmp *args, unsigned n_args)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < n_args; i++) {
		if (seen & BIT(args[i].arg))
			return true;
		seen |= BIT(args[i].arg);
	}
	return false;
}

int seccomp_program_add(struct seccomp_program *p, const char *name, uint32_t action,
	const struct scmp_arg_cmp *args, unsigned n_args)
{
	int r = 0;

	if (seccomp_syscall_resolve_name(name) == __NR_SCMP_ERROR)
		return -ENOENT;
	if (!index_twice(args, n_args))
		return add_everywhere(p, name, action, args, n_args);
	for (unsigned i = 0; !r && i < n_args; i++)
		r = add_everywhere(p, name, action, &args[i], 1);
	return r;
}

void seccomp_program_release(struct seccomp_program *p)
{
	for (unsigned i = 0; i < p->n_archs; i++)
		free(p->archs[i].rules);
	*p = (struct seccomp_program){0};
}
