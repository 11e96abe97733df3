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

/* Few calls are enough; only_there and only_here are on one machine each. */
static int nr_of(void *opaque, const char *arch, const char *name)
{
	static const char *const names[] = {"read", "write", "ioctl", "mmap", "mprotect", "prctl",
		"clone", "fcntl", "tgkill", "openat", "execve", "io_uring_setup", "futex",
		"madvise", "socket", "setsockopt", "getsockopt", "sendto", "mknodat",
		"open_by_handle_at", "kill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
		"pidfd_send_signal", "socketpair", "prlimit64", "memfd_create", "fallocate",
		"accept4", "preadv2", "pwritev2", "renameat2", "unlinkat", "linkat", "lseek",
		"recvmsg", "sendmsg", "recvfrom", "only_here", "only_there"};

	if (!strcmp(name, strcmp(arch, "x86_64") ? "only_here" : "only_there"))
		return -1;

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
		{"empty.policy", "# SPDX\n\n"},
		{"outer.policy", "@include base.policy\n"},
		{"arm.policy", "aarch64: only_there # why\n"},
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

static int parse_as(const char *file, const char *text, const char *arch)
{
	const struct policy_env env = {.arch = arch, .syscall_nr = nr_of, .include = include};
	size_t len = strlen(text);
	char *exact = malloc(len ? len : 1);
	int r;

	memcpy(exact, text, len);
	memset(&p, 0, sizeof(p));
	err = (struct err)ERR_INIT;
	r = policy_parse(&p, &env, file, exact, len, &err);
	free(exact);
	return r;
}

static int parse(const char *text, const char *arch)
{
	return parse_as("t.policy", text, arch);
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
	eq_int(parse("read int2 & ~1|2 == 4 # x\nread arg1 & ~0xff == 0 # y", "x86_64"), 0,
		"the bits that do not matter");
	ok(p.rule[0].cond[0].mask == 0xfffffffc && p.rule[0].cond[0].value == 4 &&
			p.rule[1].cond[0].mask == ~0xffull,
		"are not in the mask");
}

/* What one rule says of a call and another does not. */
static void side_by_side(void)
{
	static const char *const both[] = {
		"read arg0 == 1 # x\nread arg1 == 1 # y",
		"read arg0 == 1, arg1 == 1 # x\nread arg0 == 1, arg1 == 2 # y",
		"read int0 & 3 == 1 # x\nread int0 & 4 == 4 # y",
		"read arg0 < 5 # x\nread arg0 >= 5 # y",
		"read arg0 < 5 # x\nread arg0 & ~7 == 0 # y",
		"read arg0 != 5 # x\nread arg0 == 5 # y",
		"openat int2 & ~3 == 8 # x\nopenat int2 & ~4 == 8 # y",
	};

	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		if (!ok(parse(both[i], "x86_64") == 0 && p.n == 2, "neither is in the other"))
			printf("# %s: %s\n", both[i], err.msg);
	}
}

static uint64_t constant(const char *arch, const char *text)
{
	char line[128];

	snprintf(line, sizeof(line), "read int0 == %s # x", text);
	return parse(line, arch) == 0 ? p.rule[0].cond[0].value : UINT64_MAX;
}

/* arch/arm64/include/uapi/asm/fcntl.h */
static void constants(void)
{
	eq_int(constant("x86_64", "O_DIRECTORY"), 0200000, "x86's O_DIRECTORY");
	eq_int(constant("aarch64", "O_DIRECTORY"), 040000, "arm64's");
	eq_int(constant("x86_64", "O_NOFOLLOW"), 0400000, "x86's O_NOFOLLOW");
	eq_int(constant("aarch64", "O_NOFOLLOW"), 0100000, "arm64's");
	eq_int(constant("x86_64", "O_DIRECT"), 040000, "x86's O_DIRECT");
	eq_int(constant("aarch64", "O_DIRECT"), 0200000, "arm64's");
	eq_int(constant("x86_64", "O_TMPFILE"), 020200000, "x86's O_TMPFILE");
	eq_int(constant("aarch64", "O_TMPFILE"), 020040000, "arm64's");
	eq_int(constant("aarch64", "O_CLOEXEC"), 02000000, "O_CLOEXEC is one for all");
	eq_int(parse("aarch64: read int0 == O_DIRECT # x", "x86_64"), 0, "a line for arm64");
	eq_int(p.n, 0, "is looked at on x86-64, and left out");
}

static void architectures(void)
{
	eq_int(parse("x86_64: read # x\naarch64: write # y", "aarch64"), 0, "marked lines");
	ok(p.n == 1 && !strcmp(p.rule[0].name, "write"), "are for their architecture");
	eq_int(parse("aarch64: only_there # x", "x86_64"), 0, "a call that is only there");
	ok(parse("x86_64: only_there # x", "x86_64") < 0, "is missed here");
	has_str(err.msg, "t.policy:1: x86_64 has no system call 'only_there'");
	ok(parse("aarch64: only_here # x", "x86_64") < 0, "and one that is only here there");
	has_str(err.msg, "aarch64 has no system call 'only_here'");
	ok(parse("only_here # x", "x86_64") < 0, "which an unmarked line does not say");
	has_str(err.msg, "aarch64 has no system call 'only_here': mark the line");
	ok(parse("aarch64: nowhere # x", "x86_64") < 0, "one that no machine has");
	has_str(err.msg, "unknown system call 'nowhere'");
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
	ok(parse("read # x\n@include empty.policy", "x86_64") < 0, "an include without a rule");
	eq_str(err.msg, "t.policy:2: the include adds nothing: 'empty.policy' has no rule",
		"is told");
	eq_int(parse("@include outer.policy", "x86_64"), 0, "one that has an include only");
	eq_int(parse("@include arm.policy", "x86_64"), 0, "one for another architecture");
	eq_int(p.n, 0, "adds nothing here");
	ok(parse("@include base.policy\n@include outer.policy", "x86_64") < 0, "one twice");
	eq_int(parse_as("dir/t.policy", "@include base.policy", "x86_64"), 0, "a directory");
	eq_str(p.rule[0].file, "dir/base.policy", "is kept");
	ok(parse_as("dir/t.policy", "@include bad.policy", "x86_64") < 0, "and shown");
	eq_str(err.msg, "dir/bad.policy:3: unknown system call 'nonsense'", "where it is");
}

static const struct {
	const char *text, *says;
} wrong[] = {
	{"read", "t.policy:1: the reason is missing"},
	{"\nread   #", "t.policy:2: the reason is empty"},
	{"read # --", "the reason is empty"},
	{"raed # x", "unknown system call 'raed'"},
	{"read # x\nread # y", "t.policy:2: read: the same rule stands at t.policy:1"},
	{"read # x\nread arg0 == 1 # y", "t.policy:2: read: the rule at t.policy:1 allows all of"},
	{"read arg0 == 1 # x\nread # y", "makes the narrower rule at t.policy:1 pointless"},
	{"ioctl int1 == 1 # x\nioctl int1 == 1 # y", "the same rule stands at t.policy:1"},
	{"ioctl int1 == 1 # x\nioctl arg1 == 1 # y", "the rule at t.policy:1 allows all of this"},
	{"read arg0 & 3 == 1 # x\nread arg0 & 7 == 5 # y", "the rule at t.policy:1 allows all of"},
	{"read arg0 & ~7 == 0 # x\nread arg0 & ~3 == 0 # y", "t.policy:1 allows all of this"},
	{"read arg0 & ~3 == 0 # x\nread arg0 & ~7 == 0 # y", "narrower rule at t.policy:1"},
	{"read arg0 == 1 # x\nread arg0 == 1, arg1 == 2 # y", "t.policy:1 allows all of this"},
	{"read arg0 < 8 # x\nread arg0 == 7 # y", "t.policy:1 allows all of this"},
	{"read arg0 < 8 # x\nread arg0 & ~7 == 0 # y", "t.policy:1 allows all of this"},
	{"read arg0 <= 7 # x\nread arg0 < 8 # y", "the same rule stands at t.policy:1"},
	{"read arg0 != 8 # x\nread arg0 > 8 # y", "t.policy:1 allows all of this"},
	{"read arg0 != 8 # x\nread arg0 & 1 == 1 # y", "t.policy:1 allows all of this"},
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
	{"clone arg0 == SIGURG # x", "clone must make threads only"},
	{"clone arg0 & CLONE_THREAD == 0 # x", "clone must make threads only"},
	{"fcntl # x", "fcntl needs a condition on argument 1"},
	{"madvise # x", "madvise needs a condition on argument 2"},
	{"socket # x", "socket needs a condition on argument 0"},
	{"socket int0 == AF_UNIX # x", "socket needs a condition on argument 1"},
	{"setsockopt int2 == 1 # x", "setsockopt needs a condition on argument 1"},
	{"getsockopt int1 == SOL_SOCKET # x", "getsockopt needs a condition on argument 2"},
	{"openat # x", "openat needs a condition on argument 2"},
	{"open_by_handle_at int0 == 3 # x", "open_by_handle_at needs a condition on argument 2"},
	{"mknodat # x", "mknodat needs a condition on argument 2"},
	{"sendto int3 == MSG_NOSIGNAL # x", "sendto needs a condition on argument 4"},
	{"sendto int4 == 0 # x", "sendto needs a condition on argument 3"},
	{"tgkill arg0 == 1 # x", "tgkill needs a condition on argument 2"},
	{"kill int0 == 1 # x", "kill needs a condition on argument 1"},
	{"kill arg1 < 9 # x", "kill needs argument 1 to be one value"},
	{"rt_sigqueueinfo # x", "rt_sigqueueinfo needs a condition on argument 1"},
	{"rt_tgsigqueueinfo # x", "rt_tgsigqueueinfo needs a condition on argument 2"},
	{"pidfd_send_signal # x", "pidfd_send_signal needs a condition on argument 1"},
	{"socketpair int0 == AF_UNIX # x", "socketpair needs a condition on argument 1"},
	{"prlimit64 int0 == 0 # x", "prlimit64 needs a condition on argument 1"},
	{"memfd_create # x", "memfd_create needs a condition on argument 1"},
	{"fallocate # x", "fallocate needs a condition on argument 1"},
	{"accept4 # x", "accept4 needs a condition on argument 3"},
	{"preadv2 # x", "preadv2 needs a condition on argument 5"},
	{"pwritev2 # x", "pwritev2 needs a condition on argument 5"},
	{"renameat2 # x", "renameat2 needs a condition on argument 4"},
	{"unlinkat # x", "unlinkat needs a condition on argument 2"},
	{"linkat # x", "linkat needs a condition on argument 4"},
	{"lseek arg2 <= 4 # x", "lseek needs argument 2 to be one value"},
	{"recvmsg # x", "recvmsg needs a condition on argument 2"},
	{"sendmsg # x", "sendmsg needs a condition on argument 2"},
	{"recvfrom # x", "recvfrom needs a condition on argument 3"},
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
	{"read int0 & ~O_CLOEXEC == O_CLOEXEC # x", "never equal"},
	{"read int0 & 0x100000000 == 0 # x", "bits that an int has not"},
	{"read arg0 & 0 == 0 # x", "the mask is empty"},
	{"read int0 & ~0xffffffff == 0 # x", "the mask is empty"},
	{"read arg0 < 0 # x", "the condition is never true"},
	{"read arg0 > -1 # x", "the condition is never true"},
	{"read arg0 >= 0 # x", "the condition is always true"},
	{"read arg0 <= -1 # x", "the condition is always true"},
	{"read arg0 == ~1 # x", "a value is missing"},
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
	eq_int(policy_must_constrain("ioctl"), BIT(1), "ioctl's argument");
	eq_int(policy_must_constrain("setsockopt"), BIT(1) | BIT(2), "setsockopt's two");
	eq_int(policy_must_constrain("read"), 0, "read has none");
	ok(policy_is_never("execve") && !policy_is_never("read"), "what is never allowed");
}

int main(void)
{
	rules();
	side_by_side();
	constants();
	architectures();
	includes();
	mistakes();
	limits();
	return tap_done();
}
