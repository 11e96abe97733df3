/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>

#include "lib/base.h"
#include "oci/seccomp_program.h"

#define SYSCALLS_MAX     4096 /* entries of linux.seccomp.syscalls */
#define RULES_MAX        8192 /* names of all entries; a program has no room for more */
#define SYSCALL_NAME_MAX 128  /* bytes of a system call's name; Linux's longest have 24 */
#define ARGS_MAX         64   /* conditions of one entry */
#define CONDITIONS_MAX   4096 /* of all names; likewise */
#define ARG_INDEXES      6
#define ERRNO_MAX        4094  /* libseccomp's limit; Linux has none above */
#define TRACE_MAX        65535 /* SECCOMP_RET_DATA */

/* clang-format off */
const struct seccomp_name seccomp_actions[] = {
	{"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD, false},
	{"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS, false},
	{"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD, false},
	{"SCMP_ACT_TRAP", SCMP_ACT_TRAP, false},
	{"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0), false},
	{"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0), false},
	{"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW, false},
	{"SCMP_ACT_LOG", SCMP_ACT_LOG, false},
	{"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY, true},
};
const size_t seccomp_actions_n = ARRAY_SIZE(seccomp_actions);

const struct seccomp_name seccomp_operators[] = {
	{"SCMP_CMP_NE", SCMP_CMP_NE, false},
	{"SCMP_CMP_LT", SCMP_CMP_LT, false},
	{"SCMP_CMP_LE", SCMP_CMP_LE, false},
	{"SCMP_CMP_EQ", SCMP_CMP_EQ, false},
	{"SCMP_CMP_GE", SCMP_CMP_GE, false},
	{"SCMP_CMP_GT", SCMP_CMP_GT, false},
	{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ, false},
};
const size_t seccomp_operators_n = ARRAY_SIZE(seccomp_operators);

#ifndef AUDIT_ARCH_LOONGARCH64
#define AUDIT_ARCH_LOONGARCH64 (258 | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE) /* Linux 5.19 */
#endif

const struct seccomp_name seccomp_archs[] = {
	{"SCMP_ARCH_X86", SCMP_ARCH_X86, false},
	{"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, false},
	{"SCMP_ARCH_X32", SCMP_ARCH_X32, false},
	{"SCMP_ARCH_ARM", SCMP_ARCH_ARM, false},
	{"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64, false},
	{"SCMP_ARCH_LOONGARCH64", AUDIT_ARCH_LOONGARCH64, false},
	{"SCMP_ARCH_M68K", AUDIT_ARCH_M68K, false},
	{"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS, false},
	{"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64, false},
	{"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32, false},
	{"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL, false},
	{"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64, false},
	{"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32, false},
	{"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC, false},
	{"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64, false},
	{"SCMP_ARCH_PPC", SCMP_ARCH_PPC, false},
	{"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64, false},
	{"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE, false},
	{"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64, false},
	{"SCMP_ARCH_S390", SCMP_ARCH_S390, false},
	{"SCMP_ARCH_S390X", SCMP_ARCH_S390X, false},
	{"SCMP_ARCH_SH", AUDIT_ARCH_SH, false},
	{"SCMP_ARCH_SHEB", AUDIT_ARCH_SH, false},
};
const size_t seccomp_archs_n = ARRAY_SIZE(seccomp_archs);

/* The kernel takes WAIT_KILLABLE_RECV with a notify descriptor only. */
const struct seccomp_name seccomp_flags[] = {
	{"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC, false},
	{"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG, false},
	{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW, false},
	{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 0, true},
};
const size_t seccomp_flags_n = ARRAY_SIZE(seccomp_flags);
/* clang-format on */

#define FIND(table, name) find(table, ARRAY_SIZE(table), name)

static const struct seccomp_name *find(const struct seccomp_name *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].name, name))
			return &v[i];
	return NULL;
}

/* The action n[key] with its errno n[errno_key]; *ret_found false: there is none. */
static int parse_action(struct spec_ctx *c, const struct jnode *n, const char *key,
	const char *errno_key, uint32_t *ret_action, bool *ret_found)
{
	const char *name = NULL;
	const struct seccomp_name *a;
	struct jnode node, number;
	uint64_t errnum = EPERM;
	int r;

	if ((r = jopt_str(n, key, 64, &name, c->err)) ||
		(r = jopt_u64(n, errno_key, 0, UINT32_MAX, &errnum, c->err)))
		return r;
	*ret_found = name && *name;
	if (!*ret_found || !jnode_member(n, key, &node))
		return 0;
	a = FIND(seccomp_actions, name);
	if (!a)
		return jnode_err(&node, c->err, "unknown action '%s'", name);
	if (a->refused) {
		/* What the kernel does with it while nobody listens. */
		*ret_action = SCMP_ACT_ERRNO(ENOSYS);
		return spec_refuse(c, &node, "%s is not supported yet", name);
	}
	*ret_action = a->value;
	if (a->value != SCMP_ACT_ERRNO(0) && a->value != SCMP_ACT_TRACE(0)) {
		if (jnode_member(n, errno_key, &number))
			return jnode_err(&number, c->err, "%s has no errno", name);
		return 0;
	}
	if (errnum > (a->value == SCMP_ACT_ERRNO(0) ? ERRNO_MAX : TRACE_MAX) &&
		jnode_member(n, errno_key, &number))
		return jnode_err(&number, c->err, "too large for %s", name);
	*ret_action |= (uint32_t)errnum;
	return 0;
}

static int parse_flags(struct spec_ctx *c, const struct jnode *n, uint32_t *ret_flags)
{
	struct jnode array = {.doc = n->doc, .up = n, .key = "flags"}, node;
	struct gstrv v = {0};
	int r = spec_strings(c, n, "flags", 64, 64, &v);

	if (r)
		return r;
	/* runc's default, which an empty list takes away. */
	*ret_flags = jnode_member(n, "flags", &node) ? 0 : SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	for (uint32_t i = 0; i < v.n; i++) {
		struct jnode item = {.doc = n->doc, .up = &array, .index = i};
		const struct seccomp_name *f = FIND(seccomp_flags, v.v[i]);

		if (!f)
			return jnode_err(&item, c->err, "unknown flag '%s'", v.v[i]);
		if (f->refused && (r = spec_refuse(c, &item, "%s is not supported yet", v.v[i])))
			return r;
		*ret_flags |= f->value;
	}
	return 0;
}

static int parse_archs(struct spec_ctx *c, const struct jnode *n, struct seccomp_program *p)
{
	struct jnode array = {.doc = n->doc, .up = n, .key = "architectures"};
	struct gstrv v = {0};
	int r = spec_strings(c, n, "architectures", 64, 64, &v);

	for (uint32_t i = 0; !r && i < v.n; i++) {
		struct jnode item = {.doc = n->doc, .up = &array, .index = i};
		const struct seccomp_name *a = FIND(seccomp_archs, v.v[i]);

		if (!a)
			return jnode_err(&item, c->err, "unknown architecture '%s'", v.v[i]);
		/* Another machine's: no program of the guest's can be of it. */
		if (!seccomp_arch_runs_here(a->value))
			continue;
		seccomp_program_add_arch(p, a->value);
	}
	return r;
}

static int parse_arg(struct spec_ctx *c, const struct jnode *n, struct scmp_arg_cmp *ret)
{
	const struct seccomp_name *op;
	uint64_t index, value, two = 0;
	const char *name;
	int r;

	if ((r = jnode_want_object(n, c->err)) ||
		(r = jget_u64(n, "index", 0, ARG_INDEXES - 1, &index, c->err)) ||
		(r = jget_u64(n, "value", 0, UINT64_MAX, &value, c->err)) ||
		(r = jopt_u64(n, "valueTwo", 0, UINT64_MAX, &two, c->err)) ||
		(r = jget_str(n, "op", 64, &name, c->err)))
		return r;
	op = FIND(seccomp_operators, name);
	if (!op)
		return jnode_err(n, c->err, "unknown operator '%s'", name);
	/* With MASKED_EQ value is the mask, valueTwo what is left of the argument under it. */
	*ret = (struct scmp_arg_cmp){.arg = (unsigned)index,
		.op = (enum scmp_compare)op->value,
		.datum_a = value,
		.datum_b = two};
	return 0;
}

static int parse_args(
	struct spec_ctx *c, const struct jnode *n, struct scmp_arg_cmp *args, unsigned *ret_n)
{
	struct jnode array, item;
	bool found;
	int r;

	*ret_n = 0;
	r = jopt_array(n, "args", ARGS_MAX, &array, &found, c->err);
	if (r || !found)
		return r;
	for (struct jiter it = {0}; jiter_next(&it, &array, &item);) {
		r = parse_arg(c, &item, &args[(*ret_n)++]);
		if (r)
			return r;
	}
	return 0;
}

/* One entry of syscalls: every name with the same action and conditions. */
static int parse_rule(struct spec_ctx *c, const struct jnode *n, struct seccomp_program *p)
{
	struct scmp_arg_cmp args[ARGS_MAX];
	struct jnode names = {.doc = n->doc, .up = n, .key = "names"};
	struct gstrv v = {0};
	uint32_t action = 0;
	unsigned n_args;
	bool found;
	int r;

	if ((r = jnode_want_object(n, c->err)) ||
		(r = spec_strings(c, n, "names", RULES_MAX, SYSCALL_NAME_MAX, &v)) ||
		(r = parse_action(c, n, "action", "errnoRet", &action, &found)) ||
		(r = parse_args(c, n, args, &n_args)))
		return r;
	if (!found)
		return jnode_err(n, c->err, "action is missing");
	if (!v.n)
		return jnode_err(n, c->err, "names is missing or empty");
	for (uint32_t i = 0; i < v.n; i++) {
		struct jnode item = {.doc = n->doc, .up = &names, .index = i};

		if (p->n_names++ == RULES_MAX)
			return jnode_err(&item, c->err, "more than %d names in all", RULES_MAX);
		p->n_conditions += n_args;
		if (p->n_conditions > CONDITIONS_MAX)
			return jnode_err(
				&item, c->err, "more than %d conditions in all", CONDITIONS_MAX);
		r = seccomp_program_add(p, v.v[i], action, args, n_args);
		if (r == -ENOENT)
			spec_debug(c, &item, "unknown system call '%s' is ignored", v.v[i]);
		else if (r == -EEXIST)
			return jnode_err(&item, c->err,
				"the rule for '%s' conflicts with an earlier one", v.v[i]);
		else if (r)
			return jnode_err(&item, c->err, "cannot add the rule for '%s': %s", v.v[i],
				strerror(-r));
	}
	return 0;
}

static int parse_rules(struct spec_ctx *c, const struct jnode *n, struct seccomp_program *p)
{
	struct jnode array, item;
	bool found;
	int r;

	if ((r = parse_archs(c, n, p)) ||
		(r = jopt_array(n, "syscalls", SYSCALLS_MAX, &array, &found, c->err)) || !found)
		return r;
	for (struct jiter it = {0}; jiter_next(&it, &array, &item);) {
		r = parse_rule(c, &item, p);
		if (r)
			return r;
	}
	return 0;
}

static int export(
	struct spec_ctx *c, const struct jnode *n, struct seccomp_program *p, struct gspec *g)
{
	uint64_t *insns = arena_alloc(c->arena, GSPEC_BPF_MAX, sizeof(*insns));
	int r;

	if (!insns)
		return spec_nomem(c);
	r = seccomp_program_export(p, insns, GSPEC_BPF_MAX, &g->n_seccomp);
	if (r == -E2BIG)
		return jnode_err(
			n, c->err, "the program has more than %u instructions", GSPEC_BPF_MAX);
	if (r)
		return jnode_err(n, c->err, "cannot be compiled: %s", strerror(-r));
	g->seccomp = insns;
	g->flags |= GSPEC_SECCOMP;
	return 0;
}

int spec_seccomp(struct spec_ctx *c, const struct jnode *linux_node, struct gspec *g)
{
	struct seccomp_program p = {0};
	struct jnode n, node;
	uint32_t action = SCMP_ACT_ALLOW;
	bool found, given;
	int r;

	if ((r = jopt_object(linux_node, "seccomp", &n, &found, c->err)) || !found ||
		(r = parse_action(c, &n, "defaultAction", "defaultErrnoRet", &action, &given)) ||
		(r = parse_flags(c, &n, &g->seccomp_flags)))
		return r;
	/* The stub is for those who did not think of new system calls. */
	seccomp_program_init(&p, action,
		!jnode_member(&n, "defaultErrnoRet", &node) || action != SCMP_ACT_ERRNO(ENOSYS));
	r = parse_rules(c, &n, &p);
	if (!r && !given && p.n_names)
		r = jnode_err(&n, c->err, "defaultAction is missing");
	if (!r && given)
		r = export(c, &n, &p, g);
	seccomp_program_release(&p);
	return r;
}
