/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.seccomp: what the compiled programs decide, call by call, in an interpreter of classic BPF;
 * and what is refused. The kernel's own verdict is tests/bats/100-seccomp.bats's.
 */
#include "oci/seccomp.h"
#include "oci/seccomp_program.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "tests/unit/oci_config.h"

#define NATIVE  seccomp_arch_native()
#define X32_BIT 0x40000000u
#define BROKEN  0xbadbadbau /* no program returns it */

/* What libseccomp and our stub make use of; anything else is a broken program. */
static bool compare(const struct sock_filter *f, uint32_t a, bool *ret)
{
	switch (BPF_OP(f->code)) {
	case BPF_JEQ: *ret = a == f->k; return true;
	case BPF_JGT: *ret = a > f->k; return true;
	case BPF_JGE: *ret = a >= f->k; return true;
	case BPF_JSET: *ret = a & f->k; return true;
	}
	return false;
}

static uint32_t interpret(const uint64_t *insns, uint32_t n, const struct seccomp_data *d)
{
	uint32_t a = 0;

	for (uint32_t pc = 0; pc < n; pc++) {
		struct sock_filter f;
		bool yes;

		memcpy(&f, &insns[pc], sizeof(f));
		if (f.code == (BPF_LD | BPF_W | BPF_ABS) && f.k <= sizeof(*d) - 4 && !(f.k & 3))
			memcpy(&a, (const char *)d + f.k, 4);
		else if (f.code == (BPF_ALU | BPF_AND | BPF_K))
			a &= f.k;
		else if (f.code == (BPF_JMP | BPF_JA))
			pc += f.k;
		else if (BPF_CLASS(f.code) == BPF_JMP && compare(&f, a, &yes))
			pc += yes ? f.jt : f.jf;
		else if (f.code == (BPF_RET | BPF_K))
			return f.k;
		else
			return BROKEN;
	}
	return BROKEN;
}

static struct container_spec *profile;

/* The profile that the following checks are about. */
static void use(const char *json)
{
	container_spec_free(profile);
	profile = config_try("linux.seccomp", json);
	if (!profile)
		ok(false, "%s: %s", json, last_err.msg);
}

static uint32_t verdict(uint32_t arch, uint32_t nr, uint64_t arg0, uint64_t arg1)
{
	struct seccomp_data d = {.nr = (int)nr, .arch = arch, .args = {arg0, arg1}};

	if (!profile)
		return BROKEN;
	return interpret(profile->guest.seccomp, profile->guest.n_seccomp, &d);
}

static void decides(uint32_t nr, uint32_t want, const char *what)
{
	uint32_t got = verdict(NATIVE, nr, 0, 0);

	if (!ok(got == want, "%s", what))
		printf("# 0x%x instead of 0x%x\n", got, want);
}

#define MKDIR(action)                                                                   \
	"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mkdirat\"]," \
	"\"action\":\"" action "\"}]}"

static void test_actions(void)
{
	use(MKDIR("SCMP_ACT_ERRNO"));
	decides(SYS_mkdirat, SECCOMP_RET_ERRNO | EPERM, "ERRNO is EPERM");
	decides(SYS_read, SECCOMP_RET_ALLOW, "others are allowed");
	decides(4000, SECCOMP_RET_ALLOW, "so are unknown ones");
	use(MKDIR("SCMP_ACT_KILL"));
	decides(SYS_mkdirat, SECCOMP_RET_KILL_THREAD, "KILL");
	use(MKDIR("SCMP_ACT_KILL_THREAD"));
	decides(SYS_mkdirat, SECCOMP_RET_KILL_THREAD, "KILL_THREAD");
	use(MKDIR("SCMP_ACT_KILL_PROCESS"));
	decides(SYS_mkdirat, SECCOMP_RET_KILL_PROCESS, "KILL_PROCESS");
	use(MKDIR("SCMP_ACT_TRAP"));
	decides(SYS_mkdirat, SECCOMP_RET_TRAP, "TRAP");
	use(MKDIR("SCMP_ACT_LOG"));
	decides(SYS_mkdirat, SECCOMP_RET_LOG, "LOG");
	use(MKDIR("SCMP_ACT_TRACE"));
	decides(SYS_mkdirat, SECCOMP_RET_TRACE | EPERM, "TRACE");
	use(MKDIR("SCMP_ACT_TRACE\",\"errnoRet\":65535,\"\":\""));
	decides(SYS_mkdirat, SECCOMP_RET_TRACE | 65535, "TRACE with a message");
	use(MKDIR("SCMP_ACT_ERRNO\",\"errnoRet\":4094,\"\":\""));
	decides(SYS_mkdirat, SECCOMP_RET_ERRNO | 4094, "ERRNO with a number");
	use(MKDIR("SCMP_ACT_ERRNO\",\"errnoRet\":0,\"\":\""));
	decides(SYS_mkdirat, SECCOMP_RET_ERRNO, "ERRNO 0: done, without doing it");
	use(MKDIR("SCMP_ACT_ALLOW"));
	decides(SYS_mkdirat, SECCOMP_RET_ALLOW, "a rule that says what the default says");
}

/* Of a default that denies: what the profile is too old to know fails with ENOSYS. */
static void test_stub(void)
{
	const char *names = "\"syscalls\":[{\"names\":[\"read\",\"mkdirat\",\"no_such_call\"],"
			    "\"action\":\"SCMP_ACT_ALLOW\"}]}";
	char json[512];
	uint32_t last = MAX((uint32_t)SYS_read, (uint32_t)SYS_mkdirat);

	snprintf(json, sizeof(json), "{\"defaultAction\":\"SCMP_ACT_KILL_PROCESS\",%s", names);
	use(json);
	decides(SYS_mkdirat, SECCOMP_RET_ALLOW, "allowed");
	decides(SYS_close, SECCOMP_RET_KILL_PROCESS, "not named");
	decides(last + 1, SECCOMP_RET_ERRNO | ENOSYS, "newer than all that are named");
	decides(UINT32_MAX >> 2, SECCOMP_RET_ERRNO | ENOSYS, "much newer");
	snprintf(json, sizeof(json),
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":7,%s", names);
	use(json);
	decides(SYS_close, SECCOMP_RET_ERRNO | 7, "the default's own errno");
	decides(last + 1, SECCOMP_RET_ERRNO | ENOSYS, "ENOSYS beside it");
	snprintf(json, sizeof(json),
		"{\"defaultAction\":\"SCMP_ACT_TRACE\",\"defaultErrnoRet\":7,%s", names);
	use(json);
	decides(last + 1, SECCOMP_RET_TRACE | 7, "not beside TRACE");
	snprintf(json, sizeof(json),
		"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,%s", names);
	use(json);
	decides(SYS_close, SECCOMP_RET_ERRNO | ENOSYS, "a default of ENOSYS");
	decides(last + 1, SECCOMP_RET_ERRNO | ENOSYS, "is one for new ones too");
	use("{\"defaultAction\":\"SCMP_ACT_ERRNO\"}");
	decides(SYS_close, SECCOMP_RET_ERRNO | EPERM, "no system calls named: no stub");
	decides(4000, SECCOMP_RET_ERRNO | EPERM, "for no number");
}

#ifdef __x86_64__
#define I386_MKDIR 39
#define I386_READ  3

static void test_archs(void)
{
	use("{\"defaultAction\":\"SCMP_ACT_TRAP\",\"architectures\":[\"SCMP_ARCH_X86_64\","
	    "\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\",\"SCMP_ARCH_S390X\",\"SCMP_ARCH_AARCH64\","
	    "\"SCMP_ARCH_RISCV64\",\"SCMP_ARCH_LOONGARCH64\",\"SCMP_ARCH_X86\"],"
	    "\"syscalls\":[{\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_ALLOW\"}]}");
	eq_int(verdict(AUDIT_ARCH_X86_64, SYS_mkdir, 0, 0), SECCOMP_RET_ALLOW, "x86-64");
	eq_int(verdict(AUDIT_ARCH_X86_64, SYS_read, 0, 0), SECCOMP_RET_TRAP, "its default");
	eq_int(verdict(AUDIT_ARCH_X86_64, SYS_mkdir + 1, 0, 0), SECCOMP_RET_ERRNO | ENOSYS,
		"its newer calls");
	eq_int(verdict(AUDIT_ARCH_I386, I386_MKDIR, 0, 0), SECCOMP_RET_ALLOW, "i386");
	eq_int(verdict(AUDIT_ARCH_I386, I386_READ, 0, 0), SECCOMP_RET_TRAP, "its default");
	eq_int(verdict(AUDIT_ARCH_I386, I386_MKDIR + 1, 0, 0), SECCOMP_RET_ERRNO | ENOSYS,
		"its newer calls");
	eq_int(verdict(AUDIT_ARCH_X86_64, X32_BIT | SYS_mkdir, 0, 0), SECCOMP_RET_ERRNO | ENOSYS,
		"x32 is not there");
	eq_int(verdict(AUDIT_ARCH_X86_64, X32_BIT, 0, 0), SECCOMP_RET_ERRNO | ENOSYS,
		"from its first call on");
	eq_int(verdict(AUDIT_ARCH_S390X, SYS_mkdir, 0, 0), SECCOMP_RET_KILL_THREAD,
		"another machine's calls cannot be");
	use("{\"defaultAction\":\"SCMP_ACT_TRAP\",\"architectures\":[\"SCMP_ARCH_X86\"],"
	    "\"syscalls\":[{\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_ALLOW\"}]}");
	eq_int(verdict(AUDIT_ARCH_X86_64, SYS_mkdir, 0, 0), SECCOMP_RET_ALLOW,
		"the machine's own is there unnamed");
	eq_int(verdict(AUDIT_ARCH_X86_64, X32_BIT | SYS_mkdir, 0, 0), SECCOMP_RET_KILL_THREAD,
		"x32 is not");
	eq_int(verdict(AUDIT_ARCH_X86_64, SYS_mkdir + 1, 0, 0), SECCOMP_RET_ERRNO | ENOSYS,
		"its newer calls");
	use("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X32\"]}");
	eq_int(verdict(AUDIT_ARCH_X86_64, X32_BIT | SYS_mkdir, 0, 0), SECCOMP_RET_ERRNO | ENOSYS,
		"x32 is not there for a default of ALLOW either");
	eq_int(verdict(AUDIT_ARCH_X86_64, 4000, 0, 0), SECCOMP_RET_ALLOW, "and nothing else");
	use("{\"defaultAction\":\"SCMP_ACT_ALLOW\"}");
	eq_int(verdict(AUDIT_ARCH_I386, I386_MKDIR, 0, 0), SECCOMP_RET_KILL_THREAD,
		"nor i386, whatever the default");
}
#endif

/* semop(2) has no number of its own there: its only way in, ipc(2), stands above all that is named. */
static void test_part_above_all(void)
{
	if (NATIVE != SCMP_ARCH_X86_64) {
		skip("no i386 here");
		return;
	}
	use("{\"defaultAction\":\"SCMP_ACT_TRAP\",\"architectures\":[\"SCMP_ARCH_X86\"],"
	    "\"syscalls\":[{\"names\":[\"mkdir\",\"semop\"],\"action\":\"SCMP_ACT_ALLOW\"}]}");
	eq_int(verdict(AUDIT_ARCH_I386, 39, 0, 0), SECCOMP_RET_ALLOW, "mkdir");
	eq_int(verdict(AUDIT_ARCH_I386, 38, 0, 0), SECCOMP_RET_TRAP, "below it the default");
	eq_int(verdict(AUDIT_ARCH_I386, 40, 0, 0), SECCOMP_RET_ERRNO | ENOSYS, "above it none");
	eq_int(verdict(AUDIT_ARCH_I386, 116, 0, 0), SECCOMP_RET_ERRNO | ENOSYS, "up to ipc");
	eq_int(verdict(AUDIT_ARCH_I386, 117, 1, 0), SECCOMP_RET_ALLOW, "ipc for semop");
	eq_int(verdict(AUDIT_ARCH_I386, 117, 2, 0), SECCOMP_RET_TRAP, "for nothing else");
	eq_int(verdict(AUDIT_ARCH_I386, 118, 0, 0), SECCOMP_RET_ERRNO | ENOSYS, "above that none");
}

static void test_operators(void)
{
	static const struct {
		const char *op;
		uint64_t value, two, arg;
		bool holds;
	} cases[] = {
		{"NE", 5, 0, 5, false},
		{"NE", 5, 0, 5 + (1ull << 32), true},
		{"LT", 1ull << 40, 0, (1ull << 40) - 1, true},
		{"LT", 1ull << 40, 0, 1ull << 40, false},
		{"LE", 1ull << 40, 0, 1ull << 40, true},
		{"LE", 1ull << 40, 0, (1ull << 40) + 1, false},
		{"EQ", UINT64_MAX, 0, UINT64_MAX, true},
		{"EQ", UINT64_MAX, 0, UINT32_MAX, false},
		{"GE", 7, 0, 7, true},
		{"GE", 7, 0, 6, false},
		{"GT", 7, 0, 8, true},
		{"GT", 7, 0, 7, false},
		{"MASKED_EQ", 0xff00, 0x1200, 0x1256ff, false},
		{"MASKED_EQ", 0xff00, 0x1200, 0x561234, true},
		{"MASKED_EQ", 0x7e020000, 0, 0x11, true},
		{"MASKED_EQ", 0x7e020000, 0, 0x10000000, false},
	};
	char json[512];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(json, sizeof(json),
			"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":["
			"\"socket\"],"
			"\"action\":\"SCMP_ACT_TRAP\",\"args\":[{\"index\":1,\"value\":%llu,"
			"\"valueTwo\":%llu,\"op\":\"SCMP_CMP_%s\"}]}]}",
			(unsigned long long)cases[i].value, (unsigned long long)cases[i].two,
			cases[i].op);
		use(json);
		eq_int(verdict(NATIVE, SYS_socket, 99, cases[i].arg),
			cases[i].holds ? SECCOMP_RET_TRAP : SECCOMP_RET_ALLOW, cases[i].op);
		eq_int(verdict(NATIVE, SYS_read, 99, cases[i].arg), SECCOMP_RET_ALLOW,
			"not for other calls");
	}
}

static void test_args(void)
{
	use("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"socket\"],"
	    "\"action\":\"SCMP_ACT_ALLOW\",\"args\":["
	    "{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},"
	    "{\"index\":1,\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]}]}");
	eq_int(verdict(NATIVE, SYS_socket, 1, 2), SECCOMP_RET_ALLOW, "both hold");
	eq_int(verdict(NATIVE, SYS_socket, 1, 3), SECCOMP_RET_ERRNO | EPERM, "one does not");
	use("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"socket\"],"
	    "\"action\":\"SCMP_ACT_ALLOW\",\"args\":["
	    "{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},"
	    "{\"index\":0,\"value\":16,\"op\":\"SCMP_CMP_EQ\"}]}]}");
	eq_int(verdict(NATIVE, SYS_socket, 1, 0), SECCOMP_RET_ALLOW, "twice the same: this");
	eq_int(verdict(NATIVE, SYS_socket, 16, 0), SECCOMP_RET_ALLOW, "or that");
	eq_int(verdict(NATIVE, SYS_socket, 2, 0), SECCOMP_RET_ERRNO | EPERM, "else not");
	use("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":["
	    "{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":["
	    "{\"index\":0,\"value\":0,\"op\":\"SCMP_CMP_EQ\"}]},"
	    "{\"names\":[\"personality\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":["
	    "{\"index\":0,\"value\":4294967295,\"op\":\"SCMP_CMP_EQ\"}]}]}");
	eq_int(verdict(NATIVE, SYS_personality, 0, 0), SECCOMP_RET_ALLOW, "two entries: this");
	eq_int(verdict(NATIVE, SYS_personality, UINT32_MAX, 0), SECCOMP_RET_ALLOW, "or that");
	eq_int(verdict(NATIVE, SYS_personality, 8, 0), SECCOMP_RET_ERRNO | EPERM, "else not");
}

/* Every call that libseccomp knows, as an engine lists them: some with a condition. */
static char *big_profile(void)
{
	char *text = NULL, *name;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	bool first = true;

	fprintf(f, "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":1,\"architectures\":["
		   "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],\"syscalls\":[");
	for (int nr = 0; nr < 500; nr++) {
		name = seccomp_syscall_resolve_num_arch(NATIVE, nr);
		if (!name)
			continue;
		fprintf(f, "%s{\"names\":[\"%s\"],\"action\":\"SCMP_ACT_ALLOW\"", first ? "" : ",",
			name);
		if (nr % 10 == 5)
			fprintf(f, ",\"args\":[{\"index\":0,\"value\":%d,\"op\":\"SCMP_CMP_GE\"}]",
				nr);
		fprintf(f, "}");
		first = false;
		free(name);
	}
	fprintf(f, "]}");
	fclose(f);
	return text;
}

static uint64_t cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* What the profile above is to say of every call of an architecture. */
static void check_big(uint32_t token, uint32_t arch)
{
	unsigned wrong = 0, allowed = 0;

	for (uint32_t nr = 0; nr < 450; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(token, (int)nr);
		int native = name ? seccomp_syscall_resolve_name_arch(NATIVE, name) : -1;
		bool known = native >= 0, cond = native % 10 == 5;
		uint32_t with = verdict(arch, nr, (uint64_t)native, 0);
		uint32_t without = verdict(arch, nr, (uint64_t)native - 1, 0);

		if (known && native > 0 &&
			(with != SECCOMP_RET_ALLOW || without != (cond ? SECCOMP_RET_ERRNO | EPERM
								       : SECCOMP_RET_ALLOW)) &&
			wrong++ < 5)
			printf("# %s (%u): 0x%x, 0x%x\n", name, nr, with, without);
		allowed += with == SECCOMP_RET_ALLOW;
		free(name);
	}
	eq_int(wrong, 0, "every named call is judged right");
	ok(allowed > 200, "%u of them allowed", allowed);
	eq_int(verdict(arch, 1000, 0, 0), SECCOMP_RET_ERRNO | ENOSYS, "ENOSYS above all");
}

static void test_big(void)
{
	char *json = big_profile();
	uint64_t start;

	start = cpu_us();
	use(json);
	printf("# %zu bytes of profile, %u instructions, %llu us of CPU time\n", strlen(json),
		profile ? profile->guest.n_seccomp : 0, (unsigned long long)(cpu_us() - start));
	free(json);
	check_big(NATIVE, NATIVE);
#ifdef __x86_64__
	check_big(SCMP_ARCH_X86, AUDIT_ARCH_I386);
#endif
}

/* What libseccomp 2.5.4 leaks when a rule is one that it has: for LeakSanitizer, which looks it up. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libseccomp.so\n";
}

/* --- the same by libseccomp's compiler ----------------------------------------------------------- */

static uint32_t seed = 1;

static uint32_t any(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

/* Without recv and semtimedop: what i386 has only as a part, 2.5.4 forgets. */
static const char *const some_calls[] = {"read", "socket", "socketcall", "sendmmsg", "shmget",
	"ipc", "mmap", "mmap2", "personality", "clone", "_llseek", "exit"};
static const uint64_t some_values[] = {
	0, 1, 2, 40, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, UINT64_MAX};

static struct scmp_arg_cmp any_condition(void)
{
	/* libseccomp sees the lower half only of what i386 compares with. */
	return (struct scmp_arg_cmp){.arg = any(2),
		.op = (enum scmp_compare)(1 + any(7)),
		.datum_a = some_values[any(8)],
		.datum_b = some_values[any(4)]};
}

static unsigned count_differences(const struct seccomp_program *p, const uint64_t *ours, uint32_t n,
	const uint64_t *theirs, uint32_t n_theirs)
{
	unsigned differ = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(some_calls) * p->n_archs * 40; i++) {
		const struct seccomp_arch *a = &p->archs[i % p->n_archs];
		const char *name = some_calls[any(ARRAY_SIZE(some_calls))];
		int nr = any(2) ? seccomp_syscall_resolve_name_rewrite(a->token, name)
				: (int)any(450);
		unsigned values = a->token == NATIVE ? ARRAY_SIZE(some_values) : 8;
		struct seccomp_data d = {.arch = a->token,
			.nr = nr,
			.args = {some_values[any(values)], some_values[any(values)]}};

		if (any(2))
			d.args[0] = any(25); /* parts of socketcall and ipc */
		if (nr >= 0 && interpret(ours, n, &d) != interpret(theirs, n_theirs, &d) &&
			differ++ < 3)
			printf("# %s %d of 0x%x (0x%llx, 0x%llx): 0x%x, libseccomp 0x%x\n", name,
				nr, a->token, (unsigned long long)d.args[0],
				(unsigned long long)d.args[1], interpret(ours, n, &d),
				interpret(theirs, n_theirs, &d));
	}
	return differ;
}

static unsigned try_random_rules(uint32_t default_action, uint32_t action)
{
	static uint64_t ours[GSPEC_BPF_MAX], theirs[GSPEC_BPF_MAX];
	scmp_filter_ctx ctx = seccomp_init(default_action);
	struct seccomp_program p;
	unsigned rules = any(12), differ;
	FILE *f = tmpfile();
	uint32_t n = 0;
	size_t n_theirs;

	seccomp_program_init(&p, default_action, false);
#ifdef __x86_64__
	seccomp_arch_add(ctx, SCMP_ARCH_X86);
	seccomp_program_add_arch(&p, SCMP_ARCH_X86);
#endif
	for (unsigned i = 0; i < rules; i++) {
		const char *name = some_calls[any(ARRAY_SIZE(some_calls))];
		struct scmp_arg_cmp c[2] = {any_condition(), any_condition()};
		unsigned args = any(3);

		/* With several rules of several conditions for a call, libseccomp's own tree
		 * loses some of them. */
		if (args == 2 && (c[0].arg == c[1].arg || rules > 1))
			args = 1;
		seccomp_program_add(&p, name, action, c, args);
		seccomp_rule_add_array(ctx, action, seccomp_syscall_resolve_name(name), args, c);
	}
	seccomp_program_export(&p, ours, GSPEC_BPF_MAX, &n);
	seccomp_export_bpf(ctx, fileno(f));
	rewind(f);
	n_theirs = fread(theirs, sizeof(*theirs), GSPEC_BPF_MAX, f);
	differ = count_differences(&p, ours, n, theirs, (uint32_t)n_theirs);
	fclose(f);
	seccomp_release(ctx);
	seccomp_program_release(&p);
	return differ;
}

static void test_against_libseccomp(void)
{
	unsigned differ = 0;

	for (unsigned i = 0; i < 150; i++) {
		differ += try_random_rules(SCMP_ACT_ERRNO(1), SCMP_ACT_ALLOW);
		differ += try_random_rules(SCMP_ACT_ALLOW, SCMP_ACT_KILL_PROCESS);
	}
	eq_int(differ, 0, "300 random profiles are judged as libseccomp's own programs judge");
}

static void test_flags(void)
{
	use("{\"defaultAction\":\"SCMP_ACT_ALLOW\"}");
	ok(profile->guest.flags & GSPEC_SECCOMP, "a profile");
	eq_int(profile->guest.seccomp_flags, SECCOMP_FILTER_FLAG_SPEC_ALLOW, "runc's default flag");
	use("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[]}");
	eq_int(profile->guest.seccomp_flags, 0, "none when none are listed");
	use("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\","
	    "\"SECCOMP_FILTER_FLAG_TSYNC\"]}");
	eq_int(profile->guest.seccomp_flags, SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_TSYNC,
		"those listed");
	use("{}");
	ok(!(profile->guest.flags & GSPEC_SECCOMP), "an empty object is no profile");
	use("{\"architectures\":[\"SCMP_ARCH_X86_64\"],\"syscalls\":[]}");
	ok(!(profile->guest.flags & GSPEC_SECCOMP), "nor is one that denies and allows nothing");
}

static void refuses(const char *path, const char *value, const char *why)
{
	has_str(config_says(path, value), why);
}

#define ONE_ARG "\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]"

static void test_errors(void)
{
	char many[GSPEC_BPF_MAX * 100], *p = many;

	refuses("linux.seccomp", "{\"defaultAction\":\"ALLOW\"}",
		"linux.seccomp.defaultAction: unknown action 'ALLOW'");
	refuses("linux.seccomp", MKDIR("SCMP_ACT_NONE"),
		"linux.seccomp.syscalls[0].action: unknown action 'SCMP_ACT_NONE'");
	refuses("linux.seccomp", MKDIR("SCMP_ACT_NOTIFY"),
		"linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY is not supported yet");
	refuses("linux.seccomp", "{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}",
		"linux.seccomp.defaultAction: SCMP_ACT_NOTIFY is not supported yet");
	refuses("linux.seccomp.listenerPath", "\"/run/x\"",
		"linux.seccomp.listenerPath is not supported yet");
	refuses("linux.seccomp.flags", "[\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"]",
		"linux.seccomp.flags[0]: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is not supported");
	refuses("linux.seccomp.flags", "[\"FOO\"]", "linux.seccomp.flags[0]: unknown flag 'FOO'");
	refuses("linux.seccomp.architectures", "[\"SCMP_ARCH_X86\",\"x86\"]",
		"linux.seccomp.architectures[1]: unknown architecture 'x86'");
	refuses("linux.seccomp", MKDIR("SCMP_ACT_KILL\",\"errnoRet\":1,\"\":\""),
		"linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_KILL has no errno");
	refuses("linux.seccomp", MKDIR("SCMP_ACT_ERRNO\",\"errnoRet\":4095,\"\":\""),
		"linux.seccomp.syscalls[0].errnoRet: too large for SCMP_ACT_ERRNO");
	refuses("linux.seccomp", MKDIR("SCMP_ACT_TRACE\",\"errnoRet\":65536,\"\":\""),
		"errnoRet: too large for SCMP_ACT_TRACE");
	refuses("linux.seccomp", "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":1}",
		"linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW has no errno");
	refuses("linux.seccomp",
		"{\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_LOG\"}]}",
		"linux.seccomp: defaultAction is missing");
	refuses("linux.seccomp.syscalls", "[{\"names\":[\"read\"]}]",
		"linux.seccomp.syscalls[0]: action is missing");
	refuses("linux.seccomp.syscalls", "[{\"action\":\"SCMP_ACT_LOG\"}]",
		"linux.seccomp.syscalls[0]: names is missing or empty");
	refuses("linux.seccomp.syscalls[0].args[0].op", "\"EQ\"",
		"linux.seccomp.syscalls[0].args[0]: unknown operator 'EQ'");
	refuses("linux.seccomp.syscalls[0].args[0].index", "6",
		"linux.seccomp.syscalls[0].args[0].index: expected an integer from 0 to 5");
	refuses("linux.seccomp.syscalls",
		"[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_LOG\"," ONE_ARG "},"
		"{\"names\":[\"write\",\"read\"],\"action\":\"SCMP_ACT_TRAP\"," ONE_ARG "}]",
		"linux.seccomp.syscalls[1].names[1]: the rule for 'read' conflicts");
	p += sprintf(p, "[");
	for (int i = 0; i < 1200; i++)
		p += sprintf(p,
			"%s{\"names\":[\"ioctl\"],\"action\":\"SCMP_ACT_TRAP\",\"args\":["
			"{\"index\":1,\"value\":%llu,\"op\":\"SCMP_CMP_EQ\"}]}",
			i ? "," : "", (unsigned long long)i << 32 | (unsigned)i);
	sprintf(p, "]");
	refuses("linux.seccomp.syscalls", many, "the program has more than 4096 instructions");
}

static char debugged[512];

static void note_debug(void *arg, const char *msg)
{
	(void)arg;
	snprintf(debugged, sizeof(debugged), "%s", msg);
}

static void test_lenient(void)
{
	struct spec_opts opts = {.lenient = true, .warn = note_warning, .debug = note_debug};
	char *text = config_edit(full_config, "linux.seccomp", MKDIR("SCMP_ACT_NOTIFY"));
	char *other;

	container_spec_free(profile);
	profile = config_parse_with(text, true, false);
	has_str(warnings, "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY is not supported yet");
	decides(SYS_mkdirat, SECCOMP_RET_ERRNO | ENOSYS, "NOTIFY without a listener");
	other = config_edit(text, "linux.seccomp.syscalls[0].names[0]", "\"no_such_call\"");
	container_spec_free(profile);
	profile = NULL;
	eq_int(spec_parse(&profile, other, strlen(other), &opts, &last_err), 0, "an unknown call");
	eq_str(debugged,
		"config.json: linux.seccomp.syscalls[0].names[0]: unknown system call "
		"'no_such_call' is ignored",
		"is for the debug log");
	free(text);
	free(other);
}

int main(void)
{
	test_actions();
	test_stub();
#ifdef __x86_64__
	test_archs();
	test_part_above_all();
#endif
	test_operators();
	test_args();
	test_big();
	test_against_libseccomp();
	test_flags();
	test_errors();
	test_lenient();
	container_spec_free(profile);
	return tap_done();
}
