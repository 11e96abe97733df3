/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile driver of virtio-fs that speaks FUSE well: what a guest's kernel would never send, each request with
 * the one answer it must get. Names here; the rest is in files_*.c. After each group a file is read right, and
 * hostile_test.sh compares the share before and afterwards.
 */
#include "tests/guests/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base.h"

struct drv *files_dev;
uint64_t files_rootfs, files_plain, files_other, files_scratch;
static unsigned cases, wrong;

void files_want(const char *what, const char *how, int got, int want)
{
	cases++;
	if (got == want)
		return;
	if (wrong++ < 20)
		guest_say("files: %s, %s: error %u, not %u", what, how, (unsigned)got,
			(unsigned)want);
	if (got == FUSE_LOST)
		guest_wrong("files: %s, %s: the device failed", what, how);
}

int files_ask(uint32_t opcode, uint64_t node, const struct fuse_arg args[FUSE_ARGS_MAX])
{
	return fuse_ask(files_dev, opcode, node, args, 512);
}

void files_fresh(void)
{
	fuse_start(files_dev);
	files_rootfs = fuse_lookup(files_dev, FUSE_ROOT_ID, "rootfs");
	files_plain = fuse_lookup(files_dev, files_rootfs, "plain");
	files_other = fuse_lookup(files_dev, files_rootfs, "other");
	files_scratch = fuse_lookup(files_dev, files_rootfs, "scratch");
}

/* Names */

static char long_name[4097]; /* filled, ended where a case wants it */

struct bad_name {
	const char *how, *p;
	uint32_t n;
	int want;
};

#define BAD(how, s)                            \
	{                                      \
		how, s, sizeof(s) - 1, -EINVAL \
	}

static const struct bad_name bad_names[] = {
	BAD("'..'", "..\0"),
	BAD("'.'", ".\0"),
	BAD("nothing", "\0"),
	BAD("an absolute path", "/etc/passwd\0"),
	BAD("a path downwards", "dir/inner\0"),
	BAD("a path upwards", "../rootfs/plain\0"),
	BAD("a path through a link", "upwards/etc/passwd\0"),
	BAD("a slash at the end", "scratch/\0"),
	BAD("no NUL", "plain"),
	BAD("a NUL inside", "plain\0/../../etc/passwd\0"),
	{"256 bytes", long_name + sizeof(long_name) - 257, 257, -ENAMETOOLONG},
	{"4096 bytes", long_name, sizeof(long_name), -ENAMETOOLONG},
};

/* Where an operation has its name: behind `fixed` and `before`. */
struct naming {
	const char *what;
	uint32_t opcode;
	struct fuse_arg fixed;
	const char *before, *after;
};

static struct fuse_mkdir_in mkdir_in = {.mode = 0755};
static struct fuse_mknod_in file_in = {.mode = S_IFREG | 0644}, fifo_in = {.mode = S_IFIFO | 0644};
static struct fuse_create_in create_in = {.flags = O_RDWR, .mode = 0644};
static struct fuse_link_in link_in;
static struct fuse_rename_in rename_in;
static struct fuse_rename2_in rename2_in;

static const struct naming namings[] = {
	{"LOOKUP", FUSE_LOOKUP},
	{"MKNOD of a file", FUSE_MKNOD, {&file_in, sizeof(file_in)}},
	{"MKNOD of a fifo", FUSE_MKNOD, {&fifo_in, sizeof(fifo_in)}},
	{"MKDIR", FUSE_MKDIR, {&mkdir_in, sizeof(mkdir_in)}},
	{"UNLINK", FUSE_UNLINK},
	{"RMDIR", FUSE_RMDIR},
	{"SYMLINK", FUSE_SYMLINK, {0}, NULL, "target"},
	{"RENAME from", FUSE_RENAME, {&rename_in, sizeof(rename_in)}, NULL, "new"},
	{"RENAME to", FUSE_RENAME, {&rename_in, sizeof(rename_in)}, "other", NULL},
	{"RENAME2 from", FUSE_RENAME2, {&rename2_in, sizeof(rename2_in)}, NULL, "new"},
	{"RENAME2 to", FUSE_RENAME2, {&rename2_in, sizeof(rename2_in)}, "other", NULL},
	{"LINK", FUSE_LINK, {&link_in, sizeof(link_in)}},
	{"CREATE", FUSE_CREATE, {&create_in, sizeof(create_in)}},
};

static int ask_named(const struct naming *n, uint64_t dir, struct fuse_arg name)
{
	struct fuse_arg args[FUSE_ARGS_MAX] = {0};
	unsigned i = 0;

	if (n->fixed.n)
		args[i++] = n->fixed;
	if (n->before)
		args[i++] = FUSE_STRING(n->before);
	if (name.n)
		args[i++] = name;
	if (n->after)
		args[i] = FUSE_STRING(n->after);
	return files_ask(n->opcode, dir, args);
}

static void refuse_names(const struct naming *n)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bad_names); i++) {
		const struct bad_name *b = &bad_names[i];

		files_want(n->what, b->how,
			ask_named(n, files_rootfs, (struct fuse_arg){b->p, b->n}), -b->want);
	}
	files_want(n->what, "no name at all", ask_named(n, files_rootfs, (struct fuse_arg){0}),
		EINVAL);
}

/* What is a name, though nobody would like it. Everything is taken away again. */
static void accept_name(const char *how, const char *name)
{
	struct fuse_rename_in back = {.newdir = files_scratch};

	files_want("CREATE", how, ask_named(&namings[12], files_scratch, FUSE_STRING(name)), 0);
	files_want("LOOKUP", how, ask_named(&namings[0], files_scratch, FUSE_STRING(name)), 0);
	files_want("RENAME", how,
		files_ask(FUSE_RENAME, files_scratch,
			FUSE_ARGS(FUSE_STRUCT(back), FUSE_STRING(name), FUSE_STRING("x"))),
		0);
	files_want("RENAME", how,
		files_ask(FUSE_RENAME, files_scratch,
			FUSE_ARGS(FUSE_STRUCT(back), FUSE_STRING("x"), FUSE_STRING(name))),
		0);
	files_want("MKDIR", how, ask_named(&namings[3], files_scratch, FUSE_STRING(name)), EEXIST);
	files_want("UNLINK", how, ask_named(&namings[4], files_scratch, FUSE_STRING(name)), 0);
	files_want("LINK", how, ask_named(&namings[11], files_scratch, FUSE_STRING(name)), 0);
	files_want("UNLINK", how, ask_named(&namings[4], files_scratch, FUSE_STRING(name)), 0);
	files_want("SYMLINK", how, ask_named(&namings[6], files_scratch, FUSE_STRING(name)), 0);
	files_want("UNLINK", how, ask_named(&namings[4], files_scratch, FUSE_STRING(name)), 0);
}

void files_names(void)
{
	link_in.oldnodeid = files_plain;
	rename_in.newdir = rename2_in.newdir = files_scratch;
	memset(long_name, 'n', sizeof(long_name) - 1);
	for (unsigned i = 0; i < ARRAY_SIZE(namings); i++)
		refuse_names(&namings[i]);
	accept_name("255 bytes", long_name + sizeof(long_name) - 256);
	accept_name("'...'", "...");
	accept_name("bytes that are no text", "\x01\xff\n\\");
}

/* Names of extended attributes: may hold a slash, and are 255 bytes at most. */

static const struct bad_name bad_xattrs[] = {
	BAD("nothing", "\0"),
	{"no NUL", "user.plain", 10, -ERANGE},
	BAD("a NUL inside", "user.a\0b\0"),
	{"256 bytes", long_name + sizeof(long_name) - 257, 257, -ERANGE},
	{"no name space", "plain\0", 6, -EOPNOTSUPP},
	{"a label of the host's", "security.selinux\0", 17, -EOPNOTSUPP},
	{"another of the system's", "system.nfs4_acl\0", 16, -EOPNOTSUPP},
};

void files_xattrs(void)
{
	struct fuse_setxattr_in set = {.size = 4};
	struct fuse_getxattr_in get = {.size = 64};

	memset(long_name, 'n', sizeof(long_name) - 1);
	for (unsigned i = 0; i < ARRAY_SIZE(bad_xattrs); i++) {
		const struct bad_name *b = &bad_xattrs[i];
		struct fuse_arg name = {b->p, b->n};

		/* the value of a name without an end is taken for the name's rest: no end either */
		files_want("SETXATTR", b->how,
			files_ask(FUSE_SETXATTR, files_plain,
				FUSE_ARGS(FUSE_STRUCT(set), name, {"abcd", 4})),
			-b->want);
		files_want("GETXATTR", b->how,
			files_ask(FUSE_GETXATTR, files_plain, FUSE_ARGS(FUSE_STRUCT(get), name)),
			-b->want);
		files_want("REMOVEXATTR", b->how,
			files_ask(FUSE_REMOVEXATTR, files_plain, FUSE_ARGS(name)), -b->want);
	}
}

/* All of it */

static void works(const char *after)
{
	struct fuse_read_in read = {.size = 64};
	uint64_t file;

	file = fuse_lookup(files_dev, fuse_lookup(files_dev, FUSE_ROOT_ID, "rootfs"), "plain");
	read.fh = fuse_open(files_dev, FUSE_OPEN, file, 0);
	if (files_ask(FUSE_READ, file, FUSE_ARGS(FUSE_STRUCT(read))) ||
		fuse_reply_len() != strlen(FILES_TEXT) ||
		memcmp(fuse_reply(), FILES_TEXT, strlen(FILES_TEXT)))
		guest_wrong("files: after %s a file is not read right", after);
}

static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
	{"names", files_names},
	{"extended attributes", files_xattrs},
	{"node ids", files_nodes},
	{"file handles", files_handles},
	{"special files", files_special},
	{"the read-only part", files_read_only},
	{"sizes", files_sizes},
	{"buffers", files_buffers},
	{"overlapping buffers", files_overlaps},
	{"forgets", files_forgets},
	{"sessions", files_sessions},
	{"requests in flight", files_crowd},
};

void guest_main(const char *word)
{
	bool writable = !strcmp(word, "writable");

	files_dev = guest_device("fs");
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++) {
		unsigned before = cases;

		if (writable && groups[i].run == files_read_only)
			continue;
		files_fresh();
		groups[i].run();
		works(groups[i].name);
		guest_say("files: %s: %u cases", groups[i].name, cases - before);
	}
	if (wrong)
		guest_wrong("files: %u of %u cases", wrong, cases);
	guest_pass("files: %u cases", cases);
}
