/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/timeline.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_files.h"

#define EMPTY_WAIT_MS 2000 /* for the VMM that was ended just now to leave */
#define DEPTH_MAX     32
#define PROCS_MAX     4096 /* bytes of cgroup.procs that are looked at at a time */

/* v2: the kernel tells (cgroup-v2.rst, "cgroup.events": a file-modified event). */
static int wait_empty_v2(int dir, uint64_t deadline_ns)
{
	autofd int fd = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
	char buf[256];

	if (fd < 0)
		return -errno;
	for (;;) {
		struct pollfd pf = {.fd = fd, .events = POLLPRI};
		ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);

		if (n < 0)
			return errno == ENODEV ? 0 : -errno; /* it is gone */
		buf[n] = '\0';
		if (strstr(buf, "populated 0"))
			return 0;
		if (!timeline_left_ms(deadline_ns))
			return -EBUSY;
		(void)poll(&pf, 1, timeline_left_ms(deadline_ns));
	}
}

/* v1: process by process. */
static int wait_empty_v1(int dir, uint64_t deadline_ns)
{
	char buf[PROCS_MAX], *save = NULL;
	int r = cgroup_get(dir, "cgroup.procs", buf, sizeof(buf));

	for (char *p = r < 0 ? NULL : strtok_r(buf, "\n", &save); p;
		p = strtok_r(NULL, "\n", &save)) {
		autofd int pidfd = (int)syscall(SYS_pidfd_open, atoi(p), 0);
		struct pollfd pf = {.fd = pidfd, .events = POLLIN};

		if (pidfd < 0)
			continue;
		if (poll(&pf, 1, timeline_left_ms(deadline_ns)) <= 0)
			return -EBUSY;
	}
	return r;
}

/* Nothing is killed here: the VMM is gone, and whatever else is in the group by now has been put there by
 * somebody else, such as another container of the same cgroupsPath. */
static int empty(int dir, bool v2, uint64_t deadline_ns)
{
	return v2 ? wait_empty_v2(dir, deadline_ns) : wait_empty_v1(dir, deadline_ns);
}

static int remove_below(int dir, bool v2, uint64_t deadline_ns, unsigned depth);

static int remove_one(int parent, const char *name, bool v2, uint64_t deadline_ns, unsigned depth)
{
	autofd int dir = -1;
	int r;

	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY)
		return -errno;
	dir = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return errno == ENOENT ? 0 : -errno;
	r = empty(dir, v2, deadline_ns);
	if (r == 0)
		r = remove_below(dir, v2, deadline_ns, depth + 1);
	if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

/* What engines or the sandbox made below. */
static int remove_below(int dir, bool v2, uint64_t deadline_ns, unsigned depth)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	struct dirent *e;
	DIR *d;

	if (copy < 0)
		return -errno;
	d = fdopendir(copy);
	if (!d) {
		r = -errno;
		close(copy);
		return r;
	}
	while (r == 0 && (e = readdir(d))) {
		if (e->d_type != DT_DIR || !strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		r = depth > DEPTH_MAX ? -ELOOP : remove_one(dir, e->d_name, v2, deadline_ns, depth);
	}
	closedir(d);
	return r;
}

/* r: what the removal of the group itself said. To make it would have taken the same right over the group above: who
 * lacks that found it there. A read-only mount says this of all groups alike; there it is who has made one that owns it. */
static bool is_others(int parent, const char *name, int r)
{
	struct stat st;

	if (r == -EACCES || r == -EPERM)
		return true;
	if (r != -EROFS)
		return false;
	return fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno == ENOENT
								   : st.st_uid != geteuid();
}

static int remove_path(const char *path, uint64_t deadline)
{
	autofree char *above = strdup(path);
	const char *name = strrchr(path, '/') + 1;
	autofd int parent = -1;
	struct statfs st;

	if (!above)
		return -ENOMEM;
	*strrchr(above, '/') = '\0';
	parent = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (parent < 0) /* EACCES: nothing was made by us where we cannot go */
		return errno == ENOENT || errno == EACCES ? 0 : -errno;
	if (fstatfs(parent, &st) < 0)
		return -errno;
	/* The state may be anybody's text: nothing but a cgroup is removed by it. */
	if (st.f_type != CGROUP2_SUPER_MAGIC && st.f_type != CGROUP_SUPER_MAGIC)
		return -EINVAL;
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || is_others(parent, name, -errno))
		return 0;
	return remove_one(parent, name, st.f_type == CGROUP2_SUPER_MAGIC, deadline, 0);
}

int cgroup_remove(const struct cstate *s, struct err *err)
{
	uint64_t deadline = timeline_now() + EMPTY_WAIT_MS * 1000000ull;
	int r = 0;

	for (unsigned i = 0; i < s->n_cgroups; i++) {
		int one = remove_path(s->cgroups[i], deadline);

		if (one < 0 && one != -EBUSY &&
			r == 0) /* busy: it is another's now, who will remove it */
			r = err_set(err, -one, "unable to remove container's cgroup: '%s'",
				s->cgroups[i]);
	}
	return r;
}
