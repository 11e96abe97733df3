/* SPDX-License-Identifier: Apache-2.0 */
/* Node ids and file handles that were never given, or no longer are; files that are not to be opened. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/guests/files.h"

#define DATA      3u           /* SEEK_DATA */
#define NEXT_LIFE (1ull << 32) /* added to an id: the slot's next generation */
#define STATX     52u          /* newer than Debian 12's headers */

struct statx_in {
	uint32_t getattr_flags, reserved;
	uint64_t fh;
	uint32_t sx_flags, sx_mask;
};

/* Nodes: every operation that looks at the header's. */

static struct fuse_mkdir_in mkdir_in = {.mode = 0755};
static struct fuse_mknod_in mknod_in = {.mode = S_IFREG | 0644};
static struct fuse_create_in create_in = {.flags = O_RDWR, .mode = 0644};
static struct fuse_link_in link_in;
static struct fuse_rename_in rename_in;
static struct fuse_rename2_in rename2_in;
static struct fuse_open_in open_in;
static struct fuse_getattr_in getattr_in;
static struct fuse_setattr_in setattr_in = {.valid = FATTR_MODE, .mode = 0777};
static struct statx_in statx_in;
static struct fuse_syncfs_in syncfs_in;
static struct fuse_getxattr_in getxattr_in = {.size = 64};
static struct fuse_setxattr_in setxattr_in = {.size = 1};

#define STRUCT(v)               \
	{                       \
		&(v), sizeof(v) \
	}
#define NAME(s)              \
	{                    \
		s, sizeof(s) \
	}

struct by_node {
	const char *what;
	uint32_t opcode;
	struct fuse_arg args[FUSE_ARGS_MAX];
};

static const struct by_node by_node[] = {
	{"LOOKUP", FUSE_LOOKUP, {NAME("plain")}},
	{"GETATTR", FUSE_GETATTR, {STRUCT(getattr_in)}},
	{"SETATTR", FUSE_SETATTR, {STRUCT(setattr_in)}},
	{"STATX", STATX, {STRUCT(statx_in)}},
	{"READLINK", FUSE_READLINK},
	{"SYMLINK", FUSE_SYMLINK, {NAME("new"), NAME("target")}},
	{"MKNOD", FUSE_MKNOD, {STRUCT(mknod_in), NAME("new")}},
	{"MKDIR", FUSE_MKDIR, {STRUCT(mkdir_in), NAME("new")}},
	{"UNLINK", FUSE_UNLINK, {NAME("plain")}},
	{"RMDIR", FUSE_RMDIR, {NAME("scratch")}},
	{"RENAME", FUSE_RENAME, {STRUCT(rename_in), NAME("plain"), NAME("new")}},
	{"RENAME2", FUSE_RENAME2, {STRUCT(rename2_in), NAME("plain"), NAME("new")}},
	{"LINK", FUSE_LINK, {STRUCT(link_in), NAME("new")}},
	{"OPEN", FUSE_OPEN, {STRUCT(open_in)}},
	{"OPENDIR", FUSE_OPENDIR, {STRUCT(open_in)}},
	{"CREATE", FUSE_CREATE, {STRUCT(create_in), NAME("new")}},
	{"TMPFILE", FUSE_TMPFILE, {STRUCT(create_in), NAME("/")}},
	{"STATFS", FUSE_STATFS},
	{"SYNCFS", FUSE_SYNCFS, {STRUCT(syncfs_in)}},
	{"SETXATTR", FUSE_SETXATTR, {STRUCT(setxattr_in), NAME("user.new"), {"x", 1}}},
	{"GETXATTR", FUSE_GETXATTR, {STRUCT(getxattr_in), NAME("user.new")}},
	{"LISTXATTR", FUSE_LISTXATTR, {STRUCT(getxattr_in)}},
	{"REMOVEXATTR", FUSE_REMOVEXATTR, {NAME("user.new")}},
};

static uint64_t forgotten_node(void)
{
	uint64_t id = fuse_lookup(files_dev, files_rootfs, "dir");
	struct fuse_forget_in forget = {.nlookup = 1};

	files_ask(FUSE_FORGET, id, FUSE_ARGS(FUSE_STRUCT(forget)));
	return id;
}

static void refuse_node(const char *how, uint64_t id)
{
	for (unsigned i = 0; i < ARRAY_SIZE(by_node); i++)
		files_want(by_node[i].what, how, files_ask(by_node[i].opcode, id, by_node[i].args),
			ESTALE);
	/* where an id is an argument */
	rename_in.newdir = rename2_in.newdir = link_in.oldnodeid = id;
	files_want("RENAME to it", how,
		files_ask(FUSE_RENAME, files_rootfs,
			FUSE_ARGS(STRUCT(rename_in), NAME("plain"), NAME("new"))),
		ESTALE);
	files_want("RENAME2 to it", how,
		files_ask(FUSE_RENAME2, files_rootfs,
			FUSE_ARGS(STRUCT(rename2_in), NAME("plain"), NAME("new"))),
		ESTALE);
	files_want("LINK of it", how,
		files_ask(FUSE_LINK, files_scratch, FUSE_ARGS(STRUCT(link_in), NAME("new"))),
		ESTALE);
	rename_in.newdir = rename2_in.newdir = files_scratch;
	link_in.oldnodeid = files_plain;
}

void files_nodes(void)
{
	rename_in.newdir = rename2_in.newdir = files_scratch;
	link_in.oldnodeid = files_plain;
	refuse_node("node 0", 0);
	refuse_node("a node never given", 0xfffff);
	refuse_node("a node beyond the table", 0xffffffff);
	refuse_node("a node of the next generation", files_plain + NEXT_LIFE);
	refuse_node("the root of another generation", FUSE_ROOT_ID + NEXT_LIFE);
	refuse_node("a forgotten node", forgotten_node());
	refuse_node("the last node", ~0ull);
	refuse_node("a negative node", 1ull << 63 | files_plain);
}

/* Handles */

static struct fuse_read_in read_in = {.size = 64};
static struct fuse_write_in write_in = {.size = 1};
static struct fuse_release_in release_in;
static struct fuse_flush_in flush_in;
static struct fuse_fsync_in fsync_in;
static struct fuse_fallocate_in fallocate_in = {.length = 100};
static struct fuse_lseek_in lseek_in = {.whence = SEEK_DATA};
static struct fuse_copy_file_range_in copy_in = {.len = 1}, copy_to_in = {.len = 1};
static struct fuse_getattr_in getattr_fh_in = {.getattr_flags = FUSE_GETATTR_FH};
static struct statx_in statx_fh_in = {.getattr_flags = FUSE_GETATTR_FH};
static struct fuse_setattr_in setattr_fh_in = {.valid = FATTR_FH | FATTR_SIZE, .size = 3};

struct by_handle {
	const char *what;
	uint32_t opcode;
	struct fuse_arg arg, data;
	uint64_t *fh; /* in arg */
	bool dir;     /* wants a directory's */
};

static const struct by_handle by_handle[] = {
	{"READ", FUSE_READ, STRUCT(read_in), {0}, &read_in.fh},
	{"WRITE", FUSE_WRITE, STRUCT(write_in), {"x", 1}, &write_in.fh},
	{"FLUSH", FUSE_FLUSH, STRUCT(flush_in), {0}, &flush_in.fh},
	{"RELEASE", FUSE_RELEASE, STRUCT(release_in), {0}, &release_in.fh},
	{"FSYNC", FUSE_FSYNC, STRUCT(fsync_in), {0}, &fsync_in.fh},
	{"FALLOCATE", FUSE_FALLOCATE, STRUCT(fallocate_in), {0}, &fallocate_in.fh},
	{"LSEEK", FUSE_LSEEK, STRUCT(lseek_in), {0}, &lseek_in.fh},
	{"COPY_FILE_RANGE from", FUSE_COPY_FILE_RANGE, STRUCT(copy_in), {0}, &copy_in.fh_in},
	{"COPY_FILE_RANGE to", FUSE_COPY_FILE_RANGE, STRUCT(copy_to_in), {0}, &copy_to_in.fh_out},
	{"SETATTR", FUSE_SETATTR, STRUCT(setattr_fh_in), {0}, &setattr_fh_in.fh},
	{"GETATTR", FUSE_GETATTR, STRUCT(getattr_fh_in), {0}, &getattr_fh_in.fh},
	{"STATX", STATX, STRUCT(statx_fh_in), {0}, &statx_fh_in.fh},
	{"READDIR", FUSE_READDIR, STRUCT(read_in), {0}, &read_in.fh, true},
	{"READDIRPLUS", FUSE_READDIRPLUS, STRUCT(read_in), {0}, &read_in.fh, true},
	{"FSYNCDIR", FUSE_FSYNCDIR, STRUCT(fsync_in), {0}, &fsync_in.fh, true},
	{"RELEASEDIR", FUSE_RELEASEDIR, STRUCT(release_in), {0}, &release_in.fh, true},
};

struct handles {
	uint64_t plain, other, dir, released, released_dir;
};

static void refuse_handle(const char *how, uint64_t node, uint64_t fh, uint64_t dir_fh)
{
	for (unsigned i = 0; i < ARRAY_SIZE(by_handle); i++) {
		const struct by_handle *b = &by_handle[i];

		*b->fh = b->dir ? dir_fh : fh;
		files_want(b->what, how,
			files_ask(b->opcode, b->dir && node == files_plain ? files_rootfs : node,
				FUSE_ARGS(b->arg, b->data)),
			EBADF);
	}
}

/* Locks, and what else this server leaves to the guest, whatever the handle. */
static void not_implemented(uint64_t fh)
{
	static const struct {
		const char *what;
		uint32_t opcode;
	} none[] = {{"GETLK", FUSE_GETLK}, {"SETLK", FUSE_SETLK}, {"SETLKW", FUSE_SETLKW},
		{"ACCESS", FUSE_ACCESS}, {"BMAP", FUSE_BMAP}, {"POLL", FUSE_POLL},
		{"NOTIFY_REPLY", FUSE_NOTIFY_REPLY}, {"SETUPMAPPING", FUSE_SETUPMAPPING},
		{"REMOVEMAPPING", FUSE_REMOVEMAPPING}, {"CUSE_INIT", CUSE_INIT}};
	struct fuse_lk_in lk = {.fh = fh, .lk = {.end = ~0ull, .type = 1}};
	struct fuse_ioctl_in ioctl = {.fh = fh, .cmd = 0x40086602, .in_size = 8};

	for (unsigned i = 0; i < ARRAY_SIZE(none); i++)
		files_want(none[i].what, "which is not served",
			files_ask(none[i].opcode, files_plain, FUSE_ARGS(STRUCT(lk))), ENOSYS);
	files_want("IOCTL", "of a real handle",
		files_ask(FUSE_IOCTL, files_plain, FUSE_ARGS(STRUCT(ioctl), {"12345678", 8})),
		ENOTTY);
}

static struct handles open_some(void)
{
	struct handles h = {
		.plain = fuse_open(files_dev, FUSE_OPEN, files_plain, O_RDWR),
		.other = fuse_open(files_dev, FUSE_OPEN, files_other, O_RDWR),
		.dir = fuse_open(files_dev, FUSE_OPENDIR, files_rootfs, 0),
		.released = fuse_open(files_dev, FUSE_OPEN, files_plain, O_RDWR),
		.released_dir = fuse_open(files_dev, FUSE_OPENDIR, files_rootfs, 0),
	};

	copy_in.nodeid_out = files_other;
	copy_in.fh_out = h.other;
	copy_to_in.nodeid_out = files_other;
	copy_to_in.fh_in = h.plain;
	release_in.fh = h.released;
	files_want("RELEASE", "of a real handle",
		files_ask(FUSE_RELEASE, files_plain, FUSE_ARGS(STRUCT(release_in))), 0);
	release_in.fh = h.released_dir;
	files_want("RELEASEDIR", "of a real handle",
		files_ask(FUSE_RELEASEDIR, files_rootfs, FUSE_ARGS(STRUCT(release_in))), 0);
	return h;
}

void files_handles(void)
{
	struct handles h = open_some();

	refuse_handle("handle 0", files_plain, 0, 0);
	refuse_handle("a handle never given", files_plain, 0xfff, 0xfff);
	refuse_handle("a handle beyond the table", files_plain, 0xffffffff, 0xffffffff);
	refuse_handle("the last handle", files_plain, ~0ull, ~0ull);
	refuse_handle("a handle of the next generation", files_plain, h.plain + NEXT_LIFE,
		h.dir + NEXT_LIFE);
	refuse_handle("a negative handle", files_plain, 1ull << 63 | h.plain, 1ull << 63 | h.dir);
	refuse_handle("a released handle", files_plain, h.released, h.released_dir);
	/* the one kind for the other; and each with a node that it was not opened on */
	refuse_handle("a handle of the other kind", files_plain, h.dir, h.plain);
	refuse_handle("another node's handle", files_scratch, h.plain, h.dir);
	not_implemented(h.plain);
	read_in.fh = h.plain;
	files_want("READ", "of a real handle",
		files_ask(FUSE_READ, files_plain, FUSE_ARGS(STRUCT(read_in))), 0);
}

/* What is no file and no directory: found, and never opened. */

struct special {
	const char *name;
	int open, create, truncate;
};

static void refuse_special(const struct special *s)
{
	static const uint32_t flags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC,
		O_RDONLY | O_NONBLOCK, O_RDWR | O_DIRECT};
	static const char *const how[] = {"OPEN to read", "OPEN to write", "OPEN for both",
		"OPEN to truncate", "OPEN without waiting", "OPEN past the cache"};
	uint64_t id = fuse_lookup(files_dev, files_rootfs, s->name);
	struct fuse_arg name = FUSE_STRING(s->name);
	struct fuse_setattr_in size = {.valid = FATTR_SIZE};

	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		struct fuse_open_in in = {.flags = flags[i]};
		struct fuse_create_in create = {.flags = flags[i], .mode = 0644};

		files_want(
			how[i], s->name, files_ask(FUSE_OPEN, id, FUSE_ARGS(STRUCT(in))), s->open);
		files_want("CREATE of what is there", s->name,
			files_ask(FUSE_CREATE, files_rootfs, FUSE_ARGS(STRUCT(create), name)),
			s->create);
		create.flags |= O_EXCL;
		files_want("exclusive CREATE", s->name,
			files_ask(FUSE_CREATE, files_rootfs, FUSE_ARGS(STRUCT(create), name)),
			EEXIST);
	}
	files_want("SETATTR of the size", s->name,
		files_ask(FUSE_SETATTR, id, FUSE_ARGS(STRUCT(size))), s->truncate);
	if (!strcmp(s->name, "dir"))
		return;
	files_want("OPENDIR", s->name, files_ask(FUSE_OPENDIR, id, FUSE_ARGS(STRUCT(open_in))),
		ENOTDIR);
	files_want("LOOKUP below", s->name, files_ask(FUSE_LOOKUP, id, FUSE_ARGS(NAME("etc"))),
		ENOTDIR);
	files_want("MKDIR below", s->name,
		files_ask(FUSE_MKDIR, id, FUSE_ARGS(STRUCT(mkdir_in), NAME("new"))), ENOTDIR);
	files_want("CREATE below", s->name,
		files_ask(FUSE_CREATE, id, FUSE_ARGS(STRUCT(create_in), NAME("new"))), ENOTDIR);
	files_want("UNLINK below", s->name, files_ask(FUSE_UNLINK, id, FUSE_ARGS(NAME("passwd"))),
		ENOTDIR);
	rename_in.newdir = id;
	files_want("RENAME below", s->name,
		files_ask(FUSE_RENAME, files_rootfs,
			FUSE_ARGS(STRUCT(rename_in), NAME("plain"), NAME("new"))),
		ENOTDIR);
}

/* A link's other name is the link's own, and gets none of what it points to. */
static void link_of_link(const char *name)
{
	struct fuse_link_in link = {.oldnodeid = fuse_lookup(files_dev, files_rootfs, name)};
	uint32_t mode;

	files_want("LINK of a link", name,
		files_ask(FUSE_LINK, files_scratch, FUSE_ARGS(STRUCT(link), NAME("new"))), 0);
	mode = ((const struct fuse_entry_out *)fuse_reply())->attr.mode;
	files_want("the other name", name, (int)(mode & S_IFMT), S_IFLNK);
	files_want(
		"UNLINK", name, files_ask(FUSE_UNLINK, files_scratch, FUSE_ARGS(NAME("new"))), 0);
	files_want("SETATTR of a link's mode", name,
		files_ask(FUSE_SETATTR, link.oldnodeid, FUSE_ARGS(STRUCT(setattr_in))), EOPNOTSUPP);
	files_want("SETXATTR of a link", name,
		files_ask(FUSE_SETXATTR, link.oldnodeid,
			FUSE_ARGS(STRUCT(setxattr_in), NAME("user.new"), {"x", 1})),
		EPERM);
}

void files_special(void)
{
	static const struct special specials[] = {
		{"fifo", ENXIO, ESTALE, EINVAL},
		{"socket", ENXIO, ESTALE, EINVAL},
		{"device", ENXIO, ESTALE, EINVAL},
		{"absolute", ELOOP, ESTALE, EINVAL},
		{"upwards", ELOOP, ESTALE, EINVAL},
		{"sideways", ELOOP, ESTALE, EINVAL},
		{"dir", EISDIR, ESTALE, EISDIR},
	};
	static const uint32_t modes[] = {S_IFDIR, S_IFLNK, S_IFMT, 0x3000, 0x5000, 0x7000, 0x9000};

	for (unsigned i = 0; i < ARRAY_SIZE(specials); i++)
		refuse_special(&specials[i]);
	link_of_link("absolute");
	link_of_link("sideways");
	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		struct fuse_mknod_in in = {.mode = modes[i] | 0644};

		files_want("MKNOD", "of what is no such thing",
			files_ask(FUSE_MKNOD, files_scratch, FUSE_ARGS(STRUCT(in), NAME("new"))),
			EINVAL);
	}
}
