/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes that are found again by name: where the file system has no file handles to open. The path
 * is put together from the names of the directories in which the guest looked the file up, up to
 * the first one that is open, and resolved below that one like any name of the guest's: through no
 * link, no "..". Whatever it leads to, what is inside the share stays inside; that it is the same
 * file is checked for the guest's sake.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/base.h"
#include "vmm/virtio/fs/name.h"
#include "vmm/virtio/fs/node_fd.h"

/* Locked. Writes n's path below *ret_base to the end of buf (PATH_MAX bytes). NULL when it cannot
 * be known: a directory that the guest has forgotten, or a path too long. Names in a circle, which
 * renames on the host can leave behind, are too long as well. */
static const char *path_of(
	struct fs_nodes *t, const struct fs_node *n, char *buf, struct fs_node **ret_base)
{
	char *p = buf + PATH_MAX - 1;
	struct fs_node *dir;

	*p = '\0';
	for (;;) {
		size_t len = n->ref_bytes;

		if (len + 1 > (size_t)(p - buf))
			return NULL;
		p -= len;
		memcpy(p, n->at.name, len);
		dir = fs_node_find_id(t, n->at.parent);
		if (!dir)
			return NULL;
		if (dir->fd >= 0 || dir->ref == FS_REF_HANDLE)
			break;
		if (dir->ref != FS_REF_NAME)
			return NULL;
		*--p = '/';
		n = dir;
	}
	*ret_base = dir;
	return p;
}

/* The error of an open by name that means that the file is no longer there. */
static int stale(int r)
{
	switch (r) {
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -EXDEV: return -ESTALE;
	default: return r;
	}
}

static int open_checked(const struct fs_node *n, int base_fd, const char *path)
{
	int fd = fs_name_open(base_fd, path), r;
	struct statx stx;

	if (fd < 0)
		return stale(fd);
	r = fs_statx(fd, &stx);
	/* mnt, dev, ino and type of a node never change */
	if (r == 0 && stx.stx_mnt_id == n->mnt && stx.stx_ino == n->ino &&
		makedev(stx.stx_dev_major, stx.stx_dev_minor) == n->dev &&
		(stx.stx_mode & S_IFMT) == n->type)
		return fd;
	close(fd);
	return r < 0 ? r : -ESTALE;
}

/* Device and inode number are equal: the table's key. An inode number can be used again: at the same
 * place, it is taken for the same file, which to the guest has been written anew; elsewhere it has
 * to have been born at the same time. (Not in the first case: copy-up gives a file of an overlay
 * another time.) */
bool fs_node_is_named(
	const struct fs_node *n, const struct statx *stx, const struct fs_place *place)
{
	size_t len = strlen(place->name);

	if ((stx->stx_mode & S_IFMT) != n->type)
		return false;
	if (place->parent == n->at.parent && len == n->ref_bytes &&
		!memcmp(place->name, n->at.name, len))
		return true;
	return stx->stx_btime.tv_sec == n->at.btime_sec &&
	       stx->stx_btime.tv_nsec == n->at.btime_nsec;
}

int fs_node_open_name(struct fs_nodes *t, struct fs_node *n)
{
	struct fs_node *base = NULL;
	const char *path = NULL;
	char buf[PATH_MAX];
	bool closed = false;
	int r = 0;

	pthread_rwlock_rdlock(&t->moving);
	pthread_mutex_lock(&t->lock);
	if (n->ref == FS_REF_NAME)
		path = path_of(t, n, buf, &base);
	if (path) {
		base->pins++;
		closed = base->fd < 0;
	}
	pthread_mutex_unlock(&t->lock);
	if (!path)
		r = -ESTALE;
	else if (closed)
		r = fs_node_reopen(t, base); /* by handle: goes no deeper */
	if (r == 0)
		r = open_checked(n, base->fd, path);
	pthread_rwlock_unlock(&t->moving);
	fs_node_put(t, base);
	return r;
}
