/* SPDX-License-Identifier: Apache-2.0 */
#include "seccomp/policy_parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base.h"
#include "lib/cleanup.h"

/* What a rule for a call must say of its arguments. */
enum lint { LINT_EQ, LINT_NO_EXEC, LINT_ANY };

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
	{"clone", 0, LINT_ANY},
	{"fcntl", 1, LINT_EQ},
	{"madvise", 2, LINT_EQ},
	{"futex", 1, LINT_EQ},
	{"socket", 0, LINT_EQ},
	{"socketpair", 0, LINT_EQ},
	{"getsockopt", 2, LINT_EQ},
	{"setsockopt", 2, LINT_EQ},
	{"kill", 1, LINT_EQ},
	{"tkill", 1, LINT_EQ},
	{"tgkill", 2, LINT_EQ},
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

/* One file being read. */
struct reader {
	struct policy *p;
	const struct policy_env *env;
	const char *file;
	unsigned line, depth;
	const char *at, *end; /* what is left of the line, without its reason */
	struct err *err;
};

static int parse_text(struct reader *r, const char *text, size_t len);

__attribute__((format(printf, 2, 3))) static int fail(struct reader *r, const char *fmt, ...)
{
	char msg[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	return err_plain(r->err, EINVAL, "%s:%u: %s", r->file, r->line, msg);
}

int policy_must_constrain(const char *syscall)
{
	for (size_t i = 0; i < ARRAY_SIZE(must); i++) {
		if (!strcmp(must[i].name, syscall))
			return must[i].arg;
	}
	return -1;
}

static void skip_space(struct reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
		r->at++;
}

/* The next run of letters, digits and '_'. */
static size_t word(struct reader *r, const char **ret)
{
	skip_space(r);
	*ret = r->at;
	while (r->at < r->end && (isalnum((unsigned char)*r->at) || *r->at == '_'))
		r->at++;
	return (size_t)(r->at - *ret);
}

static bool symbol(struct reader *r, const char *s)
{
	size_t n = strlen(s);

	skip_space(r);
	if ((size_t)(r->end - r->at) < n || memcmp(r->at, s, n) != 0)
		return false;
	r->at += n;
	return true;
}

/* A number, decimal or 0x, or a constant's name. */
static int item(struct reader *r, uint64_t *ret)
{
	bool minus = symbol(r, "-");
	const char *w;
	size_t n = word(r, &w);
	char digits[24], *rest;

	if (!n)
		return fail(r, "a value is missing");
	if (!isdigit((unsigned char)*w)) {
		if (minus || !policy_constant(w, n, ret))
			return fail(r, "unknown constant '%.*s' (seccomp/policy_const.c has them)",
				(int)n, w);
		return 0;
	}
	if (n >= sizeof(digits))
		return fail(r, "'%.*s' is too long for a number", (int)n, w);
	memcpy(digits, w, n);
	digits[n] = '\0';
	errno = 0;
	*ret = strtoull(digits, &rest, !strncmp(digits, "0x", 2) ? 16 : 10);
	if (errno || *rest || (digits[0] == '0' && n > 1 && digits[1] != 'x'))
		return fail(r, "'%s' is not a number", digits);
	if (minus)
		*ret = 0 - *ret;
	return 0;
}

static int value(struct reader *r, uint64_t *ret)
{
	uint64_t v;
	int e = item(r, ret);

	while (e == 0 && symbol(r, "|")) {
		e = item(r, &v);
		*ret |= v;
	}
	return e;
}

static int operator(struct reader *r)
{
	static const struct {
		const char *text;
		enum policy_op op;
	} ops[] = {{"==", POLICY_EQ}, {"!=", POLICY_NE}, {"<=", POLICY_LE}, {">=", POLICY_GE},
		{"<", POLICY_LT}, {">", POLICY_GT}};

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		if (symbol(r, ops[i].text))
			return (int)ops[i].op;
	}
	return fail(r, "expected a comparison");
}

/* argN takes all 64 bits of the argument, intN the 32 that the kernel looks at for an int. */
static int condition(struct reader *r, struct policy_rule *rule)
{
	struct policy_cond *c = &rule->cond[rule->n_conds];
	bool masked = false;
	uint64_t width;
	const char *w;
	size_t n = word(r, &w);
	int e;

	if (n != 4 || (memcmp(w, "arg", 3) != 0 && memcmp(w, "int", 3) != 0) || w[3] < '0' ||
		w[3] > '5')
		return fail(r, "expected arg0 to arg5 or int0 to int5, found '%.*s'", (int)n, w);
	*c = (struct policy_cond){.arg = (uint8_t)(w[3] - '0')};
	width = w[0] == 'i' ? UINT32_MAX : UINT64_MAX;
	for (unsigned i = 0; i < rule->n_conds; i++) {
		if (rule->cond[i].arg == c->arg)
			return fail(r, "argument %u has two conditions", c->arg);
	}
	c->mask = width;
	if (symbol(r, "&")) {
		masked = true;
		e = value(r, &c->mask);
		if (e < 0)
			return e;
	}
	e = operator(r);
	if (e < 0)
		return e;
	c->op = (uint8_t)e;
	e = value(r, &c->value);
	if (e < 0)
		return e;
	if (width == UINT32_MAX && (int64_t)c->value < 0 && (int64_t)c->value >= INT32_MIN)
		c->value &= width; /* a negative int */
	if (!masked && width == UINT64_MAX) {
		rule->n_conds++;
		return 0;
	}
	if (c->op != POLICY_EQ)
		return fail(r, "a mask and intN go with == only");
	if ((c->mask & ~width) || (c->value & ~c->mask))
		return fail(r, "the value has bits outside the mask: it is never equal");
	c->op = POLICY_MASKED;
	rule->n_conds++;
	return 0;
}

static int by_arg(const void *a, const void *b)
{
	return (int)((const struct policy_cond *)a)->arg -
	       (int)((const struct policy_cond *)b)->arg;
}

static const struct policy_cond *cond_on(const struct policy_rule *rule, unsigned arg)
{
	for (unsigned i = 0; i < rule->n_conds; i++) {
		if (rule->cond[i].arg == arg)
			return &rule->cond[i];
	}
	return NULL;
}

static bool excludes_exec(const struct policy_cond *c)
{
	return (c->op == POLICY_EQ || (c->op == POLICY_MASKED && (c->mask & PROT_EXEC))) &&
	       !(c->value & PROT_EXEC);
}

static int check_args(struct reader *r, const struct policy_rule *rule)
{
	for (size_t i = 0; i < ARRAY_SIZE(must); i++) {
		const struct policy_cond *c = cond_on(rule, must[i].arg);

		if (strcmp(must[i].name, rule->name) != 0)
			continue;
		if (!c)
			return fail(
				r, "%s needs a condition on argument %u", rule->name, must[i].arg);
		if (must[i].lint == LINT_NO_EXEC && !excludes_exec(c))
			return fail(
				r, "%s must exclude PROT_EXEC (arg2 & PROT_EXEC == 0)", rule->name);
		if (must[i].lint == LINT_EQ && c->op != POLICY_EQ &&
			(c->op != POLICY_MASKED || c->mask < UINT32_MAX))
			return fail(r, "%s needs argument %u to be one value (int%u == ...)",
				rule->name, must[i].arg, must[i].arg);
	}
	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		if (!strcmp(never[i], rule->name))
			return fail(r, "%s is never allowed", rule->name);
	}
	return 0;
}

static int check_twice(struct reader *r, const struct policy_rule *rule)
{
	for (unsigned i = 0; i < r->p->n; i++) {
		const struct policy_rule *o = &r->p->rule[i];

		if (o->nr != rule->nr)
			continue;
		if (!o->n_conds || !rule->n_conds)
			return fail(r,
				"%s is allowed at %s:%u already, and one of the two is without "
				"conditions",
				rule->name, o->file, o->line);
		if (o->n_conds == rule->n_conds &&
			!memcmp(o->cond, rule->cond, o->n_conds * sizeof(o->cond[0])))
			return fail(r, "the same rule stands at %s:%u", o->file, o->line);
	}
	return 0;
}

/* "x86_64:" or "aarch64:" before the call. 1: for us, 0: for another architecture. */
static int marked_arch(struct reader *r)
{
	const char *start = r->at, *w;
	size_t n = word(r, &w);

	if (!symbol(r, ":")) {
		r->at = start;
		return 1;
	}
	if (!(n == 6 && !memcmp(w, "x86_64", n)) && !(n == 7 && !memcmp(w, "aarch64", n)))
		return fail(r, "unknown architecture '%.*s'", (int)n, w);
	return strlen(r->env->arch) == n && !memcmp(w, r->env->arch, n);
}

static int parse_rule(struct reader *r)
{
	struct policy_rule rule;
	int e = marked_arch(r);
	bool other = e == 0;
	const char *w;
	size_t n;

	if (e < 0)
		return e;
	memset(&rule, 0, sizeof(rule)); /* compared with memcmp() */
	n = word(r, &w);
	if (!n || n >= sizeof(rule.name))
		return fail(r, "expected the name of a system call");
	memcpy(rule.name, w, n);
	rule.nr = r->env->syscall_nr(r->env->opaque, rule.name);
	if (rule.nr < 0 && !other)
		return fail(r, "unknown system call '%s'", rule.name);
	for (skip_space(r), e = 0; r->at < r->end && e == 0; skip_space(r)) {
		if (rule.n_conds == POLICY_CONDS_MAX)
			return fail(r, "too many conditions");
		e = condition(r, &rule);
		if (e == 0 && r->at < r->end && !symbol(r, ",") && (skip_space(r), r->at < r->end))
			return fail(r, "unexpected '%.*s'", (int)(r->end - r->at), r->at);
	}
	qsort(rule.cond, rule.n_conds, sizeof(rule.cond[0]), by_arg);
	if (e == 0)
		e = check_args(r, &rule);
	if (e == 0 && !other)
		e = check_twice(r, &rule);
	if (e < 0 || other)
		return e;
	if (r->p->n == POLICY_RULES_MAX)
		return fail(r, "more than %u rules", POLICY_RULES_MAX);
	snprintf(rule.file, sizeof(rule.file), "%s", r->file);
	rule.line = r->line;
	r->p->rule[r->p->n++] = rule;
	return 0;
}

static int parse_include(struct reader *r)
{
	struct reader in = {.p = r->p, .env = r->env, .depth = r->depth + 1, .err = r->err};
	char name[POLICY_FILE_MAX];
	autofree char *text = NULL;
	const char *w;
	size_t len, n;
	int e;

	if (word(r, &w) != 7 || memcmp(w, "include", 7) != 0)
		return fail(r, "expected @include");
	skip_space(r);
	n = (size_t)(r->end - r->at);
	while (n && isspace((unsigned char)r->at[n - 1]))
		n--;
	if (!n || n >= sizeof(name) || memchr(r->at, '/', n) || r->at[0] == '.')
		return fail(r, "expected the name of a policy file beside this one");
	if (in.depth > POLICY_INCLUDE_MAX)
		return fail(r, "includes are nested more than %u deep", POLICY_INCLUDE_MAX);
	memcpy(name, r->at, n);
	name[n] = '\0';
	e = r->env->include(r->env->opaque, name, &text, &len);
	if (e < 0)
		return fail(r, "cannot read '%s': %s", name, strerror(-e));
	in.file = name;
	return parse_text(&in, text, len);
}

static int parse_line(struct reader *r, const char *line, size_t len)
{
	const char *hash = memchr(line, '#', len);

	r->at = line;
	r->end = hash ? hash : line + len;
	if (len > POLICY_LINE_MAX)
		return fail(r, "the line is longer than %u bytes", POLICY_LINE_MAX);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)line[i] < ' ' && line[i] != '\t')
			return fail(r, "control character 0x%02x", (unsigned char)line[i]);
	}
	skip_space(r);
	if (r->at == r->end)
		return 0;
	if (symbol(r, "@"))
		return hash ? fail(r, "no comment behind an include") : parse_include(r);
	if (!hash)
		return fail(r, "the reason is missing: '... # who calls it, and why'");
	for (hash++; hash < line + len && !isalnum((unsigned char)*hash);)
		hash++;
	if (hash == line + len)
		return fail(r, "the reason is empty");
	return parse_rule(r);
}

static int parse_text(struct reader *r, const char *text, size_t len)
{
	const char *end = text + len;

	if (len > POLICY_TEXT_MAX)
		return fail(r, "the file is larger than %u bytes", POLICY_TEXT_MAX);
	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((nl ? nl : end) - text);
		int e;

		r->line++;
		e = parse_line(r, text, n);
		if (e < 0)
			return e;
		text = nl ? nl + 1 : end;
	}
	return 0;
}

int policy_parse(struct policy *p, const struct policy_env *env, const char *file, const char *text,
	size_t len, struct err *err)
{
	struct reader r = {.p = p, .env = env, .file = file, .err = err};

	return parse_text(&r, text, len);
}
