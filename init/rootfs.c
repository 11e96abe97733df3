/* SPDX-License-Identifier: Apache-2.0 */
#include "init/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "init/fail.h"
#include "init/mounts.h"
#include "init/sys.h"
#include "lib/cleanup.h"
#include "lib/path.h"

int rootfs_bind(const struct gspec *spec, int *ret_root, struct err *err)
{
	struct mount_attr private = {.propagation = MS_PRIVATE};
	autofd int mnt = -1, target = -1;
	struct stat st;

	/* pivot_root(2) refuses shared mounts, and nothing done here may show outside. */
	if (sys_mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &private) < 0)
		return fail(err, errno, "cannot make the guest's mounts private");
	target = openat(AT_FDCWD, spec->root, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0 || fstat(target, &st) < 0)
		return fail(err, errno, "cannot open the root file system");
	if (!S_ISDIR(st.st_mode))
		return err_plain(err, ENOTDIR, "the root file system is not a directory");
	mnt = sys_open_tree(target, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
	if (mnt < 0 || sys_attach(mnt, target) < 0)
		return fail(err, errno, "cannot mount the root file system");
	*ret_root = take_fd(&mnt);
	return 0;
}

int rootfs_enter(int root, struct err *err)
{
	if (fchdir(root) < 0)
		return fail(err, errno, "chdir to rootfs");
	/* The old root ends up stacked on the new one's "."; detaching "." takes it off again. */
	if (sys_pivot_root(".", ".") < 0)
		return fail(err, errno, "pivot_root");
	if (sys_umount2(".", SYS_MNT_DETACH) < 0)
		return fail(err, errno, "cannot detach the old root");
	if (chdir("/") < 0)
		return fail(err, errno, "chdir to /");
	return 0;
}

int rootfs_null_mount(int null_fd, struct err *err)
{
	int mnt = sys_open_tree(null_fd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);

	return mnt < 0 ? fail(err, errno, "cannot clone the null device") : mnt;
}

static int read_only_path(int root, const char *path, struct err *err)
{
	struct mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY};
	autofd int target = path_open(root, path, O_PATH);
	autofd int mnt = -1;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return fail(err, -target, "%s", path);
	mnt = sys_open_tree(target, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
	if (mnt < 0 || sys_mount_setattr(mnt, "", AT_EMPTY_PATH, &ro) < 0 ||
		sys_attach(mnt, target) < 0)
		return fail(err, errno, "%s", path);
	return 0;
}

/* One null device and one empty tmpfs serve all masked paths; both are cloned once they are
 * attached, as a detached mount cannot be before Linux 6.15. */
struct masks {
	int null_mnt, dir_mnt;
	bool null_attached;
};

static int mask_mount(struct masks *m, bool dir)
{
	char why[64];

	if (!dir && !m->null_attached) {
		m->null_attached = true;
		return fcntl(m->null_mnt, F_DUPFD_CLOEXEC, 0);
	}
	if (dir && m->dir_mnt < 0) {
		m->dir_mnt = mount_new_fs("tmpfs", "tmpfs", "nr_blocks=1,nr_inodes=1,mode=0755", 0,
			MOUNT_ATTR_RDONLY, why, sizeof(why));
		if (m->dir_mnt < 0) {
			errno = -m->dir_mnt;
			return -1;
		}
		return fcntl(m->dir_mnt, F_DUPFD_CLOEXEC, 0);
	}
	return sys_open_tree(dir ? m->dir_mnt : m->null_mnt, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
}

static int mask_path(int root, struct masks *m, const char *path, struct err *err)
{
	autofd int target = path_open(root, path, O_PATH);
	autofd int mnt = -1;
	struct stat st;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return fail(err, -target, "%s", path);
	if (fstat(target, &st) < 0)
		return fail(err, errno, "%s", path);
	mnt = mask_mount(m, S_ISDIR(st.st_mode));
	if (mnt < 0 || sys_attach(mnt, target) < 0)
		return fail(err, errno, "%s", path);
	return 0;
}

static int mask_paths(int root, const struct gstrv *paths, int null_mnt, struct err *err)
{
	struct masks m = {.null_mnt = null_mnt, .dir_mnt = -1};
	int r = 0;

	for (uint32_t i = 0; i < paths->n && r == 0; i++)
		r = mask_path(root, &m, paths->v[i], err);
	if (m.dir_mnt >= 0)
		close(m.dir_mnt);
	return r < 0 ? err_wrap(err, "can't mask path") : 0;
}

int rootfs_close_down_take(int root, const struct gspec *spec, int null_mnt, struct err *err)
{
	struct mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY};
	autofd int null = null_mnt;
	int r;

	if ((spec->flags & GSPEC_ROOT_READONLY) &&
		sys_mount_setattr(root, "", AT_EMPTY_PATH, &ro) < 0)
		return fail(err, errno, "can't make / read-only");
	for (uint32_t i = 0; i < spec->readonly_paths.n; i++) {
		r = read_only_path(root, spec->readonly_paths.v[i], err);
		if (r < 0)
			return err_wrap(err, "can't make path read-only");
	}
	r = mask_paths(root, &spec->masked_paths, null, err);
	if (r < 0)
		return r;
	r = mount_propagation(root, "", spec->root_propagation);
	return r < 0 ? fail(err, -r, "cannot set the root's propagation") : 0;
}
