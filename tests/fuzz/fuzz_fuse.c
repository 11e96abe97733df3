/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE requests. An input is a sequence of records
 *	u8 op, u8 node, u8 handle, u8 shape, le16 length, payload
 * that become requests on a small tree: node and handle choose among those the server has given
 * out, so that most requests get past the first checks; shape picks the room for the reply and how
 * the buffers are cut. After each input the tables must be empty again and every descriptor closed.
 *
 * The server runs in a thread of its own, whose root is the tree (a tmpfs, as root), so that a bug
 * it finds harms nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base.h"
#include "vmm/virtio/fs/server.h"

#define NODES_MAX   64
#define FHS_MAX     32
#define RECORDS_MAX 64
#define PAYLOAD_MAX 2048
#define ROOM_MAX    70000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct fs_server fs;
	struct fs_thread thread;
	int root_fd, tree_fd; /* the share; its rootfs */
	bool jail;
	sem_t go, done;
	const uint8_t *data;
	size_t size;
	uint64_t node[NODES_MAX], fh[FHS_MAX];
	unsigned n_nodes, n_fhs;
	uint8_t reply[ROOM_MAX + sizeof(struct fuse_out_header)];
} z;

static void die(const char *what)
{
	perror(what);
	abort();
}

static void must(bool good, const char *what)
{
	if (!good) {
		fprintf(stderr, "broken: %s\n", what);
		abort();
	}
}

/* The tree */

static void empty_dir(int fd, int depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;

	while (dir && depth < 20 && (e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(fd, e->d_name, 0) < 0) {
			int sub = openat(
				fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (sub >= 0)
				empty_dir(sub, depth + 1);
			unlinkat(fd, e->d_name, AT_REMOVEDIR);
		}
	}
	if (dir)
		closedir(dir);
}

static void make_tree(void)
{
	int fd;

	empty_dir(openat(z.tree_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0);
	fd = openat(z.tree_fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, "text of the file", 16) != 16)
		die("file");
	close(fd);
	if (mkdirat(z.tree_fd, "dir", 0755) < 0 ||
		symlinkat("/etc/passwd", z.tree_fd, "link") < 0 ||
		mkfifoat(z.tree_fd, "fifo", 0644) < 0)
		die("tree");
}

/* Requests */

static void learn(uint64_t *list, unsigned *n, unsigned max, uint64_t id)
{
	if (id && *n < max)
		list[(*n)++] = id;
}

static uint64_t pick(const uint64_t *list, unsigned n, uint8_t sel, uint64_t other)
{
	return sel && n ? list[(sel - 1u) % n] : other;
}

static void learn_from(uint32_t op, uint32_t len)
{
	const uint8_t *p = z.reply + sizeof(struct fuse_out_header);
	struct fuse_entry_out e;
	struct fuse_open_out o;

	switch (op) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		must(len >= sizeof(e), "an entry's reply is whole");
		memcpy(&e, p, sizeof(e));
		learn(z.node, &z.n_nodes, NODES_MAX, e.nodeid);
		if (op != FUSE_CREATE && op != FUSE_TMPFILE)
			break;
		memcpy(&o, p + sizeof(e), sizeof(o));
		learn(z.fh, &z.n_fhs, FHS_MAX, o.fh);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR: memcpy(&o, p, sizeof(o)); learn(z.fh, &z.n_fhs, FHS_MAX, o.fh);
	}
}

#define SHAPE_BAD_LEN  0x08
#define SHAPE_PIECES   0x10
#define SHAPE_OVERLAP  0x20
#define SHAPE_RAW_ID   0x40
#define SHAPE_RAW_ARGS 0x80

/* The ids inside the arguments. */
static void patch(uint32_t op, uint8_t *arg, size_t n, uint64_t node, uint64_t fh)
{
	switch (op) {
	case FUSE_RENAME:
	case FUSE_RENAME2:
	case FUSE_LINK:
		if (n >= 8)
			memcpy(arg, &node, 8);
		break;
	case FUSE_COPY_FILE_RANGE:
		if (n >= 32) {
			memcpy(arg + 16, &node, 8);
			memcpy(arg + 24, &fh, 8);
		}
		if (n >= 8)
			memcpy(arg, &fh, 8);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
	case 52 /* STATX */:
		if (n >= 16)
			memcpy(arg + 8, &fh, 8);
		break;
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_RELEASE:
	case FUSE_FLUSH:
	case FUSE_FSYNC:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNCDIR:
	case FUSE_FALLOCATE:
	case FUSE_LSEEK:
		if (n >= 8)
			memcpy(arg, &fh, 8);
	}
}

/* Buffers of exactly their size, so that the sanitizer sees a step outside. */
static void request(
	uint32_t op, uint8_t node_sel, uint8_t fh_sel, uint8_t shape, const uint8_t *p, size_t n)
{
	static const uint32_t rooms[] = {4096, 0, 8, 16, 128, 144, 288, ROOM_MAX};
	static struct virtq_chain c;
	uint32_t room = rooms[shape & 7], bytes = (uint32_t)(sizeof(struct fuse_in_header) + n),
		 written = 0;
	struct fuse_in_header h = {.len = bytes,
		.opcode = op,
		.unique = 42,
		.uid = node_sel & 1 ? 1000 : 0,
		.gid = fh_sel & 1 ? 1000 : 0};
	uint8_t *msg = malloc(bytes), *in;
	struct fuse_out_header out;
	int r;

	if (!msg)
		die("malloc");
	h.nodeid = pick(z.node, z.n_nodes, node_sel, FUSE_ROOT_ID);
	if (shape & SHAPE_RAW_ID && n >= 8)
		memcpy(&h.nodeid, p + n - 8, 8);
	if (shape & SHAPE_BAD_LEN)
		h.len += node_sel - 100u;
	memcpy(msg, &h, sizeof(h));
	memcpy(msg + sizeof(h), p, n);
	if (!(shape & SHAPE_RAW_ARGS))
		patch(op, msg + sizeof(h), n, pick(z.node, z.n_nodes, fh_sel, FUSE_ROOT_ID),
			pick(z.fh, z.n_fhs, fh_sel, 0));

	memset(&c, 0, sizeof(c));
	c.out_bytes = bytes;
	if (shape & SHAPE_PIECES) {
		uint32_t step = bytes / 100 + 1;

		for (uint32_t pos = 0; pos < bytes; pos += step)
			c.iov[c.n_out++] = (struct iovec){msg + pos, MIN(step, bytes - pos)};
	} else {
		c.iov[c.n_out++] = (struct iovec){msg, bytes};
	}
	in = z.reply;
	c.in_bytes = room + (uint32_t)sizeof(out);
	if (shape & SHAPE_OVERLAP && c.in_bytes <= bytes)
		in = msg;
	if (room) {
		c.iov[c.n_out + c.n_in++] = (struct iovec){in, 16};
		c.iov[c.n_out + c.n_in++] = (struct iovec){in + 16, room};
	} else if (op != FUSE_FORGET && op != FUSE_BATCH_FORGET) {
		c.iov[c.n_out + c.n_in++] = (struct iovec){in, 16};
	} else {
		c.in_bytes = 0;
	}
	r = fs_serve(&z.thread, &c, &written);
	must(written <= c.in_bytes, "no more is written than there is room");
	if (r == 0 && written && in == z.reply) {
		memcpy(&out, z.reply, sizeof(out));
		must(out.len == written && out.unique == 42 && out.error <= 0 && out.error > -4096,
			"the reply's header is right");
		must(!out.error || written == sizeof(out), "an error has no data");
		if (!out.error)
			learn_from(op, written - (uint32_t)sizeof(out));
	}
	free(msg);
}

static void prelude(void)
{
	static const char *const names[] = {"file", "dir", "link", "fifo"};
	struct fuse_init_in init = {.major = 7, .minor = 41, .flags = ~0u};
	struct fuse_open_in rw = {.flags = O_RDWR}, ro = {0};

	z.n_nodes = z.n_fhs = 0;
	request(FUSE_INIT, 0, 0, 0, (uint8_t *)&init, sizeof(init));
	request(FUSE_LOOKUP, 0, 0, 0, (const uint8_t *)"rootfs", 7);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		request(FUSE_LOOKUP, 1, 0, 0, (const uint8_t *)names[i], strlen(names[i]) + 1);
	request(FUSE_OPEN, 2, 0, 0, (uint8_t *)&rw, sizeof(rw));
	request(FUSE_OPENDIR, 1, 0, 0, (uint8_t *)&ro, sizeof(ro));
	must(z.n_nodes == 5 && z.n_fhs == 2, "the tree is there");
}

static void run(const uint8_t *data, size_t size)
{
	prelude();
	/* next to no descriptors: files are found again by handle and, in every second run, by name */
	z.fs.nodes.fd_limit = 3;
	for (uint32_t i = 0; i < z.fs.nodes.n_mounts; i++)
		z.fs.nodes.mount[i].no_handles = size & 1;
	for (unsigned i = 0; i < RECORDS_MAX && size >= 6; i++) {
		size_t n = data[4] | (size_t)data[5] << 8;

		n = MIN(MIN(n, size - 6), (size_t)PAYLOAD_MAX);
		request(data[0], data[1], data[2], data[3], data + 6, n);
		data += 6 + n;
		size -= 6 + n;
	}
	fs_server_reset(&z.fs);
	must(z.fs.nodes.count == 1 && z.fs.nodes.open_fds == 1, "no node is left");
	must(z.fs.handles.count == 0, "no handle is left");
}

static void *serve(void *arg)
{
	struct err err = ERR_INIT;

	if (fs_thread_enter(&z.thread, z.jail ? z.root_fd : -1, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		abort();
	}
	sem_post(&z.done);
	for (;;) {
		while (sem_wait(&z.go) < 0)
			;
		run(z.data, z.size);
		sem_post(&z.done);
	}
	return NULL;
}

static void wait_done(void)
{
	while (sem_wait(&z.done) < 0)
		;
}

static char tree[] = "/tmp/fuzz-fuse-XXXXXX";

static void remove_tree(void)
{
	empty_dir(dup(z.root_fd >= 0 ? openat(z.root_fd, ".", O_RDONLY | O_DIRECTORY) : -1), 0);
	umount2(tree, MNT_DETACH);
	rmdir(tree);
}

static void start(void)
{
	struct err err = ERR_INIT;
	pthread_t th;

	if (!mkdtemp(tree))
		die(tree);
	z.jail = geteuid() == 0;
	if (z.jail && unshare(CLONE_NEWNS) == 0 &&
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		mount("tmpfs", tree, "tmpfs", MS_NODEV | MS_NOSUID | MS_NOEXEC,
			"size=16m,nr_inodes=4096");
	z.root_fd = open(tree, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (z.root_fd < 0 || mkdirat(z.root_fd, "rootfs", 0755) < 0)
		die("rootfs");
	z.tree_fd = openat(z.root_fd, "rootfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	atexit(remove_tree);
	if (fs_server_init(&z.fs, z.root_fd, &err) < 0 ||
		fs_thread_init(&z.thread, &z.fs, &err) < 0)
		die(err.msg);
	sem_init(&z.go, 0, 0);
	sem_init(&z.done, 0, 0);
	if (pthread_create(&th, NULL, serve, NULL))
		die("pthread_create");
	wait_done();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;

	if (!started)
		start();
	started = true;
	make_tree();
	z.data = data;
	z.size = size;
	sem_post(&z.go);
	wait_done();
	return 0;
}
