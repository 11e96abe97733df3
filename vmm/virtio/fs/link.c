/* SPDX-License-Identifier: Apache-2.0 */
/* Names of what is already there: READLINK, UNLINK, RMDIR, RENAME, RENAME2, LINK. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base.h"
#include "vmm/virtio/fs/node_fd.h"
#include "vmm/virtio/fs/request.h"

int fs_op_readlink(struct fs_req *req)
{
	struct fs_node *n;
	ssize_t len;
	int r;

	r = fs_node_get(&req->fs->nodes, req->in.nodeid, &n);
	if (r < 0)
		return r;
	len = n->type == S_IFLNK ? readlinkat(n->fd, "", (char *)req->t->reply, PATH_MAX)
				 : (errno = EINVAL, -1);
	r = len < 0 ? -errno : 0;
	fs_node_put(&req->fs->nodes, n);
	return r < 0 ? r : fs_reply(req, req->t->reply, (uint32_t)len);
}

static int op_remove(struct fs_req *req, int flags)
{
	struct fs_node *dir;
	int r;

	r = fs_node_get(&req->fs->nodes, req->in.nodeid, &dir);
	if (r < 0)
		return r;
	r = unlinkat(dir->fd, req->name, flags) < 0 ? -errno : 0;
	fs_node_put(&req->fs->nodes, dir);
	return r;
}

int fs_op_unlink(struct fs_req *req)
{
	return op_remove(req, 0);
}

int fs_op_rmdir(struct fs_req *req)
{
	return op_remove(req, AT_REMOVEDIR);
}

/* What has just got this name: its node has to be found by it from now on. When that fails the node
 * is stale, should its descriptor be closed; the guest then looks the name up. */
static void note_moved(struct fs_req *req, const struct fs_node *dir, const char *name)
{
	struct fs_nodes *t = &req->fs->nodes;
	struct fs_place place = {.parent = fs_node_id(t, dir), .name = name};
	int fd = fs_name_open(dir->fd, name);
	struct statx stx;

	if (fd >= 0 && fs_statx(fd, &stx) == 0)
		fs_node_moved_take(t, fd, &stx, &place);
	else if (fd >= 0)
		close(fd);
}

static int rename_locked(
	struct fs_req *req, struct fs_node *from, struct fs_node *to, unsigned flags)
{
	if (renameat2(from->fd, req->name, to->fd, req->name2, flags) < 0)
		return -errno;
	if (fs_node_goes_by_name(&req->fs->nodes, to)) {
		note_moved(req, to, req->name2);
		if (flags & RENAME_EXCHANGE)
			note_moved(req, from, req->name);
	}
	return 0;
}

static int do_rename(struct fs_req *req, uint64_t newdir, unsigned flags)
{
	struct fs_nodes *t = &req->fs->nodes;
	struct fs_node *from, *to;
	int r;

	r = fs_node_get(t, req->in.nodeid, &from);
	if (r < 0)
		return r;
	r = fs_node_get(t, newdir, &to);
	if (r == 0) {
		pthread_rwlock_wrlock(&t->moving);
		r = rename_locked(req, from, to, flags);
		pthread_rwlock_unlock(&t->moving);
		fs_node_put(t, to);
	}
	fs_node_put(t, from);
	return r;
}

int fs_op_rename(struct fs_req *req)
{
	const struct fuse_rename_in *in = req->arg;

	return do_rename(req, in->newdir, 0);
}

int fs_op_rename2(struct fs_req *req)
{
	const struct fuse_rename2_in *in = req->arg;

	if (in->flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	return do_rename(req, in->newdir, in->flags);
}

/* linkat() by the descriptor's name below /proc: works for O_TMPFILE files, and on a symbolic link
 * makes another name of the link itself. */
int fs_op_link(struct fs_req *req)
{
	const struct fuse_link_in *in = req->arg;
	struct fs_server *fs = req->fs;
	struct fuse_entry_out entry;
	struct fs_node *file, *dir, *n = NULL;
	char name[16];
	int r, fd;

	r = fs_node_get(&fs->nodes, in->oldnodeid, &file);
	if (r < 0)
		return r;
	r = fs_node_get(&fs->nodes, req->in.nodeid, &dir);
	if (r < 0) {
		fs_node_put(&fs->nodes, file);
		return r;
	}
	fs_fd_name(file->fd, name);
	r = linkat(req->t->proc_fd, name, dir->fd, req->name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
	if (r == 0) {
		/* the reply is about the file that was linked, whatever the name has become
		 * meanwhile */
		fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
		r = fd < 0 ? (errno == EMFILE ? -ENFILE : -errno)
			   : fs_lookup_fd_take(fs, dir, req->name, fd, &n, &entry);
	}
	fs_node_put(&fs->nodes, n);
	fs_node_put(&fs->nodes, dir);
	fs_node_put(&fs->nodes, file);
	return r < 0 ? r : fs_reply(req, &entry, sizeof(entry));
}
