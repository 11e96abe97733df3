/* SPDX-License-Identifier: Apache-2.0 */
/* Mount points made in a hostile root file system, and the share tree itself (as root). */
#include "runtime/share.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "tests/tap.h"
#include "tests/unit/runtime_dir.h"

static struct err err;

static void make_dir(const char *name)
{
	BUG_ON(mkdir(in_dir(name), 0755));
}

static void make_file(const char *name)
{
	int fd = open(in_dir(name), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

	BUG_ON(fd < 0);
	close(fd);
}

static void make_link(const char *target, const char *name)
{
	BUG_ON(symlink(target, in_dir(name)));
}

/* 'd', 'f', 'l' or '-': what is there, a link not followed. */
static char kind(const char *name)
{
	struct stat st;

	if (lstat(in_dir(name), &st) < 0)
		return '-';
	return S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : 'f';
}

static char first_data[64]; /* of the first mount, after make_points() */

static int make_points(const struct gmount *m, uint32_t n, bool readonly)
{
	struct gmount mounts[16];
	struct container_spec spec = {
		.root_fd = open(in_dir("rootfs"), O_PATH | O_DIRECTORY | O_CLOEXEC),
		.root_readonly = readonly,
		.guest = {.n_mounts = n, .mounts = mounts},
		.mounts = mounts,
	};
	int r;

	BUG_ON(n > ARRAY_SIZE(mounts));
	for (uint32_t i = 0; i < n; i++) {
		mounts[i] = m[i];
		if (!mounts[i].fstype)
			mounts[i].fstype = "proc";
	}

	err = (struct err)ERR_INIT;
	r = share_make_mount_points(&spec, &err);
	snprintf(first_data, sizeof(first_data), "%s",
		n && mounts[0].data ? mounts[0].data : "none");
	arena_release(&spec.arena);
	close(spec.root_fd);
	return r;
}

#define DIR_AT(d)                                             \
	{                                                     \
		.kind = GMOUNT_BIND, .dest = (d), .is_dir = 1 \
	}
#define FILE_AT(d)                               \
	{                                        \
		.kind = GMOUNT_BIND, .dest = (d) \
	}
#define FS_AT(d)                               \
	{                                      \
		.kind = GMOUNT_FS, .dest = (d) \
	}

static const struct {
	struct gmount mount;
	const char *made; /* what must be there after, and what it must be */
	char kind;
} points[] = {
	{FS_AT("/proc"), "rootfs/proc", 'd'},
	{DIR_AT("/deep/er/dir"), "rootfs/deep/er/dir", 'd'},
	{FILE_AT("/deep/er/file"), "rootfs/deep/er/file", 'f'},
	{FILE_AT("//odd/./x/../file"), "rootfs/odd/file", 'f'},
	{DIR_AT("/there"), "rootfs/there", 'd'},
	{FILE_AT("/file"), "rootfs/file", 'f'},
	{DIR_AT("/../../up"), "rootfs/up", 'd'},
	/* links: as seen from inside */
	{DIR_AT("/to-out/new"), "rootfs/outside/new", 'd'},
	{DIR_AT("/up-out/new2"), "rootfs/outside/new2", 'd'},
	{FILE_AT("/dangling"), "rootfs/not/yet", 'f'},
	{DIR_AT("/dangling-dir"), "rootfs/nor/this", 'd'},
};

static void test_points(void)
{
	char link[PATH_MAX];

	make_dir("outside");
	make_dir("rootfs");
	make_dir("rootfs/there");
	make_file("rootfs/file");
	make_dir("rootfs/outside");
	make_link("/outside", "rootfs/to-out"); /* absolute: the container's own */
	snprintf(link, sizeof(link), "../../../../../../../../outside");
	make_link(link, "rootfs/up-out");
	make_link("not/yet", "rootfs/dangling");
	make_link("/nor/this", "rootfs/dangling-dir");
	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		eq_int(make_points(&points[i].mount, 1, true), 0, points[i].mount.dest);
		ok(kind(points[i].made) == points[i].kind, "made %s", points[i].made);
		eq_int(make_points(&points[i].mount, 1, true), 0, "it is there: nothing to do");
	}
	ok(kind("up") == '-' && kind("outside/new") == '-' && kind("outside/new2") == '-' &&
			access("/not", F_OK) < 0,
		"nothing outside the root file system");
	ok(kind("rootfs/dangling") == 'l', "a link stays one");
}

static void test_points_refused(void)
{
	static const struct gmount hidden[] = {FS_AT("/dev"), FS_AT("/dev/shm"), DIR_AT("/device")};
	static const struct gmount below_file = DIR_AT("/file/below"), loop = DIR_AT("/loop/x"),
				   writable = DIR_AT("/writable");

	eq_int(make_points(hidden, 3, true), 0, "one mount below another");
	ok(kind("rootfs/dev") == 'd' && kind("rootfs/dev/shm") == '-' &&
			kind("rootfs/device") == 'd',
		"is made in that one, later");
	eq_int(make_points(&below_file, 1, true), -ENOTDIR, "below a file");
	has_str(err.msg, "cannot make the mount point '/file/below' in the root file system");
	make_link("loop", "rootfs/loop");
	eq_int(make_points(&loop, 1, true), -ELOOP, "a link to itself");
	eq_int(make_points(&writable, 1, false), 0, "a writable root");
	ok(kind("rootfs/writable") == '-', "is left to the guest");
}

/* The rest needs root: it runs in a mount namespace of its own. */

static struct spec_share shares[3];

static struct container_spec share_spec(void)
{
	shares[0] =
		(struct spec_share){.source = "src", .name = "m0", .leaf = "", .recursive = true};
	shares[1] =
		(struct spec_share){.source = "src", .name = "m1", .leaf = "src", .readonly = true};
	shares[2] = (struct spec_share){.source = "one-file", .name = "m2", .leaf = "one-file"};
	for (unsigned i = 0; i < 3; i++) {
		struct stat st;

		shares[i].fd = open(in_dir(shares[i].source), O_PATH | O_CLOEXEC);
		BUG_ON(shares[i].fd < 0 || fstat(shares[i].fd, &st) < 0);
		shares[i].mode = st.st_mode;
	}
	return (struct container_spec){
		.root_path = "rootfs",
		.root_fd = open(in_dir("rootfs"), O_PATH | O_DIRECTORY | O_CLOEXEC),
		.root_readonly = true,
		.shares = shares,
		.n_shares = 3,
	};
}

static int make_at(int tree, const char *name)
{
	autofd int fd = openat(tree, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : 0;
}

static void check_tree(int tree)
{
	struct statvfs vfs;
	struct stat st;

	eq_int(make_at(tree, "new"), -EROFS, "the tree itself is read-only");
	eq_int(make_at(tree, "rootfs/new"), -EROFS, "so is the root file system");
	unlinkat(tree, "m0/new", 0); /* of the check before */
	eq_int(make_at(tree, "m0/new"), 0, "a writable mount takes a file");
	eq_int(make_at(tree, "m1/src/new2"), -EROFS, "a read-only one does not");
	ok(fstatat(tree, "m2/one-file", &st, 0) == 0 && S_ISREG(st.st_mode), "a file is a file");
	ok(fstatat(tree, "m0/sub/inner", &st, 0) == 0, "recursive: with the mounts below");
	ok(fstatat(tree, "m1/src/sub/inner", &st, 0) < 0 && errno == ENOENT, "else without");
	eq_int(make_at(tree, "m1/new3"), -EROFS, "nor does what holds it");
	for (const char *const *p =
			(const char *const[]){".", "rootfs", "m0", "m1", "m1/src", NULL};
		*p; p++) {
		autofd int fd = openat(tree, *p, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		unsigned long want = ST_NOSUID | ST_NODEV | ST_NOEXEC;

		ok(fd >= 0 && fstatvfs(fd, &vfs) == 0 && (vfs.f_flag & want) == want,
			"%s: nothing runs from there", *p);
	}
}

static int check_share(void)
{
	struct container_spec spec = share_spec();
	autofd int tree = -1, mount_point = -1;
	struct share share;
	int fd = take_fd(&shares[1].fd);

	err = (struct err)ERR_INIT;
	ok(share_clone(&share, &spec, NULL, &err) < 0, "a source that is not open");
	has_str(err.msg, "cannot bind 'src'");
	share_release(&share);
	shares[1].fd = fd;
	err = (struct err)ERR_INIT;
	if (!ok(share_clone(&share, &spec, NULL, &err) == 0, "cloned: %s", err.msg))
		return 1;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return 1;
	mount_point = open(in_dir("mnt"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!ok(share_mount(&share, mount_point, &tree, &err) == 0, "mounted: %s", err.msg))
		return 1;
	ok(fcntl(tree, F_GETFD) & FD_CLOEXEC, "close-on-exec");
	check_tree(tree);
	share_release(&share);
	share_release(&share);
	return tap_failures != 0;
}

static int mount_tmpfs_at(const char *path)
{
	return mount("tmpfs", path, "tmpfs", 0, NULL) < 0 ? -errno : 0;
}

static int check_moved(void)
{
	struct container_spec spec = share_spec();
	autofd int tree = -1, mount_point = -1;
	struct share share;

	err = (struct err)ERR_INIT;
	if (!ok(share_clone(&share, &spec, in_dir("src"), &err) == 0, "cloned: %s", err.msg) ||
		unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return 1;
	mount_point = open(in_dir("mnt"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	eq_int(share_mount(&share, mount_point, &tree, &err), -ESTALE, "another directory there");
	has_str(err.msg, "is another directory now");
	share_release(&share);
	return tap_failures != 0;
}

/* What hooks mount below the root file system's own path is in the tree, until it is settled; and nothing of it
 * where the mounts came from. */
static int check_hooks_mounts(void)
{
	struct container_spec spec = share_spec();
	autofd int tree = -1, mount_point = -1, hook_made = -1;
	struct share share;
	struct statvfs vfs;
	struct stat st;

	err = (struct err)ERR_INIT;
	if (!ok(share_clone(&share, &spec, in_dir("rootfs"), &err) == 0, "cloned: %s", err.msg) ||
		unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return 1;
	mount_point = open(in_dir("mnt"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!ok(share_mount(&share, mount_point, &tree, &err) == 0, "mounted: %s", err.msg))
		return 1;
	check_tree(tree);
	ok(statvfs(in_dir("rootfs"), &vfs) == 0 && !(vfs.f_flag & (ST_NOEXEC | ST_RDONLY)),
		"what hooks see is as the root file system was");
	eq_int(mount_tmpfs_at(in_dir("rootfs/there")), 0, "a hook mounts below it");
	make_file("rootfs/there/of-the-hook");
	ok(fstatat(tree, "rootfs/there/of-the-hook", &st, 0) == 0, "which is in the tree");
	ok(share_settle(&share, tree, &err) == 0, "settled: %s", err.msg);
	ok(fstatat(tree, "rootfs/there/of-the-hook", &st, 0) == 0, "it stays there");
	hook_made = openat(tree, "rootfs/there", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(fstatvfs(hook_made, &vfs) == 0 &&
			(vfs.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_RDONLY)) ==
				(ST_NOSUID | ST_NODEV | ST_NOEXEC),
		"confined as the tree is, and to be written to");
	ok(kind("rootfs/there/of-the-hook") == '-', "and is gone from where it was made");
	eq_int(mount_tmpfs_at(in_dir("rootfs/deep")), 0, "a later mount");
	ok(fstatat(tree, "rootfs/deep/er", &st, 0) == 0, "is not in the tree");
	ok(share_settle(&share, tree, &err) == 0, "settled once");
	share_release(&share);
	return tap_failures != 0;
}

/* In a mount namespace where everything is shared, as on a host with systemd; whose mounts stay what they are. */
static int run_shared(int (*check)(void))
{
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0 ||
		mount_tmpfs_at(in_dir("src/sub")) < 0)
		return 77;
	make_dir("src/sub/inner");
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(check());
	BUG_ON(waitpid(pid, &status, 0) != pid);
	if (kind("rootfs/there/of-the-hook") != '-')
		return 2;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void test_peer(int (*check)(void), unsigned tests, const char *what)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		_exit(run_shared(check));
	BUG_ON(waitpid(pid, &status, 0) != pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		skip("needs the right to mount");
		return;
	}
	tap_count += tests;
	ok(status == 0, "%s", what);
}

static void test_share(void)
{
	int status;
	pid_t pid;

	make_dir("src");
	make_dir("src/sub");
	make_dir("mnt");
	make_file("one-file");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		/* The sources' mounts must be the test's own. */
		if (unshare(CLONE_NEWNS) < 0 ||
			mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			mount("tmpfs", in_dir("src/sub"), "tmpfs", 0, NULL) < 0)
			_exit(77);
		make_dir("src/sub/inner");
		_exit(check_share());
	}
	BUG_ON(waitpid(pid, &status, 0) != pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		skip("needs the right to mount");
		return;
	}
	tap_count += 18;
	ok(status == 0, "the checks in a mount namespace");
}

/* A tmpfs on a directory that was not there is everybody's, unless its mode is given. */
static void test_tmpfs_mode(void)
{
	struct gmount m = {.kind = GMOUNT_FS, .fstype = "tmpfs", .dest = "/new1"};

	eq_int(make_points(&m, 1, true), 0, "without options");
	eq_str(first_data, "mode=1777", "everybody's");
	eq_int(make_points(&m, 1, true), 0, "there by now");
	eq_str(first_data, "none", "the directory's own mode counts");
	m.dest = "/new2";
	m.data = "size=8m";
	eq_int(make_points(&m, 1, true), 0, "with a size");
	eq_str(first_data, "size=8m,mode=1777", "everybody's");
	m.dest = "/new3";
	m.data = "size=8m,mode=700";
	eq_int(make_points(&m, 1, true), 0, "with a mode");
	eq_str(first_data, "size=8m,mode=700", "as given");
}

int main(void)
{
	test_dir_make();
	umask(022);
	test_points();
	test_points_refused();
	test_tmpfs_mode();
	test_share();
	test_peer(check_moved, 3, "a root file system that is elsewhere now");
	test_peer(check_hooks_mounts, 25, "mounts made by hooks");
	return tap_done();
}
