/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file server under a real kernel's FUSE client: this machine's, through /dev/fuse, in a mount
 * namespace of the test's own. What programs do to files has to work through two kernels. Skips
 * where that cannot be mounted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "tests/unit/fs_client.h"

#define MSG_MAX (2u << 20)
#define HEAD                             \
	(sizeof(struct fuse_in_header) + \
		sizeof(struct fuse_write_in)) /* then data, page-aligned \
									*/

static char dir[] = "/tmp/fs-kernel-XXXXXX";
static char tree[64], mnt[64];

/* The server: a process of its own, one thread per "queue", /dev/fuse in the place of virtqueues.
 */
static struct fs_server server;
static int dev_fd, root_fd;
static bool few; /* keep as few descriptors as can be */

static uint32_t room_for(const uint8_t *msg)
{
	const struct fuse_in_header *h = (const void *)msg;
	const struct fuse_read_in *in = (const void *)(h + 1);

	if (h->opcode == FUSE_READ || h->opcode == FUSE_READDIR || h->opcode == FUSE_READDIRPLUS)
		return in->size;
	return 70000;
}

static void *serve(void *arg)
{
	static struct fs_thread threads[2];
	struct fs_thread *t = &threads[(size_t)arg];
	struct virtq_chain *c = calloc(1, sizeof(*c));
	uint8_t *in = aligned_alloc(4096, MSG_MAX), *out = aligned_alloc(4096, MSG_MAX);
	struct err err = ERR_INIT;

	if (!c || !in || !out || fs_thread_init(t, &server, &err) < 0 ||
		fs_thread_enter(t, root_fd, &err) < 0)
		_exit(1);
	in += 4096 - HEAD;
	out += 4096 - sizeof(struct fuse_out_header);
	for (;;) {
		struct iovec v[2] = {{in, HEAD}, {in + HEAD, MSG_MAX - 4096}};
		ssize_t n = readv(dev_fd, v, 2);
		uint32_t room, written;

		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue;
		if (n < 0)
			_exit(errno != ENODEV);
		room = room_for(in);
		*c = (struct virtq_chain){.n_out = 1,
			.n_in = 2,
			.out_bytes = (uint32_t)n,
			.in_bytes = room + 16,
			.iov = {{in, (size_t)n}, {out, 16}, {out + 16, room}}};
		if (fs_serve(t, c, &written) < 0)
			_exit(2);
		if (written && write(dev_fd, out, written) < 0 && errno != ENOENT)
			_exit(3);
	}
	return NULL;
}

static void server_main(void)
{
	struct err err = ERR_INIT;
	pthread_t th;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	root_fd = open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fs_server_init(&server, root_fd, &err) < 0)
		_exit(1);
	if (few)
		server.nodes.fd_limit = 8, server.nodes.fd_cap = 100;
	if (pthread_create(&th, NULL, serve, (void *)1))
		_exit(1);
	serve((void *)0);
}

static const char *at(const char *name)
{
	static char path[2][256];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/rootfs/%s", mnt, name);
	return path[turn];
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	return lstat(at(name), &st) < 0 ? 0 : st.st_mode & 07777;
}

static void test_files(void)
{
	int a = open(at("f"), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644), b;
	char *m, buf[16] = "";
	off_t pos;

	ok(a >= 0 && pwrite(a, "12345", 5, 100000) == 5, "create and write");
	ok(pread(a, buf, 16, 99998) == 7 && !memcmp(buf,
						    "\0\0"
						    "12345",
						    7),
		"read");
	m = mmap(NULL, 131072, PROT_READ | PROT_WRITE, MAP_SHARED, a, 0);
	ok(m != MAP_FAILED, "a shared mapping");
	b = open(at("f"), O_WRONLY | O_APPEND | O_CLOEXEC);
	if (m != MAP_FAILED) {
		memcpy(m + 50000, "mapped", 6);
		eq_int(msync(m, 131072, MS_SYNC), 0, "msync");
		munmap(m, 131072);
	}
	ok(write(b, "end", 3) == 3, "append");
	{
		char host[128];
		int h, n;

		snprintf(host, sizeof(host), "%s/rootfs/f", tree);
		h = open(host, O_RDONLY | O_CLOEXEC);
		n = (int)pread(h, buf, 6, 50000);
		ok(n == 6 && !memcmp(buf, "mapped", 6), "the mapped page is in place on the host");
		n = (int)pread(h, buf, 16, 100005);
		ok(n == 3 && !memcmp(buf, "end", 3), "and what was appended at the end");
		close(h);
	}
	ok(fsync(a) == 0 && fdatasync(b) == 0, "fsync");
	ok(flock(a, LOCK_EX | LOCK_NB) == 0 && flock(b, LOCK_EX | LOCK_NB) < 0,
		"locks exclude each other");
	pos = lseek(a, 0, SEEK_DATA);
	ok(pos > 0 && pos <= 50000, "SEEK_DATA");
	close(a);
	close(b);
	ok(rename(at("f"), at("g")) == 0 && link(at("g"), at("h")) == 0 && unlink(at("g")) == 0,
		"rename, link, unlink");
	a = open(at("h"), O_RDONLY | O_CLOEXEC);
	ok(unlink(at("h")) == 0 && pread(a, buf, 3, 100005) == 3, "an unlinked file reads on");
	close(a);
	a = open(at("direct"), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644);
	if (a < 0) {
		skip("no O_DIRECT here");
		return;
	}
	m = aligned_alloc(4096, 8192);
	memset(m, 'd', 8192);
	ok(pwrite(a, m, 8192, 0) == 8192 && pread(a, m, 8192, 4096) == 4096, "O_DIRECT");
	ok(fcntl(a, F_SETFL, 0) == 0 && pwrite(a, "x", 1, 5) == 1, "switched off again by fcntl");
	free(m);
	close(a);
}

static void test_tmpfile(void)
{
	int fd = open(at(""), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char link_name[64];

	if (fd < 0) {
		skip("no O_TMPFILE here");
		return;
	}
	snprintf(link_name, sizeof(link_name), "/proc/self/fd/%d", fd);
	ok(write(fd, "t", 1) == 1 &&
			linkat(AT_FDCWD, link_name, AT_FDCWD, at("t"), AT_SYMLINK_FOLLOW) == 0,
		"O_TMPFILE gets a name");
	close(fd);
}

/* As uid 1000: 0 when f() says so. */
static int as_user(int (*f)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(setgid(1000) < 0 || setuid(1000) < 0 ? 99 : f());
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int append_to_suid(void)
{
	int fd = open(at("suid"), O_WRONLY | O_APPEND | O_CLOEXEC);

	return write(fd, "x", 1) != 1;
}

static int make_in_setgid(void)
{
	struct stat st;

	umask(022);
	if (mkdir(at("sgid/d"), 0777) < 0 || stat(at("sgid/d"), &st) < 0)
		return 1;
	if (st.st_uid != 1000 || st.st_gid != 50 || !(st.st_mode & S_ISGID))
		return 2;
	close(open(at("sgid/f"), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
	if (stat(at("sgid/f"), &st) < 0 || st.st_uid != 1000 || st.st_gid != 50 ||
		(st.st_mode & 07777) != 0644)
		return 3;
	return unlink(at("root-only/x")) == 0 || errno != EACCES ? 4 : 0;
}

static void test_users(void)
{
	struct statx stx;

	close(open(at("suid"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	ok(chmod(at("suid"), 06777) == 0 && mode_of("suid") == 06777, "a set-id file");
	eq_int(as_user(append_to_suid), 0, "a user writes to it");
	eq_int(statx(AT_FDCWD, at("suid"), 0, STATX_MODE, &stx), 0, "statx of its mode alone");
	eq_int(stx.stx_mode & 07777, 0777, "which is not the one from the cache");
	mkdir(at("root-only"), 0700);
	ok(mkdir(at("sgid"), 0755) == 0 && chown(at("sgid"), 0, 50) == 0 &&
			chmod(at("sgid"), 02777) == 0,
		"a set-group-id directory");
	eq_int(as_user(make_in_setgid), 0, "a user's files in it; the root's are refused");
}

static int read_by_acl(void)
{
	return close(open(at("acl"), O_RDWR | O_CLOEXEC));
}

static int read_denied(void)
{
	return close(open(at("acl"), O_RDONLY | O_CLOEXEC)) == 0 || errno != EBADF;
}

static void test_acls(void)
{
	struct fsc_acl a = fsc_acl_of(0, 0);

	close(open(at("acl"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	eq_int(as_user(read_denied), 0, "root's file, closed to a user");
	if (setxattr(at("acl"), "system.posix_acl_access", &a, sizeof(a), 0) < 0) {
		ok(errno == EOPNOTSUPP, "no ACLs on this file system");
		return;
	}
	eq_int(as_user(read_by_acl), 0, "an ACL opens it");
	eq_int(mode_of("acl"), 0770, "and shows in its mode");
	ok(chmod(at("acl"), 0600) == 0, "chmod sets the mask");
	eq_int(as_user(read_denied), 0, "which closes it again");
}

static void test_tools(void)
{
	static const struct {
		const char *tool, *script;
	} jobs[] = {
		{"git", "git init -q r && cd r && cp -r $SOME linux && git add -A && "
			"git -c user.name=a -c user.email=b@c commit -qm x && git gc -q && git "
			"fsck 2>&1 && "
			"git status --porcelain && git clone -q . ../clone && diff -r linux "
			"../clone/linux"},
		{"sqlite3", "test \"$(sqlite3 a.db 'pragma journal_mode=wal; create table t(a); "
			    "insert into t "
			    "values(1),(2); select sum(a) from t; pragma integrity_check' | tr "
			    "'\\n' ' ')\" "
			    "= 'wal 3 ok '"},
		{"gcc", "echo 'int main(void){return 7;}' > c.c && gcc -o c c.c && { ./c; test $? "
			"= 7; }"},
		{"tar", "mkdir x && tar cf l.tar -C $SOME . && tar xf l.tar -C x && diff -r $SOME "
			"x "
			"&& rm -r x && test ! -e x"},
	};
	char cmd[1024];

	/* some files; fewer where each is opened again and again */
	setenv("SOME", few ? "/usr/include/linux/netfilter" : "/usr/include/linux", 1);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
		snprintf(cmd, sizeof(cmd), "command -v %s >/dev/null 2>&1", jobs[i].tool);
		if (system(cmd) != 0) {
			skip("a tool is not installed");
			continue;
		}
		snprintf(cmd, sizeof(cmd), "{ cd '%s' && %s; } >&2", at(""), jobs[i].script);
		eq_int(system(cmd), 0, jobs[i].tool);
	}
}

/* The whole on what is at `tree`. */
static void run(void)
{
	char opts[128], path[128];
	int status = -1;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/rootfs", tree);
	dev_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(opts, sizeof(opts),
		"fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other",
		dev_fd);
	if (mkdir(path, 0755) < 0 || dev_fd < 0 ||
		mount("coracle", mnt, "fuse", MS_NODEV, opts) < 0) {
		skip("no FUSE on this machine");
		return;
	}
	pid = fork();
	if (pid == 0)
		server_main();
	close(dev_fd);
	test_files();
	test_tmpfile();
	test_users();
	test_acls();
	test_tools();
	eq_int(umount(mnt), 0, "unmount: nothing is in use");
	waitpid(pid, &status, 0);
	eq_int(status, 0, "the server ended in order");
}

int main(void)
{
	char path[128];

	if (geteuid() != 0 || !mkdtemp(dir) || !fsc_private_mounts()) {
		skip("needs root and a mount namespace");
		return tap_done();
	}
	chmod(dir, 0755);
	snprintf(tree, sizeof(tree), "%s/tree", dir);
	snprintf(mnt, sizeof(mnt), "%s/mnt", dir);
	if (mkdir(tree, 0755) < 0 || mkdir(mnt, 0755) < 0)
		return 1;
	run();
	/* where files are found again by name, with next to no descriptors: all the time */
	if (fsc_mount_tmpfs(tree) && fsc_mount_overlay(tree, true)) {
		printf("# on an overlay\n");
		few = true;
		run();
		umount2(tree, MNT_DETACH);
		umount2(tree, MNT_DETACH);
	} else {
		skip("no overlay here");
	}
	snprintf(path, sizeof(path), "rm -rf '%s'", dir);
	return system(path) != 0 || tap_done();
}
