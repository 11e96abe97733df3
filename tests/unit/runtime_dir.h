/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of runtime/: a directory of the test's own, and a fake VMM on a container's control socket. */
#ifndef TESTS_RUNTIME_DIR_H
#define TESTS_RUNTIME_DIR_H

#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/control.h"
#include "runtime/container.h"

static char test_dir[64];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void test_dir_remove(void)
{
	nftw(test_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void test_dir_make(void)
{
	snprintf(test_dir, sizeof(test_dir), "/tmp/coracle-test-XXXXXX");
	BUG_ON(!mkdtemp(test_dir));
	atexit(test_dir_remove);
}

/* "<test_dir>/<name>", good until the fourth next call. */
__attribute__((unused)) static const char *in_dir(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", test_dir, name);
	return p;
}

__attribute__((unused)) static bool exists(const char *name)
{
	return access(in_dir(name), F_OK) == 0;
}

/* A socket bound as the launch binds it; it is not listened on if backlog is negative. */
__attribute__((unused)) static int bind_control(const struct container *c, int backlog)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/" CONTAINER_SOCKET, c->dir_fd);
	BUG_ON(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0);
	BUG_ON(backlog >= 0 && listen(fd, backlog) < 0);
	return fd;
}

#endif
