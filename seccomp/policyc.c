/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles policy files into a C source of BPF programs, at build time:
 *
 *	policyc [--arch x86_64|aarch64] --output FILE.c DIR/kind.policy...
 *	policyc --lint DIR/kind.policy...	only says what is wrong
 *	policyc --table DIR/kind.policy...	the table in docs/seccomp.md
 *
 * Each of them reads and compiles the policies for every architecture: what is wrong for the other one
 * is an error here too.
 *
 * Whatever is not allowed traps (policy.h says why it is a trap). A call in another architecture's
 * numbering, x32 included, kills the process: its numbers would mean other calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "seccomp/policy_parse.h"
#include "seccomp/policy_program.h"

#define PROGRAM_MAX 4096 /* instructions: the kernel's limit */
#define PATH_BYTES  4096

#define KINDS_MAX 32

struct kind {
	char name[POLICY_FILE_MAX];
	unsigned len; /* instructions */
	unsigned rules;
	unsigned calls;                    /* different ones */
	unsigned constrained;              /* of these: never without a condition */
	uint8_t args[POLICY_SYSCALLS_MAX]; /* by number: the arguments with conditions, as bits */
	bool allowed[POLICY_SYSCALLS_MAX];
};

struct compiler {
	const char *dir; /* of the policy files */
	size_t dir_len;
	const char *arch_name;
	uint32_t arch; /* SCMP_ARCH_* */
	FILE *out;
	unsigned n;
	struct kind kind[KINDS_MAX];
};

static const enum scmp_compare scmp_op[] = {
	[POLICY_EQ] = SCMP_CMP_EQ,
	[POLICY_NE] = SCMP_CMP_NE,
	[POLICY_LT] = SCMP_CMP_LT,
	[POLICY_LE] = SCMP_CMP_LE,
	[POLICY_GE] = SCMP_CMP_GE,
	[POLICY_GT] = SCMP_CMP_GT,
	[POLICY_MASKED] = SCMP_CMP_MASKED_EQ,
};

static int syscall_nr(void *opaque, const char *arch, const char *name)
{
	int nr = seccomp_syscall_resolve_name_arch(seccomp_arch_resolve_name(arch), name);

	return nr < POLICY_SYSCALLS_MAX ? nr : -1;
}

static int read_policy(const char *path, char **ret_text, size_t *ret_len)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return read_file(fd, POLICY_TEXT_MAX, ret_text, ret_len);
}

static int include(void *opaque, const char *name, char **ret_text, size_t *ret_len)
{
	const struct compiler *c = opaque;
	char path[PATH_BYTES];

	if (snprintf(path, sizeof(path), "%.*s%s", (int)c->dir_len, c->dir, name) >=
		(int)sizeof(path))
		return -ENAMETOOLONG;
	return read_policy(path, ret_text, ret_len);
}

static int add_rule(scmp_filter_ctx ctx, const struct policy_rule *rule, struct err *err)
{
	struct scmp_arg_cmp cmp[POLICY_CONDS_MAX];
	int r;

	for (unsigned i = 0; i < rule->n_conds; i++) {
		const struct policy_cond *c = &rule->cond[i];

		cmp[i] = (struct scmp_arg_cmp){
			.arg = c->arg,
			.op = scmp_op[c->op],
			.datum_a = c->op == POLICY_MASKED ? c->mask : c->value,
			.datum_b = c->op == POLICY_MASKED ? c->value : 0,
		};
	}
	/* libseccomp wants this machine's number and translates it. */
	r = seccomp_rule_add_exact_array(
		ctx, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(rule->name), rule->n_conds, cmp);
	if (r < 0)
		return err_set(err, -r, "%s:%u: libseccomp refuses the rule for %s", rule->file,
			rule->line, rule->name);
	return 0;
}

static int set_up(scmp_filter_ctx ctx, const struct compiler *c)
{
	int r = 0;

	if (c->arch != seccomp_arch_native()) {
		r = seccomp_arch_add(ctx, c->arch);
		if (r == 0)
			r = seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE);
	}
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0) /* a binary search by number, not one comparison after the other */
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return r;
}

/* Returns the instructions of the program, or -errno. */
static int build(
	const struct compiler *c, const struct policy *p, struct sock_filter *code, struct err *err)
{
	autofd int fd = memfd_with("bpf", "", 0, 0);
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	ssize_t n = 0;
	int r;

	if (fd < 0 || !ctx) {
		seccomp_release(ctx);
		return err_set(err, ENOMEM, "cannot begin a filter");
	}
	r = set_up(ctx, c);
	if (r < 0)
		err_set(err, -r, "cannot set up a filter for %s", c->arch_name);
	for (unsigned i = 0; i < p->n && r == 0; i++)
		r = add_rule(ctx, &p->rule[i], err);
	if (r == 0) {
		r = seccomp_export_bpf(ctx, fd);
		n = r < 0 ? 0 : pread(fd, code, PROGRAM_MAX * sizeof(*code), 0);
		if (n <= 0 || n == PROGRAM_MAX * sizeof(*code))
			r = err_set(err, EINVAL, "the filter cannot be made, or is too long");
	}
	seccomp_release(ctx);
	return r < 0 ? r : (int)((size_t)n / sizeof(*code));
}

/* "vsock" of "dir/vsock.policy". */
static int kind_of(const char *file, char kind[POLICY_FILE_MAX], struct err *err)
{
	const char *dot = strrchr(file, '.');

	if (!dot || strcmp(dot, ".policy") != 0 || dot == file || dot - file >= POLICY_FILE_MAX)
		return err_plain(err, EINVAL, "'%s' is not named <kind>.policy", file);
	memcpy(kind, file, (size_t)(dot - file));
	kind[dot - file] = '\0';
	return 0;
}

/* The last two components: messages and reports name "seccomp/fs.policy", wherever the build is. */
static const char *shown_name(const char *path, const char *file)
{
	const char *p = file;

	if (p > path)
		p--;
	while (p > path && p[-1] != '/')
		p--;
	return !strncmp(p, "../", 3) || !strncmp(p, "./", 2) ? file : p;
}

static void count(struct kind *k, const struct policy *p)
{
	bool bare[POLICY_SYSCALLS_MAX] = {false};

	k->rules = p->n;
	for (unsigned i = 0; i < p->n; i++) {
		const struct policy_rule *rule = &p->rule[i];

		k->allowed[rule->nr] = true;
		bare[rule->nr] |= !rule->n_conds;
		for (unsigned j = 0; j < rule->n_conds; j++)
			k->args[rule->nr] |= (uint8_t)(1u << rule->cond[j].arg);
	}
	for (unsigned nr = 0; nr < POLICY_SYSCALLS_MAX; nr++) {
		k->calls += k->allowed[nr];
		k->constrained += k->allowed[nr] && !bare[nr];
	}
}

static void emit_kind(
	FILE *out, const char *file, const struct kind *k, const struct sock_filter *code)
{
	fprintf(out, "/* %s: %u rules */\nstatic const struct sock_filter code_%s[] = {\n", file,
		k->rules, k->name);
	for (unsigned i = 0; i < k->len; i++)
		fprintf(out, "\t{0x%02x, %u, %u, 0x%08x},\n", code[i].code, code[i].jt, code[i].jf,
			code[i].k);
	fprintf(out, "};\nstatic const uint8_t args_%s[] = {\n", k->name);
	for (unsigned nr = 0; nr < POLICY_SYSCALLS_MAX; nr++) {
		if (k->args[nr])
			fprintf(out, "\t[%u] = 0x%02x,\n", nr, k->args[nr]);
	}
	/* an initialiser without an element is not C11 */
	fprintf(out, "\t[%u] = 0,\n};\n\n", POLICY_SYSCALLS_MAX - 1);
}

static int compile(struct compiler *c, const char *path, struct kind *k, struct err *err)
{
	const struct policy_env env = {
		.arch = c->arch_name, .syscall_nr = syscall_nr, .include = include, .opaque = c};
	static struct sock_filter code[PROGRAM_MAX];
	const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
	autofree struct policy *p = calloc(1, sizeof(*p));
	autofree char *text = NULL;
	size_t len;
	int r;

	if (!p)
		return err_set(err, ENOMEM, "cannot read '%s'", path);
	memset(k, 0, sizeof(*k));
	c->dir = path;
	c->dir_len = (size_t)(file - path);
	r = kind_of(file, k->name, err);
	if (r < 0)
		return r;
	r = read_policy(path, &text, &len);
	if (r < 0)
		return err_set(err, -r, "cannot read '%s'", path);
	r = policy_parse(p, &env, shown_name(path, file), text, len, err);
	if (r == 0)
		r = build(c, p, code, err);
	if (r < 0)
		return r;
	k->len = (unsigned)r;
	count(k, p);
	emit_kind(c->out, file, k, code);
	return 0;
}

/* The names of all calls, for the report of one that was not allowed. */
static void emit_names(const struct compiler *c)
{
	int last = 0;

	fprintf(c->out, "const struct policy_syscall policy_syscalls[] = {\n");
	for (int nr = 0; nr < POLICY_SYSCALLS_MAX; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(c->arch, nr);
		bool everywhere = true;

		for (size_t i = 0; name && i < POLICY_ARCHES; i++)
			everywhere &= syscall_nr(NULL, policy_arches[i], name) >= 0;
		if (name) {
			fprintf(c->out, "\t[%d] = {\"%s\", 0x%02x, %d, %d},\n", nr, name,
				policy_must_constrain(name), policy_is_never(name), everywhere);
			last = nr;
		}
		free(name);
	}
	fprintf(c->out, "};\nconst unsigned policy_n_syscalls = %d;\n", last + 1);
}

static int compile_all(struct compiler *c, char **paths, unsigned n, struct err *err)
{
	int r;

	if (n > KINDS_MAX)
		return err_plain(err, EINVAL, "more than %u policies", KINDS_MAX);
	fprintf(c->out,
		"/* Made by policyc for %s. Do not edit. */\n"
		"#include <linux/audit.h>\n\n#include \"seccomp/policy_program.h\"\n\n",
		c->arch_name);
	for (c->n = 0; c->n < n; c->n++) {
		r = compile(c, paths[c->n], &c->kind[c->n], err);
		if (r < 0)
			return r;
	}
	fprintf(c->out, "const struct policy_program policy_programs[] = {\n");
	for (unsigned i = 0; i < n; i++)
		fprintf(c->out, "\t{\"%s\", %s, %u, code_%s, args_%s},\n", c->kind[i].name,
			c->arch == SCMP_ARCH_X86_64 ? "AUDIT_ARCH_X86_64" : "AUDIT_ARCH_AARCH64",
			c->kind[i].len, c->kind[i].name, c->kind[i].name);
	fprintf(c->out, "};\nconst unsigned policy_n_programs = %u;\n\n", n);
	emit_names(c);
	return 0;
}

/* For one architecture, into output; NULL: nowhere. */
static int compile_for(struct compiler *c, const char *arch, const char *output, char **paths,
	unsigned n, struct err *err)
{
	int r;

	c->arch_name = arch;
	c->arch = seccomp_arch_resolve_name(arch);
	c->out = fopen(output ? output : "/dev/null", "we");
	if (!c->out)
		return err_set(err, errno, "cannot write '%s'", output);
	r = compile_all(c, paths, n, err);
	if (fclose(c->out) != 0 && r == 0)
		r = err_set(err, errno, "cannot write '%s'", output);
	return r;
}

static void print_table(const struct compiler *c)
{
	printf("| kind | system calls | with constrained arguments | rules |\n|---|---|---|---|\n");
	for (unsigned i = 0; i < c->n; i++)
		printf("| `%s` | %u | %u | %u |\n", c->kind[i].name, c->kind[i].calls,
			c->kind[i].constrained, c->kind[i].rules);
}

static int usage(void)
{
	fprintf(stderr, "usage: policyc [--arch x86_64|aarch64] --output FILE.c KIND.policy...\n"
			"       policyc --lint | --table KIND.policy...\n");
	return 2;
}

struct options {
	const char *arch, *output;
	bool lint, table;
};

/* Returns the number of arguments used, or -1. */
static int read_options(int argc, char **argv, struct options *o)
{
	bool known = false;
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "--lint"))
			o->lint = true;
		else if (!strcmp(argv[i], "--table"))
			o->table = true;
		else if (!strcmp(argv[i], "--arch") && i + 1 < argc)
			o->arch = argv[++i];
		else if (!strcmp(argv[i], "--output") && i + 1 < argc)
			o->output = argv[++i];
		else
			return -1;
	}
	for (size_t a = 0; a < POLICY_ARCHES; a++)
		known |= !strcmp(policy_arches[a], o->arch);
	return known && i < argc && o->lint + o->table + !!o->output == 1 ? i : -1;
}

int main(int argc, char **argv)
{
	struct options o = {.arch = policy_arches[0]};
	static struct compiler c;
	struct err err = ERR_INIT;
	int i = read_options(argc, argv, &o), r = 0;

	if (i < 0)
		return usage();
	/* the wanted one last: the table is of it */
	for (size_t a = 0; a < POLICY_ARCHES && r == 0; a++) {
		if (strcmp(policy_arches[a], o.arch) != 0)
			r = compile_for(
				&c, policy_arches[a], NULL, argv + i, (unsigned)(argc - i), &err);
	}
	if (r == 0)
		r = compile_for(&c, o.arch, o.output, argv + i, (unsigned)(argc - i), &err);
	if (r < 0) {
		fprintf(stderr, "policyc: %s\n", err.msg);
		if (o.output)
			unlink(o.output);
		return 1;
	}
	if (o.table)
		print_table(&c);
	return 0;
}
