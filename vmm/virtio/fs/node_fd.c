/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/fs/node_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/base.h"

#define TRIM_STEPS 4096 /* nodes one trim looks at: bounds a lookup's latency */
#define TRIM_RETRY 512  /* more descriptors until the next try, after one that closed too few */
#define TRIM_SPARE 32   /* closes this many more than it must, so that not every lookup trims */
#define CAP_SPARE  64   /* below fd_cap: room for the threads that are between check and use */

/* Locked: the list of nodes with a descriptor. The root is always in it. */
static void list_add(struct fs_nodes *t, struct fs_node *n)
{
	uint32_t i = (uint32_t)(n - t->slot);

	n->older = t->newest;
	n->newer = 0;
	if (t->newest)
		t->slot[t->newest].newer = i;
	else
		t->oldest = i;
	t->newest = i;
}

static void list_del(struct fs_nodes *t, struct fs_node *n)
{
	if (n->newer)
		t->slot[n->newer].older = n->older;
	else
		t->newest = n->older;
	if (n->older)
		t->slot[n->older].newer = n->newer;
	else
		t->oldest = n->newer;
}

void fs_node_opened(struct fs_nodes *t, struct fs_node *n, int fd)
{
	n->fd = fd;
	t->open_fds++;
	list_add(t, n);
}

int fs_node_closed(struct fs_nodes *t, struct fs_node *n)
{
	int fd = n->fd;

	if (fd < 0)
		return -1;
	list_del(t, n);
	n->fd = -1;
	t->open_fds--;
	if (t->open_fds < t->fd_limit)
		t->trim_above = 0;
	return fd;
}

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

bool fs_node_is_file(
	const struct fs_node *n, int fd, const struct statx *stx, const struct fs_place *place)
{
	struct handle_buf b;

	if (n->ref == FS_REF_NAME)
		return fs_node_is_named(n, stx, place);
	return handle_of(fd, &b) == 0 && b.h.handle_type == n->fh.type &&
	       b.h.handle_bytes == n->ref_bytes && !memcmp(b.bytes, n->fh.bytes, n->ref_bytes);
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

int fs_node_open_handle(struct fs_nodes *t, struct fs_node *n)
{
	struct handle_buf b = {0};
	struct fs_mount *m;
	int fd, mount_fd;

	pthread_mutex_lock(&t->lock);
	m = find_mount(t, n->mnt);
	mount_fd = m ? m->fd : -1;
	b.h.handle_bytes = n->ref_bytes;
	b.h.handle_type = n->fh.type;
	memcpy(b.bytes, n->fh.bytes, n->ref_bytes);
	pthread_mutex_unlock(&t->lock);

	fd = open_by_handle_at(mount_fd, &b.h, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_again(struct fs_nodes *t, struct fs_node *n, enum fs_ref ref)
{
	return ref == FS_REF_HANDLE ? fs_node_open_handle(t, n) : fs_node_open_name(t, n);
}

int fs_node_reopen(struct fs_nodes *t, struct fs_node *n)
{
	enum fs_ref ref;
	bool open, full;
	int fd;

	fs_nodes_make_room(t);
	pthread_mutex_lock(&t->lock);
	open = n->fd >= 0;
	full = t->open_fds >= t->fd_cap;
	ref = n->ref; /* does not change while there is no descriptor */
	pthread_mutex_unlock(&t->lock);
	if (open || full)
		return open ? 0 : -ENFILE;

	fd = open_again(t, n, ref);
	if (fd == -EMFILE || fd == -ENFILE) {
		fs_nodes_trim(t, t->fd_limit / 2, true);
		fd = open_again(t, n, ref);
	}
	if (fd < 0)
		return fd == -EMFILE ? -ENFILE : fd;

	pthread_mutex_lock(&t->lock);
	if (n->fd < 0) {
		fs_node_opened(t, n, fd);
		fd = -1;
	}
	pthread_mutex_unlock(&t->lock);
	if (fd >= 0)
		close(fd); /* another thread was faster */
	fs_nodes_keep_limit(t);
	return 0;
}

/* Opens the descriptor that open_by_handle_at() wants (it refuses O_PATH ones) and tries whether
 * handles of this mount can be opened at all: overlayfs has none, and without CAP_DAC_READ_SEARCH
 * nothing has. Those of a FUSE file system mostly open only as long as its inode is cached. Only a directory is opened for it: the one kind whose open never waits and never has
 * an effect. */
static int mount_try(const struct fs_node *dir)
{
	struct handle_buf b;
	struct statfs st;
	int fd, probe;

	if (fstatfs(dir->fd, &st) < 0 || st.f_type == FUSE_SUPER_MAGIC)
		return -1;
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

bool fs_node_goes_by_name(struct fs_nodes *t, const struct fs_node *dir)
{
	return mount_ready(t, dir) == -EOPNOTSUPP;
}

/* Locked. Whether a node without a handle can be found again by name; node.h says what cannot. */
static bool may_go_by_name(struct fs_nodes *t, const struct fs_node *n, bool dirs)
{
	if (n->ref != FS_REF_NAME || !fs_node_find_id(t, n->at.parent))
		return false;
	return n->type == S_IFREG || n->type == S_IFLNK || (n->type == S_IFDIR && dirs);
}

/* Locked. The oldest idle node whose descriptor may go, pinned; NULL when `steps` nodes show none. */
static struct fs_node *next_idle(struct fs_nodes *t, uint32_t *steps, bool dirs)
{
	for (; *steps > 0; --*steps) {
		struct fs_node *n = &t->slot[t->oldest];

		list_del(t, n);
		list_add(t, n);
		if (n->pins || (n->no_handle && !may_go_by_name(t, n, dirs)))
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
static bool close_idle(struct fs_nodes *t, struct fs_node *n, bool dirs)
{
	struct handle_buf b;
	int fd = -1, r = n->no_handle ? -EOPNOTSUPP : mount_ready(t, n);

	if (r == 0)
		r = handle_of(n->fd, &b);
	pthread_mutex_lock(&t->lock);
	n->no_handle = r < 0 && r != -EAGAIN;
	if (n->pins == 1 && (r == 0 || (n->no_handle && may_go_by_name(t, n, dirs)))) {
		fd = fs_node_closed(t, n);
	}
	if (fd >= 0 && r == 0) {
		n->ref = FS_REF_HANDLE;
		n->ref_bytes = (uint8_t)b.h.handle_bytes;
		n->fh.type = b.h.handle_type;
		memcpy(n->fh.bytes, b.bytes, n->ref_bytes);
	}
	pthread_mutex_unlock(&t->lock);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

uint32_t fs_nodes_trim(struct fs_nodes *t, uint32_t keep, bool dirs)
{
	uint32_t steps, closed = 0;

	keep -= MIN(keep / 2, TRIM_SPARE);
	pthread_mutex_lock(&t->lock);
	steps = MIN(TRIM_STEPS, 2 * t->open_fds); /* the second time round, none is recent */
	pthread_mutex_unlock(&t->lock);
	for (;;) {
		struct fs_node *n = NULL;

		pthread_mutex_lock(&t->lock);
		if (t->open_fds > keep) {
			n = next_idle(t, &steps, dirs);
			if (!n)
				t->trim_above = t->open_fds + MIN(TRIM_RETRY, t->fd_limit / 4);
		} else {
			t->trim_above = 0;
		}
		pthread_mutex_unlock(&t->lock);
		if (!n)
			return closed;
		closed += close_idle(t, n, dirs);
		fs_node_put(t, n);
	}
}

void fs_nodes_keep_limit(struct fs_nodes *t)
{
	bool over;

	pthread_mutex_lock(&t->lock);
	over = t->open_fds > MAX(t->fd_limit, t->trim_above);
	pthread_mutex_unlock(&t->lock);
	if (over)
		fs_nodes_trim(t, t->fd_limit, false);
}

void fs_nodes_make_room(struct fs_nodes *t)
{
	bool full;

	pthread_mutex_lock(&t->lock);
	full = t->open_fds + CAP_SPARE > t->fd_cap;
	pthread_mutex_unlock(&t->lock);
	if (full)
		fs_nodes_trim(t, t->fd_cap - MIN(t->fd_cap, CAP_SPARE), true);
}
