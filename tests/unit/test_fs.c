/* SPDX-License-Identifier: Apache-2.0 */
/* The file server: what every operation does. test_fs_attack.c has what a hostile guest does. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/proto.h"
#include "tests/tap.h"
#include "tests/unit/fs_client.h"
#include "vmm/virtio/device.h"

#define ARGS(...) ((const struct fsc_arg[]){__VA_ARGS__, {0}})
#define STRUCT(v)               \
	{                       \
		&(v), sizeof(v) \
	}

static struct fsc *c;

/* A path of the host's below rootfs. */
__attribute__((format(printf, 1, 2))) static const char *host(const char *fmt, ...)
{
	static char path[512];
	va_list ap;
	int n = snprintf(path, sizeof(path), "%s/rootfs/", c->dir);

	va_start(ap, fmt);
	vsnprintf(path + n, sizeof(path) - (size_t)n, fmt, ap);
	va_end(ap);
	return path;
}

static struct stat host_stat(const char *name)
{
	struct stat st = {0};

	lstat(host("%s", name), &st);
	return st;
}

static void host_write(const char *name, const char *text)
{
	FILE *f = fopen(host("%s", name), "w");

	if (f) {
		fputs(text, f);
		fclose(f);
	}
}

static void test_init(void)
{
	const struct fuse_init_out *out = (void *)c->reply;
	struct fuse_init_in old = {.major = 6, .minor = 40}, newer = {.major = 8};

	eq_int(fsc_init(c, ~0ull), 0, "INIT");
	eq_int(c->out_len, sizeof(*out), "INIT's reply is whole");
	ok(out->major == 7 && out->minor >= 31, "protocol 7.x");
	ok(out->flags & FUSE_BIG_WRITES && out->flags & FUSE_SUBMOUNTS &&
			out->flags & FUSE_POSIX_ACL,
		"what we want is on");
	ok(!(out->flags & (FUSE_WRITEBACK_CACHE | FUSE_POSIX_LOCKS | FUSE_EXPORT_SUPPORT)),
		"what we do not want is off");
	eq_int(out->max_write, 252 * 4096, "max_write");
	eq_int(fsc_call(c, FUSE_INIT, 0, ARGS(STRUCT(old)), sizeof(*out)), -EPROTO,
		"too old is refused");
	eq_int(fsc_call(c, FUSE_INIT, 0, ARGS(STRUCT(newer)), sizeof(*out)), 0,
		"a newer major is told ours");
	eq_int(out->major, 7, "major 7");
	eq_int(fsc_init(c, FUSE_BIG_WRITES), 0, "INIT of a guest with little");
	eq_int(out->flags, FUSE_BIG_WRITES, "it gets no more than it knows");
	fsc_init(c, ~0ull);
	c->rootfs = fsc_node(c, FUSE_ROOT_ID, "rootfs");
	ok(c->rootfs != 0, "rootfs again");
}

static void test_files(void)
{
	static struct vdev_shared shared;
	struct fuse_entry_out e, e2;
	struct fuse_open_out o;
	uint64_t fh;
	struct stat st;

	eq_int(fsc_create(c, c->rootfs, "f", O_RDWR, 0644, &e, &fh), 0, "CREATE");
	st = host_stat("f");
	ok(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0644, "file is there");
	if (st.st_dev == host_stat("").st_dev)
		eq_int(e.attr.ino, st.st_ino, "its inode number is the host's");
	else
		skip("an overlay of several file systems: inode numbers are made unique");
	shared.writes_begun = shared.writes_done = 0;
	c->fs.shared = &shared;
	eq_int(fsc_write(c, e.nodeid, fh, 0, "hello world", 11, O_RDWR, 0), 11, "WRITE");
	ok(shared.writes_begun == 1 && shared.writes_done == 1, "is counted");
	eq_int(fsc_read(c, e.nodeid, fh, 6, 4096), 5, "READ is short at the end of the file");
	ok(!memcmp(c->reply, "world", 5), "READ's data");
	eq_int(fsc_read(c, e.nodeid, fh, 100, 4096), 0, "READ past the end");
	eq_int(fsc_write(c, e.nodeid, fh, 0, "!", 1, O_RDWR | O_APPEND, 0), 1,
		"WRITE with O_APPEND");
	eq_int(host_stat("f").st_size, 12, "appended, whatever the offset");
	eq_int(fsc_write(c, e.nodeid, fh, 0, "J", 1, O_RDWR | O_APPEND, FUSE_WRITE_CACHE), 1,
		"write-back of a page through an O_APPEND handle");
	eq_int(host_stat("f").st_size, 12, "stays in place");
	{
		struct fuse_flush_in fl = {.fh = fh};
		struct fuse_fsync_in fsy = {.fh = fh};

		eq_int(fsc_call(c, FUSE_FLUSH, e.nodeid, ARGS(STRUCT(fl)), 0), 0, "FLUSH");
		eq_int(fsc_call(c, FUSE_FSYNC, e.nodeid, ARGS(STRUCT(fsy)), 0), 0, "FSYNC");
		fsy.fsync_flags = FUSE_FSYNC_FDATASYNC;
		eq_int(fsc_call(c, FUSE_FSYNC, e.nodeid, ARGS(STRUCT(fsy)), 0), 0, "FSYNC of data");
	}
	eq_int(fsc_release(c, FUSE_RELEASE, e.nodeid, fh), 0, "RELEASE");
	eq_int(fsc_read(c, e.nodeid, fh, 0, 10), -EBADF, "the handle is gone");
	eq_int(fsc_create(c, c->rootfs, "f", O_RDWR | O_EXCL, 0600, &e2, &fh), -EEXIST,
		"CREATE O_EXCL on it");
	eq_int(fsc_create(c, c->rootfs, "f", O_RDWR, 0600, &e2, &fh), 0,
		"CREATE without O_EXCL opens it");
	ok(e2.nodeid == e.nodeid && (e2.attr.mode & 07777) == 0644, "same node, mode untouched");
	fsc_release(c, FUSE_RELEASE, e2.nodeid, fh);
	fsc_forget(c, e2.nodeid, 1);
	eq_int(fsc_open(c, FUSE_OPEN, e.nodeid, O_RDONLY, &o), 0, "OPEN");
	ok(o.open_flags & FOPEN_NOFLUSH, "a read-only handle needs no FLUSH");
	eq_int(fsc_write(c, e.nodeid, o.fh, 0, "x", 1, O_RDONLY, 0), -EBADF, "it takes no WRITE");
	fsc_release(c, FUSE_RELEASE, e.nodeid, o.fh);
	eq_int(fsc_open(c, FUSE_OPEN, e.nodeid, O_WRONLY | O_TRUNC, &o), 0, "OPEN with O_TRUNC");
	eq_int(host_stat("f").st_size, 0, "empties it");
	fsc_release(c, FUSE_RELEASE, e.nodeid, o.fh);
	eq_int(fsc_open(c, FUSE_OPENDIR, e.nodeid, 0, &o), -ENOTDIR, "OPENDIR of a file");
	eq_int(fsc_open(c, FUSE_OPEN, c->rootfs, 0, &o), -EISDIR, "OPEN of a directory");
	eq_int(fsc_open(c, FUSE_OPEN, e.nodeid, O_ACCMODE, &o), -EINVAL,
		"OPEN with no access mode");
	fsc_forget(c, e.nodeid, 1);
}

static void test_keep_cache(void)
{
	struct fuse_open_out o;
	uint64_t n;

	host_write("kept", "one");
	usleep(120000); /* past the age at which a ctime can be trusted */
	n = fsc_node(c, c->rootfs, "kept");
	fsc_open(c, FUSE_OPEN, n, O_RDONLY, &o);
	ok(!(o.open_flags & FOPEN_KEEP_CACHE), "first open: nothing to keep");
	fsc_release(c, FUSE_RELEASE, n, o.fh);
	fsc_open(c, FUSE_OPEN, n, O_RDONLY, &o);
	ok(o.open_flags & FOPEN_KEEP_CACHE, "unchanged: the guest keeps its pages");
	fsc_release(c, FUSE_RELEASE, n, o.fh);
	host_write("kept", "two");
	fsc_open(c, FUSE_OPEN, n, O_RDONLY, &o);
	ok(!(o.open_flags & FOPEN_KEEP_CACHE), "changed on the host: it does not");
	fsc_release(c, FUSE_RELEASE, n, o.fh);
	fsc_open(c, FUSE_OPEN, n, O_RDONLY, &o);
	ok(!(o.open_flags & FOPEN_KEEP_CACHE), "nor while a change may hide behind the same ctime");
	fsc_release(c, FUSE_RELEASE, n, o.fh);
	fsc_forget(c, n, 1);
}

static void test_sparse(void)
{
	struct fuse_entry_out e, e2;
	uint64_t fh, fh2;
	struct fuse_fallocate_in fa;
	struct fuse_lseek_in ls;
	struct fuse_copy_file_range_in cp;

	fsc_create(c, c->rootfs, "sparse", O_RDWR, 0644, &e, &fh);
	fsc_create(c, c->rootfs, "copy", O_RDWR, 0644, &e2, &fh2);
	fa = (struct fuse_fallocate_in){.fh = fh, .length = 1 << 20};
	eq_int(fsc_call(c, FUSE_FALLOCATE, e.nodeid, ARGS(STRUCT(fa)), 0), 0, "FALLOCATE");
	eq_int(host_stat("sparse").st_size, 1 << 20, "has the size");
	fa.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	eq_int(fsc_call(c, FUSE_FALLOCATE, e.nodeid, ARGS(STRUCT(fa)), 0), 0,
		"FALLOCATE punches a hole");
	fa.mode = 0x8000;
	eq_int(fsc_call(c, FUSE_FALLOCATE, e.nodeid, ARGS(STRUCT(fa)), 0), -EOPNOTSUPP,
		"unknown mode");
	eq_int(fsc_write(c, e.nodeid, fh, 1 << 19, "data", 4, O_RDWR, 0), 4, "WRITE in the middle");
	ls = (struct fuse_lseek_in){.fh = fh, .whence = SEEK_DATA};
	eq_int(fsc_call(c, FUSE_LSEEK, e.nodeid, ARGS(STRUCT(ls)), 8), 0, "LSEEK to data");
	eq_int(((struct fuse_lseek_out *)(void *)c->reply)->offset, 1 << 19, "finds it");
	ls = (struct fuse_lseek_in){.fh = fh, .whence = SEEK_HOLE, .offset = 1 << 19};
	eq_int(fsc_call(c, FUSE_LSEEK, e.nodeid, ARGS(STRUCT(ls)), 8), 0, "LSEEK to a hole");
	ok(((struct fuse_lseek_out *)(void *)c->reply)->offset > 1 << 19, "finds one");
	ls.whence = SEEK_SET;
	eq_int(fsc_call(c, FUSE_LSEEK, e.nodeid, ARGS(STRUCT(ls)), 8), -EINVAL, "LSEEK otherwise");
	eq_int(fsc_setattr(c, e.nodeid,
		       (struct fuse_setattr_in){
			       .valid = FATTR_SIZE | FATTR_FH, .fh = fh, .size = 3 << 19}),
		0, "SETATTR size by handle");
	eq_int(host_stat("sparse").st_size, 3 << 19, "has it");
	cp = (struct fuse_copy_file_range_in){
		.fh_in = fh, .off_in = 1 << 19, .nodeid_out = e2.nodeid, .fh_out = fh2, .len = 4};
	eq_int(fsc_call(c, FUSE_COPY_FILE_RANGE, e.nodeid, ARGS(STRUCT(cp)), 8), 0,
		"COPY_FILE_RANGE");
	eq_int(fsc_read(c, e2.nodeid, fh2, 0, 100), 4, "copied");
	ok(!memcmp(c->reply, "data", 4), "the right bytes");
	cp.nodeid_out = e.nodeid;
	eq_int(fsc_call(c, FUSE_COPY_FILE_RANGE, e.nodeid, ARGS(STRUCT(cp)), 8), -EBADF,
		"COPY_FILE_RANGE with another file's handle");
	fsc_release(c, FUSE_RELEASE, e.nodeid, fh);
	fsc_release(c, FUSE_RELEASE, e2.nodeid, fh2);
	fsc_forget(c, e.nodeid, 1);
	fsc_forget(c, e2.nodeid, 1);
}

static void test_owners(void)
{
	struct fuse_entry_out e, d;
	uint64_t fh;
	struct stat st;

	c->uid = 1000;
	c->gid = 1001;
	eq_int(fsc_create(c, c->rootfs, "mine", O_RDWR, 06755, &e, &fh), 0,
		"CREATE by a user, suid and sgid");
	st = host_stat("mine");
	ok(st.st_uid == 1000 && st.st_gid == 1001, "belongs to the user");
	eq_int(st.st_mode & 07777, 06755, "mode has both bits");
	ok(e.attr_valid == 0 && e.attr_valid_nsec == 0 && e.entry_valid > 0,
		"the guest does not cache the mode of a set-id file");
	eq_int(fsc_write(c, e.nodeid, fh, 0, "x", 1, O_RDWR, 0), 1, "WRITE by one with CAP_FSETID");
	eq_int(host_stat("mine").st_mode & 07777, 06755, "keeps them");
	eq_int(fsc_write(c, e.nodeid, fh, 0, "x", 1, O_RDWR, FUSE_WRITE_KILL_SUIDGID), 1,
		"by one without");
	eq_int(host_stat("mine").st_mode & 07777, 0755, "takes them off");
	eq_int(fsc_setattr(
		       c, e.nodeid, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 06755}),
		0, "SETATTR mode");
	eq_int(host_stat("mine").st_mode & 07777, 06755, "sets them again");
	eq_int(fsc_setattr(c, e.nodeid,
		       (struct fuse_setattr_in){
			       .valid = FATTR_SIZE | FATTR_KILL_SUIDGID, .size = 0}),
		0, "truncation by one without");
	eq_int(host_stat("mine").st_mode & 07777, 0755, "takes them off, too");
	eq_int(fsc_mkdir(c, c->rootfs, "dir", 0777, &d), 0, "MKDIR");
	ok(d.attr_valid > 0, "others it does");
	st = host_stat("dir");
	ok(st.st_uid == 1000 && st.st_gid == 1001 && (st.st_mode & 07777) == 0755,
		"owner, umask applied");
	ok(chown(host("dir"), 0, 50) == 0 && chmod(host("dir"), 02777) == 0,
		"a set-group-id directory");
	eq_int(fsc_mkdir(c, d.nodeid, "sub", 0777, &e), 0, "MKDIR in it");
	st = host_stat("dir/sub");
	ok(st.st_uid == 1000 && st.st_gid == 50 && st.st_mode & S_ISGID, "inherits group and bit");
	eq_int(fsc_mknod(c, d.nodeid, "reg", S_IFREG | 0666, 0, &e), 0, "MKNOD of a file in it");
	st = host_stat("dir/reg");
	ok(st.st_uid == 1000 && st.st_gid == 50 && (st.st_mode & 07777) == 0644,
		"inherits the group");
	eq_int(fsc_symlink(c, d.nodeid, "link", "../mine", &e), 0, "SYMLINK in it");
	st = host_stat("dir/link");
	ok(S_ISLNK(st.st_mode) && st.st_uid == 1000 && st.st_gid == 50, "the link's owner");
	eq_int(fsc_setattr(c, e.nodeid, (struct fuse_setattr_in){.valid = FATTR_UID, .uid = 7}), 0,
		"SETATTR owner of a link");
	ok(host_stat("dir/link").st_uid == 7 && host_stat("mine").st_uid == 1000,
		"not of its target");
	eq_int(fsc_setattr(c, e.nodeid, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0}),
		-EOPNOTSUPP, "SETATTR mode of a link");
	eq_int(fsc_call(c, FUSE_READLINK, e.nodeid, NULL, 4095), 0, "READLINK");
	ok(c->out_len == 7 && !memcmp(c->reply, "../mine", 7), "its text");
	c->uid = c->gid = 0;
}

static void test_times(void)
{
	uint64_t n = fsc_node(c, c->rootfs, "mine");
	struct fuse_setattr_in in = {.valid = FATTR_MTIME, .mtime = 1234567890, .mtimensec = 5};
	struct stat before = host_stat("mine"), after;

	eq_int(fsc_setattr(c, n, in), 0, "SETATTR mtime");
	after = host_stat("mine");
	ok(after.st_mtim.tv_sec == 1234567890 && after.st_mtim.tv_nsec == 5, "is set");
	ok(after.st_atim.tv_sec == before.st_atim.tv_sec, "atime is left");
	in = (struct fuse_setattr_in){
		.valid = FATTR_ATIME | FATTR_ATIME_NOW | FATTR_MTIME | FATTR_MTIME_NOW};
	eq_int(fsc_setattr(c, n, in), 0, "SETATTR both to now");
	ok(host_stat("mine").st_mtim.tv_sec > 1234567890, "are now");
	in = (struct fuse_setattr_in){.valid = FATTR_MTIME, .mtimensec = UTIME_OMIT};
	eq_int(fsc_setattr(c, n, in), -EINVAL, "SETATTR with a special value for nanoseconds");
	in = (struct fuse_setattr_in){.valid = FATTR_SIZE, .size = 4096};
	eq_int(fsc_setattr(c, n, in), 0, "SETATTR size by name");
	eq_int(host_stat("mine").st_size, 4096, "has it");
	in.size = 1ull << 63;
	eq_int(fsc_setattr(c, n, in), -EFBIG, "SETATTR size out of range");
	fsc_forget(c, n, 1);
}

static void test_nodes_of_all_kinds(void)
{
	struct fuse_entry_out e;
	struct fuse_open_out o;

	eq_int(fsc_mknod(c, c->rootfs, "fifo", S_IFIFO | 0600, 0, &e), 0, "MKNOD fifo");
	eq_int(fsc_open(c, FUSE_OPEN, e.nodeid, O_RDONLY, &o), -ENXIO,
		"OPEN of it returns, with an error");
	eq_int(fsc_mknod(c, c->rootfs, "sock", S_IFSOCK | 0600, 0, &e), 0, "MKNOD socket");
	eq_int(fsc_open(c, FUSE_OPEN, e.nodeid, O_RDWR, &o), -ENXIO, "OPEN of it");
	eq_int(fsc_mknod(c, c->rootfs, "null", S_IFCHR | 0600, 0x103, &e), 0, "MKNOD device");
	eq_int(fsc_open(c, FUSE_OPEN, e.nodeid, O_RDWR, &o), -ENXIO, "OPEN of it");
	ok(host_stat("null").st_rdev == makedev(1, 3) && e.attr.rdev == 0x103,
		"its number, both ways");
	eq_int(fsc_mknod(c, c->rootfs, "big", S_IFBLK | 0600, 0x12345678, &e), 0,
		"MKNOD, large number");
	eq_int(e.attr.rdev, 0x12345678, "comes back the same");
	eq_int(fsc_mknod(c, c->rootfs, "dirnode", S_IFDIR | 0755, 0, &e), -EINVAL,
		"MKNOD of a directory");
}

static void test_names(void)
{
	struct fuse_entry_out d, e, e2;
	int r;

	fsc_mkdir(c, c->rootfs, "names", 0755, &d);
	fsc_mknod(c, d.nodeid, "a", S_IFREG | 0644, 0, &e);
	eq_int(fsc_link(c, e.nodeid, d.nodeid, "b", &e2), 0, "LINK");
	ok(e2.nodeid == e.nodeid && e2.attr.nlink == 2, "same node, two links");
	eq_int(fsc_rename(c, d.nodeid, "a", d.nodeid, "c", 0), 0, "RENAME");
	eq_int(fsc_lookup(c, d.nodeid, "a", NULL), -ENOENT, "old name is gone");
	fsc_mknod(c, d.nodeid, "x", S_IFREG | 0600, 0, NULL);
	eq_int(fsc_rename(c, d.nodeid, "x", d.nodeid, "c", RENAME_NOREPLACE), -EEXIST,
		"RENAME2 NOREPLACE");
	eq_int(fsc_rename(c, d.nodeid, "x", d.nodeid, "c", RENAME_EXCHANGE), 0, "RENAME2 EXCHANGE");
	eq_int(host_stat("names/c").st_mode & 0777, 0600, "have changed places");
	r = fsc_rename(c, d.nodeid, "c", d.nodeid, "w", RENAME_WHITEOUT);
	if (r == -EINVAL) {
		skip("the file system makes no whiteouts");
		fsc_rename(c, d.nodeid, "c", d.nodeid, "w", 0);
	} else {
		eq_int(r, 0, "RENAME2 WHITEOUT");
		ok(S_ISCHR(host_stat("names/c").st_mode), "leaves a whiteout");
	}
	eq_int(fsc_rename(c, d.nodeid, "w", d.nodeid, "v", 0x100), -EINVAL,
		"RENAME2 with an unknown flag");
	eq_int(fsc_remove(c, FUSE_RMDIR, c->rootfs, "names"), -ENOTEMPTY,
		"RMDIR of a full directory");
	eq_int(fsc_remove(c, FUSE_UNLINK, c->rootfs, "names"), -EISDIR, "UNLINK of a directory");
	eq_int(fsc_remove(c, FUSE_UNLINK, d.nodeid, "w"), 0, "UNLINK");
	eq_int(fsc_remove(c, FUSE_UNLINK, d.nodeid, "w"), -ENOENT, "UNLINK again");
	fsc_symlink(c, d.nodeid, "s", "b", &e);
	eq_int(fsc_link(c, e.nodeid, d.nodeid, "s2", &e2), 0, "LINK of a symbolic link");
	ok(S_ISLNK(host_stat("names/s2").st_mode), "makes another name of the link");
}

static void test_tmpfile(void)
{
	struct fuse_create_in in = {.flags = O_RDWR, .mode = 0640, .umask = 022};
	struct fuse_entry_out e, e2;
	uint64_t fh;
	int r;

	c->uid = c->gid = 77;
	r = fsc_call(c, FUSE_TMPFILE, c->rootfs, ARGS(STRUCT(in), {"/", 2}),
		sizeof(e) + sizeof(struct fuse_open_out));
	c->uid = c->gid = 0;
	if (r == -EOPNOTSUPP) {
		skip("the file system has no O_TMPFILE");
		return;
	}
	eq_int(r, 0, "TMPFILE");
	memcpy(&e, c->reply, sizeof(e));
	fh = ((struct fuse_open_out *)(void *)(c->reply + sizeof(e)))->fh;
	eq_int(fsc_write(c, e.nodeid, fh, 0, "tmp", 3, O_RDWR, 0), 3, "WRITE to it");
	eq_int(fsc_link(c, e.nodeid, c->rootfs, "named", &e2), 0, "LINK gives it a name");
	ok(host_stat("named").st_size == 3 && host_stat("named").st_uid == 77,
		"the same file, the user's");
	fsc_release(c, FUSE_RELEASE, e.nodeid, fh);
	fsc_forget(c, e.nodeid, 2);
}

struct walk {
	unsigned entries, dots;
	bool bad;
};

static struct walk walk_dir(uint64_t node, bool plus, uint32_t size, bool forget)
{
	struct walk w = {0};
	struct fuse_open_out o;
	uint64_t off = 0;
	int n;

	if (fsc_open(c, FUSE_OPENDIR, node, 0, &o)) {
		w.bad = true;
		return w;
	}
	while ((n = fsc_readdir(c, plus ? FUSE_READDIRPLUS : FUSE_READDIR, node, o.fh, off, size)) >
		0) {
		static uint8_t copy[65536];

		memcpy(copy, c->reply, (size_t)n);
		for (int pos = 0; pos < n;) {
			const struct fuse_entry_out *e = (void *)(copy + pos);
			const struct fuse_dirent *d = plus ? (void *)(e + 1) : (void *)e;
			int len = (int)(FUSE_DIRENT_SIZE(d) + (plus ? sizeof(*e) : 0));

			if (d->name[0] == '.')
				w.dots++;
			else
				w.entries++;
			if (plus && forget && e->nodeid)
				fsc_forget(c, e->nodeid, 1);
			w.bad |= plus && (d->name[0] == '.') != !e->nodeid;
			off = d->off;
			pos += len;
		}
	}
	w.bad |= n < 0;
	w.bad |= fsc_release(c, FUSE_RELEASEDIR, node, o.fh) != 0;
	return w;
}

static void test_dirs(void)
{
	struct fuse_entry_out d;
	struct fuse_open_out o;
	uint32_t before, fds;
	struct walk w;

	fsc_mkdir(c, c->rootfs, "many", 0755, &d);
	for (int i = 0; i < 500; i++) {
		char name[32];

		snprintf(name, sizeof(name), "many/entry-%d", i);
		host_write(name, "");
	}
	before = c->fs.nodes.count;
	fds = fsc_open_fds();
	w = walk_dir(d.nodeid, false, 4096, false);
	ok(!w.bad && w.entries == 500 && w.dots == 2, "READDIR names each entry once");
	w = walk_dir(d.nodeid, true, 4096, true);
	ok(!w.bad && w.entries == 500 && w.dots == 2, "READDIRPLUS, too");
	eq_int(c->fs.nodes.count, before,
		"forgetting each once leaves no node: none was counted twice");
	w = walk_dir(d.nodeid, true, 200, true);
	ok(!w.bad && w.entries == 500, "one entry at a time");
	eq_int(c->fs.nodes.count, before, "no reference to the entry that did not fit");
	eq_int(fsc_open_fds(), fds, "no descriptor either");
	fsc_open(c, FUSE_OPENDIR, d.nodeid, 0, &o);
	eq_int(fsc_readdir(c, FUSE_READDIR, d.nodeid, o.fh, 0, 16), -EINVAL,
		"READDIR with no room for one");
	{
		struct fuse_fsync_in in = {.fh = o.fh};

		eq_int(fsc_call(c, FUSE_FSYNCDIR, d.nodeid, ARGS(STRUCT(in)), 0), 0, "FSYNCDIR");
	}
	fsc_release(c, FUSE_RELEASEDIR, d.nodeid, o.fh);
	fsc_forget(c, d.nodeid, 1);
}

/* In place of the C library's; within the jail. */
static unsigned syncs;
static uint64_t synced;

int syncfs(int fd)
{
	struct statx st = {0};

	syncs++;
	statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_INO, &st);
	synced = st.stx_ino;
	return (int)syscall(SYS_syncfs, fd);
}

/* Whose end the guest has told: what it has written is with the host's kernel, and its disk not waited for. */
static void test_ended(void)
{
	struct fuse_syncfs_in sy = {0};
	struct fuse_entry_out e;

	eq_int(fsc_lookup(c, c->rootfs, PROTO_SHARE_ENDED, &e), -ENOENT, "a name in the root");
	syncs = 0;
	eq_int(fsc_call(c, FUSE_SYNCFS, c->rootfs, ARGS(STRUCT(sy)), 0), 0, "SYNCFS");
	eq_int(syncs, 1, "means nothing: the host is synced");
	eq_int(fsc_call(c, FUSE_SYNCFS, FUSE_ROOT_ID, ARGS(STRUCT(sy)), 0), 0,
		"SYNCFS of the share");
	ok(syncs == 2 && synced == host_stat(".").st_ino, "is of the root file system in it");
	eq_int(fsc_lookup(c, FUSE_ROOT_ID, PROTO_SHARE_ENDED, &e), -ENOENT, "the same above it");
	eq_int(fsc_call(c, FUSE_SYNCFS, c->rootfs, ARGS(STRUCT(sy)), 0), 0, "SYNCFS");
	eq_int(syncs, 2, "is the container's end: the host is not synced");
	fs_server_reset(&c->fs);
	fsc_init(c, 0);
	c->rootfs = fsc_node(c, FUSE_ROOT_ID, "rootfs");
	eq_int(fsc_call(c, FUSE_SYNCFS, c->rootfs, ARGS(STRUCT(sy)), 0), 0, "SYNCFS");
	eq_int(syncs, 3, "of another session: it is again");
}

static void test_rest(void)
{
	struct fuse_syncfs_in sy = {0};
	struct fuse_access_in ac = {0};
	struct fuse_ioctl_in io = {0};
	struct fs_statx {
		uint32_t flags, reserved;
		uint64_t fh;
		uint32_t sx_flags, mask;
	} sx = {.mask = STATX_BTIME};

	eq_int(fsc_call(c, FUSE_STATFS, c->rootfs, NULL, sizeof(struct fuse_statfs_out)), 0,
		"STATFS");
	eq_int(((struct fuse_statfs_out *)(void *)c->reply)->st.namelen, 255, "namelen");
	eq_int(fsc_call(c, FUSE_SYNCFS, c->rootfs, ARGS(STRUCT(sy)), 0), 0, "SYNCFS");
	eq_int(fsc_call(c, FUSE_ACCESS, c->rootfs, ARGS(STRUCT(ac)), 0), -ENOSYS,
		"ACCESS is the guest's");
	eq_int(fsc_call(c, FUSE_IOCTL, c->rootfs, ARGS(STRUCT(io)), 16), -ENOTTY, "IOCTL");
	eq_int(fsc_call(c, FUSE_POLL, c->rootfs, ARGS(STRUCT(io)), 16), -ENOSYS, "POLL");
	eq_int(fsc_call(c, 52, c->rootfs, ARGS(STRUCT(sx)), 288), 0, "STATX");
	ok(S_ISDIR(((struct statx *)(void *)(c->reply + 32))->stx_mode), "of a directory");
	eq_int(fsc_call(c, 9999, c->rootfs, NULL, 16), -ENOSYS, "an unknown operation");
	eq_int(fsc_call(c, FUSE_DESTROY, 0, NULL, 0), 0, "DESTROY");
	eq_int(c->fs.nodes.count, 1, "leaves the root only");
	eq_int(c->fs.handles.count, 0, "and no handle");
	eq_int(fsc_lookup(c, FUSE_ROOT_ID, "rootfs", NULL), -EIO,
		"nothing works before the next INIT");
}

static void run_on(const char *base, bool mounts)
{
	unsigned fds = fsc_open_fds();

	printf("# on %s\n", base ? base : "/tmp");
	c = fsc_new(base);
	test_init();
	test_files();
	test_keep_cache();
	test_sparse();
	test_owners();
	test_times();
	test_nodes_of_all_kinds();
	test_names();
	test_tmpfile();
	test_dirs();
	test_ended();
	test_rest();
	fsc_free(c);
	eq_int(fsc_open_fds(), fds, "no descriptor is left");
}

int main(void)
{
	if (geteuid() != 0)
		skip("needs root: it checks owners");
	else if (fsc_on_file_systems(run_on) < FSC_FILE_SYSTEMS)
		skip("not all file systems can be mounted here");
	return tap_done();
}
