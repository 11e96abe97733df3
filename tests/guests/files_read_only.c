/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that writes, in a part of the share that the host has mounted read-only. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base.h"
#include "tests/guests/files.h"

#define STRUCT(v)               \
	{                       \
		&(v), sizeof(v) \
	}
#define NAME(s)              \
	{                    \
		s, sizeof(s) \
	}

static uint64_t volume, file, link_id;

static void refuse(const char *what, uint32_t opcode, uint64_t node,
	const struct fuse_arg args[FUSE_ARGS_MAX], int want)
{
	files_want(what, "read-only", files_ask(opcode, node, args), want);
}

static void new_files(void)
{
	static const uint32_t modes[] = {S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	static const uint32_t flags[] = {0, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC, O_RDWR | O_DIRECT};
	struct fuse_mkdir_in md = {.mode = 0755};
	struct fuse_link_in ln = {.oldnodeid = file};

	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		struct fuse_mknod_in in = {.mode = modes[i] | 0644};

		refuse("MKNOD", FUSE_MKNOD, volume, FUSE_ARGS(STRUCT(in), NAME("new")), EROFS);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		struct fuse_create_in in = {.flags = flags[i], .mode = 0644};

		refuse("CREATE", FUSE_CREATE, volume, FUSE_ARGS(STRUCT(in), NAME("new")), EROFS);
		if (flags[i])
			refuse("TMPFILE", FUSE_TMPFILE, volume, FUSE_ARGS(STRUCT(in), NAME("/")),
				flags[i] & O_RDWR || flags[i] & O_WRONLY ? EROFS : EINVAL);
		if (flags[i])
			refuse("CREATE of what is there", FUSE_CREATE, volume,
				FUSE_ARGS(STRUCT(in), NAME("file")), EROFS);
	}
	refuse("MKDIR", FUSE_MKDIR, volume, FUSE_ARGS(STRUCT(md), NAME("new")), EROFS);
	refuse("SYMLINK", FUSE_SYMLINK, volume, FUSE_ARGS(NAME("new"), NAME("target")), EROFS);
	refuse("LINK", FUSE_LINK, volume, FUSE_ARGS(STRUCT(ln), NAME("new")), EROFS);
	refuse("LINK out of it", FUSE_LINK, files_scratch, FUSE_ARGS(STRUCT(ln), NAME("new")),
		EXDEV);
	ln.oldnodeid = files_plain;
	refuse("LINK into it", FUSE_LINK, volume, FUSE_ARGS(STRUCT(ln), NAME("new")), EROFS);
}

static void names(void)
{
	static const uint32_t flags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT};
	struct fuse_rename_in rn = {.newdir = volume};

	refuse("UNLINK", FUSE_UNLINK, volume, FUSE_ARGS(NAME("file")), EROFS);
	refuse("UNLINK of a link", FUSE_UNLINK, volume, FUSE_ARGS(NAME("link")), EROFS);
	refuse("RMDIR", FUSE_RMDIR, volume, FUSE_ARGS(NAME("dir")), EROFS);
	refuse("RENAME", FUSE_RENAME, volume, FUSE_ARGS(STRUCT(rn), NAME("file"), NAME("link")),
		EROFS);
	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		struct fuse_rename2_in in = {.newdir = volume, .flags = flags[i]};

		refuse("RENAME2", FUSE_RENAME2, volume,
			FUSE_ARGS(STRUCT(in), {"file", 5},
				{flags[i] == RENAME_EXCHANGE ? "link" : "new\0",
					flags[i] == RENAME_EXCHANGE ? 5 : 4}),
			EROFS);
	}
	refuse("RENAME into it", FUSE_RENAME, files_rootfs,
		FUSE_ARGS(STRUCT(rn), NAME("plain"), NAME("new")), EXDEV);
	rn.newdir = files_scratch;
	refuse("RENAME out of it", FUSE_RENAME, volume,
		FUSE_ARGS(STRUCT(rn), NAME("file"), NAME("new")), EXDEV);
}

static void attributes(void)
{
	static const struct fuse_setattr_in in[] = {
		{.valid = FATTR_MODE, .mode = 0777},
		{.valid = FATTR_UID, .uid = 5},
		{.valid = FATTR_GID, .gid = 5},
		{.valid = FATTR_UID | FATTR_GID | FATTR_MODE, .uid = 5},
		{.valid = FATTR_SIZE},
		{.valid = FATTR_SIZE, .size = 1 << 20},
		{.valid = FATTR_SIZE | FATTR_KILL_SUIDGID},
		{.valid = FATTR_ATIME, .atime = 1},
		{.valid = FATTR_MTIME, .mtime = 1},
		{.valid = FATTR_ATIME | FATTR_ATIME_NOW},
		{.valid = FATTR_MTIME | FATTR_MTIME_NOW},
	};
	static const char *const names[] = {"user.a", "security.capability",
		"system.posix_acl_access", "trusted.overlay.opaque", "user.overlay.redirect"};
	struct fuse_setattr_in of_link = {.valid = FATTR_UID, .uid = 5};

	for (unsigned i = 0; i < ARRAY_SIZE(in); i++)
		refuse("SETATTR", FUSE_SETATTR, file, FUSE_ARGS(STRUCT(in[i])), EROFS);
	for (unsigned i = 0; i < ARRAY_SIZE(in); i++)
		refuse("SETATTR of a directory", FUSE_SETATTR, volume, FUSE_ARGS(STRUCT(in[i])),
			in[i].valid & FATTR_SIZE ? EISDIR : EROFS);
	refuse("SETATTR of a link", FUSE_SETATTR, link_id, FUSE_ARGS(STRUCT(of_link)), EROFS);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		struct fuse_setxattr_in set = {.size = 4};

		refuse("SETXATTR", FUSE_SETXATTR, file,
			FUSE_ARGS(STRUCT(set), FUSE_STRING(names[i]), {"abcd", 4}), EROFS);
		refuse("REMOVEXATTR", FUSE_REMOVEXATTR, file, FUSE_ARGS(FUSE_STRING(names[i])),
			EROFS);
	}
}

/* The host refuses a descriptor for writing; one for reading is none for writing. */
static void data(void)
{
	static const uint32_t flags[] = {
		O_WRONLY, O_RDWR, O_TRUNC, O_RDWR | O_TRUNC, O_RDWR | O_DIRECT};
	static const uint32_t modes[] = {0, FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_COLLAPSE_RANGE,
		FALLOC_FL_ZERO_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_UNSHARE_RANGE};
	struct fuse_write_in wr = {.size = 4};
	struct fuse_fallocate_in fa = {.length = 100};
	struct fuse_setattr_in size = {.valid = FATTR_SIZE | FATTR_FH};
	struct fuse_copy_file_range_in copy = {.nodeid_out = file, .len = 4};

	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		struct fuse_open_in in = {.flags = flags[i]};

		refuse("OPEN", FUSE_OPEN, file, FUSE_ARGS(STRUCT(in)), EROFS);
	}
	wr.fh = fa.fh = size.fh = copy.fh_out = fuse_open(files_dev, FUSE_OPEN, file, 0);
	copy.fh_in = fuse_open(files_dev, FUSE_OPEN, files_plain, 0);
	refuse("WRITE", FUSE_WRITE, file, FUSE_ARGS(STRUCT(wr), {"abcd", 4}), EBADF);
	wr.write_flags = FUSE_WRITE_CACHE;
	wr.flags = O_RDWR;
	refuse("WRITE of a page", FUSE_WRITE, file, FUSE_ARGS(STRUCT(wr), {"abcd", 4}), EBADF);
	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		fa.mode = modes[i];
		refuse("FALLOCATE", FUSE_FALLOCATE, file, FUSE_ARGS(STRUCT(fa)), EBADF);
	}
	refuse("COPY_FILE_RANGE", FUSE_COPY_FILE_RANGE, files_plain, FUSE_ARGS(STRUCT(copy)),
		EBADF);
	refuse("SETATTR by a handle", FUSE_SETATTR, file, FUSE_ARGS(STRUCT(size)), EROFS);
}

void files_read_only(void)
{
	volume = fuse_lookup(files_dev, fuse_lookup(files_dev, FUSE_ROOT_ID, "m0"), "volume");
	file = fuse_lookup(files_dev, volume, "file");
	link_id = fuse_lookup(files_dev, volume, "link");
	new_files();
	names();
	attributes();
	data();
}
