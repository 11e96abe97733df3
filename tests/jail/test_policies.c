/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every policy, in a forked child each: what it allows runs, what it does not ends the process by
 * SIGSYS, with a line that says what happened where.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "seccomp/policy.h"
#include "seccomp/policy_program.h"
#include "tests/jail/child.h"
#include "tests/tap.h"

/* What the children work on; opened before. */
static int event_fd, epoll_fd, pair[2], pipe_fd[2], mem_fd;
static char page[4096] __attribute__((aligned(4096)));

/* Forbidden in all of them */

static void do_open(void)
{
	syscall(SYS_open, "/etc/passwd", O_RDONLY);
}

static void do_openat(void)
{
	syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static void do_execve(void)
{
	char *argv[] = {(char *)(uintptr_t) "/bin/true", NULL};

	syscall(SYS_execve, argv[0], argv, NULL);
}

static void do_socket(void)
{
	syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void do_ptrace(void)
{
	syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}

static void do_mprotect_exec(void)
{
	syscall(SYS_mprotect, page, sizeof(page), PROT_READ | PROT_EXEC);
}

static void do_mmap_exec(void)
{
	syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void do_fork(void)
{
	syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void do_clone3(void)
{
	syscall(SYS_clone3, NULL, 0);
}

static void do_io_uring(void)
{
	syscall(SYS_io_uring_setup, 1, NULL);
}

static void do_tiocsti(void)
{
	syscall(SYS_ioctl, 0, TIOCSTI, "x");
}

static void do_prctl(void)
{
	syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void do_kill(void)
{
	syscall(SYS_kill, getppid(), 0);
}

static void do_setuid(void)
{
	syscall(SYS_setuid, 0);
}

static void do_unused_number(void)
{
	syscall(511);
}

struct forbidden {
	const char *name; /* as the report says it */
	void (*fn)(void);
	const char *but; /* the policy that allows it */
};

static const struct forbidden forbidden[] = {
	{"open", do_open, NULL},
	{"openat", do_openat, "fs"},
	{"execve", do_execve, NULL},
	{"socket", do_socket, NULL},
	{"ptrace", do_ptrace, NULL},
	{"mprotect", do_mprotect_exec, NULL},
	{"mmap", do_mmap_exec, NULL},
	{"clone", do_fork, NULL},
	{"clone3", do_clone3, NULL},
	{"io_uring_setup", do_io_uring, NULL},
	{"ioctl", do_tiocsti, NULL},
	{"prctl", do_prctl, NULL},
	{"getppid", do_kill, NULL},
	{"setuid", do_setuid, NULL},
	{"?", do_unused_number, NULL},
};

static void refused(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
		const struct forbidden *f = &forbidden[i];
		char want[64], file[64];
		struct outcome o;

		if (f->but && !strcmp(f->but, kind))
			continue;
		in_child(kind, false, f->fn, &o);
		snprintf(want, sizeof(want), "system call %s (", f->name);
		snprintf(file, sizeof(file), "seccomp/%s.policy", kind);
		if (!ok(was_trapped(&o) && strstr(o.report, want) && strstr(o.report, file) &&
				    strstr(o.report, "thread 'jailed-one'") &&
				    strchr(o.report, '\n') == o.report + strlen(o.report) - 1,
			    "%s: %s ends it, and one line says so", kind, f->name))
			printf("# status %x, '%s'\n", (unsigned)o.status, o.report);
	}
}

/* Allowed. The children's own failures are exit statuses: nothing else can be said from inside. */

static volatile sig_atomic_t kicked;

static void on_kick(int signo)
{
	kicked = 1;
}

static void need(bool cond, int status)
{
	if (!cond)
		_exit(status);
}

static void use_common(void)
{
	struct timespec ts, short_while = {0, 1000};
	uint64_t one = 1;
	uint32_t word = 1;

	need(write(event_fd, &one, 8) == 8 && read(event_fd, &one, 8) == 8, 1);
	need(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts) == 0, 2);
	need(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &short_while, NULL, 0) < 0 &&
			errno == EAGAIN,
		3);
	need(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0, 4);
	need(madvise(page, sizeof(page), MADV_DONTNEED) == 0, 5);
}

static void use_worker(void)
{
	struct epoll_event ev;
	char c;

	use_common();
	need(epoll_wait(epoll_fd, &ev, 1, 0) == 0, 10);
	need(send(pair[0], "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1, 11);
	need(recv(pair[1], &c, 1, MSG_DONTWAIT | MSG_TRUNC) == 1, 12);
}

static void use_main(void)
{
	struct epoll_event ev = {.events = EPOLLIN};
	socklen_t len = sizeof(struct ucred);
	struct winsize ws;
	char text[2];
	struct iovec iov = {page, 10};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct ucred cred;

	use_common();
	need(epoll_wait(epoll_fd, &ev, 1, 0) == 0, 10);
	need(send(pair[0], "xy", 2, MSG_DONTWAIT | MSG_NOSIGNAL) == 2, 11);
	need(recv(pair[1], text, 1, MSG_DONTWAIT) == 1 && recv(pair[1], text, 1, 0) == 1, 12);
	need(sendmsg(pair[0], &msg, MSG_NOSIGNAL) == 10 &&
			recvmsg(pair[1], &msg, MSG_CMSG_CLOEXEC) == 10,
		18);
	need(fcntl(mem_fd, F_GET_SEALS) >= 0 && pread(mem_fd, text, 1, 0) >= 0, 19);
	need(getrandom(text, 1, 0) == 1, 16);
	need(ioctl(pipe_fd[0], TIOCGWINSZ, &ws) < 0 && errno == ENOTTY, 17);
	need(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pair[0], &ev) == 0, 20);
	need(accept4(pair[0], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) < 0 && errno == EINVAL, 21);
	need(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0, 22);
	need(geteuid() == cred.uid, 23);
	need(fcntl(pipe_fd[1], F_SETFL, fcntl(pipe_fd[1], F_GETFL) | O_NONBLOCK) == 0, 24);
	need(prctl(PR_SET_PDEATHSIG, 0) == 0, 25);
	need(syscall(SYS_tgkill, getpid(), getpid(), SIGURG) == 0 && kicked, 26);
	need(waitid(P_PIDFD, -1, NULL, WEXITED | WNOHANG) < 0 && errno == EINVAL, 28);
	need(waitid(P_PIDFD, -1, NULL, WEXITED) < 0 && errno == EINVAL, 29);
	need(syscall(SYS_pidfd_send_signal, -1, SIGKILL, NULL, 0) < 0 && errno == EBADF, 9);
	need(close(pair[0]) == 0, 27);
}

static void use_waiter(void)
{
	use_common();
	need(send(pair[0], "x", 1, MSG_NOSIGNAL) == 1, 95);
	need(close(pair[0]) == 0, 96);
}

static void use_vcpu(void)
{
	struct kvm_regs regs;
	char c;

	use_common();
	need(ioctl(event_fd, KVM_RUN, 0) < 0 && errno == ENOTTY, 30);
	need(ioctl(event_fd, KVM_KVMCLOCK_CTRL, 0) < 0 && errno == ENOTTY, 29);
	need(ioctl(event_fd, KVM_GET_REGS, &regs) < 0 && errno == ENOTTY, 31);
	need(send(pair[0], "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 &&
			recv(pair[1], &c, 1, 0) == 1,
		32);
}

static void use_rng(void)
{
	char buf[64];

	use_worker();
	need(getrandom(buf, sizeof(buf), 0) == sizeof(buf), 40);
}

static void use_balloon(void)
{
	use_worker();
	need(fallocate(mem_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0, 50);
}

static void use_console(void)
{
	struct iovec iov = {page, 10};

	use_worker();
	need(writev(pipe_fd[1], &iov, 1) == 10, 60);
}

static void use_vsock(void)
{
	struct iovec iov = {page, 10};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	const struct timespec none = {0, 0};
	struct pollfd p = {.fd = event_fd, .events = POLLIN};
	struct winsize ws;
	socklen_t len = sizeof(int);
	int type;

	use_worker();
	need(sendmsg(pair[0], &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == 10, 70);
	need(recvmsg(pair[1], &msg, MSG_DONTWAIT) == 10, 70);
	need(recvmsg(event_fd, &msg, MSG_CMSG_CLOEXEC) < 0 && errno == ENOTSOCK, 69);
	need(pwritev2(pipe_fd[1], &iov, 1, -1, RWF_NOWAIT) == 10 || errno == EOPNOTSUPP, 71);
	need(writev(pipe_fd[1], &iov, 1) == 10 && readv(pipe_fd[0], &iov, 1) == 10, 72);
	need(preadv2(pipe_fd[0], &iov, 1, -1, RWF_NOWAIT) > -2, 73);
	need(ppoll(&p, 1, &none, NULL) == 0, 74);
	need(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &type, &len) == 0, 75);
	need(fcntl(pipe_fd[0], F_GETPIPE_SZ) > 0, 76);
	need(ioctl(pipe_fd[0], TIOCGWINSZ, &ws) < 0 && errno == ENOTTY, 77);
	need(close(pair[0]) == 0, 78);
}

static void fails(long r)
{
	need(r < 0, 83);
}

/* What the file server asks for as the C library passes it on, at its widest; on no descriptor, since the
 * filter looks first. That it does what it should is for the file server's own tests. */
static void use_fs_flags(void)
{
	struct {
		struct file_handle h;
		char bytes[64];
	} handle = {.h.handle_bytes = 64};
	const struct timespec ts[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
	struct iovec iov = {page, 10};
	int mount;

	fails(openat(
		-1, "5", O_RDWR | O_TRUNC | O_SYNC | O_NOATIME | O_DIRECT | O_NOCTTY | O_CLOEXEC));
	fails(openat(-1, "5", O_PATH | O_NOCTTY | O_CLOEXEC));
	fails(openat(-1, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	fails(openat(-1, ".", O_RDWR | O_SYNC | O_NOATIME | O_TMPFILE | O_EXCL | O_CLOEXEC, 0600));
	fails(name_to_handle_at(-1, "", &handle.h, &mount, AT_EMPTY_PATH));
	fails(open_by_handle_at(INT32_MAX, &handle.h, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	fails(open_by_handle_at(INT32_MAX, &handle.h, O_PATH | O_CLOEXEC));
	fails(lseek(-1, 0, SEEK_SET));
	fails(lseek(-1, 0, SEEK_DATA));
	fails(lseek(-1, 0, SEEK_HOLE));
	fails(preadv(-1, &iov, 1, 1L << 40));
	fails(pwritev2(-1, &iov, 1, 1L << 40, RWF_APPEND | RWF_DSYNC | RWF_SYNC));
	fails(copy_file_range(-1, NULL, -1, NULL, 1, 0));
	fails(fallocate(-1,
		FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE |
			FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE,
		0, 1));
	fails(fchmodat(-1, "5", 07777, 0));
	fails(fchownat(-1, "", 1, 1, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
	fails(utimensat(-1, "", ts, AT_EMPTY_PATH));
	fails(mknodat(-1, "x", S_IFIFO | 0777, 0));
	fails(mknodat(-1, "x", S_IFSOCK | 0777, 0));
	fails(mknodat(-1, "x", S_IFCHR | 0777, 0));
	fails(mknodat(-1, "x", S_IFBLK | 0777, 0x801));
	fails(linkat(-1, "5", -1, "x", AT_SYMLINK_FOLLOW));
	fails(unlinkat(-1, "x", 0));
	fails(unlinkat(-1, "x", AT_REMOVEDIR));
	fails(renameat2(-1, "x", -1, "y", 0));
	fails(renameat2(-1, "x", -1, "y", RENAME_NOREPLACE | RENAME_WHITEOUT));
	fails(renameat2(-1, "x", -1, "y", RENAME_EXCHANGE));
	fails(setxattr("", "user.x", "", 0, XATTR_CREATE));
	fails(setxattr("", "user.x", "", 0, XATTR_REPLACE));
}

static void use_fs(void)
{
	struct statx st;
	int fd = openat(AT_FDCWD, "/", O_PATH | O_CLOEXEC);

	use_worker();
	need(fd >= 0 && statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
				STATX_BASIC_STATS, &st) == 0,
		80);
	need(fcntl(fd, F_DUPFD_CLOEXEC, 0) >= 0 && close(fd) == 0, 81);
	need(umask(0) != (mode_t)-1, 82);
	use_fs_flags();
}

static const struct {
	const char *kind;
	void (*use)(void);
} kinds[] = {
	{"main", use_main},
	{"vcpu", use_vcpu},
	{"fs", use_fs},
	{"vsock", use_vsock},
	{"rng", use_rng},
	{"balloon", use_balloon},
	{"console", use_console},
	{"waiter", use_waiter},
};

static void allowed(const char *kind, void (*use)(void))
{
	struct outcome o;

	in_child(kind, false, use, &o);
	if (!ok(WIFEXITED(o.status) && WEXITSTATUS(o.status) == 0, "%s: what it needs runs", kind))
		printf("# status %x, '%s'\n", (unsigned)o.status, o.report);
}

static void high_half(void) /* the kernel looks at 32 bits of the command: so does the filter */
{
	syscall(SYS_ioctl, event_fd, (long)(KVM_RUN | 1ull << 32), 0);
}

static void high_halves(void)
{
	struct outcome o;

	in_child("vcpu", false, high_half, &o);
	ok(WIFEXITED(o.status), "a command with something in the upper half is the same command");
}

#ifdef __x86_64__
static void x32_call(void)
{
	syscall(0x40000000 | SYS_read, event_fd, page, 8);
}

/* int $0x80: the 32-bit table, whose number 11 is execve. */
static void i386_call(void)
{
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(11), "b"(0), "c"(0), "d"(0) : "memory");
}

static void other_numbers(void)
{
	struct outcome o;

	in_child("rng", false, x32_call, &o);
	ok(WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGSYS, "x32 is refused");
	eq_str(o.report, "", "at once: its numbers mean other calls");
	in_child("rng", false, i386_call, &o);
	ok(WIFSIGNALED(o.status), "and so are the calls of i386");
}
#else
static void other_numbers(void)
{
}
#endif

static void *jailed_thread(void *arg)
{
	struct err err = ERR_INIT;

	prctl(PR_SET_NAME, "cor-rng.0");
	if (policy_install("rng", &err) < 0)
		_exit(90);
	return arg; /* glibc's end of a thread, under the filter */
}

/* A thread's filter is its own, and it can end. */
static void threads(void)
{
	struct err err = ERR_INIT;
	pthread_t t;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (policy_init(2, false, &err) < 0)
			_exit(91);
		for (int i = 0; i < 50; i++) {
			if (pthread_create(&t, NULL, jailed_thread, NULL) || pthread_join(t, NULL))
				_exit(92);
		}
		_exit(open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 ? 0 : 93);
	}
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		"fifty jailed threads ended, the others are free");
}

/* Reports to a socket that answers; signals that have a handler, as a vCPU's kick, do not end the wait. */
static void kicked_reporter(void)
{
	const struct timeval limit = {.tv_sec = 60};
	struct err err = ERR_INIT;
	char line[1024];
	int s[2], status;
	struct pollfd end;
	pid_t pid;

	BUG_ON(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) < 0 ||
		setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0);
	pid = fork();
	if (pid == 0) {
		if (policy_init(s[1], false, &err) < 0 || policy_install("vcpu", &err) < 0)
			_exit(91);
		syscall(SYS_getppid);
		_exit(92);
	}
	ok(read(s[0], line, sizeof(line)) > 0, "the report is there");
	end = (struct pollfd){.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	for (int i = 0; i < 30 && !end.revents; i++) {
		kill(pid, SIGURG); /* one of them while it waits */
		poll(&end, 1, 10);
	}
	ok(!end.revents, "a kick does not end the wait for the answer");
	ok(write(s[0], "", 1) == 1 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
			WTERMSIG(status) == SIGSYS,
		"the answer does");
	for (int i = 0; i < 2; i++)
		close(s[i]);
	close(end.fd);
}

static void others(void)
{
	struct err err = ERR_INIT;
	struct outcome o;

	eq_int(policy_install("nothing", &err), -ENOENT, "an unknown policy");
	has_str(err.msg, "nothing");
	eq_int(policy_n_programs, ARRAY_SIZE(kinds), "every policy is tested");
	in_child("rng", false, abort, &o);
	ok(WIFSIGNALED(o.status), "abort() ends it too");
	printf("# an example of the report: %s", o.report);
}

int main(void)
{
	signal(SIGURG, on_kick);
	event_fd = eventfd(0, EFD_CLOEXEC);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	mem_fd = memfd_create("jail", MFD_CLOEXEC);
	if (event_fd < 0 || epoll_fd < 0 || mem_fd < 0 || ftruncate(mem_fd, 8192) < 0 ||
		pipe2(pipe_fd, O_CLOEXEC) < 0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		printf("Bail out! no descriptors\n");
		return 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		allowed(kinds[i].kind, kinds[i].use);
		refused(kinds[i].kind);
	}
	high_halves();
	other_numbers();
	threads();
	kicked_reporter();
	others();
	return tap_done();
}
