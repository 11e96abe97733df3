/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/fs/node_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"

#define TRIM_STEPS 4096 /* slots one trim looks at: bounds a lookup's latency */
#define TRIM_RETRY 512  /* descriptors until the next try, after one that closed none */
#define TRIM_SPARE 32   /* closes this many more than it must, so that not every lookup trims */

struct handle_buf {
	struct file_handle h; /* its flexible array is the next member's storage */
	uint8_t bytes[FS_HANDLE_MAX];
};

static int handle_of(int fd, struct handle_buf *b)
{
	int mount_id;

	memset(b, 0, sizeof(*b));
	b->h.handle_bytes = FS_HANDLE_MAX;
	if (name_to_handle_at(fd, "", &b->h, &mount_id, AT_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

bool fs_node_is_file(const struct fs_node *n, int fd)
{
	struct handle_buf b;

	return handle_of(fd, &b) == 0 && b.h.handle_type == n->fh_type &&
	       b.h.handle_bytes == n->fh_bytes && !memcmp(b.bytes, n->fh, n->fh_bytes);
}

/* Locked. */
static struct fs_mount *find_mount(struct fs_nodes *t, uint64_t mnt)
{
	for (uint32_t i = 0; i < t->n_mounts; i++) {
		if (t->mount[i].mnt == mnt)
			return &t->mount[i];
	}
	return NULL;
}

int fs_node_reopen(struct fs_nodes *t, struct fs_node *n)
{
	struct handle_buf b = {0};
	struct fs_mount *m;
	int fd, mount_fd;

	pthread_mutex_lock(&t->lock);
	m = find_mount(t, n->mnt);
	mount_fd = m ? m->fd : -1;
	b.h.handle_bytes = n->fh_bytes;
	b.h.handle_type = n->fh_type;
	memcpy(b.bytes, n->fh, n->fh_bytes);
	pthread_mutex_unlock(&t->lock);

	fd = open_by_handle_at(mount_fd, &b.h, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		fs_nodes_trim(t, t->fd_limit / 2);
		fd = open_by_handle_at(mount_fd, &b.h, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0)
		return errno == EMFILE ? -ENFILE : -errno;

	pthread_mutex_lock(&t->lock);
	if (n->fd < 0) {
		n->fd = fd;
		fd = -1;
		t->open_fds++;
	}
	pthread_mutex_unlock(&t->lock);
	if (fd >= 0)
		close(fd); /* another thread was faster */
	return 0;
}

/* Opens the descriptor that open_by_handle_at() wants (it refuses O_PATH ones) and tries whether
 * handles of this mount can be opened at all: overlayfs has none, and without CAP_DAC_READ_SEARCH
 * nothing has. Only a directory is opened for it: the one kind whose open never waits and never has
 * an effect. */
static int mount_try(const struct fs_node *dir)
{
	struct handle_buf b;
	int fd, probe;

	fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	probe = handle_of(dir->fd, &b) == 0 ? open_by_handle_at(fd, &b.h, O_PATH | O_CLOEXEC) : -1;
	if (probe < 0) {
		close(fd);
		return -1;
	}
	close(probe);
	return fd;
}

/* 0 when n's mount can open handles, -EAGAIN while that is not known, -EOPNOTSUPP when it cannot.
 */
static int mount_ready(struct fs_nodes *t, const struct fs_node *n)
{
	struct fs_mount *m;
	int fd, r = -EAGAIN;

	pthread_mutex_lock(&t->lock);
	m = find_mount(t, n->mnt);
	if (!m || m->no_handles)
		r = -EOPNOTSUPP;
	else if (m->fd >= 0)
		r = 0;
	pthread_mutex_unlock(&t->lock);
	if (r != -EAGAIN || n->type != S_IFDIR)
		return r;
	fd = mount_try(n);
	pthread_mutex_lock(&t->lock);
	if (fd < 0) {
		m->no_handles = true;
		r = -EOPNOTSUPP;
	} else {
		if (m->fd < 0) {
			m->fd = fd;
			fd = -1;
		}
		r = 0;
	}
	pthread_mutex_unlock(&t->lock);
	if (fd >= 0)
		close(fd);
	return r;
}

/* Locked. The next idle node whose descriptor may go, pinned; NULL when `steps` slots show none. */
static struct fs_node *next_idle(struct fs_nodes *t, uint32_t *steps)
{
	for (; *steps > 0; --*steps) {
		struct fs_node *n;

		if (t->hand >= t->used)
			t->hand = FS_NODE_ROOT + 1;
		if (t->hand >= t->used)
			return NULL;
		n = &t->slot[t->hand++];
		if (!n->live || n->fd < 0 || n->pins || n->no_handle)
			continue;
		if (n->recent) {
			n->recent = false;
			continue;
		}
		n->pins++;
		return n;
	}
	return NULL;
}

/* Closes the descriptor of a node that only the caller has pinned. */
static bool close_idle(struct fs_nodes *t, struct fs_node *n)
{
	struct handle_buf b;
	int fd = -1, r = mount_ready(t, n);

	if (r == 0)
		r = handle_of(n->fd, &b);
	pthread_mutex_lock(&t->lock);
	if (r == 0 && n->pins == 1) {
		n->fh_type = b.h.handle_type;
		n->fh_bytes = (uint8_t)b.h.handle_bytes;
		memcpy(n->fh, b.bytes, n->fh_bytes);
		fd = n->fd;
		n->fd = -1;
		t->open_fds--;
	}
	n->no_handle = r < 0 && r != -EAGAIN;
	pthread_mutex_unlock(&t->lock);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

uint32_t fs_nodes_trim(struct fs_nodes *t, uint32_t keep)
{
	uint32_t steps = TRIM_STEPS, closed = 0;

	keep -= MIN(keep, TRIM_SPARE);
	for (;;) {
		struct fs_node *n = NULL;

		pthread_mutex_lock(&t->lock);
		if (t->open_fds > keep)
			n = next_idle(t, &steps);
		if (!n)
			t->trim_above = closed ? 0 : t->open_fds + TRIM_RETRY;
		pthread_mutex_unlock(&t->lock);
		if (!n)
			return closed;
		closed += close_idle(t, n);
		fs_node_put(t, n);
	}
}
