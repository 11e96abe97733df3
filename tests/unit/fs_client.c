/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fs_client.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/posix_acl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGS(...) ((const struct fsc_arg[]){__VA_ARGS__, {0}})
#define STRUCT(v)               \
	{                       \
		&(v), sizeof(v) \
	}
#define STRING(s)                  \
	{                          \
		(s), strlen(s) + 1 \
	}

static void die(const char *what)
{
	perror(what);
	exit(99);
}

static void start(struct fsc *c)
{
	struct err err = ERR_INIT;
	struct fuse_entry_out e;
	int root;

	root = open(c->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		die(c->dir);
	if (fs_server_init(&c->fs, root, &err) < 0 || fs_thread_init(&c->t, &c->fs, &err) < 0 ||
		fs_thread_enter(&c->t, -1, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		exit(99);
	}
	close(root);
	if (fsc_init(c, ~0ull) < 0 || fsc_lookup(c, FUSE_ROOT_ID, "rootfs", &e) < 0)
		die("rootfs");
	c->rootfs = e.nodeid;
}

struct fsc *fsc_on(const char *dir)
{
	struct fsc *c = calloc(1, sizeof(*c));

	if (!c)
		die("calloc");
	snprintf(c->dir, sizeof(c->dir), "%s", dir);
	start(c);
	return c;
}

void fsc_restart(struct fsc *c)
{
	fs_thread_release(&c->t);
	fs_server_release(&c->fs);
	start(c);
}

struct fsc *fsc_new(const char *base)
{
	char dir[64], sub[80];

	snprintf(dir, sizeof(dir), "%s/fs-test-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(dir))
		die(dir);
	snprintf(sub, sizeof(sub), "%s/rootfs", dir);
	if (mkdir(sub, 0755) < 0)
		die(sub);
	return fsc_on(dir);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	remove(path);
	return 0;
}

void fsc_free(struct fsc *c)
{
	fs_thread_release(&c->t);
	fs_server_release(&c->fs);
	nftw(c->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	free(c);
}

int fsc_call(struct fsc *c, uint32_t op, uint64_t node, const struct fsc_arg *args, size_t room)
{
	struct virtq_chain *chain = &c->chain;
	struct fuse_in_header in = {.opcode = op,
		.unique = ++c->unique,
		.nodeid = node,
		.uid = c->uid,
		.gid = c->gid,
		.pid = 1,
		.len = sizeof(in)};
	struct fuse_out_header out = {0};
	uint32_t written;

	memset(chain, 0, sizeof(*chain));
	chain->iov[chain->n_out++] = (struct iovec){&in, sizeof(in)};
	for (; args && args->p; args++) {
		chain->iov[chain->n_out++] = (struct iovec){(void *)(uintptr_t)args->p, args->n};
		in.len += (uint32_t)args->n;
	}
	chain->out_bytes = in.len;
	chain->iov[chain->n_out + chain->n_in++] = (struct iovec){&out, sizeof(out)};
	if (room)
		chain->iov[chain->n_out + chain->n_in++] = (struct iovec){c->reply, room};
	chain->in_bytes = (uint32_t)(sizeof(out) + room);
	if (fs_serve(&c->t, chain, &written) < 0)
		return 1;
	if (op == FUSE_FORGET || op == FUSE_BATCH_FORGET || op == FUSE_INTERRUPT)
		return written ? -99 : 0;
	c->out_len = out.len - (uint32_t)sizeof(out);
	if (out.unique != in.unique || written != out.len || (out.error && c->out_len))
		return -99; /* no errno: every test sees it */
	return out.error;
}

int fsc_init(struct fsc *c, uint64_t flags)
{
	struct fuse_init_in in = {.major = 7,
		.minor = 41,
		.max_readahead = 131072,
		.flags = (uint32_t)flags,
		.flags2 = (uint32_t)(flags >> 32)};

	return fsc_call(c, FUSE_INIT, 0, ARGS(STRUCT(in)), sizeof(struct fuse_init_out));
}

static int entry(struct fsc *c, int r, struct fuse_entry_out *ret)
{
	if (r == 0 && ret)
		memcpy(ret, c->reply, sizeof(*ret));
	return r;
}

int fsc_lookup(struct fsc *c, uint64_t dir, const char *name, struct fuse_entry_out *ret)
{
	struct fuse_entry_out e;
	int r = entry(c, fsc_call(c, FUSE_LOOKUP, dir, ARGS(STRING(name)), sizeof(e)), &e);

	if (ret && r == 0)
		*ret = e;
	return r == 0 && !e.nodeid ? -2 /* ENOENT, cached */ : r;
}

uint64_t fsc_node(struct fsc *c, uint64_t dir, const char *name)
{
	struct fuse_entry_out e;

	return fsc_lookup(c, dir, name, &e) == 0 ? e.nodeid : 0;
}

void fsc_forget(struct fsc *c, uint64_t node, uint64_t n)
{
	struct fuse_forget_in in = {.nlookup = n};

	fsc_call(c, FUSE_FORGET, node, ARGS(STRUCT(in)), 0);
}

static int attr(struct fsc *c, int r, struct fuse_attr *ret)
{
	if (r == 0)
		*ret = ((struct fuse_attr_out *)(void *)c->reply)->attr;
	return r;
}

int fsc_getattr(struct fsc *c, uint64_t node, struct fuse_attr *ret)
{
	struct fuse_getattr_in in = {0};

	return attr(c,
		fsc_call(c, FUSE_GETATTR, node, ARGS(STRUCT(in)), sizeof(struct fuse_attr_out)),
		ret);
}

int fsc_setattr(struct fsc *c, uint64_t node, struct fuse_setattr_in in)
{
	return fsc_call(c, FUSE_SETATTR, node, ARGS(STRUCT(in)), sizeof(struct fuse_attr_out));
}

int fsc_mkdir(
	struct fsc *c, uint64_t dir, const char *name, uint32_t mode, struct fuse_entry_out *ret)
{
	struct fuse_mkdir_in in = {.mode = mode, .umask = 022};

	return entry(
		c, fsc_call(c, FUSE_MKDIR, dir, ARGS(STRUCT(in), STRING(name)), sizeof(*ret)), ret);
}

int fsc_mknod(struct fsc *c, uint64_t dir, const char *name, uint32_t mode, uint32_t rdev,
	struct fuse_entry_out *ret)
{
	struct fuse_mknod_in in = {.mode = mode, .rdev = rdev, .umask = 022};

	return entry(
		c, fsc_call(c, FUSE_MKNOD, dir, ARGS(STRUCT(in), STRING(name)), sizeof(*ret)), ret);
}

int fsc_symlink(struct fsc *c, uint64_t dir, const char *name, const char *target,
	struct fuse_entry_out *ret)
{
	return entry(c,
		fsc_call(c, FUSE_SYMLINK, dir, ARGS(STRING(name), STRING(target)), sizeof(*ret)),
		ret);
}

int fsc_create(struct fsc *c, uint64_t dir, const char *name, uint32_t flags, uint32_t mode,
	struct fuse_entry_out *ret, uint64_t *ret_fh)
{
	struct fuse_create_in in = {.flags = flags, .mode = mode, .umask = 022};
	int r = fsc_call(c, FUSE_CREATE, dir, ARGS(STRUCT(in), STRING(name)),
		sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out));

	if (r == 0 && ret_fh)
		*ret_fh =
			((struct fuse_open_out *)(void *)(c->reply + sizeof(struct fuse_entry_out)))
				->fh;
	return entry(c, r, ret);
}

int fsc_remove(struct fsc *c, uint32_t op, uint64_t dir, const char *name)
{
	return fsc_call(c, op, dir, ARGS(STRING(name)), 0);
}

int fsc_rename(
	struct fsc *c, uint64_t from, const char *a, uint64_t to, const char *b, uint32_t flags)
{
	struct fuse_rename2_in in = {.newdir = to, .flags = flags};
	struct fuse_rename_in plain = {.newdir = to};

	if (!flags)
		return fsc_call(c, FUSE_RENAME, from, ARGS(STRUCT(plain), STRING(a), STRING(b)), 0);
	return fsc_call(c, FUSE_RENAME2, from, ARGS(STRUCT(in), STRING(a), STRING(b)), 0);
}

int fsc_link(
	struct fsc *c, uint64_t node, uint64_t dir, const char *name, struct fuse_entry_out *ret)
{
	struct fuse_link_in in = {.oldnodeid = node};

	return entry(
		c, fsc_call(c, FUSE_LINK, dir, ARGS(STRUCT(in), STRING(name)), sizeof(*ret)), ret);
}

int fsc_open(struct fsc *c, uint32_t op, uint64_t node, uint32_t flags, struct fuse_open_out *ret)
{
	struct fuse_open_in in = {.flags = flags};
	int r = fsc_call(c, op, node, ARGS(STRUCT(in)), sizeof(*ret));

	if (r == 0)
		memcpy(ret, c->reply, sizeof(*ret));
	return r;
}

int fsc_release(struct fsc *c, uint32_t op, uint64_t node, uint64_t fh)
{
	struct fuse_release_in in = {.fh = fh};

	return fsc_call(c, op, node, ARGS(STRUCT(in)), 0);
}

int fsc_readdir(struct fsc *c, uint32_t op, uint64_t node, uint64_t fh, uint64_t off, uint32_t size)
{
	struct fuse_read_in in = {.fh = fh, .offset = off, .size = size};
	int r = fsc_call(c, op, node, ARGS(STRUCT(in)), size);

	return r ? r : (int)c->out_len;
}

int fsc_read(struct fsc *c, uint64_t node, uint64_t fh, uint64_t off, uint32_t size)
{
	return fsc_readdir(c, FUSE_READ, node, fh, off, size);
}

int fsc_write(struct fsc *c, uint64_t node, uint64_t fh, uint64_t off, const void *p, size_t n,
	uint32_t flags, uint32_t write_flags)
{
	struct fuse_write_in in = {.fh = fh,
		.offset = off,
		.size = (uint32_t)n,
		.flags = flags,
		.write_flags = write_flags};
	int r = fsc_call(
		c, FUSE_WRITE, node, ARGS(STRUCT(in), {p, n}), sizeof(struct fuse_write_out));

	return r ? r : (int)((struct fuse_write_out *)(void *)c->reply)->size;
}

int fsc_setxattr(struct fsc *c, uint64_t node, const char *name, const char *value, uint32_t flags)
{
	struct fuse_setxattr_in in = {.size = (uint32_t)strlen(value), .flags = flags};

	return fsc_call(
		c, FUSE_SETXATTR, node, ARGS(STRUCT(in), STRING(name), {value, strlen(value)}), 0);
}

int fsc_getxattr(struct fsc *c, uint64_t node, const char *name, uint32_t size)
{
	struct fuse_getxattr_in in = {.size = size};
	int r = fsc_call(c, FUSE_GETXATTR, node, ARGS(STRUCT(in), STRING(name)), size ? size : 8);

	return r ? r : (int)c->out_len;
}

unsigned fsc_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

struct fsc_acl fsc_acl_of(uint16_t group, uint16_t other)
{
	const uint16_t tag[] = {ACL_USER_OBJ, ACL_USER, ACL_GROUP_OBJ, ACL_MASK, ACL_OTHER};
	const uint16_t perm[] = {7, 7, group, 7, other};
	struct fsc_acl a = {.h.a_version = htole32(POSIX_ACL_XATTR_VERSION)};

	for (unsigned i = 0; i < 5; i++)
		a.e[i] = (struct posix_acl_xattr_entry){htole16(tag[i]), htole16(perm[i]),
			htole32(tag[i] == ACL_USER ? 1000u : (uint32_t)ACL_UNDEFINED_ID)};
	return a;
}

bool fsc_private_mounts(void)
{
	return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

bool fsc_mount_tmpfs(const char *dir)
{
	return mount("tmpfs", dir, "tmpfs", MS_NODEV | MS_NOSUID, "size=64m") == 0;
}

bool fsc_mount_overlay(const char *dir, bool same)
{
	char low[128] = "/usr/share/doc", up[128], work[128], opts[512];

	if (same)
		snprintf(low, sizeof(low), "%s/lower", dir);
	snprintf(up, sizeof(up), "%s/upper", dir);
	snprintf(work, sizeof(work), "%s/work", dir);
	snprintf(opts, sizeof(opts), "lowerdir=%s,upperdir=%s,workdir=%s", low, up, work);
	return (!same || mkdir(low, 0755) == 0) && mkdir(up, 0755) == 0 && mkdir(work, 0755) == 0 &&
	       mount("overlay", dir, "overlay", MS_NODEV | MS_NOSUID, opts) == 0;
}

const char *fsc_host(const struct fsc *c, const char *fmt, ...)
{
	static _Thread_local char path[512];
	int n = snprintf(path, sizeof(path), "%s/", c->dir);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path + n, sizeof(path) - (size_t)n, fmt, ap);
	va_end(ap);
	return path;
}

void fsc_host_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f)
		die(path);
	fputs(text, f);
	fclose(f);
}

int fsc_on_file_systems(void (*run)(const char *base, bool mounts))
{
	char dir[] = "/tmp/fs-backing-XXXXXX";
	bool mounts = mkdtemp(dir) && fsc_private_mounts();
	int n = 1;

	run(getenv("TMPDIR"), mounts);
	if (mounts && fsc_mount_tmpfs(dir)) {
		run(dir, true);
		n++;
		if (fsc_mount_overlay(dir, false)) {
			run(dir, true);
			n++;
		}
		umount2(dir, MNT_DETACH);
		umount2(dir, MNT_DETACH);
	}
	rmdir(dir);
	return n;
}
