/* SPDX-License-Identifier: Apache-2.0 */
#include "seccomp/policy.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/logline.h"
#include "seccomp/policy_program.h"

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* si_code of SIGSYS: asm-generic/siginfo.h */
#endif

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#define OUR_MARK "x86_64: "
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#define OUR_MARK "aarch64: "
#else
#error "no system-call policies for this architecture"
#endif

static int report_fd = -1;
static bool report_json;

/* Of the calling thread, for the report: under its filter it could not ask for either. */
static __thread const struct policy_program *thread_program;
static __thread char thread_name[16];
static __thread bool thread_waits; /* report_fd, in its table, is a socket that answers */

/* A line put together without stdio: this is a signal handler. */
struct line {
	char text[640]; /* with its NUL */
	size_t len;
};

static void add(struct line *l, const char *s)
{
	for (; *s && l->len < sizeof(l->text) - 1; s++)
		l->text[l->len++] = *s;
	l->text[l->len] = '\0';
}

static void add_number(struct line *l, uint64_t v, unsigned base)
{
	char digits[24];
	int i = (int)sizeof(digits) - 1;

	digits[i] = '\0';
	do {
		digits[--i] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	if (base == 16)
		add(l, "0x");
	add(l, digits + i);
}

static void registers(const ucontext_t *uc, uint64_t arg[6])
{
#if defined(__x86_64__)
	static const int reg[6] = {REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9};

	for (int i = 0; i < 6; i++)
		arg[i] = (uint64_t)uc->uc_mcontext.gregs[reg[i]];
#else
	for (int i = 0; i < 6; i++)
		arg[i] = uc->uc_mcontext.regs[i];
#endif
}

/* A condition that holds for this value. Of what fills the register, a pointer as a rule, all that can
 * be said beforehand is whether there is one. */
static void add_condition(struct line *l, unsigned i, uint64_t v, const char *before)
{
	bool is_int = v <= UINT32_MAX || (int64_t)v == (int32_t)v;

	add(l, before);
	add(l, is_int ? " int" : " arg");
	add_number(l, i, 10);
	add(l, is_int ? " == " : " != ");
	add_number(l, is_int ? (uint32_t)v : 0, is_int ? 16 : 10);
}

/* The rule that would have allowed the call, as policyc accepts it. */
static void add_rule(struct line *l, int nr, const struct policy_syscall *s, const uint64_t arg[6])
{
	unsigned args = s->must_constrain;
	const char *before = "";

	if (thread_program)
		args |= thread_program->args[nr];
	if (!s->everywhere)
		add(l, OUR_MARK);
	add(l, s->name);
	for (unsigned i = 0; i < 6; i++) {
		if (!(args & 1u << i))
			continue;
		add_condition(l, i, arg[i], before);
		before = ",";
	}
	add(l, " # who calls it, and why");
}

static void describe(struct line *l, int nr, const uint64_t arg[6])
{
	const char *kind = thread_program ? thread_program->kind : "?";
	const struct policy_syscall *s = NULL;

	if (nr >= 0 && (unsigned)nr < policy_n_syscalls && policy_syscalls[nr].name)
		s = &policy_syscalls[nr];
	add(l, "coracle-vmm: system call ");
	add(l, s ? s->name : "?");
	add(l, " (");
	add_number(l, (unsigned)nr, 10);
	add(l, ") is not allowed in thread '");
	add(l, thread_name);
	add(l, "' of kind ");
	add(l, kind);
	add(l, ", arguments");
	for (int i = 0; i < 6; i++) {
		add(l, " ");
		add_number(l, arg[i], 16);
	}
	if (!s) {
		add(l, "; seccomp/");
		add(l, kind);
		add(l, ".policy cannot allow it: the number is unknown");
	} else if (s->never) {
		add(l, "; seccomp/");
		add(l, kind);
		add(l, ".policy cannot allow it: no policy may");
	} else {
		add(l, "; if it is legitimate, add to seccomp/");
		add(l, kind);
		add(l, ".policy: ");
		add_rule(l, nr, s, arg);
	}
}

/* Nobody else is to be told when it cannot be written. Who has the log answers a byte once the line is in it: the process
 * that ends with us may be its own. syscalls: clock_gettime, write, read */
static void report(int nr, const uint64_t arg[6])
{
	char text[LOGLINE_BYTES(sizeof(((struct line *)NULL)->text))];
	struct line l = {.len = 0};
	struct timespec now = {0};
	size_t len;

	if (report_fd < 0)
		return;
	describe(&l, nr, arg);
	clock_gettime(CLOCK_REALTIME, &now);
	len = logline_format(text, sizeof(text), report_json, LOG_LEVEL_ERROR, &now, l.text);
	if (write(report_fd, text, len) < 0 || !thread_waits)
		return;
	(void)!read(report_fd, text, 1); /* or the socket's limit is over */
}

/*
 * The call was not made. After the report the same call is made again: SIGSYS is blocked while its
 * handler runs, and for a blocked one the kernel does what it does by default, it ends the process
 * by that signal. So the end needs no system call that the policies would have to allow.
 */
static void on_sigsys(int signo, siginfo_t *si, void *context)
{
	uint64_t arg[6];

	if (si->si_code == SYS_SECCOMP) {
		registers(context, arg);
		report(si->si_syscall, arg);
		syscall(si->si_syscall, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	}
	for (;;)
		_exit(128 + SIGSYS); /* sent by somebody, with kill(2) */
}

int policy_init(int fd, bool json, struct err *err)
{
	struct sigaction sa = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
	sigset_t set;
	int r;

	report_fd = fd;
	report_json = json;
	/* The kick of a vCPU must not end its wait for the answer. */
	sigfillset(&sa.sa_mask);
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	r = pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	if (r)
		return err_set(err, r, "cannot unblock SIGSYS");
	if (sigaction(SIGSYS, &sa, NULL) < 0)
		return err_set(err, errno, "cannot handle SIGSYS");
	return 0;
}

static const struct policy_program *find(const char *kind)
{
	for (unsigned i = 0; i < policy_n_programs; i++) {
		if (!strcmp(policy_programs[i].kind, kind))
			return &policy_programs[i];
	}
	return NULL;
}

/* Only a socket that does not let us wait for ever. */
static bool answers(int fd)
{
	struct timeval limit = {0};
	socklen_t len = sizeof(limit);

	return getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &len) == 0 &&
	       (limit.tv_sec || limit.tv_usec);
}

int policy_install(const char *kind, struct err *err)
{
	const struct policy_program *p = find(kind);
	struct sock_fprog prog;

	if (!p)
		return err_set(err, ENOENT, "no system-call policy '%s'", kind);
	BUG_ON(p->audit_arch != OUR_ARCH);
	prog = (struct sock_fprog){
		.len = p->len, .filter = (struct sock_filter *)(uintptr_t)p->code};
	thread_program = p;
	thread_waits = answers(report_fd);
	if (prctl(PR_GET_NAME, thread_name) < 0)
		return err_set(err, errno, "cannot read the thread's name");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, errno, "cannot give up new privileges");
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return err_set(err, errno, "cannot install the system-call policy '%s'", kind);
	return 0;
}
