/* SPDX-License-Identifier: Apache-2.0 */
/* The policy language. Included files come from the input too: what follows a NUL. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/base.h"
#include "seccomp/policy_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at, *end;
};

/* Any name is a call, but for those with an 'x' in front, and with a 'z' only one architecture has it. */
static int nr_of(void *opaque, const char *arch, const char *name)
{
	unsigned nr = 0;

	for (const char *s = name; *s; s++)
		nr = nr * 31 + (unsigned char)*s;
	if (name[0] == 'x' || (name[0] == 'z' && strcmp(arch, "aarch64") != 0))
		return -1;
	return (int)(nr % 1024);
}

static int include(void *opaque, const char *name, char **ret_text, size_t *ret_len)
{
	struct input *in = opaque;
	const uint8_t *start = in->at;
	size_t left = (size_t)(in->end - start);
	const uint8_t *nul = memchr(start, 0, left);

	BUG_ON(strchr(name, '/') || !name[0] || name[0] == '.');
	if (!left)
		return -ENOENT;
	in->at = nul ? nul + 1 : in->end;
	*ret_len = (size_t)((nul ? nul : in->end) - start);
	*ret_text = malloc(*ret_len ? *ret_len : 1);
	if (!*ret_text)
		return -ENOMEM;
	memcpy(*ret_text, start, *ret_len);
	return 0;
}

static void check(const struct policy *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		const struct policy_rule *r = &p->rule[i];
		unsigned args = policy_must_constrain(r->name);

		BUG_ON(r->nr < 0 || r->n_conds > POLICY_CONDS_MAX || !r->line);
		BUG_ON(policy_is_never(r->name));
		for (unsigned j = 0; j < r->n_conds; j++) {
			BUG_ON(r->cond[j].arg > 5 || (j && r->cond[j].arg <= r->cond[j - 1].arg));
			args &= ~(1u << r->cond[j].arg);
			BUG_ON(r->cond[j].op == POLICY_MASKED &&
				(r->cond[j].value & ~r->cond[j].mask));
		}
		BUG_ON(args);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	const struct policy_env env = {
		.arch = "x86_64", .syscall_nr = nr_of, .include = include, .opaque = &in};
	struct policy *p = calloc(1, sizeof(*p));
	struct err err = ERR_INIT;
	char *text;
	size_t len;
	int r;

	if (!p || include(&in, "first", &text, &len) < 0) {
		free(p);
		return 0;
	}
	r = policy_parse(p, &env, "first", text, len, &err);
	BUG_ON((r < 0) != err_is_set(&err));
	check(p);
	free(text);
	free(p);
	return 0;
}
