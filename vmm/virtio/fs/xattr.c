/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes, of every kind of file, without opening it: the calls go by the descriptor's
 * name in the thread's working directory, /proc/thread-self/fd, whose links lead to the very file,
 * a symbolic link included.
 *
 * Only names that mean something to the container pass. trusted.* would need CAP_SYS_ADMIN here,
 * and a guest could forge what the host's overlayfs believes of a directory (trusted.overlay.*);
 * the labels of the host's security modules (security.selinux and such) are the host's.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "lib/base.h"
#include "vmm/virtio/fs/request.h"

#define XATTR_ACL_ACCESS "system.posix_acl_access"

static bool allowed(const char *name)
{
	return !strncmp(name, "user.", 5) || !strcmp(name, "security.capability") ||
	       !strcmp(name, XATTR_ACL_ACCESS) || !strcmp(name, "system.posix_acl_default");
}

/* The node, pinned, and its name for the xattr calls. */
static int get_node(struct fs_req *req, struct fs_node **ret_node, char ret_path[16])
{
	int r = fs_node_get(&req->fs->nodes, req->in.nodeid, ret_node);

	if (r == 0)
		fs_fd_name((*ret_node)->fd, ret_path);
	return r;
}

/* An ACL set by somebody who may not keep the set-group-id bit of the file. */
static int drop_sgid(struct fs_req *req, const struct fs_node *n, const char *path)
{
	struct statx stx;
	int r = fs_statx(n->fd, &stx);

	if (r < 0 || !(stx.stx_mode & S_ISGID) || n->type == S_IFLNK)
		return r;
	if (fchmodat(req->t->proc_fd, path, stx.stx_mode & 07777 & ~(mode_t)S_ISGID, 0) < 0)
		return -errno;
	return 0;
}

int fs_op_setxattr(struct fs_req *req)
{
	const struct fuse_setxattr_in *in = req->arg;
	uint32_t ext = req->session & FS_SESSION_SETXATTR_EXT ? in->setxattr_flags : 0;
	struct fs_node *n;
	char path[16];
	int r;

	if (!allowed(req->name))
		return -EOPNOTSUPP;
	if (in->size != req->rest_bytes || in->flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (in->size > XATTR_SIZE_MAX)
		return -E2BIG;
	r = get_node(req, &n, path);
	if (r < 0)
		return r;
	r = setxattr(path, req->name, req->rest, in->size, (int)in->flags) < 0 ? -errno : 0;
	if (r == 0 && ext & FUSE_SETXATTR_ACL_KILL_SGID && !strcmp(req->name, XATTR_ACL_ACCESS))
		r = drop_sgid(req, n, path);
	fs_node_put(&req->fs->nodes, n);
	return r;
}

/* The guest asks for the length (size 0) or for at most size bytes. */
static int reply_value(struct fs_req *req, ssize_t len, uint32_t size)
{
	struct fuse_getxattr_out out = {.size = (uint32_t)len};

	if (size == 0)
		return fs_reply(req, &out, sizeof(out));
	if ((size_t)len > size)
		return -ERANGE;
	return fs_reply(req, req->t->reply, (uint32_t)len);
}

int fs_op_getxattr(struct fs_req *req)
{
	const struct fuse_getxattr_in *in = req->arg;
	struct fs_node *n;
	char path[16];
	ssize_t len;
	int r;

	if (!allowed(req->name))
		return -EOPNOTSUPP;
	r = get_node(req, &n, path);
	if (r < 0)
		return r;
	len = getxattr(path, req->name, req->t->reply, FS_REPLY_MAX);
	r = len < 0 ? -errno : 0;
	fs_node_put(&req->fs->nodes, n);
	return r < 0 ? r : reply_value(req, len, in->size);
}

/* Keeps the names that may pass; they move to the front. */
static size_t filter_names(char *list, size_t len)
{
	size_t kept = 0;

	for (size_t pos = 0; pos < len;) {
		size_t n = strnlen(list + pos, len - pos) + 1;

		if (n <= len - pos && allowed(list + pos)) {
			memmove(list + kept, list + pos, n);
			kept += n;
		}
		pos += n;
	}
	return kept;
}

int fs_op_listxattr(struct fs_req *req)
{
	const struct fuse_getxattr_in *in = req->arg;
	struct fs_node *n;
	char path[16];
	ssize_t len;
	int r;

	r = get_node(req, &n, path);
	if (r < 0)
		return r;
	len = listxattr(path, (char *)req->t->reply, FS_REPLY_MAX);
	r = len < 0 ? -errno : 0;
	fs_node_put(&req->fs->nodes, n);
	if (r < 0)
		return r;
	return reply_value(
		req, (ssize_t)filter_names((char *)req->t->reply, (size_t)len), in->size);
}

int fs_op_removexattr(struct fs_req *req)
{
	struct fs_node *n;
	char path[16];
	int r;

	if (!allowed(req->name))
		return -EOPNOTSUPP;
	r = get_node(req, &n, path);
	if (r < 0)
		return r;
	r = removexattr(path, req->name) < 0 ? -errno : 0;
	fs_node_put(&req->fs->nodes, n);
	return r;
}
