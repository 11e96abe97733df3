/* SPDX-License-Identifier: Apache-2.0 */
/* The file server against a hostile guest, which sends what no Linux would, and a hostile host
 * process. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "tests/unit/fs_client.h"

#define ARGS(...) ((const struct fsc_arg[]){__VA_ARGS__, {0}})
#define STRUCT(v)               \
	{                       \
		&(v), sizeof(v) \
	}
#define ENTRY sizeof(struct fuse_entry_out)

static struct fsc *c;

#define host(...) fsc_host(c, __VA_ARGS__)

/* Every operation that takes a name, with this one. 0 when all refuse it with `want`. */
static int refuse_name(const void *name, size_t n, int want)
{
	struct fuse_mkdir_in md = {.mode = 0755};
	struct fuse_mknod_in mn = {.mode = S_IFREG | 0644};
	struct fuse_create_in cr = {.flags = O_RDWR, .mode = 0644};
	struct fuse_link_in ln = {.oldnodeid = c->rootfs};
	struct fuse_rename_in rn = {.newdir = c->rootfs};
	struct fuse_rename2_in rn2 = {.newdir = c->rootfs};
	const struct fsc_arg name_arg = {name, n};
	const struct {
		uint32_t op;
		const struct fsc_arg *args;
	} tries[] = {
		{FUSE_LOOKUP, ARGS(name_arg)},
		{FUSE_UNLINK, ARGS(name_arg)},
		{FUSE_RMDIR, ARGS(name_arg)},
		{FUSE_SYMLINK, ARGS(name_arg, {"t", 2})},
		{FUSE_MKDIR, ARGS(STRUCT(md), name_arg)},
		{FUSE_MKNOD, ARGS(STRUCT(mn), name_arg)},
		{FUSE_CREATE, ARGS(STRUCT(cr), name_arg)},
		{FUSE_LINK, ARGS(STRUCT(ln), name_arg)},
		{FUSE_RENAME, ARGS(STRUCT(rn), name_arg, {"x", 2})},
		{FUSE_RENAME, ARGS(STRUCT(rn), {"x", 2}, name_arg)},
		{FUSE_RENAME2, ARGS(STRUCT(rn2), {"x", 2}, name_arg)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		int r = fsc_call(c, tries[i].op, c->rootfs, tries[i].args, ENTRY + 16);

		if (r != want) {
			printf("# operation %u: %d\n", tries[i].op, r);
			return -1;
		}
	}
	return 0;
}

static void test_names(void)
{
	char long_name[4097];

	memset(long_name, 'n', sizeof(long_name));
	eq_int(refuse_name("..", 3, -EINVAL), 0, "'..' is refused by every operation");
	eq_int(refuse_name(".", 2, -EINVAL), 0, "'.'");
	eq_int(refuse_name("", 1, -EINVAL), 0, "an empty name");
	eq_int(refuse_name("a/b", 4, -EINVAL), 0, "a slash");
	eq_int(refuse_name("/etc", 5, -EINVAL), 0, "an absolute path");
	eq_int(refuse_name("../x", 5, -EINVAL), 0, "a path upwards");
	eq_int(refuse_name("a\0b", 4, -EINVAL), 0, "a NUL inside");
	eq_int(refuse_name("abc", 3, -EINVAL), 0, "no NUL at the end");
	long_name[256] = 0;
	eq_int(refuse_name(long_name, 257, -ENAMETOOLONG), 0, "256 bytes");
	long_name[256] = 'n';
	long_name[4096] = 0;
	eq_int(refuse_name(long_name, 4097, -ENAMETOOLONG), 0, "4096 bytes");
	long_name[255] = 0;
	eq_int(fsc_mknod(c, c->rootfs, long_name, S_IFREG | 0600, 0, NULL), 0,
		"255 bytes are a name");
	eq_int(fsc_mknod(c, c->rootfs, "...", S_IFREG | 0600, 0, NULL), 0, "so is '...'");
	fsc_host_write(host("outside"), "secret");
	ok(symlink("/etc/passwd", host("rootfs/abs")) == 0 && symlink("..", host("rootfs/up")) == 0,
		"links that lead outside");
	{
		struct fuse_entry_out e;

		eq_int(fsc_lookup(c, c->rootfs, "up", &e), 0, "LOOKUP of one");
		ok(S_ISLNK(e.attr.mode), "is the link");
		eq_int(fsc_lookup(c, e.nodeid, "outside", NULL), -ENOTDIR, "LOOKUP below it");
		eq_int(fsc_mkdir(c, e.nodeid, "d", 0755, &e), -ENOTDIR, "MKDIR below it");
		eq_int(fsc_create(c, c->rootfs, "abs", O_RDWR, 0644, &e, NULL), -ESTALE,
			"CREATE of the other");
	}
}

static void test_ids(void)
{
	struct fuse_entry_out e, e2;
	struct fuse_open_out o, d;
	struct fuse_attr a;
	uint64_t n, forged[] = {0, 2, 99999, 0xffffffff, ~0ull, 1ull << 32 | 1, 1ull << 63};
	int bad = 0;

	fsc_mknod(c, c->rootfs, "id", S_IFREG | 0644, 0, &e);
	fsc_mknod(c, c->rootfs, "id2", S_IFREG | 0644, 0, &e2);
	forged[1] = e2.nodeid + (1ull << 32);
	for (size_t i = 0; i < ARRAY_SIZE(forged); i++)
		bad += fsc_getattr(c, forged[i], &a) != -ESTALE ||
		       fsc_lookup(c, forged[i], "x", NULL) != -ESTALE ||
		       fsc_open(c, FUSE_OPEN, forged[i], 0, &o) != -ESTALE ||
		       fsc_rename(c, c->rootfs, "id", forged[i], "y", 0) != -ESTALE;
	eq_int(bad, 0, "forged node ids are stale");
	fsc_open(c, FUSE_OPEN, e.nodeid, O_RDWR, &o);
	fsc_open(c, FUSE_OPENDIR, c->rootfs, 0, &d);
	eq_int(fsc_read(c, e2.nodeid, o.fh, 0, 10), -EBADF, "a handle with another node");
	eq_int(fsc_read(c, e.nodeid, o.fh + (1ull << 32), 0, 10), -EBADF,
		"a handle of another generation");
	eq_int(fsc_read(c, e.nodeid, 12345, 0, 10), -EBADF, "a forged handle");
	eq_int(fsc_read(c, e.nodeid, ~0ull, 0, 10), -EBADF, "another");
	eq_int(fsc_read(c, c->rootfs, d.fh, 0, 10), -EBADF, "READ of a directory's handle");
	eq_int(fsc_readdir(c, FUSE_READDIR, e.nodeid, o.fh, 0, 4096), -EBADF,
		"READDIR of a file's handle");
	eq_int(fsc_readdir(c, FUSE_READDIR, c->rootfs, d.fh, ~0ull, 4096), -EINVAL,
		"READDIR from nowhere");
	eq_int(fsc_release(c, FUSE_RELEASE, c->rootfs, d.fh), -EBADF,
		"RELEASE of a directory's handle");
	n = e.nodeid;
	fsc_forget(c, n, 1000);
	eq_int(fsc_getattr(c, n, &a), -ESTALE, "a node that was forgotten too often is stale");
	eq_int(fsc_read(c, n, o.fh, 0, 10), 0, "its open handle works on");
	fsc_release(c, FUSE_RELEASE, n, o.fh);
	fsc_release(c, FUSE_RELEASEDIR, c->rootfs, d.fh);
	fsc_lookup(c, c->rootfs, "id", &e);
	ok(e.nodeid != n, "looked up again, it has another id");
	fsc_forget(c, FUSE_ROOT_ID, ~0ull);
	eq_int(fsc_getattr(c, FUSE_ROOT_ID, &a), 0, "the root cannot be forgotten");
}

static void test_sizes(void)
{
	struct fuse_getattr_in ga = {0};
	struct fuse_read_in rd = {.size = 4096};
	struct fuse_write_in wr = {.size = 100};
	struct fuse_setxattr_in sx = {.size = 10};
	struct fuse_batch_forget_in bf = {.count = ~0u};
	struct fuse_open_out o;
	struct fuse_entry_out e;
	struct stat st;
	char big[5000] = {0};

	eq_int(fsc_call(c, FUSE_GETATTR, c->rootfs, ARGS(STRUCT(ga)), 8), -EINVAL,
		"too little room");
	eq_int(fsc_call(c, FUSE_GETATTR, c->rootfs, ARGS({&ga, 8}), 200), -EINVAL,
		"arguments cut short");
	eq_int(fsc_call(c, FUSE_GETATTR, c->rootfs, ARGS(STRUCT(ga), {big, 100}), 200), -EINVAL,
		"too long");
	eq_int(fsc_mkdir(c, c->rootfs, "noroom", 0755, &e), 0, "MKDIR");
	{
		struct fuse_mkdir_in md = {.mode = 0755};

		eq_int(fsc_call(c, FUSE_MKDIR, c->rootfs, ARGS(STRUCT(md), {"noroom2", 8}), 10),
			-EINVAL, "MKDIR with no room for its reply");
		ok(lstat(host("rootfs/noroom2"), &st) < 0, "has not been done");
	}
	fsc_lookup(c, c->rootfs, "id2", &e);
	fsc_open(c, FUSE_OPEN, e.nodeid, O_RDWR, &o);
	rd.fh = wr.fh = o.fh;
	eq_int(fsc_call(c, FUSE_READ, e.nodeid, ARGS(STRUCT(rd)), 100), -EINVAL,
		"READ of more than fits");
	rd.offset = ~0ull;
	eq_int(fsc_call(c, FUSE_READ, e.nodeid, ARGS(STRUCT(rd)), 4096), -EINVAL,
		"READ at a negative offset");
	eq_int(fsc_call(c, FUSE_WRITE, e.nodeid, ARGS(STRUCT(wr), {big, 99}), 8), -EINVAL,
		"WRITE of too little");
	eq_int(fsc_call(c, FUSE_WRITE, e.nodeid, ARGS(STRUCT(wr), {big, 101}), 8), -EINVAL,
		"of too much");
	wr.offset = 1ull << 63;
	eq_int(fsc_call(c, FUSE_WRITE, e.nodeid, ARGS(STRUCT(wr), {big, 100}), 8), -EINVAL,
		"negative offset");
	eq_int(fsc_call(c, FUSE_SETXATTR, e.nodeid, ARGS(STRUCT(sx), {"user.a", 7}, {big, 9}), 0),
		-EINVAL, "SETXATTR with a wrong size");
	eq_int(fsc_call(c, FUSE_SETXATTR, e.nodeid, ARGS(STRUCT(sx), {big, 1}, {big, 10}), 0),
		-EINVAL, "SETXATTR of no name");
	memset(big, 'x', sizeof(big));
	eq_int(fsc_call(c, FUSE_SETXATTR, e.nodeid, ARGS(STRUCT(sx), {big, 300}), 0), -ERANGE,
		"SETXATTR of an endless name");
	eq_int(fsc_call(c, FUSE_SYMLINK, c->rootfs, ARGS({"l", 2}, {big, 4999}), ENTRY),
		-ENAMETOOLONG, "SYMLINK to an endless target");
	eq_int(fsc_call(c, FUSE_SYMLINK, c->rootfs, ARGS({"l", 2}), ENTRY), -EINVAL, "to none");
	eq_int(fsc_call(c, FUSE_BATCH_FORGET, 0, ARGS(STRUCT(bf), {big, 50}), 0), 0,
		"BATCH_FORGET of more than is there");
	fsc_release(c, FUSE_RELEASE, e.nodeid, o.fh);
}

/* Chains fsc_call() cannot make. */
static void test_chains(void)
{
	static struct virtq_chain ch;
	static uint8_t page[4096];
	struct fuse_in_header in = {
		.len = sizeof(in), .opcode = FUSE_STATFS, .nodeid = 1, .unique = 5};
	struct fuse_out_header out;
	uint32_t written;

	ch = (struct virtq_chain){.n_out = 1, .out_bytes = 10, .iov = {{&in, 10}}};
	eq_int(fs_serve(&c->t, &ch, &written), -VFAULT_REQUEST, "half a header is a fault");
	ch = (struct virtq_chain){.n_out = 1, .out_bytes = sizeof(in), .iov = {{&in, sizeof(in)}}};
	eq_int(fs_serve(&c->t, &ch, &written), -VFAULT_REQUEST, "so is no room for a reply");
	ch = (struct virtq_chain){.n_out = 1,
		.n_in = 1,
		.out_bytes = sizeof(in),
		.in_bytes = sizeof(out),
		.iov = {{&in, sizeof(in)}, {&out, sizeof(out)}}};
	in.len = 4096;
	eq_int(fs_serve(&c->t, &ch, &written), 0, "a length that is not the chain's");
	ok(written == sizeof(out) && out.error == -EINVAL && out.unique == 5, "is an error");
	/* request and reply in the same page: the copy counts */
	in.len = sizeof(in);
	memcpy(page, &in, sizeof(in));
	ch = (struct virtq_chain){.n_out = 1,
		.n_in = 1,
		.out_bytes = sizeof(in),
		.in_bytes = 200,
		.iov = {{page, sizeof(in)}, {page, 200}}};
	eq_int(fs_serve(&c->t, &ch, &written), 0, "a reply over its request");
	memcpy(&out, page, sizeof(out));
	ok(out.error == 0 && out.unique == 5 && out.len == written, "is whole");
	/* a header in pieces of one byte */
	ch = (struct virtq_chain){
		.n_out = sizeof(in), .n_in = 1, .out_bytes = sizeof(in), .in_bytes = 200};
	for (size_t i = 0; i < sizeof(in); i++)
		ch.iov[i] = (struct iovec){(uint8_t *)&in + i, 1};
	ch.iov[sizeof(in)] = (struct iovec){page, 200};
	eq_int(fs_serve(&c->t, &ch, &written), 0, "a header in pieces");
	eq_int(written, sizeof(out) + sizeof(struct fuse_statfs_out), "is understood");
}

/* How long a race may take to have happened: a loaded machine runs the other side seldom. */
#define RACE_SECONDS 60

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* A process of the host's that swaps a directory and a link to the outside while the guest walks.
 */
static atomic_bool stop_swapping;

static void *swapper(void *arg)
{
	char a[512], b[512];

	snprintf(a, sizeof(a), "%s", host("rootfs/swap"));
	snprintf(b, sizeof(b), "%s", host("rootfs/swap-link"));
	while (!stop_swapping)
		renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
	return NULL;
}

static void test_swap_race(void)
{
	unsigned escapes = 0, as_dir = 0, as_link = 0;
	time_t end = now() + RACE_SECONDS;
	char target[512];
	pthread_t th;

	mkdir(host("rootfs/swap"), 0755);
	mkdir(host("elsewhere"), 0755);
	fsc_host_write(host("elsewhere/victim"), "secret");
	fsc_host_write(host("rootfs/swap/victim"), "plain");
	snprintf(target, sizeof(target), "%s", host("elsewhere"));
	ok(symlink(target, host("rootfs/swap-link")) == 0, "a link to the outside");
	stop_swapping = false;
	pthread_create(&th, NULL, swapper, NULL);
	for (int i = 0; i < 20000 || ((!as_dir || !as_link) && now() < end); i++) {
		struct fuse_entry_out e, v;

		if (fsc_lookup(c, c->rootfs, "swap", &e))
			continue;
		as_dir += S_ISDIR(e.attr.mode);
		as_link += S_ISLNK(e.attr.mode);
		if (fsc_lookup(c, e.nodeid, "victim", &v) == 0) {
			escapes += v.attr.size != 5;
			fsc_forget(c, v.nodeid, 1);
		}
		fsc_forget(c, e.nodeid, 1);
	}
	stop_swapping = true;
	pthread_join(th, NULL);
	ok(as_dir && as_link, "both were met: %u and %u times", as_dir, as_link);
	eq_int(escapes, 0, "the link was never followed");
}

/* A process of the host's that puts a directory of root's in the place of the one the guest has
 * just made. */
static void *replacer(void *arg)
{
	char a[512], b[512];

	snprintf(a, sizeof(a), "%s", host("rootfs/victim"));
	snprintf(b, sizeof(b), "%s", host("rootfs/made"));
	while (!stop_swapping)
		renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
	return NULL;
}

static void test_owner_race(void)
{
	unsigned given = 0, refused = 0, made = 0;
	time_t end = now() + RACE_SECONDS;
	struct fuse_entry_out e;
	struct stat st;
	pthread_t th;

	mkdir(host("rootfs/victim"), 0700);
	usleep(20000); /* older than the clock's tick */
	stop_swapping = false;
	pthread_create(&th, NULL, replacer, NULL);
	while (refused < 3 && now() < end) {
		int victim = open(host("rootfs/victim"), O_PATH | O_DIRECTORY | O_CLOEXEC), r;

		c->uid = c->gid = 1000;
		r = fsc_mkdir(c, c->rootfs, "made", 0755, &e);
		c->uid = c->gid = 0;
		made += r == 0;
		refused += r == -ESTALE;
		if (r == 0)
			fsc_forget(c, e.nodeid, 1);
		/* held since before the request: root's own, or the guest's of an earlier turn */
		given += victim >= 0 && fstat(victim, &st) == 0 && st.st_mode == (S_IFDIR | 0700) &&
			 st.st_uid;
		if (victim >= 0)
			close(victim);
		fsc_remove(c, FUSE_RMDIR, c->rootfs, "made");
		if (lstat(host("rootfs/victim"), &st) == 0 && st.st_mode == (S_IFDIR | 0700))
			continue;
		fsc_remove(c, FUSE_RMDIR, c->rootfs, "victim");
		mkdir(host("rootfs/victim"), 0700);
		usleep(11000);
	}
	stop_swapping = true;
	pthread_join(th, NULL);
	if (refused)
		ok(made, "%u directories were made, %u had been replaced", made, refused);
	else
		skip("nothing was replaced at the right moment in a minute");
	eq_int(given, 0, "root's own was never given away");
}

/* Every operation that writes, on a mount that is read-only on the host. */
static void test_read_only(void)
{
	struct fuse_fallocate_in fa = {.length = 10};
	struct fuse_create_in tmp = {.flags = O_RDWR, .mode = 0600};
	struct fuse_entry_out e;
	struct fuse_open_out o;
	uint64_t ro, f;
	int r;

	mkdir(host("source"), 0755);
	mkdir(host("source/d"), 0755);
	mkdir(host("m0"), 0755);
	fsc_host_write(host("source/f"), "text");
	{
		char src[512];

		snprintf(src, sizeof(src), "%s", host("source"));
		if (mount(src, host("m0"), NULL, MS_BIND, NULL) < 0 ||
			mount(NULL, host("m0"), NULL,
				MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC,
				NULL) < 0) {
			ok(false, "a read-only bind mount");
			return;
		}
	}
	fsc_restart(c);
	eq_int(fsc_lookup(c, FUSE_ROOT_ID, "m0", &e), 0, "LOOKUP of the mount");
	ok(e.attr.flags & FUSE_ATTR_SUBMOUNT, "it is a mount to the guest, too");
	ro = e.nodeid;
	f = fsc_node(c, ro, "f");
	eq_int(fsc_create(c, ro, "x", O_RDWR, 0644, &e, NULL), -EROFS, "CREATE");
	eq_int(fsc_create(c, ro, "f", O_RDWR, 0644, &e, NULL), -EROFS, "CREATE of what is there");
	eq_int(fsc_mknod(c, ro, "x", S_IFREG | 0644, 0, &e), -EROFS, "MKNOD of a file");
	eq_int(fsc_mknod(c, ro, "x", S_IFIFO | 0644, 0, &e), -EROFS, "MKNOD of a fifo");
	eq_int(fsc_mkdir(c, ro, "x", 0755, &e), -EROFS, "MKDIR");
	eq_int(fsc_symlink(c, ro, "x", "y", &e), -EROFS, "SYMLINK");
	r = fsc_call(c, FUSE_TMPFILE, ro, ARGS(STRUCT(tmp), {"/", 2}), ENTRY + 16);
	ok(r == -EROFS || r == -EOPNOTSUPP, "TMPFILE");
	eq_int(fsc_link(c, f, ro, "x", &e), -EROFS, "LINK");
	eq_int(fsc_remove(c, FUSE_UNLINK, ro, "f"), -EROFS, "UNLINK");
	eq_int(fsc_remove(c, FUSE_RMDIR, ro, "d"), -EROFS, "RMDIR");
	eq_int(fsc_rename(c, ro, "f", ro, "g", 0), -EROFS, "RENAME");
	eq_int(fsc_rename(c, ro, "f", ro, "d", RENAME_EXCHANGE), -EROFS, "RENAME2");
	eq_int(fsc_open(c, FUSE_OPEN, f, O_RDWR, &o), -EROFS, "OPEN for writing");
	eq_int(fsc_open(c, FUSE_OPEN, f, O_RDONLY | O_TRUNC, &o), -EROFS, "OPEN with O_TRUNC");
	eq_int(fsc_setattr(c, f, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0}), -EROFS,
		"mode");
	eq_int(fsc_setattr(c, f, (struct fuse_setattr_in){.valid = FATTR_UID, .uid = 5}), -EROFS,
		"owner");
	eq_int(fsc_setattr(c, f, (struct fuse_setattr_in){.valid = FATTR_SIZE}), -EROFS, "size");
	eq_int(fsc_setattr(c, f, (struct fuse_setattr_in){.valid = FATTR_MTIME_NOW}), -EROFS,
		"times");
	eq_int(fsc_setxattr(c, f, "user.a", "b", 0), -EROFS, "SETXATTR");
	eq_int(fsc_remove(c, FUSE_REMOVEXATTR, f, "user.a"), -EROFS, "REMOVEXATTR");
	eq_int(fsc_open(c, FUSE_OPEN, f, O_RDONLY, &o), 0, "OPEN for reading");
	eq_int(fsc_read(c, f, o.fh, 0, 10), 4, "READ");
	fa.fh = o.fh;
	eq_int(fsc_write(c, f, o.fh, 0, "x", 1, O_RDWR, 0), -EBADF, "WRITE to a read-only handle");
	eq_int(fsc_call(c, FUSE_FALLOCATE, f, ARGS(STRUCT(fa)), 0), -EBADF, "FALLOCATE");
	{
		struct fuse_copy_file_range_in cp = {
			.fh_in = o.fh, .fh_out = o.fh, .nodeid_out = f, .off_out = 4, .len = 4};

		eq_int(fsc_call(c, FUSE_COPY_FILE_RANGE, f, ARGS(STRUCT(cp)), 8), -EBADF,
			"COPY_FILE_RANGE");
	}
	eq_int(fsc_setattr(
		       c, f, (struct fuse_setattr_in){.valid = FATTR_SIZE | FATTR_FH, .fh = o.fh}),
		-EROFS, "size through its handle");
	eq_int(fsc_link(c, f, c->rootfs, "x", &e), -EXDEV, "LINK into another mount");
	eq_int(fsc_rename(c, ro, "f", c->rootfs, "x", 0), -EXDEV, "RENAME into another mount");
	fsc_release(c, FUSE_RELEASE, f, o.fh);
	fsc_forget(c, f, 1);
	fsc_forget(c, ro, 1);
	ok(umount2(host("m0"), MNT_DETACH) == 0, "unmounted");
}

static void test_root_mount(void)
{
	struct fuse_entry_out e;

	ok(mount("tmpfs", host("rootfs"), "tmpfs", 0, NULL) == 0, "a mount as the root");
	fsc_restart(c);
	eq_int(fsc_lookup(c, FUSE_ROOT_ID, "rootfs", &e), 0, "LOOKUP of it");
	ok(!(e.attr.flags & FUSE_ATTR_SUBMOUNT), "no mount of its own to the guest");
	fsc_forget(c, e.nodeid, 1);
	ok(umount2(host("rootfs"), MNT_DETACH) == 0, "unmounted");
	fsc_restart(c);
}

/* A mount with its source's name: the guest's file system begins at the directory that holds it. */
static void test_holder(void)
{
	struct fuse_entry_out holder, held, below;
	struct fuse_syncfs_in sy = {0};

	mkdir(host("m1"), 0755);
	mkdir(host("m1/name"), 0755);
	if (mount("tmpfs", host("m1/name"), "tmpfs", 0, NULL) < 0) {
		ok(false, "a mount");
		return;
	}
	mkdir(host("m1/name/d"), 0755);
	ok(mount("tmpfs", host("m1/name/d"), "tmpfs", 0, NULL) == 0, "a mount below it");
	fsc_restart(c);
	eq_int(fsc_lookup(c, FUSE_ROOT_ID, "m1", &holder), 0, "LOOKUP of the directory");
	ok(holder.attr.flags & FUSE_ATTR_SUBMOUNT, "which is a mount to the guest");
	eq_int(fsc_lookup(c, holder.nodeid, "name", &held), 0, "LOOKUP of the mount in it");
	ok(!(held.attr.flags & FUSE_ATTR_SUBMOUNT), "which is none");
	eq_int(fsc_lookup(c, held.nodeid, "d", &below), 0, "LOOKUP of one below");
	ok(below.attr.flags & FUSE_ATTR_SUBMOUNT, "which is one again");
	fsc_forget(c, below.nodeid, 1);
	eq_int(fsc_call(c, FUSE_SYNCFS, holder.nodeid, ARGS(STRUCT(sy)), 0), 0, "SYNCFS");
	fsc_forget(c, held.nodeid, 1);
	eq_int(fsc_call(c, FUSE_SYNCFS, holder.nodeid, ARGS(STRUCT(sy)), 0), -ESTALE,
		"is of the mount that it holds");
	fsc_forget(c, holder.nodeid, 1);
	ok(umount2(host("m1/name"), MNT_DETACH) == 0, "unmounted");
	fsc_restart(c);
}

/* Two threads of one server on the same names, nodes and handles; the tables must balance at the
 * end. */
struct racer {
	struct fsc *client;
	uint64_t dir;
	unsigned seed;
};

static void *race(void *arg)
{
	struct racer *r = arg;
	struct err err = ERR_INIT;
	struct fsc *k = r->client;

	if (fs_thread_enter(&k->t, -1, &err) < 0)
		return (void *)1;
	for (int i = 0; i < 4000; i++) {
		struct fuse_entry_out e;
		struct fuse_open_out o;
		char name[16];
		uint64_t fh;

		snprintf(name, sizeof(name), "r%d", rand_r(&r->seed) % 5);
		switch (rand_r(&r->seed) % 5) {
		case 0:
			if (fsc_create(k, r->dir, name, O_RDWR, 0644, &e, &fh) == 0) {
				fsc_write(k, e.nodeid, fh, 0, "abc", 3, O_RDWR, 0);
				fsc_release(k, FUSE_RELEASE, e.nodeid, fh);
				fsc_forget(k, e.nodeid, 1);
			}
			break;
		case 1: fsc_remove(k, FUSE_UNLINK, r->dir, name); break;
		case 2:
			if (fsc_lookup(k, r->dir, name, &e) == 0) {
				if (fsc_open(k, FUSE_OPEN, e.nodeid, O_RDONLY, &o) == 0) {
					fsc_forget(k, e.nodeid, 1);
					fsc_read(k, e.nodeid, o.fh, 0, 100);
					fsc_release(k, FUSE_RELEASE, e.nodeid, o.fh);
				} else {
					fsc_forget(k, e.nodeid, 1);
				}
			}
			break;
		case 3: fsc_rename(k, r->dir, name, r->dir, "r0", 0); break;
		default: fs_nodes_trim(&k->t.fs->nodes, 0, true);
		}
	}
	return NULL;
}

static void test_threads(void)
{
	struct fsc *k[2] = {calloc(1, sizeof(struct fsc)), calloc(1, sizeof(struct fsc))};
	uint32_t nodes = c->fs.nodes.count, handles = c->fs.handles.count, open_fds;
	struct err err = ERR_INIT;
	struct racer r[2];
	pthread_t th[2];
	void *ret, *bad = NULL;

	for (unsigned i = 0; i < 2; i++) {
		fs_thread_init(&k[i]->t, &c->fs, &err);
		r[i] = (struct racer){k[i], c->rootfs, i + 1};
		pthread_create(&th[i], NULL, race, &r[i]);
	}
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(th[i], &ret);
		bad = ret ? ret : bad;
		fs_thread_release(&k[i]->t);
		free(k[i]);
	}
	ok(!bad, "two threads served");
	eq_int(c->fs.nodes.count, nodes, "all nodes they took are given back");
	eq_int(c->fs.handles.count, handles, "all handles");
	open_fds = 0;
	for (uint32_t i = 1; i < c->fs.nodes.used; i++)
		open_fds += c->fs.nodes.slot[i].live && c->fs.nodes.slot[i].fd >= 0;
	eq_int(c->fs.nodes.open_fds, open_fds, "descriptors are counted right");
	for (uint32_t i = c->fs.nodes.newest; i && open_fds; i = c->fs.nodes.slot[i].older)
		open_fds -= c->fs.nodes.slot[i].live && c->fs.nodes.slot[i].fd >= 0;
	eq_int(open_fds, 0, "and listed");
}

static void run_on(const char *base, bool mounts)
{
	unsigned fds = fsc_open_fds();

	printf("# on %s\n", base ? base : "/tmp");
	c = fsc_new(base);
	test_names();
	test_ids();
	test_sizes();
	test_chains();
	test_swap_race();
	test_owner_race();
	if (mounts) {
		test_read_only();
		test_root_mount();
		test_holder();
	} else {
		skip("no mount namespace of our own: no read-only mount");
	}
	test_threads();
	fsc_free(c);
	eq_int(fsc_open_fds(), fds, "no descriptor is left");
}

int main(void)
{
	if (geteuid() != 0)
		skip("needs root");
	else if (fsc_on_file_systems(run_on) < FSC_FILE_SYSTEMS)
		skip("not all file systems can be mounted here");
	return tap_done();
}
