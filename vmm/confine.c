/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"

#define FD_TABLE 1024 /* entries, so that the table need not grow while two threads share it */

/* Roots */

/* The old root, with what covers it and all below, leaves the namespace: a mount that covers another goes first. */
static int leave_old_root(int old, struct err *err)
{
	if (fchdir(old) < 0)
		return err_set(err, errno, "cannot enter the old root");
	while (umount2(".", MNT_DETACH) == 0)
		;
	if (errno != EINVAL) /* it is not in this namespace any more */
		return err_set(err, errno, "cannot unmount the old root");
	return chdir("/") < 0 ? err_set(err, errno, "cannot enter the new root") : 0;
}

/* The mount becomes the root. A root that is mounted on nothing, as that of a host which runs on its initramfs, or that
 * is no mount, cannot be left: the new one covers it, and all that is mounted below. */
static int enter_mount(int mount_fd, struct err *err)
{
	autofd int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (old < 0)
		return err_set(err, errno, "cannot open '/'");
	if (move_mount(mount_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(err, errno, "cannot mount a new root");
	if (fchdir(mount_fd) < 0)
		return err_set(err, errno, "cannot enter the new root");
	if (syscall(SYS_pivot_root, ".", ".") == 0)
		return leave_old_root(old, err);
	if (errno != EINVAL || chroot(".") < 0)
		return err_set(err, errno, "cannot change to the new root");
	return 0;
}

/* The empty namespace */

static int mount_empty(struct err *err)
{
	autofd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int mnt;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "mode", "000", 0) < 0 ||
		fsconfig(fs, FSCONFIG_SET_STRING, "size", "4k", 0) < 0 ||
		fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0) < 0 ||
		fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set(err, errno, "cannot make an empty file system");
	mnt = fsmount(fs, FSMOUNT_CLOEXEC,
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return mnt < 0 ? err_set(err, errno, "cannot mount an empty file system") : mnt;
}

static bool is_root(int mount_fd)
{
	struct statx m, root;

	return statx(mount_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &m) == 0 &&
	       statx(AT_FDCWD, "/", 0, STATX_MNT_ID, &root) == 0 && m.stx_mnt_id == root.stx_mnt_id;
}

/* Whoever enters the namespace comes out at its own root, which is not ours in a change root: then once more there. */
static int make_empty_root(int ns_fd, struct err *err)
{
	autofd int empty = mount_empty(err);

	if (empty < 0)
		return empty;
	for (int i = 0; i < 2; i++) {
		/* Nothing that is unmounted here is unmounted elsewhere. EINVAL: not even a mount is our root. */
		if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0) {
			int r = enter_mount(empty, err);

			if (r < 0)
				return r;
		} else if (errno != EINVAL) {
			return err_set(err, errno, "cannot make the mounts private");
		}
		if (setns(ns_fd, CLONE_NEWNS) < 0)
			return err_set(err, errno, "cannot enter the empty root");
		if (is_root(empty))
			return 0;
	}
	return err_plain(err, EINVAL, "the namespace keeps another root");
}

struct maker {
	int fd;
	struct err *err;
};

static void *make_empty_ns(void *arg)
{
	struct maker *m = arg;

	if (unshare(CLONE_FS | CLONE_NEWNS) < 0) {
		err_set(m->err, errno, "cannot make a mount namespace");
		return NULL;
	}
	m->fd = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (m->fd < 0)
		err_set(m->err, errno, "cannot open '/proc/thread-self/ns/mnt'");
	else if (make_empty_root(m->fd, m->err) < 0)
		close_fd(&m->fd);
	return NULL;
}

int confine_make_empty_ns(int *ret_fd, struct err *err)
{
	struct maker m = {.fd = -1, .err = err};
	pthread_t thread;
	int r = pthread_create(&thread, NULL, make_empty_ns, &m);

	*ret_fd = -1;
	if (r)
		return err_set(err, r, "cannot create a thread");
	pthread_join(thread, NULL);
	if (m.fd < 0)
		return err_wrap(err, "cannot make an empty root for the threads");
	*ret_fd = m.fd;
	return 0;
}

/* The steps */

static int by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Closes all above the streams but the n of fd[], ascending, from the top down: the first call takes the table over,
 * with nothing above the highest that stays. */
static int close_others(const int *fd, unsigned n)
{
	unsigned above = UINT32_MAX;

	for (unsigned i = n; i-- > 0;) {
		unsigned from = (unsigned)fd[i] + 1;

		if (from <= above && syscall(SYS_close_range, from, above, CLOSE_RANGE_UNSHARE) < 0)
			return -1;
		above = (unsigned)fd[i] - 1;
	}
	if (above <= STDERR_FILENO)
		return 0;
	return (int)syscall(SYS_close_range, STDERR_FILENO + 1, above, CLOSE_RANGE_UNSHARE);
}

/* Whatever reaches for a stream by number finds nothing of the container's, nor a file of the host's, as /dev/null is, whose
 * mode and owner a file server could change: a pipe that nobody writes to. */
static int empty_streams(void)
{
	int p[2], r = 0;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -1;
	for (int fd = 0; fd <= STDERR_FILENO && r >= 0; fd++)
		if (fd != p[0])
			r = dup2(p[0], fd);
	for (int i = 0; i < 2; i++)
		if (p[i] > STDERR_FILENO)
			close(p[i]);
	return r;
}

/* While threads share a table, the kernel waits for an RCU grace period whenever it grows. */
static int grow_table(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, FD_TABLE - 1);

	if (fd >= 0)
		close(fd);
	return fd < 0 && errno != EINVAL && errno != EMFILE ? -1 : 0; /* EINVAL: a lower limit */
}

int confine_fds(const int *keep, unsigned n, struct err *err)
{
	int fd[CONFINE_FDS_MAX];
	unsigned m = 0;

	BUG_ON(n > CONFINE_FDS_MAX);
	for (unsigned i = 0; i < n; i++)
		if (keep[i] > STDERR_FILENO)
			fd[m++] = keep[i];
	qsort(fd, m, sizeof(fd[0]), by_number);
	if (close_others(fd, m) < 0)
		return err_set(err, errno, "cannot close a thread's other descriptors");
	if (empty_streams() < 0)
		return err_set(err, errno, "cannot put a pipe in a thread's streams' place");
	if (grow_table() < 0)
		return err_set(err, errno, "cannot use %d descriptors", FD_TABLE);
	return 0;
}

int confine_root(int empty_ns_fd, struct err *err)
{
	if (unshare(CLONE_FS) < 0)
		return err_set(err, errno, "cannot give a thread a root of its own");
	if (setns(empty_ns_fd, CLONE_NEWNS) < 0)
		return err_set(err, errno, "cannot give a thread an empty root");
	return 0;
}

/* The copy of the namespace is one of the empty one: it costs nothing however many mounts the caller has. */
int confine_tree(int tree_fd, int empty_ns_fd, struct err *err)
{
	struct mount_attr private = {.propagation = MS_PRIVATE};
	autofd int tree = open_tree(
		tree_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	int r;

	if (tree < 0)
		return err_set(err, errno, "cannot clone a tree's mounts");
	/* a mount that is shared cannot be pivoted to */
	if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &private, sizeof(private)) < 0)
		return err_set(err, errno, "cannot make a tree's mounts private");
	r = confine_root(empty_ns_fd, err);
	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNS) < 0)
		return err_set(err, errno, "cannot make a mount namespace");
	r = enter_mount(tree, err);
	if (r < 0)
		return r;
	if (dup3(tree, tree_fd, O_CLOEXEC) < 0)
		return err_set(err, errno, "cannot keep a tree's root");
	return 0;
}

/* linux/landlock.h, as of 6.12 */
struct ruleset {
	uint64_t fs, net, scoped;
};

/* All that this version of the interface knows of what is asked for; returns its size. */
static size_t all_rights(long abi, unsigned what, struct ruleset *ret)
{
	static const unsigned fs_bits[] = {13, 14, 15, 15, 16};

	*ret = (struct ruleset){0};
	if (what & CONFINE_FILES)
		ret->fs = BIT64(fs_bits[MIN((size_t)abi, ARRAY_SIZE(fs_bits)) - 1]) - 1;
	if (!(what & CONFINE_SOCKETS) || abi < 4)
		return offsetof(struct ruleset, net);
	ret->net = 3; /* to bind, and to connect, TCP */
	/* Abstract sockets. Not signals: up to 6.12.23 threads of one process would not reach each other. */
	ret->scoped = 1;
	return abi >= 6 ? sizeof(*ret) : offsetof(struct ruleset, scoped);
}

int confine_landlock(unsigned what, struct err *err)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* VERSION */);
	struct ruleset rs;
	autofd int fd = -1;
	size_t size;

	if (abi < 1) /* the kernel has none, or was told not to use it */
		return 0;
	size = all_rights(abi, what, &rs);
	if (!rs.fs && size == offsetof(struct ruleset, net))
		return 0; /* it has nothing of what is asked for, and refuses a domain without */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, errno, "cannot set no_new_privs");
	fd = (int)syscall(SYS_landlock_create_ruleset, &rs, size, 0);
	if (fd < 0)
		return err_set(err, errno, "cannot make a Landlock domain");
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return err_set(err, errno, "cannot enter a Landlock domain");
	return 0;
}

int confine_caps(struct err *err)
{
	struct __user_cap_header_struct hdr = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	if (syscall(SYS_capset, &hdr, none) < 0)
		return err_set(err, errno, "cannot drop a thread's capabilities");
	return 0;
}
