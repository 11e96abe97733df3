/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a thread that waits in a system call make another one, and lets it go:
 *
 *	force_call TID NUMBER [ARG...]
 *
 * Numbers are as C writes them; arguments that are not there are 0. The thread is caught, by ptrace, where it enters its
 * next call, before the filter has seen that: what follows is what follows a call of the program's own. x86-64.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "lib/base.h"

static pid_t tid;

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "force_call: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void trace(enum __ptrace_request request, void *data)
{
	if (ptrace(request, tid, NULL, data) < 0)
		die("ptrace");
}

static void await_stop(void)
{
	int status;

	if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
		die("it does not stop");
}

int main(int argc, char **argv)
{
	struct user_regs_struct regs;
	unsigned long long *arg[] = {
		&regs.rdi, &regs.rsi, &regs.rdx, &regs.r10, &regs.r8, &regs.r9};

	if (argc < 3 || argc > 3 + (int)ARRAY_SIZE(arg))
		return 2;
	tid = atoi(argv[1]);
	trace(PTRACE_SEIZE, NULL);
	trace(PTRACE_INTERRUPT, NULL);
	await_stop();
	trace(PTRACE_SYSCALL, NULL);
	await_stop();
	trace(PTRACE_GETREGS, &regs);
	errno = 0;
	if ((long long)regs.rax != -ENOSYS)
		die("it does not enter a call");
	regs.orig_rax = strtoull(argv[2], NULL, 0);
	for (int i = 0; i < (int)ARRAY_SIZE(arg); i++)
		*arg[i] = 3 + i < argc ? strtoull(argv[3 + i], NULL, 0) : 0;
	trace(PTRACE_SETREGS, &regs);
	trace(PTRACE_DETACH, NULL);
	return 0;
}
