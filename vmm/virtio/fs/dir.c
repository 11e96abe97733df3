/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories. The guest's cookie is the host's d_off. A reply is built from one getdents64();
 * entries that did not fit are read again, from their cookie, with the next request.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base.h"
#include "vmm/virtio/fs/request.h"

struct dent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
} __attribute__((packed));

int fs_op_opendir(struct fs_req *req)
{
	struct fs_server *fs = req->fs;
	struct fuse_open_out out = {0};
	struct fs_handle_new h = {.direct_fd = -1, .dir = true};
	int r;

	r = fs_node_get(&fs->nodes, req->in.nodeid, &h.node);
	if (r < 0)
		return r;
	h.fd = h.node->type == S_IFDIR ? openat(h.node->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
				       : (errno = ENOTDIR, -1);
	if (h.fd < 0)
		r = errno == EMFILE ? -ENFILE : -errno;
	else
		r = fs_handle_add(&fs->handles, &h, &out.fh);
	if (r < 0) {
		if (h.fd >= 0)
			close(h.fd);
		fs_node_put(&fs->nodes, h.node); /* else the handle has it */
		return r;
	}
	return fs_reply(req, &out, sizeof(out));
}

int fs_op_releasedir(struct fs_req *req)
{
	const struct fuse_release_in *in = req->arg;

	return fs_handle_close(&req->fs->handles, in->fh, req->in.nodeid, true, &req->fs->nodes);
}

static void put_dirent(uint8_t *at, const struct dent64 *d, uint32_t namelen, uint64_t ino)
{
	struct fuse_dirent fd = {
		.ino = ino, .off = (uint64_t)d->off, .namelen = namelen, .type = d->type};
	size_t end = FUSE_NAME_OFFSET + namelen;

	memcpy(at, &fd, FUSE_NAME_OFFSET);
	memcpy(at + FUSE_NAME_OFFSET, d->name, namelen);
	memset(at + end, 0, FUSE_DIRENT_ALIGN(end) - end);
}

/* The entry with what a LOOKUP would have given, reference included; . and .. and what cannot be
 * opened go without. False when the entry has vanished meanwhile. */
static bool put_direntplus(struct fs_req *req, struct fs_node *dir, uint8_t *at,
	const struct dent64 *d, uint32_t namelen)
{
	struct fuse_entry_out entry = {0};
	struct fs_node *n = NULL;
	uint64_t ino = d->ino;

	if (fs_name_check(d->name, namelen) == 0) {
		int r = fs_lookup(req->fs, dir, d->name, &n, &entry);

		if (r == -ENOENT)
			return false;
		if (r == 0)
			ino = entry.attr.ino;
		fs_node_put(&req->fs->nodes, n);
	}
	memcpy(at, &entry, sizeof(entry));
	put_dirent(at + sizeof(entry), d, namelen, ino);
	return true;
}

/* One batch of entries from the host's format to the guest's. Returns bytes, -EINVAL when not even
 * the first one fits. */
static int convert(struct fs_req *req, struct fs_node *dir, size_t bytes, uint32_t max, bool plus)
{
	size_t head = plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	uint32_t len = 0;

	for (size_t pos = 0; pos < bytes;) {
		const struct dent64 *d = (const void *)(req->t->dents + pos);
		uint32_t namelen = (uint32_t)strlen(d->name), need;

		need = (uint32_t)FUSE_DIRENT_ALIGN(head + namelen);
		if (need > max - len)
			return len ? (int)len : -EINVAL;
		pos += d->reclen;
		if (!plus)
			put_dirent(req->t->reply + len, d, namelen, d->ino);
		else if (!put_direntplus(req, dir, req->t->reply + len, d, namelen))
			continue;
		len += need;
	}
	return (int)len;
}

/* Reads until there is something to say: a batch may consist of vanished entries only. The
 * directory ends some time; an offset only ever advances. */
static int read_dir(
	struct fs_req *req, struct fs_handle *h, const struct fuse_read_in *in, bool plus)
{
	uint32_t max = MIN(in->size, FS_REPLY_MAX), chunk;
	int r = 0;
	long got;

	/* ask the host for about as much as will fit: the rest would be read twice */
	chunk = plus ? MAX(max / 3, 1024u) : MAX(max, 512u);
	chunk = MIN(chunk, FS_DENTS_MAX);
	if (lseek(h->fd, (off_t)in->offset, SEEK_SET) < 0)
		return -errno;
	do {
		got = syscall(SYS_getdents64, h->fd, req->t->dents, chunk);
		if (got < 0)
			return -errno;
		r = convert(req, h->node, (size_t)got, max, plus);
	} while (r == 0 && got > 0);
	return r < 0 ? r : fs_reply(req, req->t->reply, (uint32_t)r);
}

static int op_readdir(struct fs_req *req, bool plus)
{
	const struct fuse_read_in *in = req->arg;
	struct fs_server *fs = req->fs;
	pthread_mutex_t *lock;
	struct fs_handle *h;
	int r;

	if (in->size > req->room || in->offset > INT64_MAX)
		return -EINVAL;
	r = fs_handle_get(&fs->handles, in->fh, req->in.nodeid, true, &fs->nodes, &h);
	if (r < 0)
		return r;
	lock = fs_handle_dir_lock(&fs->handles, h);
	pthread_mutex_lock(lock);
	r = read_dir(req, h, in, plus);
	pthread_mutex_unlock(lock);
	fs_handle_put(&fs->handles, h, &fs->nodes);
	return r;
}

int fs_op_readdir(struct fs_req *req)
{
	return op_readdir(req, false);
}

int fs_op_readdirplus(struct fs_req *req)
{
	return op_readdir(req, true);
}
