/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles policy files into a C source of BPF programs, at build time:
 *
 *	policyc [--arch x86_64|aarch64] --output FILE.c DIR/kind.policy...
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

#define PROGRAM_MAX  4096 /* instructions: the kernel's limit */
#define SYSCALLS_MAX 1024
#define PATH_BYTES   4096

struct compiler {
	const char *dir; /* of the policy files */
	size_t dir_len;
	const char *arch_name;
	uint32_t arch; /* SCMP_ARCH_* */
	FILE *out;
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

static int syscall_nr(void *opaque, const char *name)
{
	const struct compiler *c = opaque;

	return seccomp_syscall_resolve_name_arch(c->arch, name);
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

static int compile(struct compiler *c, const char *path, char kind[POLICY_FILE_MAX],
	unsigned *ret_n, struct err *err)
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
	c->dir = path;
	c->dir_len = (size_t)(file - path);
	r = kind_of(file, kind, err);
	if (r < 0)
		return r;
	r = read_policy(path, &text, &len);
	if (r < 0)
		return err_set(err, -r, "cannot read '%s'", path);
	r = policy_parse(p, &env, file, text, len, err);
	if (r == 0)
		r = build(c, p, code, err);
	if (r < 0)
		return r;
	*ret_n = (unsigned)r;
	fprintf(c->out, "/* %s: %u rules */\nstatic const struct sock_filter code_%s[] = {\n", file,
		p->n, kind);
	for (int i = 0; i < r; i++)
		fprintf(c->out, "\t{0x%02x, %u, %u, 0x%08x},\n", code[i].code, code[i].jt,
			code[i].jf, code[i].k);
	fprintf(c->out, "};\n\n");
	return 0;
}

/* The names of all calls, for the report of one that was not allowed. */
static void emit_names(const struct compiler *c)
{
	int last = 0;

	fprintf(c->out, "const struct policy_syscall policy_syscalls[] = {\n");
	for (int nr = 0; nr < SYSCALLS_MAX; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(c->arch, nr);

		if (name) {
			fprintf(c->out, "\t[%d] = {\"%s\", %d},\n", nr, name,
				policy_must_constrain(name));
			last = nr;
		}
		free(name);
	}
	fprintf(c->out, "};\nconst unsigned policy_n_syscalls = %d;\n", last + 1);
}

static int compile_all(struct compiler *c, char **paths, unsigned n, struct err *err)
{
	char kind[32][POLICY_FILE_MAX];
	unsigned len[32];
	int r;

	if (n > ARRAY_SIZE(len))
		return err_plain(err, EINVAL, "more than %zu policies", ARRAY_SIZE(len));
	fprintf(c->out,
		"/* Made by policyc for %s. Do not edit. */\n"
		"#include <linux/audit.h>\n\n#include \"seccomp/policy_program.h\"\n\n",
		c->arch_name);
	for (unsigned i = 0; i < n; i++) {
		r = compile(c, paths[i], kind[i], &len[i], err);
		if (r < 0)
			return r;
	}
	fprintf(c->out, "const struct policy_program policy_programs[] = {\n");
	for (unsigned i = 0; i < n; i++)
		fprintf(c->out, "\t{\"%s\", %s, %u, code_%s},\n", kind[i],
			c->arch == SCMP_ARCH_X86_64 ? "AUDIT_ARCH_X86_64" : "AUDIT_ARCH_AARCH64",
			len[i], kind[i]);
	fprintf(c->out, "};\nconst unsigned policy_n_programs = %u;\n\n", n);
	emit_names(c);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: policyc [--arch x86_64|aarch64] --output FILE.c KIND.policy...\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct compiler c = {.arch_name = "x86_64"};
	struct err err = ERR_INIT;
	const char *output = NULL;
	int i, r;

	for (i = 1; i + 1 < argc && argv[i][0] == '-'; i += 2) {
		if (!strcmp(argv[i], "--arch"))
			c.arch_name = argv[i + 1];
		else if (!strcmp(argv[i], "--output"))
			output = argv[i + 1];
		else
			return usage();
	}
	c.arch = seccomp_arch_resolve_name(c.arch_name);
	if (!output || i >= argc || (c.arch != SCMP_ARCH_X86_64 && c.arch != SCMP_ARCH_AARCH64))
		return usage();
	c.out = fopen(output, "we");
	if (!c.out) {
		fprintf(stderr, "policyc: cannot write '%s': %s\n", output, strerror(errno));
		return 1;
	}
	r = compile_all(&c, argv + i, (unsigned)(argc - i), &err);
	if (fclose(c.out) != 0 && r == 0)
		r = err_set(&err, errno, "cannot write '%s'", output);
	if (r < 0) {
		fprintf(stderr, "policyc: %s\n", err.msg);
		unlink(output);
	}
	return r < 0;
}
