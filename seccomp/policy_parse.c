/* SPDX-License-Identifier: Apache-2.0 */
#include "seccomp/policy_parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "seccomp/policy_lint.h"

/* One file being read. */
struct reader {
	struct policy *p;
	const struct policy_env *env;
	const char *file;
	unsigned line, depth;
	unsigned rules;       /* in it and what it includes, for whatever architecture */
	const char *at, *end; /* what is left of the line, without its reason */
	const char *arch;     /* that the line is for: of policy_arches[] */
	struct err *err;
};

const char *const policy_arches[POLICY_ARCHES] = {"x86_64", "aarch64"};

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
		if (minus || !policy_constant(w, n, r->arch, ret))
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
	bool masked = false, inverted;
	const char *w, *wrong;
	uint64_t width;
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
		inverted = symbol(r, "~"); /* of all that follows: the bits that do not matter */
		e = value(r, &c->mask);
		if (e < 0)
			return e;
		if (inverted)
			c->mask = ~c->mask & width;
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
	if (masked || width == UINT32_MAX) {
		if (c->op != POLICY_EQ)
			return fail(r, "a mask and intN go with == only");
		if (c->mask & ~width)
			return fail(r, "the mask has bits that an int has not");
		c->op = POLICY_MASKED;
	}
	wrong = policy_lint_cond(c);
	if (wrong)
		return fail(r, "%s", wrong);
	rule->n_conds++;
	return 0;
}

static int by_arg(const void *a, const void *b)
{
	return (int)((const struct policy_cond *)a)->arg -
	       (int)((const struct policy_cond *)b)->arg;
}

/* "x86_64:" or "aarch64:" before the call: NULL for none. */
static int marked_arch(struct reader *r, const char **ret_arch)
{
	const char *start = r->at, *w;
	size_t n = word(r, &w);

	*ret_arch = NULL;
	if (!symbol(r, ":")) {
		r->at = start;
		return 0;
	}
	for (size_t i = 0; i < POLICY_ARCHES; i++) {
		if (strlen(policy_arches[i]) == n && !memcmp(w, policy_arches[i], n))
			*ret_arch = policy_arches[i];
	}
	if (!*ret_arch)
		return fail(r, "unknown architecture '%.*s'", (int)n, w);
	return 0;
}

/* The call's name; it must exist wherever the line says that it does. */
static int call_name(struct reader *r, const char *marked, struct policy_rule *rule)
{
	const char *missing = NULL;
	unsigned n_known = 0;
	const char *w;
	size_t n = word(r, &w);

	if (!n || n >= sizeof(rule->name))
		return fail(r, "expected the name of a system call");
	memcpy(rule->name, w, n);
	for (size_t i = 0; i < POLICY_ARCHES; i++) {
		if (r->env->syscall_nr(r->env->opaque, policy_arches[i], rule->name) >= 0)
			n_known++;
		else if (!marked || !strcmp(marked, policy_arches[i]))
			missing = policy_arches[i];
	}
	if (!n_known)
		return fail(r, "unknown system call '%s'", rule->name);
	if (missing)
		return fail(r, "%s has no system call '%s'%s", missing, rule->name,
			marked ? "" : ": mark the line with the architecture that has it");
	rule->nr = r->env->syscall_nr(r->env->opaque, r->arch, rule->name);
	return 0;
}

static int conditions(struct reader *r, struct policy_rule *rule)
{
	for (skip_space(r); r->at < r->end; skip_space(r)) {
		int e;

		if (rule->n_conds == POLICY_CONDS_MAX)
			return fail(r, "too many conditions");
		e = condition(r, rule);
		if (e < 0)
			return e;
		if (!symbol(r, ",") && (skip_space(r), r->at < r->end))
			return fail(r, "unexpected '%.*s'", (int)(r->end - r->at), r->at);
	}
	qsort(rule->cond, rule->n_conds, sizeof(rule->cond[0]), by_arg);
	return 0;
}

static int parse_rule(struct reader *r)
{
	static const struct policy nothing;
	struct policy_rule rule = {.line = r->line};
	const char *marked;
	char msg[256];
	int e = marked_arch(r, &marked);
	bool ours = !marked || !strcmp(marked, r->env->arch);

	if (e < 0)
		return e;
	r->arch = marked ? marked : r->env->arch;
	e = call_name(r, marked, &rule);
	if (e == 0)
		e = conditions(r, &rule);
	if (e < 0)
		return e;
	/* its place among the other architecture's is looked at when that one is compiled */
	if (!policy_lint_rule(ours ? r->p : &nothing, &rule, msg, sizeof(msg)))
		return fail(r, "%s", msg);
	r->rules++;
	if (!ours)
		return 0;
	if (r->p->n == POLICY_RULES_MAX)
		return fail(r, "more than %u rules", POLICY_RULES_MAX);
	snprintf(rule.file, sizeof(rule.file), "%s", r->file);
	r->p->rule[r->p->n++] = rule;
	return 0;
}

static int parse_include(struct reader *r)
{
	struct reader in = {.p = r->p, .env = r->env, .depth = r->depth + 1, .err = r->err};
	const char *slash = strrchr(r->file, '/'), *w;
	char name[POLICY_FILE_MAX], shown[POLICY_FILE_MAX];
	autofree char *text = NULL;
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
	if (snprintf(shown, sizeof(shown), "%.*s%s", slash ? (int)(slash + 1 - r->file) : 0,
		    r->file, name) >= (int)sizeof(shown))
		return fail(r, "the name of '%s' is too long", name);
	e = r->env->include(r->env->opaque, name, &text, &len);
	if (e < 0)
		return fail(r, "cannot read '%s': %s", name, strerror(-e));
	in.file = shown;
	e = parse_text(&in, text, len);
	if (e == 0 && !in.rules)
		return fail(r, "the include adds nothing: '%s' has no rule", name);
	r->rules += in.rules;
	return e;
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
