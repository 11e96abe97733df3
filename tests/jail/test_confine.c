/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread gives up, step by step, seen from its own side and from outside, and that others keep it. */
#include "vmm/confine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

static bool is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static bool same_file(int a, int b)
{
	struct stat s, t;

	return fstat(a, &s) == 0 && fstat(b, &t) == 0 && s.st_dev == t.st_dev &&
	       s.st_ino == t.st_ino;
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
	char c;

	seen.result = confine_fds(keep, ARRAY_SIZE(keep), &err);
	seen.kept = is_open(fd[1]) && is_open(fd[3]) && is_open(fd[5]);
	seen.closed = !is_open(fd[0]) && !is_open(fd[2]) && !is_open(fd[4]) && !is_open(fd[6]);
	seen.nowhere = true;
	for (int i = 0; i <= STDERR_FILENO; i++)
		seen.nowhere &= is_pipe(i) && read(i, &c, 1) == 0;
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
	ok(same_file(STDOUT_FILENO, fd[0]), "and the streams");
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

static unsigned count_entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static pthread_barrier_t barrier;
static pid_t tid;

static void *with_root(void *arg)
{
	tid = (pid_t)syscall(SYS_gettid);
	eq_int(confine_root(empty_ns, &err), 0, "an empty root");
	eq_int(count_entries("/"), 2, "it has no entries but itself and its parent");
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

	eq_int(confine_landlock(CONFINE_FILES | CONFINE_SOCKETS, &err), 0,
		"a Landlock domain, if there is Landlock");
	fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ok(there ? fd < 0 && errno == EACCES : fd >= 0, "in which nothing can be opened");
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* A tree as the file server's: a tmpfs with rootfs/, and in it a volume that is read-only, and two files. */
static char tree_dir[] = "/tmp/confine-XXXXXX";
static int tree_fd;
static unsigned mounts_before;

#define VOLUME_FLAGS (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)

static const char *in_tree(const char *path)
{
	static char buf[128];

	snprintf(buf, sizeof(buf), "%s%s", tree_dir, path);
	return buf;
}

static bool make_file(const char *path)
{
	int fd = open(in_tree(path), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool make_tree(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		!mkdtemp(tree_dir) || mount("tree", tree_dir, "tmpfs", 0, "") < 0 ||
		mkdir(in_tree("/rootfs"), 0755) < 0 || mkdir(in_tree("/rootfs/volume"), 0755) < 0 ||
		mkdir(in_tree("/rootfs/proc"), 0755) < 0 || !make_file("/rootfs/file"))
		return false;
	mounts_before = lines_of("/proc/self/mountinfo");
	if (mount("volume", in_tree("/rootfs/volume"), "tmpfs", 0, "") < 0 ||
		!make_file("/rootfs/volume/file") ||
		mount(NULL, in_tree("/rootfs/volume"), NULL, MS_REMOUNT | MS_BIND | VOLUME_FLAGS,
			NULL) < 0)
		return false;
	tree_fd = open(tree_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return tree_fd >= 0;
}

static void remove_tree(void)
{
	close(tree_fd);
	umount2(tree_dir, MNT_DETACH);
	rmdir(tree_dir);
}

/* As the file server does it with a node whose descriptor it has closed. */
static void open_by_handle(const char *path)
{
	union {
		struct file_handle h;
		char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = {.h.handle_bytes = MAX_HANDLE_SZ};
	int id, mount_fd = openat(tree_fd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

	eq_int(name_to_handle_at(AT_FDCWD, path, &u.h, &id, 0), 0, "the handle of a file");
	fd = open_by_handle_at(mount_fd, &u.h, O_PATH | O_CLOEXEC);
	ok(fd >= 0, "finds it again");
	close(fd);
	close(mount_fd);
}

static ino_t inode_of(int fd, const char *path)
{
	struct stat st;

	return fstatat(fd, path, &st, 0) < 0 ? 0 : st.st_ino;
}

static void look_at_tree(void)
{
	struct statvfs st = {0};

	ok(access("/rootfs/file", F_OK) == 0 && faccessat(tree_fd, "rootfs/file", F_OK, 0) == 0,
		"it is there, by path and by descriptor");
	ok(fcntl(tree_fd, F_GETFD) == FD_CLOEXEC, "the descriptor is close-on-exec");
	ok(access("/etc", F_OK) < 0 && access("/proc", F_OK) < 0, "nothing else is");
	ok(inode_of(AT_FDCWD, "/") == inode_of(AT_FDCWD, "/..") &&
			inode_of(AT_FDCWD, "/") == inode_of(tree_fd, "..") &&
			inode_of(AT_FDCWD, "/") == inode_of(AT_FDCWD, ".."),
		"no way leads up");
	ok(open("/rootfs/volume/file", O_RDWR | O_CLOEXEC) < 0 && errno == EROFS,
		"the volume in it is read-only");
	ok(statvfs("/rootfs/volume", &st) == 0 && (st.f_flag & VOLUME_FLAGS) == VOLUME_FLAGS,
		"and has its other attributes");
	open_by_handle("/rootfs/file");
}

static void *with_tree_too(void *arg)
{
	ok(access("/rootfs/file", F_OK) == 0 && access("/etc", F_OK) < 0,
		"a thread that it creates is there, too");
	return NULL;
}

static void *with_tree(void *arg)
{
	pthread_t t;

	tid = (pid_t)syscall(SYS_gettid);
	eq_int(confine_tree(tree_fd, empty_ns, &err), 0, "a tree");
	look_at_tree();
	pthread_create(&t, NULL, with_tree_too, NULL);
	pthread_join(t, NULL);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	ok(access("/rootfs/volume/file", F_OK) == 0, "what is unmounted outside stays");
	ok(access("/rootfs/proc/self", F_OK) < 0, "what is mounted outside does not come");
	return NULL;
}

static void test_tree(void)
{
	char path[64];
	pthread_t t;

	pthread_create(&t, NULL, with_tree, NULL);
	pthread_barrier_wait(&barrier);
	snprintf(path, sizeof(path), "/proc/self/task/%d/mountinfo", tid);
	eq_int(lines_of(path), 2, "two mounts, the tree's");
	eq_int(lines_of("/proc/self/mountinfo"), mounts_before + 1, "ours are as they were");
	umount2(in_tree("/rootfs/volume"), MNT_DETACH);
	mount("proc", in_tree("/rootfs/proc"), "proc", 0, NULL);
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
	ok(access("/etc", F_OK) == 0, "the others have their root");
}

/* A caller in a change root: a plain directory of the tree, then a mount. The namespace's own root is another one. */
static void *in_chroot(void *arg)
{
	struct stat host, st;
	int fd;

	stat("/", &host);
	if (unshare(CLONE_FS) < 0 || chroot(in_tree(arg)) < 0 || chdir("/") < 0)
		return NULL;
	eq_int(confine_make_empty_ns(&fd, &err), 0, "an empty namespace, from a change root");
	eq_int(confine_root(fd, &err), 0, "an empty root");
	eq_int(count_entries("/"), 2, "it is empty");
	ok(stat("/", &st) == 0 && st.st_dev != host.st_dev && access("/etc", F_OK) < 0,
		"and not the host's");
	close(fd);
	return NULL;
}

static void *with_socket(void *arg)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, r;

	eq_int(confine_landlock(CONFINE_SOCKETS, &err), 0, "a Landlock domain for sockets only");
	r = bind(s, (struct sockaddr *)&addr, sizeof(addr));
	ok(abi >= 4 ? r < 0 && errno == EACCES : r == 0,
		"no TCP port can be bound, if it knows them");
	fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ok(fd >= 0, "files can be opened");
	close(fd);
	close(s);
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

/* A host that runs on its initramfs: the root is what this machine's root was mounted on. */
static bool enter_first_root(bool *ret_made_proc)
{
	int ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

	if (ns < 0 || umount2("/", MNT_DETACH) < 0 || setns(ns, CLONE_NEWNS) < 0)
		return false;
	close(ns);
	*ret_made_proc = mkdir("/proc", 0755) == 0;
	strcpy(tree_dir, "/confine");
	return mount("proc", "/proc", "proc", 0, NULL) == 0 && mkdir(tree_dir, 0755) == 0 &&
	       mount("tree", tree_dir, "tmpfs", 0, "") == 0 && make_file("/file");
}

static void *in_empty_on_first_root(void *arg)
{
	eq_int(confine_root(empty_ns, &err), 0, "an empty root");
	eq_int(count_entries("/"), 2, "it is empty");
	ok(inode_of(AT_FDCWD, "/") == inode_of(AT_FDCWD, "/.."), "no way leads up");
	return NULL;
}

static void *in_tree_on_first_root(void *arg)
{
	eq_int(confine_tree(tree_fd, empty_ns, &err), 0, "a tree");
	ok(access("/file", F_OK) == 0 && access("/proc", F_OK) < 0 && access("/confine", F_OK) < 0,
		"is the root");
	ok(inode_of(AT_FDCWD, "/") == inode_of(AT_FDCWD, "/..") &&
			inode_of(AT_FDCWD, "/") == inode_of(tree_fd, ".."),
		"no way leads up");
	eq_int(lines_of("/proc/self/mountinfo"), 0, "there is no /proc");
	return NULL;
}

static void test_first_root(void)
{
	bool made_proc = false;

	if (!ok(enter_first_root(&made_proc), "on the kernel's first root"))
		return;
	ok(mount("/confine", "/confine", NULL, MS_BIND, NULL) == 0 &&
			syscall(SYS_pivot_root, "/confine", "/confine") < 0 && errno == EINVAL,
		"which pivot_root(2) cannot change");
	umount2("/confine", MNT_DETACH);
	eq_int(confine_make_empty_ns(&empty_ns, &err), 0, "an empty namespace");
	tree_fd = open(tree_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	run(in_empty_on_first_root, NULL);
	run(in_tree_on_first_root, NULL);
	close(empty_ns);
	remove_tree();
	umount2("/proc", MNT_DETACH);
	if (made_proc)
		rmdir("/proc");
}

int main(void)
{
	test_fds();
	if (geteuid() != 0) {
		ok(true, "the rest # SKIP not root");
		return tap_done();
	}
	test_root();
	if (!ok(make_tree(), "a tree is made"))
		return tap_done();
	test_tree();
	run(in_chroot, "/rootfs");
	ok(mount(in_tree("/rootfs"), in_tree("/rootfs"), NULL, MS_BIND | MS_REC, NULL) == 0,
		"a mount");
	run(in_chroot, "/rootfs");
	remove_tree();
	run(with_landlock, NULL);
	run(with_socket, NULL);
	run(with_caps, NULL);
	test_first_root();
	return tap_done();
}
