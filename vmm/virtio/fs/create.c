/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New files: MKNOD, MKDIR, SYMLINK, CREATE, TMPFILE.
 *
 * The worker creates as itself (root, with its few capabilities) and then gives the file to the
 * guest's uid and gid. Taking on the guest's identity for the call instead (setfsuid) would lose
 * CAP_DAC_OVERRIDE or need CAP_SETUID, and the guest's supplementary groups are not known here, so
 * the host would refuse what the guest kernel has allowed. The umask is set in the thread, so that
 * the host applies it only where the directory has no default ACL. Set-id directories pass on their
 * group and bit as always; the kernel clears suid and sgid bits when the owner changes, so they are
 * set after that.
 *
 * Nothing but what this request has created may change its owner. For regular files the descriptor
 * proves it (O_EXCL, or O_TMPFILE); for the others, opened by name after the fact, their birth time
 * does: a process on the host that swaps the name for some other file of root's cannot make one
 * younger.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "vmm/virtio/fs/request.h"

#define SUIDGID (S_ISUID | S_ISGID)

/* True when the new file has the owner it should have: nothing to change. */
static bool is_guests(const struct fs_req *req, const struct statx *stx, uint32_t dir_mode)
{
	return stx->stx_uid == req->in.uid && (stx->stx_gid == req->in.gid || dir_mode & S_ISGID);
}

/* Gives the new file `fd` (any descriptor) to the requester. dir_mode is its directory's. mode: as
 * asked for, for the bits that chown takes away. */
static int give_to_guest(
	struct fs_req *req, int fd, const struct statx *stx, uint32_t dir_mode, uint32_t mode)
{
	uid_t uid = req->in.uid == stx->stx_uid ? (uid_t)-1 : req->in.uid;
	gid_t gid = req->in.gid == stx->stx_gid || dir_mode & S_ISGID ? (gid_t)-1 : req->in.gid;
	char name[16];

	if (is_guests(req, stx, dir_mode))
		return 0;
	if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISREG(stx->stx_mode) || !(mode & SUIDGID))
		return 0;
	fs_fd_name(fd, name);
	if (fchmodat(req->t->proc_fd, name, (stx->stx_mode & 07777) | (mode & SUIDGID), 0) < 0)
		return -errno;
	return 0;
}

static int dir_mode_of(const struct fs_node *dir, uint32_t *ret_mode)
{
	struct statx stx;
	int r = fs_statx(dir->fd, &stx);

	*ret_mode = r < 0 ? 0 : stx.stx_mode;
	return r;
}

/* File systems whose birth times are by this machine's clock. */
static bool own_clock(int fd)
{
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return false;
	switch ((uint32_t)st.f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case F2FS_SUPER_MAGIC:
	case TMPFS_MAGIC:
	case OVERLAYFS_SUPER_MAGIC: return true;
	default: return false;
	}
}

/* Ours is root's, just born, and has no other name. Where birth times say nothing (network file
 * systems: the server's clock), what remains is that nobody can have linked somebody's file here.
 */
static bool is_ours(
	const struct fs_req *req, int fd, const struct statx *stx, const struct timespec *t0)
{
	const struct statx_timestamp *b = &stx->stx_btime;

	if (stx->stx_uid != req->t->uid || (!S_ISDIR(stx->stx_mode) && stx->stx_nlink != 1))
		return false;
	if (!(stx->stx_mask & STATX_BTIME) || !own_clock(fd))
		return true;
	return b->tv_sec > t0->tv_sec || (b->tv_sec == t0->tv_sec && b->tv_nsec >= t0->tv_nsec);
}

/* What mknodat(), mkdirat() or symlinkat() has just made in dir: owner, node, reply. */
static int adopt(struct fs_req *req, struct fs_node *dir, uint32_t type, const struct timespec *t0)
{
	struct fs_server *fs = req->fs;
	struct fuse_entry_out entry;
	struct fs_node *n = NULL;
	struct statx stx;
	uint32_t dir_mode;
	int fd, r;

	fd = fs_name_open(dir->fd, req->name);
	if (fd < 0)
		return fd == -EMFILE ? -ENFILE : fd;
	r = fs_statx(fd, &stx);
	if (r == 0)
		r = dir_mode_of(dir, &dir_mode);
	if (r == 0 && ((stx.stx_mode & S_IFMT) != type ||
			      (!is_guests(req, &stx, dir_mode) && !is_ours(req, fd, &stx, t0))))
		r = -ESTALE; /* swapped for something else: not ours to give away */
	if (r == 0)
		r = give_to_guest(req, fd, &stx, dir_mode, 0);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = fs_lookup_fd_take(fs, dir, req->name, fd, &n, &entry);
	fs_node_put(&fs->nodes, n);
	return r < 0 ? r : fs_reply(req, &entry, sizeof(entry));
}

int fs_op_symlink(struct fs_req *req)
{
	struct fs_node *dir;
	struct timespec t0;
	int r;

	r = fs_node_get(&req->fs->nodes, req->in.nodeid, &dir);
	if (r < 0)
		return r;
	clock_gettime(CLOCK_REALTIME_COARSE, &t0);
	r = symlinkat(req->name2, dir->fd, req->name) < 0 ? -errno : 0;
	if (r == 0)
		r = adopt(req, dir, S_IFLNK, &t0);
	fs_node_put(&req->fs->nodes, dir);
	return r;
}

int fs_op_mkdir(struct fs_req *req)
{
	const struct fuse_mkdir_in *in = req->arg;
	struct fs_node *dir;
	struct timespec t0;
	int r;

	r = fs_node_get(&req->fs->nodes, req->in.nodeid, &dir);
	if (r < 0)
		return r;
	fs_set_umask(req->t, in->umask);
	clock_gettime(CLOCK_REALTIME_COARSE, &t0);
	r = mkdirat(dir->fd, req->name, in->mode & 01777) < 0 ? -errno : 0;
	if (r == 0)
		r = adopt(req, dir, S_IFDIR, &t0);
	fs_node_put(&req->fs->nodes, dir);
	return r;
}

/* A regular file, new or -EEXIST, owned by the requester; fd or -errno. */
static int create_file(
	struct fs_req *req, struct fs_node *dir, int flags, uint32_t mode, uint32_t umask)
{
	struct open_how how = {
		.flags = (uint64_t)(flags & ~O_TRUNC) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC |
			 O_NOCTTY,
		.mode = mode & 07777,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	struct statx stx;
	uint32_t dir_mode;
	int fd, r;

	fs_set_umask(req->t, umask);
	fd = (int)syscall(SYS_openat2, dir->fd, req->name, &how, sizeof(how));
	if (fd < 0)
		return errno == EMFILE ? -ENFILE : -errno;
	r = fs_statx(fd, &stx);
	if (r == 0)
		r = dir_mode_of(dir, &dir_mode);
	if (r == 0)
		r = give_to_guest(req, fd, &stx, dir_mode, mode);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* The node and the handle of a file that `fd` has open (consumed): the reply of CREATE and TMPFILE.
 */
static int reply_open_take(
	struct fs_req *req, struct fs_node *dir, const char *name, int fd, uint32_t flags)
{
	struct fs_server *fs = req->fs;
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;
	struct fs_node *n = NULL;
	int path_fd, r;

	path_fd = fs_open_again(req->t, fd, O_PATH);
	if (path_fd < 0) {
		close(fd);
		return path_fd == -EMFILE ? -ENFILE : path_fd;
	}
	r = fs_lookup_fd_take(fs, dir, name, path_fd, &n, &out.entry);
	if (r < 0) {
		close(fd);
		return r;
	}
	r = fs_open_file_take(req, n, fd, flags, &out.open);
	if (r < 0)
		fs_node_forget(&fs->nodes, out.entry.nodeid, 1); /* the guest never learns of it */
	fs_node_put(&fs->nodes, n);
	return r < 0 ? r : fs_reply(req, &out, sizeof(out));
}

/* A new file, or the one that has appeared since the guest looked, unless it asked for O_EXCL. */
int fs_op_create(struct fs_req *req)
{
	const struct fuse_create_in *in = req->arg;
	int r, fd, path_fd, flags = fs_open_flags(in->flags);
	struct fs_node *dir;
	struct statx stx;

	if (flags < 0)
		return flags;
	r = fs_node_get(&req->fs->nodes, req->in.nodeid, &dir);
	if (r < 0)
		return r;
	fd = create_file(req, dir, flags, in->mode, in->umask);
	if (fd == -EEXIST && !(in->flags & O_EXCL)) {
		path_fd = fs_name_open(dir->fd, req->name);
		r = path_fd < 0 ? path_fd : fs_statx(path_fd, &stx);
		if (r == 0 && !S_ISREG(stx.stx_mode))
			r = -ESTALE; /* the guest looks the name up again */
		fd = r < 0 ? r : fs_open_again(req->t, path_fd, flags);
		if (path_fd >= 0)
			close(path_fd);
	}
	r = fd < 0 ? fd : reply_open_take(req, dir, req->name, fd, in->flags);
	fs_node_put(&req->fs->nodes, dir);
	return r;
}

int fs_op_tmpfile(struct fs_req *req)
{
	const struct fuse_create_in *in = req->arg;
	int r, fd, flags = fs_open_flags(in->flags);
	struct fs_node *dir;
	struct statx stx;
	uint32_t dir_mode;

	if (flags < 0)
		return flags;
	r = fs_node_get(&req->fs->nodes, req->in.nodeid, &dir);
	if (r < 0)
		return r;
	fs_set_umask(req->t, in->umask);
	flags = (flags & ~O_TRUNC) | O_TMPFILE | O_CLOEXEC | ((int)in->flags & O_EXCL);
	fd = openat(dir->fd, ".", flags, in->mode & 07777);
	r = fd < 0 ? (errno == EMFILE ? -ENFILE : -errno) : fs_statx(fd, &stx);
	if (r == 0)
		r = dir_mode_of(dir, &dir_mode);
	if (r == 0)
		r = give_to_guest(req, fd, &stx, dir_mode, in->mode);
	if (r == 0)
		r = reply_open_take(req, dir, "", fd, in->flags);
	else if (fd >= 0)
		close(fd);
	fs_node_put(&req->fs->nodes, dir);
	return r;
}

static int make_node(struct fs_req *req, struct fs_node *dir, const struct fuse_mknod_in *in)
{
	/* the kernel's 32-bit encoding */
	dev_t dev =
		makedev((in->rdev & 0xfff00) >> 8, (in->rdev & 0xff) | (in->rdev >> 12 & 0xfff00));
	struct timespec t0;

	fs_set_umask(req->t, in->umask);
	clock_gettime(CLOCK_REALTIME_COARSE, &t0);
	if (mknodat(dir->fd, req->name, in->mode & (S_IFMT | 0777), dev) < 0)
		return -errno;
	return adopt(req, dir, in->mode & S_IFMT, &t0);
}

static int make_regular(struct fs_req *req, struct fs_node *dir, const struct fuse_mknod_in *in)
{
	struct fs_server *fs = req->fs;
	struct fuse_entry_out entry;
	struct fs_node *n = NULL;
	int fd, path_fd, r;

	fd = create_file(req, dir, O_WRONLY, in->mode, in->umask);
	if (fd < 0)
		return fd;
	path_fd = fs_open_again(req->t, fd, O_PATH);
	close(fd);
	if (path_fd < 0)
		return path_fd == -EMFILE ? -ENFILE : path_fd;
	r = fs_lookup_fd_take(fs, dir, req->name, path_fd, &n, &entry);
	fs_node_put(&fs->nodes, n);
	return r < 0 ? r : fs_reply(req, &entry, sizeof(entry));
}

/* Device nodes are made as asked: package managers and overlay whiteouts need them. Here they are
 * inert (the share's mounts are nodev, and this server opens regular files only). */
int fs_op_mknod(struct fs_req *req)
{
	const struct fuse_mknod_in *in = req->arg;
	struct fs_node *dir;
	int r;

	r = fs_node_get(&req->fs->nodes, req->in.nodeid, &dir);
	if (r < 0)
		return r;
	switch (in->mode & S_IFMT) {
	case 0:
	case S_IFREG: r = make_regular(req, dir, in); break;
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK: r = make_node(req, dir, in); break;
	default: r = -EINVAL;
	}
	fs_node_put(&req->fs->nodes, dir);
	return r;
}
