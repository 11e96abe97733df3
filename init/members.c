/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of a control group: the container shapes what is below its group, and may do so
 * while it is read. */
#include "init/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "init/container.h"
#include "init/log.h"
#include "init/sys.h"
#include "init/sysctl.h"
#include "lib/cleanup.h"

#define DEPTH_MAX      64
#define SIGNAL_WAIT_MS 500

/* struct linux_dirent64 of getdents64(2): opendir(3) would want a heap. */
struct dirent64_head {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* Calls fn for every number of the text, which is cut anywhere; *rest carries a number on. */
static int each_number(
	const char *text, size_t len, pid_t *rest, int (*fn)(void *arg, pid_t pid), void *arg)
{
	for (size_t i = 0; i < len; i++) {
		int r;

		if (text[i] >= '0' && text[i] <= '9') {
			*rest = *rest * 10 + (text[i] - '0');
			continue;
		}
		r = *rest > 0 ? fn(arg, *rest) : 0; /* 0: of another pid namespace */
		*rest = 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int each_here(int group, int (*fn)(void *arg, pid_t pid), void *arg)
{
	autofd int fd = openat(group, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	char text[1024];
	pid_t rest = 0;
	ssize_t n;
	int r = 0;

	if (fd < 0)
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	while (r == 0 && (n = read(fd, text, sizeof(text))) != 0) {
		/* A threaded group's processes stand in the one it belongs to; a removed one has
		 * none. */
		if (n < 0)
			return errno == EOPNOTSUPP || errno == ENODEV ? 0 : -errno;
		r = each_number(text, (size_t)n, &rest, fn, arg);
	}
	return r;
}

static int each(int group, unsigned depth, int (*fn)(void *arg, pid_t pid), void *arg);

static int each_in_entry(int group, const struct dirent64_head *d, unsigned depth,
	int (*fn)(void *arg, pid_t pid), void *arg)
{
	autofd int fd = -1;

	if (d->type != DT_DIR || !strcmp(d->name, ".") || !strcmp(d->name, ".."))
		return 0;
	if (depth == DEPTH_MAX)
		return -ELOOP;
	fd = openat(group, d->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	return each(fd, depth + 1, fn, arg);
}

static int each(int group, unsigned depth, int (*fn)(void *arg, pid_t pid), void *arg)
{
	_Alignas(struct dirent64_head) char buf[1024];
	int r = each_here(group, fn, arg);
	long n;

	while (r == 0 && (n = syscall(SYS_getdents64, group, buf, sizeof(buf))) != 0) {
		if (n < 0)
			return errno == ENOENT || errno == ENODEV ? 0 : -errno;
		for (long at = 0; at < n && r == 0;) {
			const struct dirent64_head *d = (const void *)(buf + at);

			r = each_in_entry(group, d, depth, fn, arg);
			at += d->len;
		}
	}
	return r;
}

int cgroup_each(int group, int (*fn)(void *arg, pid_t pid), void *arg)
{
	/* An open file of its own: reading moves its position. */
	autofd int fd = openat(group, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : each(fd, 0, fn, arg);
}

static int signal_one(void *arg, pid_t pid)
{
	const int *signo = arg;

	/* Gone meanwhile: as good as signalled. */
	return kill(pid, *signo) < 0 && errno != ESRCH ? -errno : 0;
}

void cgroup_await_frozen(int group, unsigned wait_ms)
{
	autofd int events = openat(group, "cgroup.events", O_RDONLY | O_CLOEXEC);
	uint64_t end = boot_ns() + wait_ms * UINT64_C(1000000);
	char text[128];

	while (events >= 0) {
		struct pollfd pf = {.fd = events, .events = POLLPRI};
		ssize_t n = pread(events, text, sizeof(text) - 1, 0);
		uint64_t now = boot_ns();

		if (n < 0)
			return;
		text[n] = '\0';
		if (strstr(text, "frozen 1") || now >= end)
			return;
		poll(&pf, 1, (int)((end - now) / 1000000) + 1);
	}
}

static void freeze(int group)
{
	int r = file_put(group, "cgroup.freeze", "1");

	if (r < 0)
		log_msg("cannot freeze the container: %s", strerror(-r));
	else
		cgroup_await_frozen(group, SIGNAL_WAIT_MS);
}

void cgroup_thaw(int group)
{
	int r = file_put(group, "cgroup.freeze", "0");

	if (r < 0)
		log_msg("cannot thaw the container: %s", strerror(-r));
}

int cgroup_signal(int group, int signo)
{
	int r;

	if (signo == SIGKILL)
		return cgroup_kill(group);
	freeze(group);
	r = cgroup_each(group, signal_one, &signo);
	cgroup_thaw(group);
	return r;
}
