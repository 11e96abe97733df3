/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a call with arguments that its policy does not allow ends with: the report, in full, and the line
 * that it says to add, which the compiler must accept.
 *
 *	test_policy_reports DIR	(of the policy files)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "seccomp/policy_program.h"
#include "tests/jail/child.h"
#include "tests/policy_text.h"
#include "tests/tap.h"

#define LINE_MAX_BYTES 200
#define POINTER        0x7fff12345678 /* no filter follows it */

/* Descriptors are none: a call that the filter let pass by mistake does nothing. */
struct wrong {
	const char *kind;
	long nr;
	uint64_t arg[6];
	const char *line; /* to be added */
};

#define NONE UINT32_MAX

static const struct wrong wrong[] = {
	/* what a policy allows with other arguments */
	{"fs", SYS_openat, {NONE, POINTER, O_RDONLY}, "openat int2 == 0x0"},
	{"fs", SYS_openat, {NONE, POINTER, O_WRONLY | O_CREAT | O_CLOEXEC, 0600},
		"openat int2 == 0x80041"},
	{"fs", SYS_openat, {NONE, POINTER, O_PATH | O_DIRECTORY | O_CLOEXEC},
		"openat int2 == 0x290000"},
	{"fs", SYS_name_to_handle_at, {NONE, POINTER, POINTER, POINTER, AT_SYMLINK_FOLLOW},
		"name_to_handle_at int4 == 0x400"},
	{"fs", SYS_open_by_handle_at, {NONE, POINTER, O_RDONLY | O_CLOEXEC},
		"open_by_handle_at int0 == 0xffffffff, int2 == 0x80000"},
	{"fs", SYS_open_by_handle_at, {AT_FDCWD, POINTER, O_PATH | O_CLOEXEC},
		"open_by_handle_at int0 == 0xffffff9c, int2 == 0x280000"},
	{"fs", SYS_open_by_handle_at, {(uint32_t)-10002, POINTER, O_PATH | O_CLOEXEC}, /* pidfs */
		"open_by_handle_at int0 == 0xffffd8ee, int2 == 0x280000"},
	{"fs", SYS_statx, {NONE, POINTER, 0, 0xfff, POINTER}, "statx int2 == 0x0"},
	{"fs", SYS_lseek, {NONE, 0, SEEK_END}, "lseek int2 == 0x2"},
	{"fs", SYS_pwritev2, {NONE, POINTER, 1, 0, 0, RWF_NOWAIT}, "pwritev2 int5 == 0x8"},
	{"fs", SYS_copy_file_range, {NONE, 0, NONE, 0, 1, 1}, "copy_file_range int5 == 0x1"},
	{"fs", SYS_fallocate, {NONE, 0x80, 0, 1}, "fallocate int1 == 0x80"},
	{"fs", SYS_fcntl, {NONE, F_SETFL, 0}, "fcntl int1 == 0x4"},
	{"fs", SYS_fchownat, {NONE, POINTER, 0, 0, AT_SYMLINK_NOFOLLOW}, "fchownat int4 == 0x100"},
	{"fs", SYS_utimensat, {NONE, POINTER, POINTER, 0}, "utimensat int3 == 0x0"},
	{"fs", SYS_mknodat, {NONE, POINTER, S_IFREG | 0644}, "mknodat int2 == 0x81a4"},
	{"fs", SYS_mknodat, {NONE, POINTER, S_IFBLK | S_ISUID | 0644}, "mknodat int2 == 0x69a4"},
	{"fs", SYS_linkat, {NONE, POINTER, NONE, POINTER, AT_EMPTY_PATH}, "linkat int4 == 0x1000"},
	{"fs", SYS_unlinkat, {NONE, POINTER, 1}, "unlinkat int2 == 0x1"},
	{"fs", SYS_renameat2, {NONE, POINTER, NONE, POINTER, 8}, "renameat2 int4 == 0x8"},
	{"fs", SYS_setxattr, {POINTER, POINTER, POINTER, 0, 4}, "setxattr int4 == 0x4"},
	{"vsock", SYS_recvmsg, {NONE, POINTER, 0}, "recvmsg int2 == 0x0"},
	{"vsock", SYS_sendmsg, {NONE, POINTER, MSG_NOSIGNAL}, "sendmsg int2 == 0x4000"},
	{"vsock", SYS_preadv2, {NONE, POINTER, 1, -1ull, -1ull, 0}, "preadv2 int5 == 0x0"},
	{"vsock", SYS_pwritev2, {NONE, POINTER, 1, -1ull, -1ull, 0}, "pwritev2 int5 == 0x0"},
	{"vsock", SYS_ppoll, {POINTER, 2, POINTER, 0, 8}, "ppoll int1 == 0x2, int3 == 0x0"},
	{"vsock", SYS_ppoll, {POINTER, 1, POINTER, POINTER, 8}, "ppoll int1 == 0x1, arg3 != 0"},
	{"vsock", SYS_getsockopt, {NONE, SOL_SOCKET, SO_PEERCRED, POINTER, POINTER},
		"getsockopt int1 == 0x1, int2 == 0x11"},
	{"vsock", SYS_fcntl, {NONE, F_SETFL, O_NONBLOCK}, "fcntl int1 == 0x4"},
	{"vsock", SYS_ioctl, {NONE, TIOCSTI, POINTER}, "ioctl int1 == 0x5412"},
	{"rng", SYS_recvfrom, {NONE, POINTER, 1, MSG_DONTWAIT, 0, 0},
		"recvfrom int3 == 0x40, int4 == 0x0"},
	{"rng", SYS_recvfrom, {NONE, POINTER, 1, MSG_DONTWAIT | MSG_TRUNC, POINTER, POINTER},
		"recvfrom int3 == 0x60, arg4 != 0"},
	{"rng", SYS_sendto, {NONE, POINTER, 1, MSG_DONTWAIT | MSG_NOSIGNAL, POINTER, 110},
		"sendto int3 == 0x4040, arg4 != 0"},
	{"rng", SYS_getrandom, {POINTER, 1, 4}, "getrandom int2 == 0x4"},
	{"rng", SYS_madvise, {POINTER, 4096, MADV_FREE}, "madvise int2 == 0x8"},
	{"rng", SYS_futex, {POINTER, 0, 0}, "futex int1 == 0x0"},
	{"balloon", SYS_fallocate, {NONE, FALLOC_FL_KEEP_SIZE, 0, 1}, "fallocate int1 == 0x1"},
	{"vcpu", SYS_ioctl, {NONE, KVM_SET_REGS, POINTER}, "ioctl int1 == 0x4090ae82"},
	{"vcpu", SYS_sendto, {NONE, POINTER, 1, 0, 0, 0}, "sendto int3 == 0x0, int4 == 0x0"},
	{"vcpu", SYS_recvfrom, {NONE, POINTER, 1, MSG_PEEK, 0, 0},
		"recvfrom int3 == 0x2, int4 == 0x0"},
	{"main", SYS_accept4, {NONE, 0, 0, SOCK_CLOEXEC}, "accept4 int3 == 0x80000"},
	{"main", SYS_sendmsg, {NONE, POINTER, 0}, "sendmsg int2 == 0x0"},
	{"main", SYS_recvmsg, {NONE, POINTER, 0}, "recvmsg int2 == 0x0"},
	{"main", SYS_recvfrom, {NONE, POINTER, 1, MSG_PEEK, 0, 0},
		"recvfrom int3 == 0x2, int4 == 0x0"},
	{"main", SYS_sendto, {NONE, POINTER, 1, MSG_NOSIGNAL, 0, 0},
		"sendto int3 == 0x4000, int4 == 0x0"},
	{"main", SYS_fcntl, {NONE, F_SETFL, O_ASYNC}, "fcntl int1 == 0x4, int2 == 0x2000"},
	{"main", SYS_tgkill, {0, 0, SIGTERM}, "tgkill int2 == 0xf"},
	{"main", SYS_prctl, {PR_SET_PDEATHSIG, SIGKILL}, "prctl int0 == 0x1, int1 == 0x9"},
	{"main", SYS_getrandom, {POINTER, 1, 1}, "getrandom int2 == 0x1"},
	{"main", SYS_waitid, {P_ALL, 0, POINTER, WEXITED | WNOHANG, 0},
		"waitid int0 == 0x0, int3 == 0x5, int4 == 0x0"},
	{"main", SYS_waitid, {P_PIDFD, NONE, POINTER, WEXITED | WSTOPPED, 0},
		"waitid int0 == 0x3, int3 == 0x6, int4 == 0x0"},
	{"main", SYS_pidfd_send_signal, {NONE, SIGTERM, 0, 0},
		"pidfd_send_signal int1 == 0xf, int2 == 0x0, int3 == 0x0"},
	{"main", SYS_pidfd_send_signal, {NONE, SIGKILL, POINTER, 0},
		"pidfd_send_signal int1 == 0x9, arg2 != 0, int3 == 0x0"},
	{"waiter", SYS_sendto, {NONE, POINTER, 1, MSG_DONTWAIT, 0, 0},
		"sendto int3 == 0x40, int4 == 0x0"},
	/* what a policy does not allow at all */
	{"console", SYS_getppid, {0}, "getppid"},
	{"console", SYS_readv, {NONE, POINTER, 1}, "readv"},
	{"console", SYS_openat, {NONE, POINTER, O_RDONLY}, "openat int2 == 0x0"},
	{"console", SYS_mprotect, {POINTER, 4096, PROT_READ}, "mprotect int2 == 0x1"},
	{"console", SYS_mmap, {0, 4096, PROT_WRITE, MAP_PRIVATE, NONE, 0}, "mmap int2 == 0x2"},
	{"console", SYS_socket, {AF_UNIX, SOCK_STREAM, 0}, "socket int0 == 0x1, int1 == 0x1"},
	{"console", SYS_setsockopt, {NONE, SOL_SOCKET, SO_PASSCRED, POINTER, 4},
		"setsockopt int1 == 0x1, int2 == 0x10"},
#ifdef SYS_open
	{"console", SYS_open, {POINTER, O_RDONLY}, "x86_64: open"},
	{"console", SYS_poll, {POINTER, 1, -1ull}, "x86_64: poll"},
#endif
};

static const char *dir;
static const struct wrong *current;

static void call(void)
{
	const uint64_t *a = current->arg;

	syscall(current->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static bool compiler_accepts(const struct wrong *w, const char *line)
{
	autofree struct policy *p = calloc(1, sizeof(*p));
	struct err err = ERR_INIT;
	unsigned before;

	if (!p || policy_text_parse(dir, w->kind, NULL, p, &err) < 0) {
		printf("# %s\n", err.msg);
		return false;
	}
	before = p->n;
	if (policy_text_parse(dir, w->kind, line, p, &err) < 0) {
		printf("# %s\n", err.msg);
		return false;
	}
	return p->n == before + 1 && p->rule[before].nr == w->nr;
}

/* Everything there is to say, in order. */
static void reported(const struct wrong *w)
{
	char want[640], line[LINE_MAX_BYTES];
	const char *name = policy_syscalls[w->nr].name;
	struct outcome o;
	size_t len;

	current = w;
	in_child(w->kind, false, call, &o);
	len = (size_t)snprintf(want, sizeof(want),
		"level=error msg=\"coracle-vmm: system call %s (%ld) is not allowed in thread "
		"'jailed-one' of kind %s, arguments",
		name, w->nr, w->kind);
	for (int i = 0; i < 6; i++)
		len += (size_t)snprintf(
			want + len, sizeof(want) - len, " 0x%llx", (unsigned long long)w->arg[i]);
	snprintf(line, sizeof(line), "%s # who calls it, and why", w->line);
	snprintf(want + len, sizeof(want) - len,
		"; if it is legitimate, add to seccomp/%s.policy: %s\"\n", w->kind, line);
	if (!ok(was_trapped(&o) && strstr(o.report, want), "%s: %s, and how to allow it", w->kind,
		    w->line))
		printf("# status %x, '%s'\n# not '%s'\n", (unsigned)o.status, o.report, want);
	ok(compiler_accepts(w, line), "which the compiler accepts");
}

/* What no line can allow is said to be so. */
static void cannot_be_allowed(void)
{
	static const struct wrong execs = {.kind = "rng", .nr = SYS_execve},
				  unknown = {.kind = "rng", .nr = 511};
	struct outcome o;

	current = &execs;
	in_child("rng", false, call, &o);
	ok(was_trapped(&o) && strstr(o.report, " system call execve ("), "execve");
	ok(strstr(o.report, "; seccomp/rng.policy cannot allow it: no policy may\"\n"),
		"is in no policy");
	current = &unknown;
	in_child("rng", false, call, &o);
	ok(was_trapped(&o) && strstr(o.report, " system call ? (511) is not allowed"), "no call");
	ok(strstr(o.report, "; seccomp/rng.policy cannot allow it: the number is unknown\"\n"),
		"can be in none");
}

/* The log's form: what the VMM's user asked for. */
static void forms(void)
{
	static const struct wrong w = {.kind = "rng", .nr = SYS_getppid};
	static const char msg[] = "coracle-vmm: system call getppid (";
	char want[128];
	struct outcome o;

	current = &w;
	in_child("rng", false, call, &o);
	snprintf(want, sizeof(want), "Z\" level=error msg=\"%s", msg);
	ok(!strncmp(o.report, "time=\"20", 8) && strstr(o.report, want) &&
			strstr(o.report, "and why\"\n"),
		"the report as text");
	in_child("rng", true, call, &o);
	snprintf(want, sizeof(want), "{\"level\":\"error\",\"msg\":\"%s", msg);
	ok(!strncmp(o.report, want, strlen(want)) && strstr(o.report, "and why\",\"time\":\"20") &&
			strstr(o.report, "Z\"}\n"),
		"the report as JSON");
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	dir = argv[1];
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		reported(&wrong[i]);
	cannot_be_allowed();
	forms();
	return tap_done();
}
