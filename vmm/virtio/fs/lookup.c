/* SPDX-License-Identifier: Apache-2.0 */
/* LOOKUP and the two ways to take it back: FORGET, BATCH_FORGET. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/proto.h"
#include "vmm/virtio/fs/request.h"

#define ROOTFS_NAME "rootfs"

/* How long a guest may believe that a name is not there. Only in the container's own root: a file
 * that appears in a bind mount is seen at once. */
#define NEGATIVE_ROOTFS_SEC 1

static enum fs_class class_of(
	const struct fs_node *parent, const char *name, const struct statx *stx)
{
	if (parent->cls == FS_CLASS_HOLDER)
		return FS_CLASS_BIND;
	if (parent->cls != FS_CLASS_TOP)
		return (enum fs_class)parent->cls;
	if (!strcmp(name, ROOTFS_NAME))
		return FS_CLASS_ROOTFS;
	return S_ISDIR(stx->stx_mode) && !fs_is_mount(stx) ? FS_CLASS_HOLDER : FS_CLASS_BIND;
}

/* The guest's file system begins one level higher than the host's mount: so what is bound there has its name
 * for a root in /proc/self/mountinfo, as on a host. The container's root is in the share's own file system, or
 * each bind of "/" would have a second mount over it, which outlives its umount(8). */
static bool is_held(const struct fs_node *parent, enum fs_class cls)
{
	return parent->cls == FS_CLASS_HOLDER ||
	       (parent->cls == FS_CLASS_TOP && cls == FS_CLASS_ROOTFS);
}

int fs_lookup_fd_take(struct fs_server *fs, struct fs_node *parent, const char *name, int fd,
	struct fs_node **ret_node, struct fuse_entry_out *ret_entry)
{
	struct fs_place place;
	struct fs_node *n;
	struct statx stx;
	int r;

	r = fs_statx(fd, &stx);
	if (r < 0) {
		close(fd);
		return r;
	}
	place = (struct fs_place){
		fs_node_id(&fs->nodes, parent), name, class_of(parent, name, &stx)};
	r = fs_node_intern_take(&fs->nodes, fd, &stx, &place, &n);
	if (r < 0)
		return r;
	fs_fill_entry(fs, n, &stx, ret_entry);
	if (place.cls == FS_CLASS_HOLDER)
		ret_entry->attr.flags |= FUSE_ATTR_SUBMOUNT;
	if (is_held(parent, place.cls)) {
		ret_entry->attr.flags &= ~FUSE_ATTR_SUBMOUNT;
		parent->held = ret_entry->nodeid;
	}
	*ret_node = n;
	return 0;
}

int fs_lookup(struct fs_server *fs, struct fs_node *parent, const char *name,
	struct fs_node **ret_node, struct fuse_entry_out *ret_entry)
{
	int r;

	pthread_rwlock_rdlock(&fs->nodes.moving);
	r = fs_name_open(parent->fd, name);
	if (r == -EMFILE || r == -ENFILE) {
		fs_nodes_trim(&fs->nodes, fs->nodes.fd_limit / 2, true);
		r = fs_name_open(parent->fd, name);
	}
	if (r >= 0)
		r = fs_lookup_fd_take(fs, parent, name, r, ret_node, ret_entry);
	pthread_rwlock_unlock(&fs->nodes.moving);
	return r == -EMFILE ? -ENFILE : r; /* the limit is ours, not the guest process's */
}

int fs_op_lookup(struct fs_req *req)
{
	struct fs_server *fs = req->fs;
	struct fs_node *parent, *n = NULL;
	struct fuse_entry_out entry = {0};
	uint8_t cls;
	int r;

	r = fs_node_get(&fs->nodes, req->in.nodeid, &parent);
	if (r < 0)
		return r;
	r = fs_lookup(fs, parent, req->name, &n, &entry);
	cls = parent->cls;
	if (cls == FS_CLASS_TOP && !strcmp(req->name, PROTO_SHARE_ENDED))
		fs->ended = true;
	fs_node_put(&fs->nodes, parent);
	if (r == -ENOENT && cls == FS_CLASS_ROOTFS)
		entry.entry_valid = NEGATIVE_ROOTFS_SEC; /* node id 0: the name is not there */
	else if (r < 0)
		return r;
	fs_node_put(&fs->nodes, n);
	return fs_reply(req, &entry, sizeof(entry));
}

int fs_op_forget(struct fs_req *req)
{
	const struct fuse_forget_in *in = req->arg;

	fs_node_forget(&req->fs->nodes, req->in.nodeid, in->nlookup);
	return 0;
}

int fs_op_batch_forget(struct fs_req *req)
{
	const struct fuse_batch_forget_in *in = req->arg;
	struct fuse_forget_one one;
	uint32_t n = MIN(in->count, req->rest_bytes / (uint32_t)sizeof(one));

	for (uint32_t i = 0; i < n; i++) {
		memcpy(&one, req->rest + i * sizeof(one), sizeof(one));
		fs_node_forget(&req->fs->nodes, one.nodeid, one.nlookup);
	}
	return 0;
}
