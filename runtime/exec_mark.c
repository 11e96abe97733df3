/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/exec_mark.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"

#define MARK_PREFIX "exec."

static void mark_name(char name[32], pid_t pid)
{
	snprintf(name, 32, MARK_PREFIX "%d", pid);
}

int exec_mark_set(const struct container *c, struct err *err)
{
	char name[32], target[32];
	uint64_t ticks;
	int r = cstate_pid_start(getpid(), &ticks);

	if (r < 0)
		return err_set(err, -r, "cannot look at this process");
	mark_name(name, getpid());
	snprintf(target, sizeof(target), "%" PRIu64, ticks);
	/* One of that name is left from a process that had our pid. */
	if (unlinkat(c->dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_set(err, errno, "cannot note the process");
	if (symlinkat(target, c->dir_fd, name) < 0)
		return err_set(err, errno, "cannot note the process");
	return 0;
}

void exec_mark_clear(const struct container *c)
{
	char name[32];

	mark_name(name, getpid());
	(void)unlinkat(c->dir_fd, name, 0); /* gone already when the container was deleted */
}

/* The pid that the link `name` stands for, or 0. */
static pid_t live_pid(int dir, const char *name)
{
	struct cstate proxy = {0};
	char target[32] = "", *end;
	long pid;

	if (strncmp(name, MARK_PREFIX, strlen(MARK_PREFIX)))
		return 0;
	pid = strtol(name + strlen(MARK_PREFIX), &end, 10);
	if (*end || pid <= 0 || pid > INT_MAX)
		return 0;
	if (readlinkat(dir, name, target, sizeof(target) - 1) < 0)
		return 0;
	proxy.pid = (pid_t)pid;
	proxy.pid_start_ticks = strtoull(target, &end, 10);
	if (!*end && cstate_pid_alive(&proxy)) /* which a zombie is not */
		return proxy.pid;
	(void)unlinkat(dir, name, 0);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int collect(DIR *d, pid_t **pids, size_t *n)
{
	struct dirent *e;
	size_t cap = 0;

	while ((e = readdir(d))) {
		pid_t pid = live_pid(dirfd(d), e->d_name);

		if (!pid)
			continue;
		if (*n == cap) {
			pid_t *p = reallocarray(*pids, cap = cap ? cap * 2 : 16, sizeof(*p));

			if (!p)
				return -ENOMEM;
			*pids = p;
		}
		(*pids)[(*n)++] = pid;
	}
	return 0;
}

int exec_mark_list(const struct container *c, pid_t **ret_pids, size_t *ret_n, struct err *err)
{
	autofd int fd = openat(c->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofree pid_t *pids = NULL;
	size_t n = 0;
	DIR *d;
	int r;

	if (fd < 0 || !(d = fdopendir(fd)))
		return err_set(err, errno, "cannot read the state directory of %s", c->id);
	(void)take_fd(&fd); /* closedir() closes it */
	r = collect(d, &pids, &n);
	closedir(d);
	if (r < 0)
		return err_set(err, -r, "cannot read the state directory of %s", c->id);
	if (n)
		qsort(pids, n, sizeof(*pids), compare);
	*ret_pids = take_ptr(&pids);
	*ret_n = n;
	return 0;
}
