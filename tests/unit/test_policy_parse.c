/* SPDX-License-Identifier: Apache-2.0 */
/* The language of the policy files, and what its compiler refuses. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/base.h"
#include "seccomp/policy_parse.h"
#include "tests/tap.h"

static struct policy p;
static struct err err;

/* Few calls are enough; "openat" is missing on one machine. */
static int nr_of(void *opaque, const char *name)
{
	static const char *const names[] = {"read", "write", "ioctl", "mmap", "mprotect", "prctl",
		"clone", "fcntl", "tgkill", "openat", "execve", "io_uring_setup", "futex"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(names[i], name))
			return (int)i;
	}
	return -1;
}

static int include(void *opaque, const char *name, char **ret_text, size_t *ret_len)
{
	static const struct {
		const char *name, *text;
	} files[] = {
		{"base.policy", "# what all need\nread # why\n"},
		{"bad.policy", "\n\nnonsense # why\n"},
		{"self.policy", "@include self.policy\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (strcmp(files[i].name, name) != 0)
			continue;
		*ret_text = strdup(files[i].text);
		*ret_len = strlen(files[i].text);
		return *ret_text ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

static int parse(const char *text, const char *arch)
{
	const struct policy_env env = {.arch = arch, .syscall_nr = nr_of, .include = include};
	size_t len = strlen(text);
	char *exact = malloc(len ? len : 1);
	int r;

	memcpy(exact, text, len);
	memset(&p, 0, sizeof(p));
	err = (struct err)ERR_INIT;
	r = policy_parse(&p, &env, "t.policy", exact, len, &err);
	free(exact);
	return r;
}

static void rules(void)
{
	eq_int(parse("# nothing\n\n   \n", "x86_64"), 0, "comments and empty lines");
	eq_int(p.n, 0, "are no rules");
	eq_int(parse("read # a reason\n\twrite\t# another", "x86_64"), 0, "two rules");
	ok(p.n == 2 && !strcmp(p.rule[1].name, "write") && p.rule[1].line == 2 &&
			!p.rule[1].n_conds,
		"are two");
	eq_int(parse("ioctl int1 == 0xae80 # x", "x86_64"), 0, "an int");
	ok(p.rule[0].cond[0].op == POLICY_MASKED && p.rule[0].cond[0].mask == UINT32_MAX &&
			p.rule[0].cond[0].value == 0xae80,
		"is compared in 32 bits");
	eq_int(parse("ioctl int1 == KVM_RUN # x", "x86_64"), 0, "a name");
	ok(p.rule[0].cond[0].value == 0xae80, "has its value");
	eq_int(parse("mmap arg5 == 4096 , arg2 & PROT_EXEC|PROT_WRITE == PROT_WRITE # x", "x86_64"),
		0, "two conditions, a mask");
	ok(p.rule[0].n_conds == 2 && p.rule[0].cond[0].arg == 2 && p.rule[0].cond[1].arg == 5 &&
			p.rule[0].cond[1].op == POLICY_EQ && p.rule[0].cond[0].mask == 6,
		"in the order of the arguments");
	eq_int(parse("read int0 == -1 # x", "x86_64"), 0, "a negative int");
	ok(p.rule[0].cond[0].value == UINT32_MAX, "has 32 bits");
	eq_int(parse("read arg2 <= 10 # x\nwrite arg2 > 5 # y\nfutex int1 == 1, arg0 != 0 # z",
		       "x86_64"),
		0, "other comparisons");
	ok(p.rule[0].cond[0].op == POLICY_LE && p.rule[1].cond[0].op == POLICY_GT &&
			p.rule[2].cond[0].op == POLICY_NE,
		"are kept");
	eq_int(parse("ioctl int1 == 1 # x\nioctl int1 == 2 # y", "x86_64"), 0, "two values");
}

static void architectures(void)
{
	eq_int(parse("x86_64: read # x\naarch64: write # y", "aarch64"), 0, "marked lines");
	ok(p.n == 1 && !strcmp(p.rule[0].name, "write"), "are for their architecture");
	eq_int(parse("aarch64: only_there # x", "x86_64"), 0, "a call that is only there");
	ok(parse("x86_64: only_there # x", "x86_64") < 0, "is missed here");
	ok(parse("mips: read # x", "x86_64") < 0, "no other architecture");
	ok(parse("aarch64: ioctl # x", "x86_64") < 0, "the lint holds for the other one, too");
}

static void includes(void)
{
	eq_int(parse("@include base.policy\nwrite # x", "x86_64"), 0, "an include");
	ok(p.n == 2 && !strcmp(p.rule[0].file, "base.policy") && p.rule[0].line == 2,
		"keeps its place");
	ok(parse("@include bad.policy", "x86_64") < 0, "a mistake in an included file");
	eq_str(err.msg, "bad.policy:3: unknown system call 'nonsense'", "is told where it is");
	ok(parse("@include self.policy", "x86_64") < 0, "a file that includes itself");
	has_str(err.msg, "nested");
	ok(parse("read # x\n@include base.policy", "x86_64") < 0, "a rule that is included too");
	has_str(err.msg, "base.policy:2: ");
}

static const struct {
	const char *text, *says;
} wrong[] = {
	{"read", "t.policy:1: the reason is missing"},
	{"\nread   #", "t.policy:2: the reason is empty"},
	{"read # --", "the reason is empty"},
	{"raed # x", "unknown system call 'raed'"},
	{"read # x\nread # y", "t.policy:2: read is allowed at t.policy:1 already"},
	{"read # x\nread arg0 == 1 # y", "without conditions"},
	{"ioctl int1 == 1 # x\nioctl int1 == 1 # y", "the same rule stands at t.policy:1"},
	{"ioctl # x", "ioctl needs a condition on argument 1"},
	{"ioctl int0 == 1 # x", "ioctl needs a condition on argument 1"},
	{"ioctl arg1 != 1 # x", "one value"},
	{"ioctl arg1 & 0xff == 1 # x", "one value"},
	{"mmap # x", "mmap needs a condition on argument 2"},
	{"mmap arg2 == PROT_READ|PROT_EXEC # x", "exclude PROT_EXEC"},
	{"mmap arg2 <= 3 # x", "exclude PROT_EXEC"},
	{"mprotect arg2 & PROT_WRITE == 0 # x", "exclude PROT_EXEC"},
	{"mprotect arg2 & PROT_EXEC == PROT_EXEC # x", "exclude PROT_EXEC"},
	{"prctl # x", "prctl needs"},
	{"clone # x", "clone needs"},
	{"fcntl # x", "fcntl needs"},
	{"tgkill arg0 == 1 # x", "tgkill needs a condition on argument 2"},
	{"execve # because", "execve is never allowed"},
	{"io_uring_setup # because", "never"},
	{"read arg6 == 1 # x", "expected arg0 to arg5"},
	{"read arg == 1 # x", "expected arg0 to arg5"},
	{"read fd == 1 # x", "expected arg0 to arg5"},
	{"read arg0 # x", "expected a comparison"},
	{"read arg0 = 1 # x", "expected a comparison"},
	{"read arg0 == # x", "a value is missing"},
	{"read arg0 == KVM_FLY # x", "unknown constant 'KVM_FLY'"},
	{"read arg0 == 0x # x", "'0x' is not a number"},
	{"read arg0 == 12a # x", "'12a' is not a number"},
	{"read arg0 == 010 # x", "'010' is not a number"},
	{"read arg0 == 99999999999999999999 # x", "is not a number"},
	{"read arg0 == 1 arg1 == 2 # x", "unexpected 'arg1"},
	{"read arg0 == 1, arg0 == 2 # x", "argument 0 has two conditions"},
	{"read int0 <= 1 # x", "== only"},
	{"read int0 == 0x100000000 # x", "never equal"},
	{"read arg0 & 1 == 2 # x", "never equal"},
	{"read, # x", "expected arg0"},
	{"@include", "expected the name"},
	{"@include ../base.policy", "beside this one"},
	{"@include .policy", "beside this one"},
	{"@include base.policy # x", "no comment"},
	{"@include none.policy", "cannot read 'none.policy'"},
	{"@import base.policy", "expected @include"},
	{"read \001 # x", "control character 0x01"},
	{"read # x\r", "control character 0x0d"},
};

static void mistakes(void)
{
	char longest[POLICY_LINE_MAX + 20];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		int r = parse(wrong[i].text, "x86_64");

		if (!ok(r < 0 && strstr(err.msg, wrong[i].says) &&
				    !strncmp(err.msg, "t.policy:", 9),
			    "'%s'", wrong[i].says))
			printf("# '%s'\n", err.msg);
	}
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	ok(parse(longest, "x86_64") < 0, "a line that is too long");
	has_str(err.msg, "longer than");
}

static void limits(void)
{
	static char text[64 * 1024];
	size_t len = 0;

	for (int i = 0; i <= POLICY_RULES_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "read arg0 == %d # x\n", i);
	ok(parse(text, "x86_64") < 0, "too many rules");
	has_str(err.msg, "t.policy:257: more than 256 rules");
	eq_int(policy_must_constrain("ioctl"), 1, "ioctl's argument");
	eq_int(policy_must_constrain("read"), -1, "read has none");
}

int main(void)
{
	rules();
	architectures();
	includes();
	mistakes();
	limits();
	return tap_done();
}
