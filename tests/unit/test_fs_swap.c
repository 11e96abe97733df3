/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host process that swaps directories of the share for links to the outside, at two depths at once, while the
 * guest does everything it can below them: by nodes just looked up, by old ones whose descriptors were closed,
 * found by handle and by name. Whatever the guest gets, it is never what lies outside, and nothing there changes.
 * The server's thread has no root of its own here: what keeps it inside is how it resolves names.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "tests/unit/fs_client.h"

#define ROUNDS       20000
#define RACE_SECONDS 20 /* at most, until every operation has met both */
#define INSIDE       "plain"
#define OUTSIDE      "secret of the host"

#define host(...) fsc_host(c, __VA_ARGS__)

static struct fsc *c;
static unsigned escapes;
static uint32_t seed = 0x1234567;
static atomic_bool stop;

/* A directory and the link that takes its place: a thread for each pair. */
struct pair {
	int parent; /* a descriptor: a path would lead outside as well, when the upper pair has changed places */
	const char *a, *b;
	pthread_t thread;
};

static void *swapper(void *arg)
{
	const struct pair *p = arg;

	while (!stop)
		renameat2(p->parent, p->a, p->parent, p->b, RENAME_EXCHANGE);
	return NULL;
}

static uint32_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

/* rootfs/swap/deep/victim, and outside/ and outside/deep/ with a victim each; rootfs/swap and rootfs/swap/deep
 * change places with links. */
static void prepare(struct pair p[2])
{
	char target[512];

	snprintf(target, sizeof(target), "%s", host("outside"));
	mkdir(target, 0755);
	mkdir(host("outside/deep"), 0755);
	fsc_host_write(host("outside/victim"), OUTSIDE);
	fsc_host_write(host("outside/deep/victim"), OUTSIDE);
	fsc_host_write(host("outside/only-outside"), OUTSIDE);
	fsc_host_write(host("outside/deep/only-outside"), OUTSIDE);
	mkdir(host("rootfs/swap"), 0755);
	mkdir(host("rootfs/swap/deep"), 0755);
	fsc_host_write(host("rootfs/swap/victim"), INSIDE);
	fsc_host_write(host("rootfs/swap/deep/victim"), INSIDE);
	ok(symlink("../outside", host("rootfs/link")) == 0 &&
			symlink(target, host("rootfs/swap/link")) == 0,
		"links to the outside, relative and absolute");
	p[0] = (struct pair){open(host("rootfs"), O_PATH | O_CLOEXEC), "swap", "link"};
	p[1] = (struct pair){open(host("rootfs/swap"), O_PATH | O_CLOEXEC), "deep", "link"};
}

/* Everything about the outside that a write of any kind would change. */
static void fingerprint(const char *path, char *buf, size_t size)
{
	size_t n = strlen(buf);
	struct stat st;
	DIR *d = NULL;

	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
		d = opendir(path);
	if (lstat(path, &st) == 0)
		snprintf(buf + n, size - n, "%s %o %u %lld %lu %lld.%09ld %lld.%09ld\n",
			strrchr(path, '/'), st.st_mode, st.st_uid, (long long)st.st_size,
			(unsigned long)st.st_nlink, (long long)st.st_mtim.tv_sec,
			st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
	for (struct dirent *e; d && (e = readdir(d));) {
		char sub[1024];

		if (e->d_name[0] == '.')
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		fingerprint(sub, buf, size);
	}
	if (d)
		closedir(d);
}

/* The guest's side: each of these works below `dir`, which is one or the other, and returns
 * whether it did. */

static void read_and_write(uint64_t dir, uint64_t node)
{
	struct fuse_open_out o;
	int n;

	if (fsc_open(c, FUSE_OPEN, node, O_RDWR | (rnd() & 1 ? O_TRUNC : 0), &o))
		return;
	n = fsc_read(c, node, o.fh, 0, 64);
	escapes += n > 0 && memcmp(c->reply, INSIDE, MIN((size_t)n, strlen(INSIDE))) != 0;
	fsc_write(c, node, o.fh, 0, INSIDE, strlen(INSIDE), O_RDWR, 0);
	fsc_release(c, FUSE_RELEASE, node, o.fh);
}

static bool use_victim(uint64_t dir)
{
	struct fuse_setattr_in size = {.valid = FATTR_SIZE, .size = 3},
			       mode = {.valid = FATTR_MODE | FATTR_UID, .mode = 0600, .uid = 1};
	struct fuse_entry_out e;

	if (fsc_lookup(c, dir, "victim", &e))
		return false;
	escapes += e.attr.size > strlen(INSIDE);
	read_and_write(dir, e.nodeid);
	fs_nodes_trim(&c->fs.nodes, 0, true);
	fsc_setattr(c, e.nodeid, rnd() & 1 ? size : mode);
	fsc_setxattr(c, e.nodeid, "user.mark", "guest", 0);
	read_and_write(dir, e.nodeid);
	fsc_forget(c, e.nodeid, 1);
	return true;
}

static bool make_file(uint64_t dir)
{
	struct fuse_entry_out e;
	uint64_t fh;

	if (fsc_create(c, dir, "made", O_RDWR | O_TRUNC, 0644, &e, &fh))
		return false;
	fsc_write(c, e.nodeid, fh, 0, INSIDE, strlen(INSIDE), O_RDWR, 0);
	fsc_release(c, FUSE_RELEASE, e.nodeid, fh);
	fsc_forget(c, e.nodeid, 1);
	fsc_remove(c, FUSE_UNLINK, dir, "made");
	return true;
}

static bool make_others(uint64_t dir)
{
	struct fuse_entry_out e;
	bool any = false;

	if (fsc_mkdir(c, dir, "made-dir", 0755, &e) == 0) {
		any = true;
		fsc_forget(c, e.nodeid, 1);
		fsc_remove(c, FUSE_RMDIR, dir, "made-dir");
	}
	if (fsc_symlink(c, dir, "made-link", "victim", &e) == 0) {
		fsc_forget(c, e.nodeid, 1);
		fsc_remove(c, FUSE_UNLINK, dir, "made-link");
	}
	if (fsc_mknod(c, dir, "made-fifo", S_IFIFO | 0644, 0, &e) == 0) {
		fsc_forget(c, e.nodeid, 1);
		fsc_remove(c, FUSE_UNLINK, dir, "made-fifo");
	}
	return any;
}

static bool move_about(uint64_t dir)
{
	struct fuse_entry_out e;

	if (fsc_rename(c, dir, "victim", c->rootfs, "taken", 0))
		return false;
	if (fsc_lookup(c, c->rootfs, "taken", &e) == 0) {
		escapes += e.attr.size > strlen(INSIDE);
		if (fsc_link(c, e.nodeid, dir, "second", &e) == 0) {
			fsc_forget(c, e.nodeid, 1);
			fsc_remove(c, FUSE_UNLINK, dir, "second");
		}
		fsc_forget(c, e.nodeid, 1);
	}
	/* by the node, which is what it was: the name may lead elsewhere by now */
	fsc_rename(c, c->rootfs, "taken", dir, "victim", 0);
	return true;
}

static bool list(uint64_t dir)
{
	struct fuse_open_out o;
	int n;

	if (fsc_open(c, FUSE_OPENDIR, dir, 0, &o))
		return false;
	n = fsc_readdir(c, FUSE_READDIRPLUS, dir, o.fh, 0, 4096);
	escapes += n > 0 && memmem(c->reply, (size_t)n, "only-outside", 12);
	for (int at = 0; at + (int)FUSE_NAME_OFFSET_DIRENTPLUS < n;) {
		const struct fuse_direntplus *d = (const void *)(c->reply + at);
		uint64_t id = d->entry_out.nodeid;

		at += (int)FUSE_DIRENTPLUS_SIZE(d);
		if (id) {
			struct fuse_forget_in in = {.nlookup = 1};
			const struct fsc_arg arg[] = {{&in, sizeof(in)}, {0}};

			fsc_call(c, FUSE_FORGET, id, arg, 0); /* leaves c->reply */
		}
	}
	fsc_release(c, FUSE_RELEASEDIR, dir, o.fh);
	return true;
}

static const struct {
	const char *name;
	bool (*run)(uint64_t dir);
} acts[] = {
	{"files are read, written, cut, marked", use_victim},
	{"files are created", make_file},
	{"directories, links, fifos are made", make_others},
	{"files are moved and linked", move_about},
	{"directories are listed", list},
};

static unsigned done[ARRAY_SIZE(acts)], refused[ARRAY_SIZE(acts)];

static bool all_met(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
		if (!done[i] || !refused[i])
			return false;
	return true;
}

/* What is below is the directory or the link; the node stays, whatever its name leads to by then. */
static void one_round(void)
{
	size_t i = rnd() % ARRAY_SIZE(acts);
	struct fuse_entry_out e, deep = {0};
	bool down = rnd() & 1;

	if (fsc_lookup(c, c->rootfs, "swap", &e))
		return;
	if (down && fsc_lookup(c, e.nodeid, "deep", &deep)) {
		fsc_forget(c, e.nodeid, 1);
		refused[i]++;
		return;
	}
	if (rnd() % 4 == 0)
		fs_nodes_trim(&c->fs.nodes, 0, true);
	if (acts[i].run(down ? deep.nodeid : e.nodeid))
		done[i]++;
	else
		refused[i]++;
	if (down)
		fsc_forget(c, deep.nodeid, 1);
	fsc_forget(c, e.nodeid, 1);
}

static void race(bool by_name)
{
	static char before[8192], after[8192];
	struct pair p[2] = {0};
	time_t end = time(NULL) + RACE_SECONDS;

	escapes = 0;
	memset(done, 0, sizeof(done));
	memset(refused, 0, sizeof(refused));
	prepare(p);
	for (uint32_t i = 0; by_name && i < c->fs.nodes.n_mounts; i++)
		c->fs.nodes.mount[i].no_handles = true;
	before[0] = after[0] = '\0';
	fingerprint(host("outside"), before, sizeof(before));
	stop = false;
	for (int i = 0; i < 2; i++)
		pthread_create(&p[i].thread, NULL, swapper, &p[i]);
	for (int i = 0; i < ROUNDS || (!all_met() && time(NULL) < end); i++)
		one_round();
	stop = true;
	for (int i = 0; i < 2; i++) {
		pthread_join(p[i].thread, NULL);
		close(p[i].parent);
	}
	fingerprint(host("outside"), after, sizeof(after));
	for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
		ok(done[i] && refused[i], "%s: %u times, %u times refused", acts[i].name, done[i],
			refused[i]);
	eq_int(escapes, 0, "nothing from outside was seen");
	eq_str(after, before, "nothing outside was made or changed");
}

static void run_on(const char *base, bool mounts)
{
	for (int by_name = 0; by_name < 2; by_name++) {
		printf("# on %s by %s\n", base ? base : "/tmp", by_name ? "name" : "handle");
		c = fsc_new(base);
		race(by_name);
		fsc_free(c);
	}
}

int main(void)
{
	if (geteuid() != 0)
		skip("needs root");
	else if (fsc_on_file_systems(run_on) < FSC_FILE_SYSTEMS)
		skip("not all file systems can be mounted here");
	return tap_done();
}
