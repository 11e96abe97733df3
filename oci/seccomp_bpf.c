/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_program_export(). Per architecture, the numbers of system calls fall into spans with one
 * answer each; a binary search over their starts leads to the answer, which is an action or a list
 * of rules to try.
 */
#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "oci/seccomp_program.h"

#define X32_BIT   0x40000000u
#define NOT_THERE (SECCOMP_RET_ERRNO | ENOSYS)
#define NEAR      255 /* how far a conditional jump reaches */
#define FAIL      254 /* stands for "to the end of this rule" until that is known */

static_assert(sizeof(struct sock_filter) == sizeof(uint64_t), "an instruction is one word");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half of an argument is first");

struct span {
	uint32_t start; /* up to the next one's */
	uint32_t action;
	const struct seccomp_rule *rules; /* n of them, to be tried before action */
	unsigned n;
};

struct gen {
	struct sock_filter *f;
	uint32_t n, cap;
	bool full;
	uint32_t default_action;
	struct span *spans;
	unsigned n_spans;
};

static void put(struct gen *g, struct sock_filter f)
{
	if (g->n < g->cap)
		g->f[g->n++] = f;
	else
		g->full = true;
}

static void load(struct gen *g, size_t offset)
{
	put(g, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void jump(struct gen *g, uint16_t op, uint32_t k, uint8_t yes, uint8_t no)
{
	put(g, (struct sock_filter)BPF_JUMP(BPF_JMP | op | BPF_K, k, yes, no));
}

static void ret(struct gen *g, uint32_t action)
{
	put(g, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* --- rules --------------------------------------------------------------------------------------- */

/* Half of (argument & mask) == value; nothing when it cannot fail. */
static void masked_half(struct gen *g, size_t offset, uint32_t mask, uint32_t value)
{
	if (!mask)
		return;
	load(g, offset);
	put(g, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
	jump(g, BPF_JEQ, value, 0, FAIL);
}

/* argument > value, or >= value: the low halves count when the high ones are equal. */
static void above(struct gen *g, size_t low, uint64_t value, bool or_equal)
{
	load(g, low + 4);
	jump(g, BPF_JGT, (uint32_t)(value >> 32), 3, 0);
	jump(g, BPF_JEQ, (uint32_t)(value >> 32), 0, FAIL);
	load(g, low);
	jump(g, or_equal ? BPF_JGE : BPF_JGT, (uint32_t)value, 0, FAIL);
}

/* argument < value, or <= value */
static void below(struct gen *g, size_t low, uint64_t value, bool or_equal)
{
	load(g, low + 4);
	jump(g, BPF_JGT, (uint32_t)(value >> 32), FAIL, 0);
	jump(g, BPF_JEQ, (uint32_t)(value >> 32), 0, 2);
	load(g, low);
	jump(g, or_equal ? BPF_JGT : BPF_JGE, (uint32_t)value, FAIL, 0);
}

static void differs(struct gen *g, size_t low, uint64_t value)
{
	load(g, low + 4);
	jump(g, BPF_JEQ, (uint32_t)(value >> 32), 0, 2);
	load(g, low);
	jump(g, BPF_JEQ, (uint32_t)value, FAIL, 0);
}

/* Falls through when it holds. */
static void condition(struct gen *g, const struct scmp_arg_cmp *c)
{
	size_t low = offsetof(struct seccomp_data, args) + 8 * (size_t)c->arg;
	uint64_t mask = c->op == SCMP_CMP_MASKED_EQ ? c->datum_a : UINT64_MAX;
	uint64_t value = c->op == SCMP_CMP_MASKED_EQ ? c->datum_b & mask : c->datum_a;

	switch (c->op) {
	case SCMP_CMP_NE: differs(g, low, value); return;
	case SCMP_CMP_LT: below(g, low, value, false); return;
	case SCMP_CMP_LE: below(g, low, value, true); return;
	case SCMP_CMP_GE: above(g, low, value, true); return;
	case SCMP_CMP_GT: above(g, low, value, false); return;
	case SCMP_CMP_EQ:
	case SCMP_CMP_MASKED_EQ:
		masked_half(g, low + 4, (uint32_t)(mask >> 32), (uint32_t)(value >> 32));
		masked_half(g, low, (uint32_t)mask, (uint32_t)value);
		return;
	default: BUG_ON(true);
	}
}

/* At most SECCOMP_ARGS conditions of 6 instructions: all in reach. */
static void put_rule(struct gen *g, const struct seccomp_rule *r)
{
	uint32_t first = g->n;

	for (unsigned i = 0; i < r->n_args; i++)
		condition(g, &r->args[i]);
	ret(g, r->action);
	for (uint32_t i = first; i < g->n; i++) {
		struct sock_filter *f = &g->f[i];

		if (BPF_CLASS(f->code) != BPF_JMP)
			continue;
		f->jt = f->jt == FAIL ? (uint8_t)(g->n - i - 1) : f->jt;
		f->jf = f->jf == FAIL ? (uint8_t)(g->n - i - 1) : f->jf;
	}
}

/* --- spans --------------------------------------------------------------------------------------- */

static void add_span(struct gen *g, const struct span *s)
{
	const struct span *last;

	if (g->n_spans && g->spans[g->n_spans - 1].start == s->start)
		g->n_spans--; /* nothing is left of that one */
	last = g->n_spans ? &g->spans[g->n_spans - 1] : NULL;
	if (!last || last->n || s->n || last->action != s->action)
		g->spans[g->n_spans++] = *s;
}

static void add_plain(struct gen *g, uint32_t start, uint32_t action)
{
	add_span(g, &(struct span){.start = start, .action = action});
}

/* The n rules of one call: of those without conditions the first decides alone. */
static void add_call(struct gen *g, const struct seccomp_rule *rules, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!rules[i].n_args) {
			add_plain(g, rules[i].nr, rules[i].action);
			return;
		}
	add_span(g,
		&(struct span){
			.start = rules[0].nr, .action = g->default_action, .rules = rules, .n = n});
}

static int by_number(const void *pa, const void *pb)
{
	const struct seccomp_rule *a = pa, *b = pb;

	if (a->nr != b->nr)
		return a->nr < b->nr ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

/* What no rule names, from one number to before another: the default, or behind the last call that the
 * profile names that it does not exist. A rule may stand behind that one: ipc(2) for a part of it. */
static void add_gap(struct gen *g, const struct seccomp_program *p, const struct seccomp_arch *a,
	uint32_t from, uint32_t end)
{
	uint32_t stub = p->stub && a->named ? a->last + 1 : UINT32_MAX;

	if (from < stub)
		add_plain(g, from, p->default_action);
	if (stub < end)
		add_plain(g, MAX(from, stub), NOT_THERE);
}

static void make_spans(struct gen *g, const struct seccomp_program *p, struct seccomp_arch *a)
{
	uint32_t at = 0;

	g->n_spans = 0;
	if (a->n)
		qsort(a->rules, a->n, sizeof(*a->rules), by_number);
	for (unsigned i = 0, n; i < a->n; i += n) {
		for (n = 1; i + n < a->n && a->rules[i + n].nr == a->rules[i].nr; n++)
			;
		add_gap(g, p, a, at, a->rules[i].nr);
		add_call(g, &a->rules[i], n);
		at = a->rules[i].nr + 1;
	}
	add_gap(g, p, a, at, UINT32_MAX);
	if (a->token == SCMP_ARCH_X86_64)
		add_plain(g, X32_BIT, p->x32 ? NOT_THERE : SECCOMP_RET_KILL_THREAD);
}

/* --- search -------------------------------------------------------------------------------------- */

static void put_leaf(struct gen *g, const struct span *s)
{
	for (unsigned i = 0; i < s->n; i++)
		put_rule(g, &s->rules[i]);
	ret(g, s->action);
}

/* The number is loaded and lies in spans first to end - 1. Recursion is as deep as the logarithm of
 * their count. Jumps within a part stay right when the part moves. */
static void put_tree(struct gen *g, unsigned first, unsigned end)
{
	unsigned mid = first + (end - first) / 2;
	uint32_t at = g->n, size;

	if (end - first == 1) {
		put_leaf(g, &g->spans[first]);
		return;
	}
	jump(g, BPF_JGE, g->spans[mid].start, 0, 0);
	put_tree(g, first, mid);
	size = g->n - at - 1;
	if (size > NEAR) {
		put(g, (struct sock_filter){0});
		if (g->full)
			return;
		memmove(&g->f[at + 2], &g->f[at + 1], size * sizeof(*g->f));
		g->f[at].jf = 1;
		g->f[at + 1] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, size);
	} else if (!g->full) {
		g->f[at].jt = (uint8_t)size;
	}
	put_tree(g, mid, end);
}

static void put_arch(struct gen *g, const struct seccomp_program *p, struct seccomp_arch *a)
{
	uint32_t skip;

	make_spans(g, p, a);
	jump(g, BPF_JEQ, a->token, 1, 0);
	skip = g->n;
	put(g, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
	load(g, offsetof(struct seccomp_data, nr));
	put_tree(g, 0, g->n_spans);
	if (!g->full)
		g->f[skip].k = g->n - skip - 1;
}

int seccomp_program_export(
	struct seccomp_program *p, uint64_t *insns, uint32_t cap, uint32_t *ret_n)
{
	/* A span for each call, one before each, and those before the first and behind the last. */
	unsigned rules = 0;
	struct gen g = {.cap = cap, .default_action = p->default_action};

	for (unsigned i = 0; i < p->n_archs; i++)
		rules = MAX(rules, p->archs[i].n);
	g.f = calloc(cap, sizeof(*g.f));
	g.spans = calloc(2 * (size_t)rules + 4, sizeof(*g.spans));
	if (g.f && g.spans) {
		load(&g, offsetof(struct seccomp_data, arch));
		for (unsigned i = 0; i < p->n_archs; i++)
			put_arch(&g, p, &p->archs[i]);
		ret(&g, SECCOMP_RET_KILL_THREAD);
		memcpy(insns, g.f, g.n * sizeof(*insns));
		*ret_n = g.n;
	}
	free(g.spans);
	free(g.f);
	return !g.f || !g.spans ? -ENOMEM : g.full ? -E2BIG : 0;
}
