/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/fs/server.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/base.h"
#include "vmm/virtio/fs/request.h"

/* What follows an operation's fixed arguments. */
enum fs_tail {
	TAIL_NONE,
	TAIL_NAME,        /* a name in the node's directory */
	TAIL_NAMES,       /* two of them */
	TAIL_NAME_TARGET, /* a name and a symbolic link's text */
	TAIL_XATTR,       /* an extended attribute's name */
	TAIL_XATTR_VALUE, /* and its value */
	TAIL_ANY,         /* bytes the handler looks at itself, or nobody does */
	TAIL_DATA,        /* file data: stays where it is */
};

#define OP_NO_REPLY BIT(0)
#define OP_ALWAYS   BIT(1) /* also before INIT */

struct fs_op {
	int (*fn)(struct fs_req *req);
	uint16_t fixed; /* bytes of the fixed arguments */
	uint16_t reply; /* bytes of room the fixed reply needs */
	uint8_t tail, flags;
};

#define ENTRY_OPEN (sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out))

static int op_ignore(struct fs_req *req)
{
	return 0;
}

/* FS_IOC_* would have to be let through one by one; lsattr and cp --reflink live with this answer.
 */
static int op_ioctl(struct fs_req *req)
{
	return -ENOTTY;
}

/* Opcodes without an entry get ENOSYS, which tells the guest not to ask again: ACCESS (the guest
 * kernel checks permissions), GETLK/SETLK/SETLKW (locks stay in the guest), BMAP, POLL,
 * SETUPMAPPING. */
static const struct fs_op ops[] = {
	[FUSE_LOOKUP] = {fs_op_lookup, 0, sizeof(struct fuse_entry_out), TAIL_NAME},
	[FUSE_FORGET] = {fs_op_forget, sizeof(struct fuse_forget_in), 0, TAIL_NONE, OP_NO_REPLY},
	[FUSE_GETATTR] = {fs_op_getattr, sizeof(struct fuse_getattr_in),
		sizeof(struct fuse_attr_out)},
	[FUSE_SETATTR] = {fs_op_setattr, sizeof(struct fuse_setattr_in),
		sizeof(struct fuse_attr_out)},
	[FUSE_READLINK] = {fs_op_readlink},
	[FUSE_SYMLINK] = {fs_op_symlink, 0, sizeof(struct fuse_entry_out), TAIL_NAME_TARGET},
	[FUSE_MKNOD] = {fs_op_mknod, sizeof(struct fuse_mknod_in), sizeof(struct fuse_entry_out),
		TAIL_NAME},
	[FUSE_MKDIR] = {fs_op_mkdir, sizeof(struct fuse_mkdir_in), sizeof(struct fuse_entry_out),
		TAIL_NAME},
	[FUSE_UNLINK] = {fs_op_unlink, 0, 0, TAIL_NAME},
	[FUSE_RMDIR] = {fs_op_rmdir, 0, 0, TAIL_NAME},
	[FUSE_RENAME] = {fs_op_rename, sizeof(struct fuse_rename_in), 0, TAIL_NAMES},
	[FUSE_LINK] = {fs_op_link, sizeof(struct fuse_link_in), sizeof(struct fuse_entry_out),
		TAIL_NAME},
	[FUSE_OPEN] = {fs_op_open, sizeof(struct fuse_open_in), sizeof(struct fuse_open_out)},
	[FUSE_READ] = {fs_op_read, sizeof(struct fuse_read_in)},
	[FUSE_WRITE] = {fs_op_write, sizeof(struct fuse_write_in), sizeof(struct fuse_write_out),
		TAIL_DATA},
	[FUSE_STATFS] = {fs_op_statfs, 0, sizeof(struct fuse_statfs_out)},
	[FUSE_RELEASE] = {fs_op_release, sizeof(struct fuse_release_in)},
	[FUSE_FSYNC] = {fs_op_fsync, sizeof(struct fuse_fsync_in)},
	[FUSE_SETXATTR] = {fs_op_setxattr, sizeof(struct fuse_setxattr_in), 0, TAIL_XATTR_VALUE},
	[FUSE_GETXATTR] = {fs_op_getxattr, sizeof(struct fuse_getxattr_in), 0, TAIL_XATTR},
	[FUSE_LISTXATTR] = {fs_op_listxattr, sizeof(struct fuse_getxattr_in)},
	[FUSE_REMOVEXATTR] = {fs_op_removexattr, 0, 0, TAIL_XATTR},
	[FUSE_FLUSH] = {fs_op_flush, sizeof(struct fuse_flush_in)},
	[FUSE_INIT] = {fs_op_init, offsetof(struct fuse_init_in, flags2),
		sizeof(struct fuse_init_out), TAIL_ANY, OP_ALWAYS},
	[FUSE_OPENDIR] = {fs_op_opendir, sizeof(struct fuse_open_in), sizeof(struct fuse_open_out)},
	[FUSE_READDIR] = {fs_op_readdir, sizeof(struct fuse_read_in)},
	[FUSE_RELEASEDIR] = {fs_op_releasedir, sizeof(struct fuse_release_in)},
	[FUSE_FSYNCDIR] = {fs_op_fsyncdir, sizeof(struct fuse_fsync_in)},
	[FUSE_CREATE] = {fs_op_create, sizeof(struct fuse_create_in), ENTRY_OPEN, TAIL_NAME},
	/* requests are never interrupted here: they end by themselves */
	[FUSE_INTERRUPT] = {op_ignore, sizeof(struct fuse_interrupt_in), 0, TAIL_NONE,
		OP_NO_REPLY | OP_ALWAYS},
	[FUSE_DESTROY] = {fs_op_destroy, 0, 0, TAIL_NONE, OP_ALWAYS},
	[FUSE_IOCTL] = {op_ioctl, sizeof(struct fuse_ioctl_in), 0, TAIL_ANY},
	[FUSE_BATCH_FORGET] = {fs_op_batch_forget, sizeof(struct fuse_batch_forget_in), 0, TAIL_ANY,
		OP_NO_REPLY},
	[FUSE_FALLOCATE] = {fs_op_fallocate, sizeof(struct fuse_fallocate_in)},
	[FUSE_READDIRPLUS] = {fs_op_readdirplus, sizeof(struct fuse_read_in)},
	[FUSE_RENAME2] = {fs_op_rename2, sizeof(struct fuse_rename2_in), 0, TAIL_NAMES},
	[FUSE_LSEEK] = {fs_op_lseek, sizeof(struct fuse_lseek_in), sizeof(struct fuse_lseek_out)},
	[FUSE_COPY_FILE_RANGE] = {fs_op_copy_file_range, sizeof(struct fuse_copy_file_range_in),
		sizeof(struct fuse_write_out)},
	[FUSE_SYNCFS] = {fs_op_syncfs, sizeof(struct fuse_syncfs_in)},
	/* its name is whatever the guest's dentry is called: "/" */
	[FUSE_TMPFILE] = {fs_op_tmpfile, sizeof(struct fuse_create_in), ENTRY_OPEN, TAIL_ANY},
	[FUSE_STATX_OPCODE] = {fs_op_statx, sizeof(struct fs_statx_in),
		sizeof(struct fs_statx_out)},
};

int fs_server_init(struct fs_server *fs, int root_fd, struct err *err)
{
	uint32_t nofile = UINT32_MAX, handles, cap;
	struct rlimit rl;
	int r;

	memset(fs, 0, sizeof(*fs));
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < nofile)
		nofile = (uint32_t)rl.rlim_cur;
	handles = MIN(nofile / 4, 2 * FS_HANDLES_MAX);
	cap = nofile - MIN(nofile / 4, FS_FD_RESERVE) - handles;
	r = fs_nodes_init(&fs->nodes, MIN(cap / 2, FS_NODE_FDS), cap);
	if (r == 0)
		r = fs_handles_init(&fs->handles, handles);
	if (r < 0) {
		fs_server_release(fs);
		return err_set(err, -r, "cannot allocate the file server's tables");
	}
	r = root_fd < 0 ? 0 : fs_server_open(fs, root_fd, err);
	if (r < 0)
		fs_server_release(fs);
	return r;
}

int fs_server_open(struct fs_server *fs, int root_fd, struct err *err)
{
	int r = fs_nodes_set_root(&fs->nodes, root_fd);

	return r < 0 ? err_set(err, -r, "cannot use the root of the share") : 0;
}

void fs_server_close(struct fs_server *fs)
{
	fs_server_reset(fs);
	fs_nodes_close(&fs->nodes);
}

void fs_server_release(struct fs_server *fs)
{
	fs_handles_release(&fs->handles, &fs->nodes);
	fs_nodes_release(&fs->nodes);
	memset(fs, 0, sizeof(*fs));
}

void fs_server_reset(struct fs_server *fs)
{
	fs->session = 0;
	fs->ended = false;
	fs_handles_clear(&fs->handles, &fs->nodes);
	fs_nodes_clear(&fs->nodes);
}

int fs_reply(struct fs_req *req, const void *data, uint32_t len)
{
	if (len > req->room)
		return -ERANGE;
	if (len && !chain_write(req->chain, sizeof(struct fuse_out_header), data, len))
		return -ERANGE;
	return (int)len;
}

/* The string at *pos of the arguments, at most max bytes long. NULL when none ends there. */
static const char *take_string(struct fs_req *req, uint32_t *pos, uint32_t max, size_t *ret_len)
{
	const char *s = (const char *)req->arg + *pos;
	size_t left = req->arg_bytes - *pos;
	const char *nul = memchr(s, '\0', left);

	if (!nul || (size_t)(nul - s) > max)
		return NULL;
	*ret_len = (size_t)(nul - s);
	*pos += (uint32_t)*ret_len + 1;
	return s;
}

static int take_name(struct fs_req *req, uint32_t *pos, const char **ret_name)
{
	size_t len;

	*ret_name = take_string(req, pos, FS_ARG_MAX, &len);
	return *ret_name ? fs_name_check(*ret_name, len) : -EINVAL;
}

static int parse_tail(struct fs_req *req, const struct fs_op *op, uint32_t fixed)
{
	uint32_t pos = fixed;
	size_t len;
	int r = 0;

	switch ((enum fs_tail)op->tail) {
	case TAIL_NAME:
	case TAIL_NAMES:
	case TAIL_NAME_TARGET: r = take_name(req, &pos, &req->name); break;
	case TAIL_XATTR:
	case TAIL_XATTR_VALUE:
		req->name = take_string(req, &pos, XATTR_NAME_MAX, &len);
		r = !req->name ? -ERANGE : len == 0 ? -EINVAL : 0;
		break;
	case TAIL_NONE:
	case TAIL_ANY:
	case TAIL_DATA: break;
	}
	if (r == 0 && op->tail == TAIL_NAMES)
		r = take_name(req, &pos, &req->name2);
	if (r == 0 && op->tail == TAIL_NAME_TARGET) {
		req->name2 = take_string(req, &pos, PATH_MAX - 1, &len);
		if (!req->name2)
			r = req->arg_bytes - pos >= PATH_MAX ? -ENAMETOOLONG : -EINVAL;
		else if (len == 0)
			r = -ENOENT; /* as symlink(2) */
	}
	req->rest = (const uint8_t *)req->arg + pos;
	req->rest_bytes = req->arg_bytes - pos;
	if (r == 0 && req->rest_bytes && op->tail <= TAIL_XATTR)
		r = -EINVAL; /* more than the operation has */
	return r;
}

/* Checks the sizes and copies the arguments. */
static int prepare(struct fs_req *req, const struct fs_op *op)
{
	uint32_t fixed = op->fixed, copy;

	if (req->in.opcode == FUSE_SETXATTR && !(req->session & FS_SESSION_SETXATTR_EXT))
		fixed = FUSE_COMPAT_SETXATTR_IN_SIZE;
	if (req->in.len != req->chain->out_bytes || req->in.total_extlen)
		return -EINVAL;
	if (!(op->flags & OP_ALWAYS) && !(req->session & FS_SESSION_RUNNING))
		return -EIO;
	req->arg_bytes = req->in.len - (uint32_t)sizeof(req->in);
	if (req->arg_bytes < fixed || req->room < op->reply)
		return -EINVAL;
	copy = op->tail == TAIL_DATA ? fixed : req->arg_bytes;
	if (copy > FS_ARG_MAX)
		return op->tail == TAIL_NONE ? -EINVAL : -ENAMETOOLONG;
	if (copy && !chain_read(req->chain, sizeof(req->in), req->t->arg, copy))
		return -EINVAL;
	req->arg = req->t->arg;
	return parse_tail(req, op, fixed);
}

int fs_serve(struct fs_thread *t, const struct virtq_chain *chain, uint32_t *ret_written)
{
	struct fs_req req = {.t = t, .fs = t->fs, .chain = chain, .session = t->fs->session};
	const struct fs_op *op = NULL;
	struct fuse_out_header out = {0};
	int r = -ENOSYS;

	*ret_written = 0;
	if (!chain_read(chain, 0, &req.in, sizeof(req.in)))
		return -VFAULT_REQUEST;
	if (req.in.opcode < ARRAY_SIZE(ops) && ops[req.in.opcode].fn)
		op = &ops[req.in.opcode];
	if (chain->in_bytes >= sizeof(out))
		req.room = chain->in_bytes - (uint32_t)sizeof(out);
	else if (!op || !(op->flags & OP_NO_REPLY))
		return -VFAULT_REQUEST;
	if (op)
		r = prepare(&req, op);
	if (op && r == 0)
		r = op->fn(&req);
	if (op && op->flags & OP_NO_REPLY)
		return 0;
	out.error = r < 0 ? r : 0;
	out.len = (uint32_t)sizeof(out) + (r > 0 ? (uint32_t)r : 0);
	out.unique = req.in.unique;
	if (!chain_write(chain, 0, &out, sizeof(out)))
		return -VFAULT_REQUEST;
	*ret_written = out.len;
	return 0;
}
