/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file server's bounds: more files than descriptors, and how a file is found again whose
 * descriptor was closed. Each case by file handle, where the file system has them, and by name.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "tests/unit/fs_client.h"

#define host(...) fsc_host(c, __VA_ARGS__)
#define MANY      1500
#define UNLIMITED (1u << 20)

static struct fsc *c;
static bool by_name; /* the nodes of this server are found by name */

/* As if the file system could not open handles; overlayfs cannot. */
static void force_names(void)
{
	for (uint32_t i = 0; i < c->fs.nodes.n_mounts; i++)
		c->fs.nodes.mount[i].no_handles = true;
}

static const struct fs_node *slot_of(uint64_t id)
{
	return &c->fs.nodes.slot[(uint32_t)id];
}

static bool is_closed(uint64_t id)
{
	return slot_of(id)->fd < 0;
}

/* Closes what can be closed: two rounds of the clock hand. */
static void trim(bool dirs)
{
	for (int i = 0; i < 4; i++)
		fs_nodes_trim(&c->fs.nodes, 0, dirs);
}

static int ino_of(uint64_t id, uint64_t *ret_ino)
{
	struct fuse_attr a;
	int r = fsc_getattr(c, id, &a);

	*ret_ino = r ? 0 : a.ino;
	return r;
}

static uint64_t make_file(uint64_t dir, const char *name)
{
	struct fuse_entry_out e = {0};

	fsc_mknod(c, dir, name, S_IFREG | 0644, 0, &e);
	return e.nodeid;
}

static uint64_t make_dir(uint64_t dir, const char *name)
{
	struct fuse_entry_out e = {0};

	fsc_mkdir(c, dir, name, 0755, &e);
	return e.nodeid;
}

static void test_handles_bounded(void)
{
	uint64_t n = make_file(c->rootfs, "opened");
	struct fuse_open_out o[9];
	uint32_t max = c->fs.handles.max_fds;
	int r = 0, i = 0;

	c->fs.handles.max_fds = c->fs.handles.fds + 8;
	while (i < 9 && (r = fsc_open(c, FUSE_OPEN, n, O_RDONLY, &o[i])) == 0)
		i++;
	ok(i == 8 && r == -ENFILE, "open files are bounded");
	eq_int(fsc_create(c, c->rootfs, "onemore", O_RDWR, 0600, NULL, NULL), -ENFILE,
		"CREATE fails, too");
	while (i > 0)
		fsc_release(c, FUSE_RELEASE, n, o[--i].fh);
	c->fs.handles.max_fds = max;
	fsc_forget(c, n, 1);
}

/* A walk over more files than descriptors. */
static void test_fds_bounded(void)
{
	static uint64_t id[MANY];
	struct fuse_entry_out d, e;
	struct fuse_attr a;
	unsigned base = fsc_open_fds(), top = 0, bad = 0;
	uint32_t limit = c->fs.nodes.fd_limit, nodes = c->fs.nodes.count;
	char name[32];

	c->fs.nodes.fd_limit = 100;
	fsc_mkdir(c, c->rootfs, "walk", 0755, &d);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		bad += fsc_mknod(c, d.nodeid, name, S_IFREG | 0644, 0, &e) != 0;
		id[i] = e.nodeid;
		top = MAX(top, c->fs.nodes.open_fds);
	}
	eq_int(bad, 0, "many files are made");
	ok(top <= 110 && fsc_open_fds() <= base + 110, "with a bounded number of descriptors");
	for (int i = 0; i < MANY; i++)
		bad += fsc_getattr(c, id[i], &a) != 0 || !S_ISREG(a.mode);
	eq_int(bad, 0, "each is still there");
	ok(c->fs.nodes.open_fds <= 150, "which opened no more of them");
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		bad += fsc_node(c, d.nodeid, name) != id[i];
		fsc_forget(c, id[i], 1);
	}
	eq_int(bad, 0, "found by name, each is the same node");
	/* idle and remembered by handle; removed on the host, its inode number used again
	 */
	unlink(host("rootfs/walk/f0"));
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "rootfs/walk/new%d", i);
		fsc_host_write(host("%s", name), "");
	}
	eq_int(fsc_getattr(c, id[0], &a), -ESTALE, "a file removed meanwhile is stale");
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "new%d", i);
		bad += fsc_lookup(c, d.nodeid, name, &e) != 0 || e.nodeid == id[0];
		fsc_forget(c, e.nodeid, 1);
	}
	eq_int(bad, 0, "a new file is not taken for it");
	for (int i = 0; i < MANY; i++)
		fsc_forget(c, id[i], 1);
	fsc_forget(c, d.nodeid, 1);
	eq_int(c->fs.nodes.count, nodes, "no node is left");
	ok(fsc_open_fds() <= base + 2, "no descriptor is left (but the mount's)");
	c->fs.nodes.fd_limit = limit;
}

static void test_fd_limit(void)
{
	struct rlimit rl, low;
	struct fuse_entry_out d, e;
	uint64_t id[200];
	int r = 0, n = 0;
	char name[32];

	fsc_mkdir(c, c->rootfs, "limit", 0755, &d);
	getrlimit(RLIMIT_NOFILE, &rl);
	low = rl;
	low.rlim_cur = fsc_open_fds() + 60;
	setrlimit(RLIMIT_NOFILE, &low);
	c->fs.nodes.fd_limit = 20;
	c->fs.nodes.fd_cap = 40; /* as fs_server_init() does it: well below the limit */
	for (; n < 200 && r == 0; n++) {
		snprintf(name, sizeof(name), "f%d", n);
		r = fsc_mknod(c, d.nodeid, name, S_IFREG | 0644, 0, &e);
		id[n] = e.nodeid;
	}
	eq_int(r, 0, "at the process's limit of descriptors: idle ones go");
	eq_int(n, 200, "and no file fails");
	setrlimit(RLIMIT_NOFILE, &rl);
	eq_int(fsc_lookup(c, d.nodeid, "f0", &e), 0, "and the server works on");
	while (n-- > 0)
		fsc_forget(c, id[n], 1);
	fsc_forget(c, id[0], 1);
	fsc_forget(c, d.nodeid, 1);
	c->fs.nodes.fd_limit = FS_NODE_FDS;
	c->fs.nodes.fd_cap = UNLIMITED;
}

/* A tree of files and directories, all closed, then used. */
static void test_closed_tree(void)
{
	uint64_t top = make_dir(c->rootfs, "tree"), a = make_dir(top, "a"), b = make_dir(a, "b");
	uint64_t f = make_file(b, "f"), ino_b, ino_f, ino;
	struct fuse_entry_out e, link;
	struct fuse_open_out o;

	fsc_symlink(c, b, "link", "target", &link);
	ino_of(b, &ino_b);
	ino_of(f, &ino_f);
	trim(false);
	ok(is_closed(f) && is_closed(link.nodeid), "idle files and links are closed");
	eq_int(is_closed(b), !by_name, "directories where handles find them");
	trim(true);
	ok(is_closed(top) && is_closed(a) && is_closed(b), "directories, too, when it must be");
	eq_int(slot_of(f)->ref, by_name ? FS_REF_NAME : FS_REF_HANDLE, "remembered as expected");
	ok(ino_of(f, &ino) == 0 && ino == ino_f, "a file is found through closed directories");
	ok(is_closed(b), "which stay closed");
	ok(ino_of(b, &ino) == 0 && ino == ino_b, "so is a directory");
	trim(true);
	eq_int(fsc_lookup(c, b, "f", &e), 0, "LOOKUP in a closed directory");
	eq_int(e.nodeid, f, "finds the closed file's node");
	trim(true);
	eq_int(fsc_open(c, FUSE_OPEN, f, O_RDWR, &o), 0, "OPEN");
	trim(true);
	ok(!is_closed(f), "an open file's node keeps its descriptor");
	eq_int(fsc_remove(c, FUSE_UNLINK, b, "f"), 0, "UNLINK in a closed directory");
	ok(ino_of(f, &ino) == 0 && ino == ino_f, "an open file lives on without a name");
	fsc_release(c, FUSE_RELEASE, f, o.fh);
	trim(true);
	eq_int(fsc_call(c, FUSE_READLINK, link.nodeid, NULL, 100), 0, "READLINK");
	fsc_forget(c, f, 2);
	fsc_forget(c, link.nodeid, 1);
	fsc_forget(c, b, 1);
	fsc_forget(c, a, 1);
	fsc_forget(c, top, 1);
}

/* Names change in the guest while the files are closed. */
static void test_renamed_by_guest(void)
{
	uint64_t d1 = make_dir(c->rootfs, "d1"), d2 = make_dir(c->rootfs, "d2"), ino_f, ino_g, ino;
	uint64_t f = make_file(d1, "f"), g = make_file(d2, "g"), in_d1 = make_file(d1, "in");
	char longer[FS_REF_NAME_MAX + 2];

	ino_of(f, &ino_f);
	ino_of(g, &ino_g);
	trim(true);
	eq_int(fsc_rename(c, d1, "f", d2, "moved", 0), 0, "RENAME of a closed file");
	trim(true);
	ok(ino_of(f, &ino) == 0 && ino == ino_f, "it is found");
	trim(true);
	eq_int(fsc_rename(c, d2, "moved", d2, "g", RENAME_EXCHANGE), 0, "exchange of two");
	trim(true);
	ok(ino_of(f, &ino) == 0 && ino == ino_f, "the first is found");
	ok(ino_of(g, &ino) == 0 && ino == ino_g, "so is the second");
	trim(true);
	eq_int(fsc_rename(c, c->rootfs, "d1", d2, "d1", 0), 0, "RENAME of their directory");
	trim(true);
	ok(ino_of(in_d1, &ino) == 0, "what lies in it is found");
	memset(longer, 'l', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	trim(true);
	eq_int(fsc_rename(c, d2, "g", d2, longer, 0), 0, "RENAME to a long name");
	trim(true);
	eq_int(is_closed(f), !by_name, "a name too long to be kept: the descriptor is");
	ok(ino_of(f, &ino) == 0 && ino == ino_f, "it is found");
	fsc_rename(c, d2, longer, d2, "g", 0);
	trim(true);
	ok(is_closed(f) && ino_of(f, &ino) == 0 && ino == ino_f, "and renamed back");
	fsc_forget(c, f, 1);
	fsc_forget(c, g, 1);
	fsc_forget(c, in_d1, 1);
	fsc_forget(c, d1, 1);
	fsc_forget(c, d2, 1);
}

static void host_rename(const char *a, const char *b)
{
	char from[512];

	snprintf(from, sizeof(from), "%s", host("%s", a));
	ok(rename(from, host("%s", b)) == 0, "the host moves %s to %s", a, b);
}

/* A process on the host moves, replaces and removes closed files. */
static void test_renamed_by_host(void)
{
	uint64_t d = make_dir(c->rootfs, "hd"), f = make_file(d, "f"), g = make_file(d, "g"), ino;
	uint64_t ino_f, other = make_dir(c->rootfs, "other");
	struct fuse_entry_out e;
	const int moved = by_name ? -ESTALE : 0;

	ino_of(f, &ino_f);
	trim(true);
	host_rename("rootfs/hd/f", "rootfs/hd/elsewhere");
	eq_int(ino_of(f, &ino), moved, "a handle finds it, a name does not");
	trim(true);
	eq_int(fsc_lookup(c, d, "elsewhere", &e), 0, "LOOKUP of the new name");
	eq_int(e.nodeid, f, "is the same node");
	trim(true);
	ok(ino_of(f, &ino) == 0 && ino == ino_f, "which works again");
	trim(true);
	host_rename("rootfs/hd/g", "rootfs/hd/elsewhere");
	eq_int(ino_of(f, &ino), -ESTALE, "a file replaced by another is stale");
	eq_int(ino_of(g, &ino), moved, "and the other has moved");
	trim(true);
	host_rename("rootfs/hd", "rootfs/other/hd");
	eq_int(ino_of(d, &ino), moved, "a directory moved");
	/* a guest that does not look the names up anew: each is recorded below the other */
	eq_int(fsc_lookup(c, other, "hd", &e), 0, "LOOKUP of it at its new place");
	host_rename("rootfs/other/hd", "rootfs/hd");
	host_rename("rootfs/other", "rootfs/hd/other");
	eq_int(fsc_lookup(c, d, "other", &e), 0, "the places change: names in a circle");
	trim(true);
	eq_int(ino_of(d, &ino), by_name ? -ESTALE : 0, "end");
	eq_int(fsc_lookup(c, c->rootfs, "hd", &e), 0, "and a LOOKUP mends them");
	ok(e.nodeid == d && ino_of(other, &ino) == 0, "all");
	rmdir(host("rootfs/hd/other"));
	fsc_host_write(host("rootfs/hd/other"), "a file");
	trim(true);
	eq_int(ino_of(other, &ino), -ESTALE, "a directory that has become a file is stale");
	ok(fsc_lookup(c, d, "other", &e) == 0 && e.nodeid != other, "and another node");
	fsc_forget(c, e.nodeid, 1);
	fsc_forget(c, f, 2);
	fsc_forget(c, g, 1);
	fsc_forget(c, other, 2);
	fsc_forget(c, d, 3);
}

/* What has no other way back keeps its descriptor. */
static void test_kept_open(void)
{
	struct fuse_create_in in = {.flags = O_RDWR, .mode = 0600};
	const struct fsc_arg args[] = {{&in, sizeof(in)}, {"/", 2}, {0}};
	uint64_t d = make_dir(c->rootfs, "kept"), f = make_file(d, "f"), ino;
	struct fuse_entry_out fifo = {0}, tmp = {0};
	struct fuse_open_out o = {0};

	fsc_mknod(c, d, "fifo", S_IFIFO | 0600, 0, &fifo);
	if (fsc_call(c, FUSE_TMPFILE, d, args, sizeof(tmp) + sizeof(o)) == 0) {
		memcpy(&tmp, c->reply, sizeof(tmp));
		memcpy(&o, c->reply + sizeof(tmp), sizeof(o));
		fsc_release(c, FUSE_RELEASE, tmp.nodeid, o.fh);
		trim(true);
		eq_int(is_closed(tmp.nodeid), !by_name, "a file without a name, by handle only");
		fsc_forget(c, tmp.nodeid, 1);
	} else {
		skip("no O_TMPFILE here");
	}
	trim(true);
	eq_int(is_closed(fifo.nodeid), !by_name, "a fifo, by handle only");
	ok(is_closed(f), "a file is closed");
	ino_of(f, &ino);
	fsc_forget(c, d, 1);
	trim(true);
	eq_int(is_closed(f), !by_name, "not one in a directory that the guest has forgotten");
	eq_int(ino_of(f, &ino), 0, "it is found");
	fsc_forget(c, f, 1);
	fsc_forget(c, fifo.nodeid, 1);
}

/* Directories inside each other: the path between closed ones has an end. */
static void test_deep(void)
{
	static uint64_t id[100];
	uint64_t dir = c->rootfs, ino;
	char name[61];
	int bad = 0;

	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (int i = 0; i < 100; i++)
		dir = id[i] = make_dir(dir, name);
	trim(true);
	for (int i = 0; i < 60; i++)
		bad += !is_closed(id[i]) || ino_of(id[i], &ino) != 0;
	eq_int(bad, 0, "60 directories deep");
	trim(true);
	eq_int(ino_of(id[99], &ino), by_name ? -ESTALE : 0, "6,000 bytes are too long a path");
	for (int i = 9; i < 100; i += 10)
		bad += ino_of(id[i], &ino) != 0;
	eq_int(bad, 0, "a walk from above opens them one by one");
	for (int i = 0; i < 100; i++)
		fsc_forget(c, id[i], 1);
}

/* The hard bound: names too long to be kept, so nothing can be closed. */
static void test_cap(void)
{
	static uint64_t id[400];
	uint64_t d = make_dir(c->rootfs, "cap"), f = make_file(d, "f"), ino;
	unsigned base = fsc_open_fds(), n = 0;
	struct fuse_open_out o[2];
	struct fuse_entry_out e;
	char name[FS_REF_NAME_MAX + 20];
	int r = 0;

	memset(name, 'c', sizeof(name));
	/* else these could be closed to make room */
	fsc_open(c, FUSE_OPENDIR, c->rootfs, 0, &o[0]);
	fsc_open(c, FUSE_OPENDIR, d, 0, &o[1]);
	trim(true);
	c->fs.nodes.fd_cap = 300;
	for (; n < ARRAY_SIZE(id) && r == 0; n++) {
		snprintf(name + FS_REF_NAME_MAX, 20, "%u", n);
		r = fsc_mknod(c, d, name, S_IFREG | 0644, 0, &e);
		id[n] = e.nodeid;
	}
	n -= r != 0;
	ok(c->fs.nodes.open_fds <= 300 && fsc_open_fds() <= base + 300, "never more than the cap");
	if (by_name) {
		eq_int(r, -ENFILE, "then ENFILE");
		ok(n > 280, "not before");
		eq_int(fsc_lookup(c, d, "none", &e), -2, "what is not there is said all the same");
		eq_int(fsc_lookup(c, d, name, &e), -ENFILE, "LOOKUP of one more: ENFILE");
		eq_int(ino_of(f, &ino), -ENFILE, "so is what was closed");
		for (int i = 0; i < 10; i++)
			fsc_forget(c, id[--n], 1);
		eq_int(ino_of(f, &ino), 0, "until the guest forgets some");
	} else {
		eq_int(r, 0, "and nothing fails");
	}
	c->fs.nodes.fd_cap = UNLIMITED;
	while (n > 0)
		fsc_forget(c, id[--n], 1);
	fsc_release(c, FUSE_RELEASEDIR, c->rootfs, o[0].fh);
	fsc_release(c, FUSE_RELEASEDIR, d, o[1].fh);
	fsc_forget(c, f, 1);
	fsc_forget(c, d, 1);
}

/* The numbers that come out of the process's limit. */
static void test_shares(void)
{
	static const rlim_t limits[] = {256, 1024, 4096, 65536, 524288};
	struct rlimit rl, set;
	int bad = 0;

	getrlimit(RLIMIT_NOFILE, &rl);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		struct err err = ERR_INIT;
		static struct fs_server fs;
		rlim_t left;

		set = (struct rlimit){MIN(limits[i], rl.rlim_max), rl.rlim_max};
		setrlimit(RLIMIT_NOFILE, &set);
		bad += fs_server_init(&fs, root, &err) < 0;
		left = set.rlim_cur - fs.nodes.fd_cap - fs.handles.max_fds;
		bad += left < MIN(set.rlim_cur / 4, FS_FD_RESERVE) || left > set.rlim_cur / 2;
		bad += fs.nodes.fd_limit > fs.nodes.fd_cap / 2 || fs.nodes.fd_limit < 32;
		fs_server_release(&fs);
		close(root);
	}
	setrlimit(RLIMIT_NOFILE, &rl);
	eq_int(bad, 0, "a share of the descriptors is never the file server's");
}

static void run_cases(void)
{
	uint32_t nodes = c->fs.nodes.count;

	test_handles_bounded();
	test_fds_bounded();
	test_fd_limit();
	test_closed_tree();
	test_renamed_by_guest();
	test_renamed_by_host();
	test_kept_open();
	test_deep();
	test_cap();
	eq_int(c->fs.nodes.count, nodes, "no node is left");
}

static void run_on(const char *base, bool mounts)
{
	unsigned fds = fsc_open_fds();
	bool has_handles;

	c = fsc_new(base);
	trim(true);
	has_handles = slot_of(c->rootfs)->ref == FS_REF_HANDLE;
	fsc_free(c);
	for (int forced = has_handles ? 0 : 1; forced < 2; forced++) {
		c = fsc_new(base);
		by_name = forced;
		printf("# on %s by %s\n", base ? base : "/tmp", by_name ? "name" : "handle");
		if (has_handles && forced)
			force_names();
		run_cases();
		fsc_free(c);
		eq_int(fsc_open_fds(), fds, "no descriptor is left");
	}
}

int main(void)
{
	if (geteuid() != 0) {
		skip("needs root");
		return tap_done();
	}
	test_shares();
	if (fsc_on_file_systems(run_on) < FSC_FILE_SYSTEMS)
		skip("not all file systems can be mounted here");
	return tap_done();
}
