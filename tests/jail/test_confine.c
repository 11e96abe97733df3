/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread gives up, step by step, seen from its own side and from outside, and that others keep it. */
#include "vmm/confine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"

static struct err err = ERR_INIT;
static int empty_ns;

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool leads_to(int fd, const char *want)
{
	char path[64], got[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", fd);
	n = readlink(path, got, sizeof(got) - 1);
	got[n < 0 ? 0 : n] = '\0';
	return !strcmp(got, want);
}

static unsigned highest_fd(void)
{
	DIR *d = opendir("/proc/thread-self/fd");
	struct dirent *e;
	unsigned max = 0;

	while (d && (e = readdir(d)))
		if ((unsigned)atoi(e->d_name) > max && atoi(e->d_name) != dirfd(d))
			max = (unsigned)atoi(e->d_name);
	if (d)
		closedir(d);
	return max;
}

/* What a thread saw that has no stream to say so. */
static struct {
	int result;
	bool kept, closed, nowhere;
	unsigned highest;
} seen;

static void *with_fds(void *arg)
{
	const int *fd = arg;
	const int keep[] = {fd[5], -1, fd[1], fd[3], fd[1], STDIN_FILENO};

	seen.result = confine_fds(keep, ARRAY_SIZE(keep), &err);
	seen.kept = is_open(fd[1]) && is_open(fd[3]) && is_open(fd[5]);
	seen.closed = !is_open(fd[0]) && !is_open(fd[2]) && !is_open(fd[4]) && !is_open(fd[6]);
	seen.nowhere = true;
	for (int i = 0; i <= STDERR_FILENO; i++)
		seen.nowhere &= leads_to(i, "/dev/null");
	seen.highest = highest_fd();
	close(fd[1]);
	return NULL;
}

static void run(void *(*fn)(void *), void *arg)
{
	pthread_t t;

	err = (struct err)ERR_INIT;
	pthread_create(&t, NULL, fn, arg);
	pthread_join(t, NULL);
}

static void test_fds(void)
{
	int fd[7];
	unsigned open = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		fd[i] = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 20 + 7 * (int)i);
	run(with_fds, fd);
	eq_int(seen.result, 0, "descriptors of a thread's own");
	ok(seen.kept, "those that it keeps are there");
	ok(seen.closed, "those between and above are not");
	ok(seen.nowhere, "the streams lead nowhere");
	eq_int(seen.highest, fd[5], "nothing is above");
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		open += is_open(fd[i]);
	eq_int(open, ARRAY_SIZE(fd), "the other threads keep theirs");
	ok(!leads_to(STDOUT_FILENO, "/dev/null"), "and the streams");
	for (size_t i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
}

static unsigned lines_of(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned n = 0;
	int c;

	while (f && (c = fgetc(f)) != EOF)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

static pthread_barrier_t barrier;
static pid_t tid;

static void *with_root(void *arg)
{
	DIR *d;

	tid = (pid_t)syscall(SYS_gettid);
	eq_int(confine_root(empty_ns, &err), 0, "an empty root");
	d = opendir("/");
	for (unsigned n = 0; d && readdir(d); n++)
		ok(n < 2, "it has no entries but itself and its parent");
	if (d)
		closedir(d);
	ok(open("/x", O_RDWR | O_CREAT | O_CLOEXEC, 0600) < 0, "nothing can be made there");
	ok(access("/proc", F_OK) < 0 && access("../../proc", F_OK) < 0,
		"there is nothing, and no way up");
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

static void test_root(void)
{
	char path[64];
	pthread_t t;
	unsigned mounts = lines_of("/proc/self/mountinfo");

	eq_int(confine_make_empty_ns(&empty_ns, &err), 0, "an empty namespace");
	eq_int(lines_of("/proc/self/mountinfo"), mounts, "ours is as it was");
	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&t, NULL, with_root, NULL);
	pthread_barrier_wait(&barrier);
	snprintf(path, sizeof(path), "/proc/self/task/%d/mountinfo", tid);
	eq_int(lines_of(path), 1, "one mount");
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
	eq_int(access("/proc/self", F_OK), 0, "the others have their root");
}

static void *with_landlock(void *arg)
{
	bool there = syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
	int fd;

	eq_int(confine_landlock(&err), 0, "a Landlock domain, if there is Landlock");
	fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ok(there ? fd < 0 && errno == EACCES : fd >= 0, "in which nothing can be opened");
	if (fd >= 0)
		close(fd);
	return NULL;
}

static void *with_caps(void *arg)
{
	struct __user_cap_header_struct hdr = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2] = {{0}};

	eq_int(confine_caps(&err), 0, "no capabilities");
	syscall(SYS_capget, &hdr, caps);
	ok(!caps[0].permitted && !caps[1].permitted && !caps[0].effective, "none is left");
	ok(confine_root(empty_ns, &err) < 0, "then the root can no longer be changed");
	return NULL;
}

int main(void)
{
	test_fds();
	if (geteuid() != 0) {
		ok(true, "the rest # SKIP not root");
		return tap_done();
	}
	test_root();
	run(with_landlock, NULL);
	run(with_caps, NULL);
	return tap_done();
}
