/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes: GETATTR, STATX, SETATTR, and how long the guest may believe them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/base.h"
#include "vmm/virtio/fs/request.h"

/* Caching, in milliseconds. The root file system is the container's own as a rule (`docker cp` and
 * the like write to it, and are seen this much later); a bind mount may have writers on the host at
 * any time. */
#define TTL_TOP_MS    1000
#define TTL_ROOTFS_MS 5000
#define TTL_BIND_MS   1000

#define NSEC_MAX 999999999u

static void entry_ttl(uint8_t cls, uint64_t *ret_sec, uint32_t *ret_nsec)
{
	uint32_t ms = cls == FS_CLASS_ROOTFS ? TTL_ROOTFS_MS
		      : cls == FS_CLASS_BIND ? TTL_BIND_MS
					     : TTL_TOP_MS;

	*ret_sec = ms / 1000;
	*ret_nsec = ms % 1000 * 1000000;
}

/* Set-id files are asked about each time: a write takes the bits off here, on the host, and the
 * guest kernel does not take its own copy of the mode for outdated then; it would run the changed
 * file with them. */
static void attr_ttl(uint8_t cls, uint32_t mode, uint64_t *ret_sec, uint32_t *ret_nsec)
{
	if (S_ISREG(mode) && mode & (S_ISUID | S_ISGID))
		*ret_sec = *ret_nsec = 0;
	else
		entry_ttl(cls, ret_sec, ret_nsec);
}

/* The kernel's 32-bit encoding of a device number, which FUSE carries. */
static uint32_t encode_dev(uint32_t maj, uint32_t min)
{
	return (min & 0xff) | maj << 8 | (min & ~0xffu) << 12;
}

bool fs_is_mount(const struct statx *stx)
{
	return stx->stx_attributes & stx->stx_attributes_mask & STATX_ATTR_MOUNT_ROOT;
}

void fs_fill_attr(struct fs_server *fs, const struct statx *stx, struct fuse_attr *ret_attr)
{
	*ret_attr = (struct fuse_attr){
		.ino = fs_node_ino(&fs->nodes, stx),
		.size = stx->stx_size,
		.blocks = stx->stx_blocks,
		.atime = (uint64_t)stx->stx_atime.tv_sec,
		.mtime = (uint64_t)stx->stx_mtime.tv_sec,
		.ctime = (uint64_t)stx->stx_ctime.tv_sec,
		.atimensec = stx->stx_atime.tv_nsec,
		.mtimensec = stx->stx_mtime.tv_nsec,
		.ctimensec = stx->stx_ctime.tv_nsec,
		.mode = stx->stx_mode,
		.nlink = stx->stx_nlink,
		.uid = stx->stx_uid,
		.gid = stx->stx_gid,
		.rdev = encode_dev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.blksize = stx->stx_blksize,
		/* the guest makes it a mount point with a st_dev of its own */
		.flags = fs_is_mount(stx) && S_ISDIR(stx->stx_mode) ? FUSE_ATTR_SUBMOUNT : 0,
	};
}

void fs_fill_entry(struct fs_server *fs, struct fs_node *n, const struct statx *stx,
	struct fuse_entry_out *ret_entry)
{
	memset(ret_entry, 0, sizeof(*ret_entry));
	ret_entry->nodeid = fs_node_id(&fs->nodes, n); /* holds the generation */
	entry_ttl(n->cls, &ret_entry->entry_valid, &ret_entry->entry_valid_nsec);
	attr_ttl(n->cls, stx->stx_mode, &ret_entry->attr_valid, &ret_entry->attr_valid_nsec);
	fs_fill_attr(fs, stx, &ret_entry->attr);
}

/* statx() through the handle when the guest names one, else through the node. */
static int stat_request(
	struct fs_req *req, bool use_fh, uint64_t fh, struct statx *ret_stx, uint8_t *ret_cls)
{
	struct fs_server *fs = req->fs;
	struct fs_handle *h;
	struct fs_node *n;
	int r;

	if (use_fh) {
		r = fs_handle_get(&fs->handles, fh, req->in.nodeid, false, &fs->nodes, &h);
		if (r < 0)
			r = fs_handle_get(&fs->handles, fh, req->in.nodeid, true, &fs->nodes, &h);
		if (r < 0)
			return r;
		r = fs_statx(h->fd, ret_stx);
		*ret_cls = h->node->cls;
		fs_handle_put(&fs->handles, h, &fs->nodes);
		return r;
	}
	r = fs_node_get(&fs->nodes, req->in.nodeid, &n);
	if (r < 0)
		return r;
	r = fs_statx(n->fd, ret_stx);
	*ret_cls = n->cls;
	fs_node_put(&fs->nodes, n);
	return r;
}

int fs_op_getattr(struct fs_req *req)
{
	const struct fuse_getattr_in *in = req->arg;
	struct fuse_attr_out out = {0};
	struct statx stx;
	uint8_t cls;
	int r;

	r = stat_request(req, in->getattr_flags & FUSE_GETATTR_FH, in->fh, &stx, &cls);
	if (r < 0)
		return r;
	attr_ttl(cls, stx.stx_mode, &out.attr_valid, &out.attr_valid_nsec);
	fs_fill_attr(req->fs, &stx, &out.attr);
	return fs_reply(req, &out, sizeof(out));
}

int fs_op_statx(struct fs_req *req)
{
	const struct fs_statx_in *in = req->arg;
	struct fs_statx_out out = {0};
	struct statx stx;
	uint8_t cls;
	int r;

	r = stat_request(req, in->getattr_flags & FUSE_GETATTR_FH, in->fh, &stx, &cls);
	if (r < 0)
		return r;
	attr_ttl(cls, stx.stx_mode, &out.attr_valid, &out.attr_valid_nsec);
	out.stat = (struct statx){
		.stx_mask = stx.stx_mask & (STATX_BASIC_STATS | STATX_BTIME),
		.stx_blksize = stx.stx_blksize,
		.stx_nlink = stx.stx_nlink,
		.stx_uid = stx.stx_uid,
		.stx_gid = stx.stx_gid,
		.stx_mode = stx.stx_mode,
		.stx_ino = fs_node_ino(&req->fs->nodes, &stx),
		.stx_size = stx.stx_size,
		.stx_blocks = stx.stx_blocks,
		.stx_atime = stx.stx_atime,
		.stx_btime = stx.stx_btime,
		.stx_ctime = stx.stx_ctime,
		.stx_mtime = stx.stx_mtime,
		.stx_rdev_major = stx.stx_rdev_major,
		.stx_rdev_minor = stx.stx_rdev_minor,
	};
	return fs_reply(req, &out, sizeof(out));
}

static int set_size(struct fs_req *req, const struct fs_node *n, const struct fs_handle *h,
	uint64_t size, bool kill_suidgid)
{
	char name[16];
	int r;

	if (n->type != S_IFREG)
		return n->type == S_IFDIR ? -EISDIR : -EINVAL;
	if (size > INT64_MAX)
		return -EFBIG;
	r = kill_suidgid ? fs_fsetid_drop(req->t) : 0;
	if (r < 0)
		return r;
	fs_fd_name(n->fd, name);
	if (h && h->writable)
		r = ftruncate(h->fd, (off_t)size);
	else
		r = truncate(name, (off_t)size); /* below the cwd, /proc/thread-self/fd */
	r = r < 0 ? -errno : 0;
	if (kill_suidgid)
		fs_fsetid_restore(req->t);
	return r;
}

static int set_times(const struct fs_node *n, const struct fuse_setattr_in *in)
{
	struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};

	/* the special values of tv_nsec are ours to give */
	if ((in->valid & FATTR_ATIME && in->atimensec > NSEC_MAX) ||
		(in->valid & FATTR_MTIME && in->mtimensec > NSEC_MAX))
		return -EINVAL;
	if (in->valid & FATTR_ATIME_NOW)
		ts[0].tv_nsec = UTIME_NOW;
	else if (in->valid & FATTR_ATIME)
		ts[0] = (struct timespec){(time_t)in->atime, in->atimensec};
	if (in->valid & FATTR_MTIME_NOW)
		ts[1].tv_nsec = UTIME_NOW;
	else if (in->valid & FATTR_MTIME)
		ts[1] = (struct timespec){(time_t)in->mtime, in->mtimensec};
	if (utimensat(n->fd, "", ts, AT_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/* Owner first: chown takes suid and sgid bits off, and a mode given with it is the last word. */
static int set_attrs(struct fs_req *req, const struct fs_node *n, const struct fs_handle *h,
	const struct fuse_setattr_in *in)
{
	char name[16];
	int r = 0;

	if (in->valid & (FATTR_UID | FATTR_GID)) {
		uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
		gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;

		if (fchownat(n->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
	}
	if (in->valid & FATTR_MODE) {
		if (n->type == S_IFLNK)
			return -EOPNOTSUPP;
		fs_fd_name(n->fd, name);
		if (fchmodat(req->t->proc_fd, name, in->mode & 07777, 0) < 0)
			return -errno;
	}
	if (in->valid & FATTR_SIZE)
		r = set_size(req, n, h, in->size, in->valid & FATTR_KILL_SUIDGID);
	if (r == 0 && in->valid & (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW))
		r = set_times(n, in);
	return r;
}

int fs_op_setattr(struct fs_req *req)
{
	const struct fuse_setattr_in *in = req->arg;
	struct fs_server *fs = req->fs;
	struct fuse_attr_out out = {0};
	struct fs_handle *h = NULL;
	struct fs_node *n;
	struct statx stx;
	int r;

	r = fs_node_get(&fs->nodes, req->in.nodeid, &n);
	if (r < 0)
		return r;
	if (in->valid & FATTR_FH)
		r = fs_handle_get(&fs->handles, in->fh, req->in.nodeid, false, &fs->nodes, &h);
	if (r == 0)
		r = set_attrs(req, n, h, in);
	if (r == 0)
		r = fs_statx(n->fd, &stx);
	if (r == 0)
		attr_ttl(n->cls, stx.stx_mode, &out.attr_valid, &out.attr_valid_nsec);
	fs_handle_put(&fs->handles, h, &fs->nodes);
	fs_node_put(&fs->nodes, n);
	if (r < 0)
		return r;
	fs_fill_attr(fs, &stx, &out.attr);
	return fs_reply(req, &out, sizeof(out));
}
