/* SPDX-License-Identifier: Apache-2.0 */
/* INIT, DESTROY and what concerns a whole file system: STATFS, SYNCFS. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/base.h"
#include "vmm/virtio/fs/request.h"

#define MINOR_MIN 31 /* Linux 5.4: the first with virtio-fs */
/* A request of all these pages, its arguments and headers take the 256 descriptors of the queue. */
#define MAX_PAGES      252
#define MAX_BACKGROUND 64

/* What we want, where the guest has it. Left out on purpose:
 * WRITEBACK_CACHE: the guest would hold sizes and times that host writers of a shared directory
 * change; POSIX_LOCKS, FLOCK_LOCKS: locks are the guest's own (docs/fs.md); EXPORT_SUPPORT: would
 * need lookups of ".."; NO_OPEN_SUPPORT: read-only and O_DIRECT handles need the open;
 * EXPLICIT_INVAL_DATA: nobody tells the guest of changes, so it has to notice them itself. */
#define WANTED                                                                            \
	(FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DONT_MASK |       \
		FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |      \
		FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_POSIX_ACL | FUSE_MAX_PAGES | \
		FUSE_CACHE_SYMLINKS | FUSE_SUBMOUNTS | FUSE_HANDLE_KILLPRIV_V2 |          \
		FUSE_SETXATTR_EXT | FUSE_INIT_EXT)

int fs_op_init(struct fs_req *req)
{
	const struct fuse_init_in *in = req->arg;
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = in->max_readahead,
		.max_background = MAX_BACKGROUND,
		.congestion_threshold = MAX_BACKGROUND * 3 / 4,
		.max_write = MAX_PAGES * 4096,
		.time_gran = 1,
		.max_pages = MAX_PAGES,
	};

	if (in->major > FUSE_KERNEL_VERSION) /* the guest asks again with our version */
		return fs_reply(req, &out, sizeof(out));
	if (in->major < FUSE_KERNEL_VERSION || in->minor < MINOR_MIN)
		return -EPROTO;
	/* a new session: also after a guest that ended without DESTROY */
	fs_server_reset(req->fs);
	out.flags = in->flags & WANTED;
	req->fs->session =
		FS_SESSION_RUNNING | (out.flags & FUSE_SETXATTR_EXT ? FS_SESSION_SETXATTR_EXT : 0);
	return fs_reply(req, &out, sizeof(out));
}

int fs_op_destroy(struct fs_req *req)
{
	fs_server_reset(req->fs);
	return 0;
}

int fs_op_statfs(struct fs_req *req)
{
	struct fuse_statfs_out out = {0};
	struct fs_node *n;
	struct statfs st;
	int r;

	r = fs_node_get(&req->fs->nodes, req->in.nodeid, &n);
	if (r < 0)
		return r;
	r = fstatfs(n->fd, &st) < 0 ? -errno : 0;
	fs_node_put(&req->fs->nodes, n);
	if (r < 0)
		return r;
	out.st.blocks = (uint64_t)st.f_blocks;
	out.st.bfree = (uint64_t)st.f_bfree;
	out.st.bavail = (uint64_t)st.f_bavail;
	out.st.files = (uint64_t)st.f_files;
	out.st.ffree = (uint64_t)st.f_ffree;
	out.st.bsize = (uint32_t)st.f_bsize;
	out.st.namelen = (uint32_t)MIN(st.f_namelen, (__typeof__(st.f_namelen))FS_NAME_MAX);
	out.st.frsize = (uint32_t)st.f_frsize;
	return fs_reply(req, &out, sizeof(out));
}

/* The node is the root of one of the guest's super blocks; where that is a directory of the share's own, the mount
 * in it is meant: at the top the container's root file system. */
static int get_synced(struct fs_req *req, struct fs_node **ret_node)
{
	struct fs_nodes *t = &req->fs->nodes;
	struct fs_node *n;
	uint64_t held;
	int r = fs_node_get(t, req->in.nodeid, &n);

	if (r < 0)
		return r;
	held = n->held;
	if (held) {
		fs_node_put(t, n);
		r = fs_node_get(t, held, &n);
	}
	*ret_node = n;
	return r;
}

/* syncfs(2) wants a real descriptor. At the end of the container it is not called: it would wait for all that
 * anyone has written to the host's file system. The guest asks when we have taken all it had to write itself. */
int fs_op_syncfs(struct fs_req *req)
{
	struct fs_node *n;
	int fd, r;

	if (req->fs->ended)
		return 0;
	r = get_synced(req, &n);
	if (r < 0)
		return r;
	if (n->type == S_IFDIR || n->type == S_IFREG)
		fd = fs_open_again(req->t, n->fd, O_RDONLY);
	else
		fd = -EINVAL;
	r = MIN(fd, 0);
	if (fd >= 0 && syncfs(fd) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	fs_node_put(&req->fs->nodes, n);
	return r;
}
