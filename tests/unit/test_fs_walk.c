/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of very many files, walked as find(1) and a backup do and worse: the guest forgets nothing. The server's
 * descriptors, counted in /proc, and its memory stay bounded, each file is found again, by handle and by name.
 *
 *	test_fs_walk [THOUSANDS]	(of files; 200 without)
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "tests/unit/fs_client.h"

#define FILES     1000 /* in each */
#define OVER      512  /* descriptors above the limit: docs/fs.md, "Bounds" */
#define NODE_KIB  (sizeof(struct fs_node) * n_files() / 1024)
#define OTHER_KIB 32768 /* a reply, buckets, what a sanitizer keeps of what was freed */

static struct fsc *c;
static uint64_t *ids; /* of the files, as READDIRPLUS has told */
static unsigned top_fds;
static int n_dirs = 200;

static size_t n_files(void)
{
	return (size_t)n_dirs * FILES;
}

/* Cheap files, of an inode each, on a file system made for them. */
static bool make_tree(const char *dir)
{
	char name[64];

	if (mount("tmpfs", dir, "tmpfs", MS_NODEV | MS_NOSUID, "size=256m,nr_inodes=0") < 0)
		return false;
	for (int d = 0; d < n_dirs; d++) {
		int fd;

		snprintf(name, sizeof(name), "%s/d%d", dir, d);
		if (mkdir(name, 0755) < 0)
			return false;
		fd = open(name, O_PATH | O_CLOEXEC);
		for (int f = 0; f < FILES; f++) {
			snprintf(name, sizeof(name), "f%d", f);
			if (mknodat(fd, name, S_IFREG | 0644, 0) < 0)
				return false;
		}
		close(fd);
	}
	return true;
}

static size_t resident_kib(void)
{
	char line[128];
	size_t kib = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "VmRSS:", 6))
			kib = strtoul(line + 6, NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

static void look_at_fds(void)
{
	top_fds = MAX(top_fds, fsc_open_fds());
}

/* All of a directory by READDIRPLUS; how many of its entries were files with an id. */
static unsigned read_dir(uint64_t dir, uint64_t *ret_ids)
{
	struct fuse_open_out o;
	uint64_t off = 0;
	unsigned files = 0;
	int n;

	if (fsc_open(c, FUSE_OPENDIR, dir, 0, &o))
		return 0;
	while ((n = fsc_readdir(c, FUSE_READDIRPLUS, dir, o.fh, off, 65536)) > 0)
		for (int at = 0; at < n;) {
			const struct fuse_direntplus *e = (const void *)(c->reply + at);

			at += (int)FUSE_DIRENTPLUS_SIZE(e);
			off = e->dirent.off;
			if (e->entry_out.nodeid && files < FILES)
				ret_ids[atoi(e->dirent.name + 1)] = e->entry_out.nodeid;
			files += e->entry_out.nodeid != 0;
		}
	fsc_release(c, FUSE_RELEASEDIR, dir, o.fh);
	return files;
}

static unsigned walk(uint64_t top, uint64_t *dirs)
{
	unsigned files = 0;
	char name[16];

	for (int d = 0; d < n_dirs; d++) {
		snprintf(name, sizeof(name), "d%d", d);
		dirs[d] = fsc_node(c, top, name);
		files += read_dir(dirs[d], ids + d * FILES);
		look_at_fds();
	}
	return files;
}

/* By name, and by the node as it was told. */
static unsigned find_again(const uint64_t *dirs)
{
	unsigned wrong = 0;
	struct fuse_attr a;
	char name[16];

	for (int d = 0; d < n_dirs; d++) {
		for (int f = 0; f < FILES; f++) {
			snprintf(name, sizeof(name), "f%d", f);
			wrong += fsc_node(c, dirs[d], name) != ids[d * FILES + f];
			wrong += fsc_getattr(c, ids[d * FILES + f], &a) != 0 || !S_ISREG(a.mode);
		}
		look_at_fds();
	}
	return wrong;
}

static void test_walk(bool by_name)
{
	uint64_t *dirs = calloc((size_t)n_dirs, sizeof(*dirs));
	uint64_t top = fsc_node(c, c->rootfs, "many");
	unsigned base = fsc_open_fds();
	size_t kib = resident_kib();

	for (uint32_t i = 0; by_name && i < c->fs.nodes.n_mounts; i++)
		c->fs.nodes.mount[i].no_handles = true;
	top_fds = 0;
	BUG_ON(!dirs);
	eq_int(walk(top, dirs), n_dirs * FILES, "READDIRPLUS tells of all files");
	eq_int(find_again(dirs), 0, "LOOKUP and GETATTR find each of them");
	ok(c->fs.nodes.count >= n_files(), "the guest has forgotten none");
	ok(top_fds <= base + c->fs.nodes.fd_limit + OVER,
		"descriptors: %u, at most %u and %u above", top_fds, base + c->fs.nodes.fd_limit,
		OVER);
	kib = resident_kib() - kib;
	ok(kib <= NODE_KIB + OTHER_KIB, "memory: %zu KiB more, at most %zu", kib,
		NODE_KIB + (size_t)OTHER_KIB);
	for (size_t i = 0; i < n_files(); i++)
		fsc_forget(c, ids[i], 2);
	for (int d = 0; d < n_dirs; d++)
		fsc_forget(c, dirs[d], 1);
	look_at_fds();
	ok(fsc_open_fds() <= base, "all forgotten, no descriptor is left of it");
	fsc_forget(c, top, 1);
	free(dirs);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void run(void)
{
	char dir[512];
	double from;

	for (int by_name = 0; by_name < 2; by_name++) {
		c = fsc_new(NULL);
		snprintf(dir, sizeof(dir), "%s", fsc_host(c, "rootfs/many"));
		mkdir(dir, 0755);
		if (!make_tree(dir)) {
			skip("no tmpfs of so many files can be made here");
			fsc_free(c);
			return;
		}
		/* the mount is known once something of it was looked up */
		fsc_forget(c, fsc_node(c, c->rootfs, "many"), 1);
		from = seconds();
		test_walk(by_name);
		printf("# %zu by %s: %.1f s, %u descriptors at most\n", n_files(),
			by_name ? "name" : "handle", seconds() - from, top_fds);
		umount2(dir, MNT_DETACH);
		fsc_free(c);
	}
}

int main(int argc, char **argv)
{
	struct rlimit rl;

	if (argc > 1)
		n_dirs = atoi(argv[1]);

	/* as the device does it; with 20,000 or more the limit of nodes is what it is in a VMM */
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	ids = calloc(n_files(), sizeof(*ids));
	if (geteuid() != 0 || !fsc_private_mounts())
		skip("needs root and a mount namespace");
	else if (ids)
		run();
	free(ids);
	return tap_done();
}
