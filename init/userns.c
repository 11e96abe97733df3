/* SPDX-License-Identifier: Apache-2.0 */
#include "init/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "init/creds.h"
#include "init/fail.h"
#include "init/mounts.h"
#include "init/namespaces.h"
#include "init/nodes.h"
#include "init/procfs.h"
#include "init/sys.h"
#include "init/sysctl.h"
#include "lib/base.h"
#include "lib/cleanup.h"

#define MAP_LINE  33 /* three numbers of up to 10 digits, and what parts them */
#define MAP_BYTES (GSPEC_IDMAPS_MAX * MAP_LINE + 1)

static bool outer(const struct gidmap *m, uint32_t n, uint32_t id, uint32_t *ret)
{
	for (uint32_t i = 0; i < n; i++) {
		if (id < m[i].inside || id - m[i].inside >= m[i].count)
			continue;
		*ret = m[i].outside + (id - m[i].inside);
		return true;
	}
	return false;
}

bool userns_uid(const struct gspec *spec, uint32_t uid, uint32_t *ret_uid)
{
	*ret_uid = uid;
	return !(spec->namespaces & GNS_USER) ||
	       outer(spec->uid_maps, spec->n_uid_maps, uid, ret_uid);
}

bool userns_gid(const struct gspec *spec, uint32_t gid, uint32_t *ret_gid)
{
	*ret_gid = gid;
	return !(spec->namespaces & GNS_USER) ||
	       outer(spec->gid_maps, spec->n_gid_maps, gid, ret_gid);
}

int userns_map_text(const struct gidmap *m, uint32_t n, char *out, size_t out_bytes)
{
	size_t len = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < n; i++) {
		int w = snprintf(out + len, out_bytes - len, "%u %u %u\n", m[i].inside,
			m[i].outside, m[i].count);

		if (w < 0 || (size_t)w >= out_bytes - len)
			return -E2BIG;
		len += (size_t)w;
	}
	return 0;
}

static int show_fs(const char *fstype, const char *path, struct err *err)
{
	char why[128];
	autofd int mnt = mount_new_fs(fstype, fstype, "", 0, 0, why, sizeof(why));
	autofd int target = -1;

	if (mnt < 0)
		return fail(err, -mnt, "cannot make a %s", fstype);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fail(err, errno, "%s", path);
	target = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0 || sys_attach(mnt, target) < 0)
		return fail(err, errno, "cannot mount %s", path);
	return 0;
}

int userns_prepare(
	int share, const struct gspec *spec, struct userns_outside *ret_o, struct err *err)
{
	int r = show_fs("proc", "/proc", err);

	if (r == 0)
		r = show_fs("sysfs", "/sys", err);
	if (r < 0)
		return r;
	ret_o->share = sys_open_tree(share, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
	if (ret_o->share < 0)
		return fail(err, errno, "cannot clone the share");
	ret_o->nodes = nodes_make(spec, err);
	return ret_o->nodes < 0 ? ret_o->nodes : 0;
}

static int write_map(
	pid_t pid, const char *file, const struct gidmap *m, uint32_t n, struct err *err)
{
	static char text[MAP_BYTES]; /* one write(2) has to say it all */
	char path[64];
	int r = userns_map_text(m, n, text, sizeof(text));

	snprintf(path, sizeof(path), "%d/%s", pid, file);
	if (r == 0)
		r = procfs_dir();
	if (r >= 0)
		r = file_put(r, path, text);
	return r < 0 ? fail(err, -r, "cannot write %s", file) : 0;
}

static const char *const visited[] = {"uts", "ipc", "net"};

#define VISITED ARRAY_SIZE(visited)

/* By descriptor: a pidfd of ours would lead to where we are by then. */
static int open_own(int proc, int ret_fds[VISITED])
{
	char path[64];

	for (size_t i = 0; i < VISITED; i++) {
		snprintf(path, sizeof(path), "%d/ns/%s", getpid(), visited[i]);
		ret_fds[i] = openat(proc, path, O_RDONLY | O_CLOEXEC);
		if (ret_fds[i] < 0)
			return -errno;
	}
	return 0;
}

/* Those of an ipc namespace belong to its own root, and to nobody else. */
static int write_sysctl(int proc, const struct gkeyval *kv, uint32_t root, struct err *err)
{
	struct err first = ERR_INIT;
	int r = sysctls_write(proc, kv, 1, &first);

	if (r != -EACCES) {
		*err = first;
		return r;
	}
	if (syscall(SYS_setresuid, -1, root, -1) < 0)
		return fail(err, errno, "cannot act as container root");
	r = sysctls_write(proc, kv, 1, err);
	BUG_ON(syscall(SYS_setresuid, -1, 0, -1) < 0); /* its real one */
	return r;
}

static int configure(const struct gspec *spec, int proc, struct err *err)
{
	int r = ns_loopback_up(err);
	uint32_t root;

	if (!userns_uid(spec, 0, &root))
		return err_plain(err, EINVAL, "container root has no mapping");
	for (uint32_t i = 0; i < spec->n_sysctls && r == 0; i++)
		r = write_sysctl(proc, &spec->sysctls[i], root, err);
	return r;
}

/* Some sysctls are of the uts, ipc or network namespace that the writer is in, and only the guest's
 * root may write most of them. */
static int visit(const struct gspec *spec, pid_t pid, struct err *err)
{
	int proc = procfs_dir(), own[VISITED] = {-1, -1, -1}, r;
	autofd int there = sys_pidfd_open(pid);

	r = proc < 0 ? proc : open_own(proc, own);
	if (r == 0 && (there < 0 || setns(there, CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) < 0))
		r = -errno;
	if (r < 0) {
		fail(err, -r, "cannot visit the container's namespaces");
	} else {
		r = configure(spec, proc, err);
		for (size_t i = 0; i < VISITED; i++)
			BUG_ON(setns(own[i], 0) < 0); /* init's own: it may */
	}
	for (size_t i = 0; i < VISITED; i++)
		close_fd(&own[i]);
	return r;
}

int userns_complete(const struct gspec *spec, pid_t pid, int sock, struct err *err)
{
	int r = write_map(pid, "uid_map", spec->uid_maps, spec->n_uid_maps, err);

	if (r == 0)
		r = write_map(pid, "gid_map", spec->gid_maps, spec->n_gid_maps, err);
	if (r == 0)
		r = creds_raise_limits(pid, &spec->proc, err);
	if (r == 0 && (spec->proc.flags & GPROC_HAS_OOM_SCORE))
		r = creds_oom_score(procfs_dir(), pid, spec->proc.oom_score_adj, err);
	if (r == 0)
		r = visit(spec, pid, err);
	if (r == 0 && send(sock, "", 1, MSG_NOSIGNAL) != 1)
		r = fail(err, errno, "the container's first process has gone");
	return r;
}

int userns_become_root(struct err *err)
{
	if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 ||
		syscall(SYS_setresuid, 0, 0, 0) < 0)
		return fail(err, errno, "cannot become root in the user namespace");
	return 0;
}

int userns_enter_new(int sock, struct err *err)
{
	char go;

	if (recv(sock, &go, 1, 0) != 1)
		_exit(1); /* init says why */
	return userns_become_root(err);
}

int userns_check(const struct gspec *spec, const struct gproc *p, struct err *err)
{
	uint32_t outside;

	if (!userns_uid(spec, p->uid, &outside))
		return err_plain(err, EINVAL, "cannot set uid to unmapped user in user namespace");
	if (!userns_gid(spec, p->gid, &outside))
		return err_plain(err, EINVAL, "cannot set gid to unmapped user in user namespace");
	for (uint32_t i = 0; i < p->n_groups; i++)
		if (!userns_gid(spec, p->groups[i], &outside))
			return err_plain(err, EINVAL,
				"setgroups: group %u is not mapped in the user namespace",
				p->groups[i]);
	return 0;
}
