/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As force_call, for a thread that does not wait, at the moment it has its filter:
 *
 *	force_start COMM NUMBER PROGRAM [ARG...]
 *
 * Runs the program and follows it, with all it starts, by ptrace. The first call that a thread called COMM makes after
 * seccomp() is turned into that one. Ends as the program does. x86-64.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLLOW                                                                                    \
	(PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD | \
		PTRACE_O_EXITKILL)

static const char *comm;
static unsigned long long number;
static pid_t filtered; /* has its filter, and makes its next call */
static bool done;

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "force_start: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool is_called(pid_t tid)
{
	char path[64], name[17] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fscanf(f, "%16s", name) != 1)
		name[0] = '\0';
	fclose(f);
	return !strcmp(name, comm);
}

/* One that is killed meanwhile is no error: then its end is reported. */
static void at_call(pid_t tid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) < 0 || (long long)regs.rax != -ENOSYS)
		return; /* it comes back from one */
	if (tid != filtered) {
		if (regs.orig_rax == SYS_seccomp && is_called(tid))
			filtered = tid;
		return;
	}
	regs.orig_rax = number;
	regs.rdi = 1;
	regs.rsi = 2;
	regs.rdx = 0;
	done = ptrace(PTRACE_SETREGS, tid, NULL, &regs) == 0;
}

static void go_on(pid_t tid, int signo)
{
	ptrace(done ? PTRACE_CONT : PTRACE_SYSCALL, tid, NULL, (void *)(long)signo);
}

static void stopped(pid_t tid, int status)
{
	int signo = WSTOPSIG(status);

	if (signo == (SIGTRAP | 0x80)) {
		if (!done)
			at_call(tid);
		signo = 0;
	} else if (status >> 16 || signo == SIGSTOP || signo == SIGTRAP) {
		signo = 0; /* of ptrace's own */
	}
	go_on(tid, signo);
}

static pid_t start(char **argv)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 || raise(SIGSTOP))
			die("ptrace");
		execv(argv[0], argv);
		die(argv[0]);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
		ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(long)FOLLOW) < 0)
		die("it does not stop");
	go_on(pid, 0);
	return pid;
}

int main(int argc, char **argv)
{
	pid_t pid, tid;
	int status;

	if (argc < 4)
		return 2;
	comm = argv[1];
	number = strtoull(argv[2], NULL, 0);
	pid = start(argv + 3);
	for (;;) {
		tid = waitpid(-1, &status, __WALL);
		if (tid < 0)
			die("waitpid");
		if (WIFSTOPPED(status))
			stopped(tid, status);
		else if (tid == pid)
			break;
	}
	if (!done)
		fprintf(stderr, "force_start: no call of %s\n", comm);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
