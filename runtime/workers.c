/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/workers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/timeline.h"

#define LOOK_MS  2
#define ARGS_MAX 1200 /* "coracle-vmm", "--worker", a device, a number, an id */

static ssize_t read_proc(const char *pid, const char *file, char *buf, size_t cap)
{
	char path[64];
	autofd int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%.16s/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, buf, cap - 1);
	buf[MAX(n, 0)] = '\0';
	return MAX(n, 0);
}

/* "PID (comm) state ppid pgrp ... num_threads": comm may hold anything, ')' and spaces too. A process whose first thread
 * has ended is a zombie while others live: one of the file server's may be in a call of the host's. */
static bool lives_in_group(const char *pid, pid_t group)
{
	char buf[512], state;
	const char *at;
	int pgrp, threads;

	if (!read_proc(pid, "stat", buf, sizeof(buf)))
		return false;
	at = strrchr(buf, ')');
	return at &&
	       sscanf(at + 1,
		       " %c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d",
		       &state, &pgrp, &threads) == 3 &&
	       pgrp == group && ((state != 'Z' && state != 'X') || threads > 1);
}

/* One that has begun to end has no arguments any more. */
static bool is_worker(const char *pid, const char *id)
{
	char args[ARGS_MAX];
	size_t len = (size_t)read_proc(pid, "cmdline", args, sizeof(args));
	bool worker = false, ours = false;

	for (size_t i = 0; i < len; i += strlen(args + i) + 1) {
		worker |= !strcmp(args + i, "--worker");
		ours |= !strcmp(args + i, id);
	}
	return !len || (worker && ours);
}

static bool any_left(pid_t group, const char *id)
{
	DIR *d = opendir("/proc");
	bool found = false;
	struct dirent *e;

	if (!d)
		return false;
	while (!found && (e = readdir(d)))
		found = e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
			lives_in_group(e->d_name, group) && is_worker(e->d_name, id);
	closedir(d);
	return found;
}

/* A group's number is nobody else's while somebody is in it, a zombie too: only then is there more to be looked at. */
static bool group_exists(pid_t group)
{
	return kill(-group, 0) == 0 || errno != ESRCH;
}

int workers_wait_gone(pid_t vmm, const char *id, int timeout_ms, struct err *err)
{
	uint64_t end = timeline_now() + (uint64_t)timeout_ms * 1000000;

	if (vmm <= 1)
		return 0;
	while (group_exists(vmm) && any_left(vmm, id)) {
		if (timeline_now() > end)
			return err_plain(err, EBUSY, "the workers of pid %d do not end", vmm);
		(void)poll(NULL, 0, LOOK_MS);
	}
	return 0;
}
