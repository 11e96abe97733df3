/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "oci/process.h"

static bool holds(const struct gidmap *m, uint32_t n, bool outside, uint32_t id)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t first = outside ? m[i].outside : m[i].inside;

		if (id >= first && id - first < m[i].count)
			return true;
	}
	return false;
}

/* The highest id that the file system's side does not have. */
static uint32_t spare(const struct gidmap *m, uint32_t n)
{
	uint32_t id = OCI_ID_MAX;

	/* Below each range that it is in; there are at most n. */
	for (uint32_t i = 0; i <= n && holds(m, n, false, id); i++)
		for (uint32_t j = 0; j < n; j++)
			if (id >= m[j].inside && id - m[j].inside < m[j].count && m[j].inside)
				id = m[j].inside - 1;
	return id;
}

int idmap_text(const struct gidmap *m, uint32_t n, char *out, size_t out_bytes)
{
	bool more = !holds(m, n, true, 0);
	size_t len = 0;

	for (uint32_t i = 0; i < n + more; i++) {
		struct gidmap e = {spare(m, n), 0, 1};
		int w;

		if (i < n)
			e = m[i];
		w = snprintf(
			out + len, out_bytes - len, "%u %u %u\n", e.inside, e.outside, e.count);
		if (w < 0 || (size_t)w >= out_bytes - len || i == GSPEC_IDMAPS_MAX)
			return -E2BIG;
		len += (size_t)w;
	}
	return 0;
}

static int write_map(
	pid_t pid, const char *file, const struct gidmap *m, uint32_t n, struct err *err)
{
	char text[IDMAP_TEXT_BYTES], path[64];
	autofd int fd = -1;
	ssize_t len;

	if (idmap_text(m, n, text, sizeof(text)) < 0)
		return err_plain(err, E2BIG,
			"an id-mapped mount that has no mapping to id 0 takes at most %u mappings",
			GSPEC_IDMAPS_MAX - 1);
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	len = (ssize_t)strlen(text);
	/* At once, or not at all. */
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		return err_set(err, errno, "cannot write %s of a user namespace", file);
	return 0;
}

/* A user namespace is there as long as somebody is in it, or has it open. */
static pid_t hold_namespace(void)
{
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	} args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	pid_t parent = getpid(), pid;

	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	for (;;)
		pause();
}

static int open_namespace(pid_t pid, const struct idmaps *m, struct err *err)
{
	char path[64];
	int fd, r = write_map(pid, "uid_map", m->uids, m->n_uids, err);

	if (r == 0)
		r = write_map(pid, "gid_map", m->gids, m->n_gids, err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_set(err, errno, "cannot open a user namespace") : fd;
}

static int make_namespace(const struct idmaps *m, struct err *err)
{
	pid_t pid = hold_namespace();
	int fd;

	if (pid < 0)
		return err_set(err, errno, "cannot make a user namespace");
	fd = open_namespace(pid, m, err);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd;
}

int idmap_mount(int mnt, const struct idmaps *m, bool recursive, struct err *err)
{
	autofd int fd = make_namespace(m, err);
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)fd};

	if (fd < 0)
		return fd;
	if (mount_setattr(mnt, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr,
		    sizeof(attr)) < 0)
		return err_set(err, errno,
			"failed to set MOUNT_ATTR_IDMAP (maybe the file system does not support "
			"idmapped mounts on this kernel)");
	return 0;
}
