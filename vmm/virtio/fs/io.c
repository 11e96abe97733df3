/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files. Only regular files are ever opened: a fifo, socket or device node of the share is the
 * guest kernel's to interpret. File data moves straight between guest memory and the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base.h"
#include "vmm/virtio/device.h"
#include "vmm/virtio/fs/request.h"

#define COPY_MAX (16u << 20) /* one copy_file_range(): bounds how long a request takes */

/* O_APPEND stays out: pwrite() on such a descriptor ignores the offset, but pages of a shared
 * mapping are written back through any of the guest's writable handles. fs_op_write() appends
 * request by request. */
#define OPEN_PASSED (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME)

int fs_open_flags(uint32_t guest_flags)
{
	int flags = (int)guest_flags & OPEN_PASSED;

	return (flags & O_ACCMODE) == O_ACCMODE ? -EINVAL : flags;
}

static int open_refusal(const struct fs_node *n)
{
	switch (n->type) {
	case S_IFREG: return 0;
	case S_IFDIR: return -EISDIR;
	case S_IFLNK: return -ELOOP;
	default: return -ENXIO;
	}
}

int fs_open_file_take(struct fs_req *req, struct fs_node *node, int fd, uint32_t guest_flags,
	struct fuse_open_out *ret_open)
{
	struct fs_server *fs = req->fs;
	int flags = (int)guest_flags & O_ACCMODE, r;
	struct fs_handle_new h = {
		.fd = fd, .direct_fd = -1, .node = node, .writable = flags != O_RDONLY};
	struct statx stx;

	memset(ret_open, 0, sizeof(*ret_open));
	r = fs_statx(fd, &stx);
	if (r < 0)
		goto fail;
	if (guest_flags & O_DIRECT) {
		/* Beside the plain one: the guest's page cache may use this handle too, with
		 * lengths that O_DIRECT refuses. */
		h.direct_fd = fs_open_again(req->t, fd, flags | O_DIRECT);
		if (h.direct_fd < 0) {
			r = h.direct_fd;
			goto fail;
		}
	}
	fs_node_pin(&fs->nodes, node);
	r = fs_handle_add(&fs->handles, &h, &ret_open->fh);
	if (r < 0) {
		fs_node_put(&fs->nodes, node);
		goto fail;
	}
	if (fs_node_cache_check(&fs->nodes, node, &stx))
		ret_open->open_flags |= FOPEN_KEEP_CACHE;
	if (!h.writable)
		ret_open->open_flags |= FOPEN_NOFLUSH; /* nothing to write at close: no request */
	return 0;
fail:
	close(fd);
	if (h.direct_fd >= 0)
		close(h.direct_fd);
	return r;
}

int fs_op_open(struct fs_req *req)
{
	const struct fuse_open_in *in = req->arg;
	bool kill = in->open_flags & FUSE_OPEN_KILL_SUIDGID && in->flags & O_TRUNC;
	struct fs_server *fs = req->fs;
	struct fuse_open_out out;
	struct fs_node *n;
	int r, flags = fs_open_flags(in->flags);

	if (flags < 0)
		return flags;
	r = fs_node_get(&fs->nodes, req->in.nodeid, &n);
	if (r < 0)
		return r;
	r = open_refusal(n);
	if (r == 0 && kill)
		r = fs_fsetid_drop(req->t);
	if (r == 0) {
		r = fs_open_again(req->t, n->fd, flags);
		if (r == -EMFILE || r == -ENFILE) {
			fs_nodes_trim(&fs->nodes, fs->nodes.fd_limit / 2, true);
			r = fs_open_again(req->t, n->fd, flags);
		}
		if (kill)
			fs_fsetid_restore(req->t);
		r = r == -EMFILE ? -ENFILE : r;
	}
	if (r >= 0)
		r = fs_open_file_take(req, n, r, in->flags, &out);
	fs_node_put(&fs->nodes, n);
	return r < 0 ? r : fs_reply(req, &out, sizeof(out));
}

static int get_file(struct fs_req *req, uint64_t fh, struct fs_handle **ret_handle)
{
	return fs_handle_get(
		&req->fs->handles, fh, req->in.nodeid, false, &req->fs->nodes, ret_handle);
}

static void put_file(struct fs_req *req, struct fs_handle *h)
{
	fs_handle_put(&req->fs->handles, h, &req->fs->nodes);
}

int fs_op_read(struct fs_req *req)
{
	const struct fuse_read_in *in = req->arg;
	struct fs_handle *h;
	bool direct;
	ssize_t got;
	int n, r;

	if (in->size > req->room || in->offset > INT64_MAX)
		return -EINVAL;
	r = get_file(req, in->fh, &h);
	if (r < 0)
		return r;
	n = chain_in_iov(
		req->chain, sizeof(struct fuse_out_header), in->size, req->t->iov, VIRTQ_SEGS_MAX);
	direct = in->flags & O_DIRECT && h->direct_fd >= 0;
	if (in->size && n < 0) {
		r = -EINVAL;
	} else if (in->size) {
		got = preadv(direct ? h->direct_fd : h->fd, req->t->iov, n, (off_t)in->offset);
		r = got < 0 ? -errno : (int)got;
	}
	put_file(req, h);
	return r;
}

static int write_flags(const struct fuse_write_in *in)
{
	int rwf = 0;

	if (in->flags & O_APPEND && !(in->write_flags & FUSE_WRITE_CACHE))
		rwf |= RWF_APPEND;
	if (in->flags & O_DSYNC)
		rwf |= RWF_DSYNC;
	if ((in->flags & O_SYNC) == O_SYNC)
		rwf |= RWF_SYNC;
	return rwf;
}

/* Counted: what a killed container still has to write is waited for (vmm/life.h). */
static ssize_t write_counted(const struct fs_req *req, int fd, int n, off_t at, int rwf)
{
	struct vdev_shared *s = req->fs->shared;
	ssize_t put;

	if (s)
		atomic_fetch_add(&s->writes_begun, 1);
	put = pwritev2(fd, req->t->iov, n, at, rwf);
	if (s)
		atomic_fetch_add(&s->writes_done, 1);
	return put;
}

int fs_op_write(struct fs_req *req)
{
	const struct fuse_write_in *in = req->arg;
	bool kill = in->write_flags & FUSE_WRITE_KILL_SUIDGID, direct;
	struct fuse_write_out out = {0};
	struct fs_handle *h;
	ssize_t put;
	int n, r;

	if (in->size != req->arg_bytes - sizeof(*in) || in->offset > INT64_MAX)
		return -EINVAL;
	r = get_file(req, in->fh, &h);
	if (r < 0)
		return r;
	if (in->size == 0)
		goto done;
	r = n = chain_out_iov(
		req->chain, sizeof(req->in) + sizeof(*in), in->size, req->t->iov, VIRTQ_SEGS_MAX);
	if (n < 0) {
		r = -EINVAL;
		goto done;
	}
	r = kill ? fs_fsetid_drop(req->t) : 0;
	if (r < 0)
		goto done;
	direct = in->flags & O_DIRECT && !(in->write_flags & FUSE_WRITE_CACHE) && h->direct_fd >= 0;
	put = write_counted(
		req, direct ? h->direct_fd : h->fd, n, (off_t)in->offset, write_flags(in));
	r = put < 0 ? -errno : 0;
	out.size = put < 0 ? 0 : (uint32_t)put;
	if (kill)
		fs_fsetid_restore(req->t);
done:
	put_file(req, h);
	return r < 0 ? r : fs_reply(req, &out, sizeof(out));
}

int fs_op_release(struct fs_req *req)
{
	const struct fuse_release_in *in = req->arg;

	return fs_handle_close(&req->fs->handles, in->fh, req->in.nodeid, false, &req->fs->nodes);
}

/* Sent at every close() of a writable handle: what a file system reports only then (NFS: a failed
 * write-back, a full quota), closing a duplicate brings out. */
int fs_op_flush(struct fs_req *req)
{
	const struct fuse_flush_in *in = req->arg;
	struct fs_handle *h;
	int fd, r;

	r = get_file(req, in->fh, &h);
	if (r < 0)
		return r;
	fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		r = errno == EMFILE ? -ENFILE : -errno;
	else if (close(fd) < 0)
		r = -errno;
	put_file(req, h);
	return r;
}

static int sync_handle(struct fs_req *req, bool dir)
{
	const struct fuse_fsync_in *in = req->arg;
	struct fs_handle *h;
	int r;

	r = fs_handle_get(&req->fs->handles, in->fh, req->in.nodeid, dir, &req->fs->nodes, &h);
	if (r < 0)
		return r;
	r = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd);
	r = r < 0 ? -errno : 0;
	put_file(req, h);
	return r;
}

int fs_op_fsync(struct fs_req *req)
{
	return sync_handle(req, false);
}

int fs_op_fsyncdir(struct fs_req *req)
{
	return sync_handle(req, true);
}

int fs_op_fallocate(struct fs_req *req)
{
	const uint32_t modes = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE |
			       FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE |
			       FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE;
	const struct fuse_fallocate_in *in = req->arg;
	struct fs_handle *h;
	int r;

	if (in->mode & ~modes)
		return -EOPNOTSUPP;
	if (in->offset > INT64_MAX || in->length > INT64_MAX)
		return -EINVAL;
	r = get_file(req, in->fh, &h);
	if (r < 0)
		return r;
	r = fallocate(h->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0 ? -errno : 0;
	put_file(req, h);
	return r;
}

/* The guest keeps the position of its files; it asks for data and holes only. */
int fs_op_lseek(struct fs_req *req)
{
	const struct fuse_lseek_in *in = req->arg;
	struct fuse_lseek_out out = {0};
	struct fs_handle *h;
	off_t pos;
	int r;

	if ((in->whence != SEEK_DATA && in->whence != SEEK_HOLE) || in->offset > INT64_MAX)
		return -EINVAL;
	r = get_file(req, in->fh, &h);
	if (r < 0)
		return r;
	pos = lseek(h->fd, (off_t)in->offset, (int)in->whence);
	r = pos < 0 ? -errno : 0;
	out.offset = (uint64_t)pos;
	put_file(req, h);
	return r < 0 ? r : fs_reply(req, &out, sizeof(out));
}

int fs_op_copy_file_range(struct fs_req *req)
{
	const struct fuse_copy_file_range_in *in = req->arg;
	struct fuse_write_out out = {0};
	struct fs_handle *from = NULL, *to = NULL;
	off_t off_in, off_out;
	ssize_t n;
	int r;

	if (in->flags || in->off_in > INT64_MAX || in->off_out > INT64_MAX)
		return -EINVAL;
	r = get_file(req, in->fh_in, &from);
	if (r == 0)
		r = fs_handle_get(
			&req->fs->handles, in->fh_out, in->nodeid_out, false, &req->fs->nodes, &to);
	if (r == 0) {
		off_in = (off_t)in->off_in;
		off_out = (off_t)in->off_out;
		n = copy_file_range(
			from->fd, &off_in, to->fd, &off_out, MIN(in->len, (uint64_t)COPY_MAX), 0);
		r = n < 0 ? -errno : 0;
		out.size = n < 0 ? 0 : (uint32_t)n;
	}
	put_file(req, from);
	put_file(req, to);
	return r < 0 ? r : fs_reply(req, &out, sizeof(out));
}
