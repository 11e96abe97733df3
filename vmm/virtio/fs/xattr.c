/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes, of every kind of file, without opening it: the calls go by the descriptor's
 * name in the thread's working directory, /proc/thread-self/fd, whose links lead to the very file,
 * a symbolic link included.
 *
 * Names of which somebody on the host believes what they say do not pass as they are. trusted.*
 * (which would need CAP_SYS_ADMIN here) and some below user.* are how overlayfs, fuse-overlayfs and
 * containers/storage mark their layers: the guest sees none of the host's, and its own are kept
 * below user.coracle., where nobody on the host looks, so that an overlay inside the guest works. Who
 * in the guest may use trusted.* is its kernel's to say. The labels of the host's security modules
 * (security.selinux and such) are the host's.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "lib/base.h"
#include "vmm/virtio/fs/request.h"

#define XATTR_ACL_ACCESS "system.posix_acl_access"
#define KEPT_BELOW       "user.coracle."

static bool begins(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

/* The guest's are kept below KEPT_BELOW; the host's are not shown. */
static bool is_kept_apart(const char *name)
{
	static const char *const prefixes[] = {
		"trusted.", "user.overlay.", "user.fuseoverlayfs.", "user.containers.", KEPT_BELOW};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		if (begins(name, prefixes[i]))
			return true;
	}
	return false;
}

static bool passes(const char *name)
{
	return begins(name, "user.") || !strcmp(name, "security.capability") ||
	       !strcmp(name, XATTR_ACL_ACCESS) || !strcmp(name, "system.posix_acl_default");
}

/* What the guest's `name` is called on the host: itself, or put together in buf. 0, -EOPNOTSUPP for
 * one that the guest cannot have, -ERANGE for one too long. */
static int name_on_host(const char *name, char buf[XATTR_NAME_MAX + 1], const char **ret_name)
{
	size_t len = strlen(name);

	*ret_name = name;
	if (!is_kept_apart(name))
		return passes(name) ? 0 : -EOPNOTSUPP;
	if (len + strlen(KEPT_BELOW) > XATTR_NAME_MAX)
		return -ERANGE;
	memcpy(buf, KEPT_BELOW, strlen(KEPT_BELOW));
	memcpy(buf + strlen(KEPT_BELOW), name, len + 1);
	*ret_name = buf;
	return 0;
}

/* The other way, for one of a list. NULL: not for the guest. */
static const char *name_in_guest(const char *name)
{
	if (!is_kept_apart(name))
		return passes(name) ? name : NULL;
	if (!begins(name, KEPT_BELOW))
		return NULL;
	name += strlen(KEPT_BELOW);
	return is_kept_apart(name) ? name : NULL;
}

/* What an operation works on. */
struct target {
	struct fs_node *n; /* pinned */
	char path[16];     /* of the node, for the xattr calls */
	const char *name;  /* the attribute's on the host */
	char buf[XATTR_NAME_MAX + 1];
};

/* named: the request has an attribute's name. */
static int get_target(struct fs_req *req, bool named, struct target *ret)
{
	int r = named ? name_on_host(req->name, ret->buf, &ret->name) : 0;

	if (r == 0)
		r = fs_node_get(&req->fs->nodes, req->in.nodeid, &ret->n);
	if (r == 0)
		fs_fd_name(ret->n->fd, ret->path);
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
	struct target t;
	int r;

	if (in->size != req->rest_bytes || in->flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (in->size > XATTR_SIZE_MAX)
		return -E2BIG;
	r = get_target(req, true, &t);
	if (r < 0)
		return r;
	r = setxattr(t.path, t.name, req->rest, in->size, (int)in->flags) < 0 ? -errno : 0;
	if (r == 0 && ext & FUSE_SETXATTR_ACL_KILL_SGID && !strcmp(req->name, XATTR_ACL_ACCESS))
		r = drop_sgid(req, t.n, t.path);
	fs_node_put(&req->fs->nodes, t.n);
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
	struct target t;
	ssize_t len;
	int r;

	r = get_target(req, true, &t);
	if (r < 0)
		return r;
	len = getxattr(t.path, t.name, req->t->reply, FS_REPLY_MAX);
	r = len < 0 ? -errno : 0;
	fs_node_put(&req->fs->nodes, t.n);
	return r < 0 ? r : reply_value(req, len, in->size);
}

/* Turns a list into the guest's: names that are not for it go, no name gets longer, so the rest moves
 * to the front. */
static size_t filter_names(char *list, size_t len)
{
	size_t kept = 0;

	for (size_t pos = 0; pos < len;) {
		size_t n = strnlen(list + pos, len - pos) + 1;
		const char *name = n <= len - pos ? name_in_guest(list + pos) : NULL;
		size_t bytes = name ? strlen(name) + 1 : 0;

		if (name)
			memmove(list + kept, name, bytes);
		kept += bytes;
		pos += n;
	}
	return kept;
}

int fs_op_listxattr(struct fs_req *req)
{
	const struct fuse_getxattr_in *in = req->arg;
	char *list = (char *)req->t->reply;
	struct target t;
	ssize_t len;
	int r;

	r = get_target(req, false, &t);
	if (r < 0)
		return r;
	len = listxattr(t.path, list, FS_REPLY_MAX);
	r = len < 0 ? -errno : 0;
	fs_node_put(&req->fs->nodes, t.n);
	if (r < 0)
		return r;
	return reply_value(req, (ssize_t)filter_names(list, (size_t)len), in->size);
}

int fs_op_removexattr(struct fs_req *req)
{
	struct target t;
	int r;

	r = get_target(req, true, &t);
	if (r < 0)
		return r;
	r = removexattr(t.path, t.name) < 0 ? -errno : 0;
	fs_node_put(&req->fs->nodes, t.n);
	return r;
}
