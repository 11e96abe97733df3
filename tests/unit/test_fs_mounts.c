/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree with mounts in it, as a container's bind mounts are: one read-only, one writable, one read-only below the
 * writable one, one that hides what the directory holds. Every operation that writes is refused by a read-only
 * one with EROFS, however it comes to it, and what it holds is as before.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "tests/unit/fs_client.h"

#define ARGS(...) ((const struct fsc_arg[]){__VA_ARGS__, {0}})
#define STRUCT(v)               \
	{                       \
		&(v), sizeof(v) \
	}
#define NAME(s)              \
	{                    \
		s, sizeof(s) \
	}
#define ENTRY_OPEN (sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out))
#define TEXT       "read-only text"

#define host(...) fsc_host(c, __VA_ARGS__)

static struct fsc *c;
static uint64_t ro, file, writable; /* nodes: the mount, a file in it, a writable directory */

/* One operation that writes. */
static void refused(
	const char *what, uint32_t op, uint64_t node, const struct fsc_arg *args, int want)
{
	eq_int(fsc_call(c, op, node, args, ENTRY_OPEN), want, what);
}

static void test_new_files(void)
{
	static const uint32_t modes[] = {S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	static const uint32_t flags[] = {
		O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC, O_RDWR | O_EXCL, O_RDWR | O_DIRECT};
	struct fuse_mkdir_in md = {.mode = 0755};
	struct fuse_link_in ln = {.oldnodeid = file};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct fuse_mknod_in in = {.mode = modes[i] | 0644};

		refused("MKNOD", FUSE_MKNOD, ro, ARGS(STRUCT(in), NAME("new")), -EROFS);
	}
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		struct fuse_create_in in = {.flags = flags[i], .mode = 0644};

		refused("CREATE", FUSE_CREATE, ro, ARGS(STRUCT(in), NAME("new")), -EROFS);
		if (flags[i] & O_ACCMODE)
			refused("TMPFILE", FUSE_TMPFILE, ro, ARGS(STRUCT(in), NAME("/")), -EROFS);
		if (flags[i] & O_ACCMODE && !(flags[i] & O_EXCL))
			refused("CREATE of what is there", FUSE_CREATE, ro,
				ARGS(STRUCT(in), NAME("file")), -EROFS);
	}
	refused("MKDIR", FUSE_MKDIR, ro, ARGS(STRUCT(md), NAME("new")), -EROFS);
	refused("SYMLINK", FUSE_SYMLINK, ro, ARGS(NAME("new"), NAME("file")), -EROFS);
	refused("LINK", FUSE_LINK, ro, ARGS(STRUCT(ln), NAME("new")), -EROFS);
	refused("LINK out", FUSE_LINK, writable, ARGS(STRUCT(ln), NAME("new")), -EXDEV);
	ln.oldnodeid = fsc_node(c, writable, "own");
	refused("LINK into", FUSE_LINK, ro, ARGS(STRUCT(ln), NAME("new")), -EROFS);
	fsc_forget(c, ln.oldnodeid, 1);
}

static void test_names(void)
{
	static const uint32_t flags[] = {0, RENAME_NOREPLACE, RENAME_WHITEOUT, RENAME_EXCHANGE};
	struct fuse_rename_in rn = {.newdir = ro};

	refused("UNLINK", FUSE_UNLINK, ro, ARGS(NAME("file")), -EROFS);
	refused("UNLINK of a link", FUSE_UNLINK, ro, ARGS(NAME("link")), -EROFS);
	refused("RMDIR", FUSE_RMDIR, ro, ARGS(NAME("dir")), -EROFS);
	refused("RENAME", FUSE_RENAME, ro, ARGS(STRUCT(rn), NAME("file"), NAME("new")), -EROFS);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		struct fuse_rename2_in in = {.newdir = ro, .flags = flags[i]};
		const struct fsc_arg new = NAME("new"), link = NAME("link");

		refused("RENAME2", FUSE_RENAME2, ro,
			ARGS(STRUCT(in), NAME("file"), flags[i] & RENAME_EXCHANGE ? link : new),
			-EROFS);
	}
	refused("RENAME into", FUSE_RENAME, writable, ARGS(STRUCT(rn), NAME("own"), NAME("new")),
		-EXDEV);
	rn.newdir = writable;
	refused("RENAME out", FUSE_RENAME, ro, ARGS(STRUCT(rn), NAME("file"), NAME("new")), -EXDEV);
}

static void test_attributes(void)
{
	static const struct {
		const char *what;
		struct fuse_setattr_in in;
	} sets[] = {
		{"SETATTR: mode", {.valid = FATTR_MODE, .mode = 0777}},
		{"SETATTR: owner", {.valid = FATTR_UID, .uid = 5}},
		{"SETATTR: group", {.valid = FATTR_GID, .gid = 5}},
		{"SETATTR: owner and mode", {.valid = FATTR_UID | FATTR_MODE, .uid = 5}},
		{"SETATTR: shorter", {.valid = FATTR_SIZE}},
		{"SETATTR: longer", {.valid = FATTR_SIZE, .size = 1 << 20}},
		{"SETATTR: size, set-id", {.valid = FATTR_SIZE | FATTR_KILL_SUIDGID}},
		{"SETATTR: atime", {.valid = FATTR_ATIME, .atime = 1}},
		{"SETATTR: mtime", {.valid = FATTR_MTIME, .mtime = 1}},
		{"SETATTR: atime, now", {.valid = FATTR_ATIME_NOW}},
		{"SETATTR: mtime, now", {.valid = FATTR_MTIME_NOW}},
	};
	static const char *const names[] = {"user.a", "trusted.overlay.opaque",
		"user.overlay.redirect", "security.capability", "system.posix_acl_access"};
	struct fsc_acl acl = fsc_acl_of(7, 0);
	struct fuse_setxattr_in sx = {.size = sizeof(acl)};

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		refused(sets[i].what, FUSE_SETATTR, file, ARGS(STRUCT(sets[i].in)), -EROFS);
		if (!(sets[i].in.valid & FATTR_SIZE))
			refused(sets[i].what, FUSE_SETATTR, ro, ARGS(STRUCT(sets[i].in)), -EROFS);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct fsc_arg name = {names[i], strlen(names[i]) + 1};

		refused(names[i], FUSE_SETXATTR, file, ARGS(STRUCT(sx), name, STRUCT(acl)), -EROFS);
		refused(names[i], FUSE_REMOVEXATTR, file, ARGS(name), -EROFS);
	}
}

/* A handle to read with is none to write with. */
static void test_data(void)
{
	static const uint32_t flags[] = {
		O_WRONLY, O_RDWR, O_TRUNC, O_WRONLY | O_TRUNC, O_RDWR | O_DIRECT, O_RDWR | O_SYNC};
	static const uint32_t modes[] = {0, FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE};
	struct fuse_copy_file_range_in cp = {.nodeid_out = file, .len = 4};
	struct fuse_setattr_in size = {.valid = FATTR_SIZE | FATTR_FH};
	struct fuse_open_out o, own;
	uint64_t source = fsc_node(c, writable, "own");

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		eq_int(fsc_open(c, FUSE_OPEN, file, flags[i], &o), -EROFS, "OPEN to write");
	eq_int(fsc_open(c, FUSE_OPEN, file, O_RDONLY, &o), 0, "OPEN to read");
	eq_int(fsc_write(c, file, o.fh, 0, "x", 1, O_RDWR, 0), -EBADF, "WRITE");
	eq_int(fsc_write(c, file, o.fh, 0, "x", 1, O_RDWR, FUSE_WRITE_CACHE), -EBADF,
		"WRITE of a page");
	eq_int(fsc_write(c, file, o.fh, 0, "x", 1, O_RDWR | O_APPEND, 0), -EBADF,
		"WRITE at the end");
	eq_int(fsc_write(c, file, o.fh, 0, "x", 1, O_RDWR, FUSE_WRITE_KILL_SUIDGID), -EBADF,
		"WRITE that takes set-id bits off");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct fuse_fallocate_in in = {.fh = o.fh, .length = 4096, .mode = modes[i]};

		refused("FALLOCATE", FUSE_FALLOCATE, file, ARGS(STRUCT(in)), -EBADF);
	}
	eq_int(fsc_open(c, FUSE_OPEN, source, O_RDWR, &own), 0, "OPEN of a file elsewhere");
	cp.fh_in = own.fh;
	cp.fh_out = size.fh = o.fh;
	refused("COPY_FILE_RANGE into", FUSE_COPY_FILE_RANGE, source, ARGS(STRUCT(cp)), -EBADF);
	refused("SETATTR by its handle", FUSE_SETATTR, file, ARGS(STRUCT(size)), -EROFS);
	eq_int(fsc_read(c, file, o.fh, 0, 100), (int)strlen(TEXT), "READ");
	ok(!memcmp(c->reply, TEXT, strlen(TEXT)), "gives what was there");
	fsc_release(c, FUSE_RELEASE, file, o.fh);
	fsc_release(c, FUSE_RELEASE, source, own.fh);
	fsc_forget(c, source, 1);
}

/* Its files, as the host sees them below the mount. */
static void test_unchanged(const char *where)
{
	struct stat st;
	char text[64] = "";
	int fd = open(host("%s/file", where), O_RDONLY | O_CLOEXEC);

	ok(fd >= 0 && read(fd, text, sizeof(text)) == (ssize_t)strlen(TEXT),
		"the file is as long as it was");
	eq_str(text, TEXT, "and holds the same");
	ok(fstat(fd, &st) == 0 && st.st_mode == (S_IFREG | 0644) && st.st_uid == 0 &&
			st.st_nlink == 1,
		"mode, owner, links");
	eq_int(st.st_mtim.tv_sec, 1000, "time");
	ok(fgetxattr(fd, "user.a", text, 1) < 0, "no attribute");
	ok(faccessat(AT_FDCWD, host("%s/new", where), F_OK, AT_SYMLINK_NOFOLLOW) < 0,
		"nothing is new");
	ok(faccessat(AT_FDCWD, host("%s/dir", where), F_OK, 0) == 0 &&
			faccessat(AT_FDCWD, host("%s/link", where), F_OK, 0) == 0,
		"nothing is gone");
	if (fd >= 0)
		close(fd);
}

static void test_all(const char *where)
{
	test_new_files();
	test_names();
	test_attributes();
	test_data();
	test_unchanged(where);
}

static bool bind_read_only(const char *from, const char *to)
{
	char source[512];

	snprintf(source, sizeof(source), "%s", host("%s", from));
	return mount(source, host("%s", to), NULL, MS_BIND, NULL) == 0 &&
	       mount(NULL, host("%s", to), NULL,
		       MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC,
		       NULL) == 0;
}

static void prepare(void)
{
	const struct timespec old[2] = {{1000, 0}, {1000, 0}};

	mkdir(host("source"), 0755);
	mkdir(host("source/dir"), 0755);
	fsc_host_write(host("source/file"), TEXT);
	chmod(host("source/file"), 0644);
	utimensat(AT_FDCWD, host("source/file"), old, 0);
	ok(symlink("file", host("source/link")) == 0, "a tree");
	mkdir(host("m0"), 0755);
	mkdir(host("m0/name"), 0755);
	mkdir(host("rootfs/data"), 0755);
	fsc_host_write(host("rootfs/data/hidden"), "hidden by a mount");
	fsc_host_write(host("rootfs/own"), "a file of the root");
}

/* What a mount covers is out of reach, and its mount point can be neither moved nor removed. */
static void test_covered(void)
{
	struct fuse_entry_out e;

	eq_int(fsc_lookup(c, ro, "hidden", &e), -ENOENT, "what a mount covers is not found");
	eq_int(fsc_lookup(c, ro, "..", &e), -EINVAL, "nor is there a way back");
	eq_int(fsc_remove(c, FUSE_RMDIR, c->rootfs, "data"), -EBUSY, "RMDIR of the mount point");
	eq_int(fsc_rename(c, c->rootfs, "data", c->rootfs, "moved", 0), -EBUSY, "RENAME of it");
}

static void find(uint64_t dir, const char *name)
{
	ro = fsc_node(c, dir, name);
	file = fsc_node(c, ro, "file");
	ok(ro && file, "the read-only mount and its file are found");
}

static void run_on(const char *base, bool mounts)
{
	uint64_t holder;

	if (!mounts)
		return;
	printf("# on %s\n", base ? base : "/tmp");
	c = fsc_new(base);
	writable = c->rootfs;
	prepare();
	if (!bind_read_only("source", "m0/name") || !bind_read_only("source", "rootfs/data")) {
		ok(false, "read-only bind mounts");
		return;
	}
	printf("# a bind mount of the container's\n");
	holder = fsc_node(c, FUSE_ROOT_ID, "m0");
	find(holder, "name");
	test_all("m0/name");
	fsc_forget(c, file, 1);
	fsc_forget(c, ro, 1);
	printf("# one below a writable directory\n");
	find(c->rootfs, "data");
	test_all("rootfs/data");
	test_covered();
	/* by nodes whose descriptors were closed */
	for (int i = 0; i < 4; i++)
		fs_nodes_trim(&c->fs.nodes, 0, true);
	test_attributes();
	test_data();
	fsc_forget(c, file, 1);
	fsc_forget(c, ro, 1);
	fsc_forget(c, holder, 1);
	umount2(host("rootfs/data"), MNT_DETACH);
	umount2(host("m0/name"), MNT_DETACH);
	fsc_free(c);
}

int main(void)
{
	if (geteuid() != 0)
		skip("needs root");
	else if (fsc_on_file_systems(run_on) < FSC_FILE_SYSTEMS)
		skip("not all file systems can be mounted here");
	return tap_done();
}
