/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/fs/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "vmm/mem.h"
#include "vmm/virtio/fs/node_fd.h"

/* A ctime this fresh may be that of a write still to come: the kernel's clock for it ticks in up to
 * 10 ms. */
#define STAMP_RACY_NS 50000000ll
#define CLEAR_BATCH   64

int fs_statx(int fd, struct statx *ret_stx)
{
	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		    STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, ret_stx) < 0)
		return -errno;
	return 0;
}

static uint64_t stx_dev(const struct statx *stx)
{
	return makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

static uint32_t bucket_of(uint64_t mnt, uint64_t dev, uint64_t ino)
{
	uint64_t h = ino * 0x9e3779b97f4a7c15ull ^ dev * 0xc2b2ae3d27d4eb4full ^
		     mnt * 0x165667b19e3779f9ull;

	return (uint32_t)((h ^ h >> 29) * 0xbf58476d1ce4e5b9ull >> 48) % FS_BUCKETS;
}

int fs_nodes_init(struct fs_nodes *t, uint32_t fd_limit, uint32_t fd_cap)
{
	memset(t, 0, sizeof(*t));
	pthread_mutex_init(&t->lock, NULL);
	pthread_rwlock_init(&t->moving, NULL);
	t->fd_limit = fd_limit;
	t->fd_cap = fd_cap;
	t->used = FS_NODE_ROOT + 1;
	t->slot = mem_reserve(FS_NODES_MAX * sizeof(*t->slot));
	t->bucket = mem_reserve(FS_BUCKETS * sizeof(*t->bucket));
	if (!t->slot || !t->bucket) {
		fs_nodes_release(t);
		return -ENOMEM;
	}
	t->slot[FS_NODE_ROOT].fd = -1;
	return 0;
}

void fs_nodes_close(struct fs_nodes *t)
{
	for (uint32_t i = 1; t->slot && i < t->used; i++) {
		if (t->slot[i].live)
			close_fd(&t->slot[i].fd);
	}
	for (uint32_t i = 0; i < t->n_mounts; i++)
		close_fd(&t->mount[i].fd);
}

void fs_nodes_release(struct fs_nodes *t)
{
	fs_nodes_close(t);
	if (t->slot)
		munmap(t->slot, FS_NODES_MAX * sizeof(*t->slot));
	if (t->bucket)
		munmap(t->bucket, FS_BUCKETS * sizeof(*t->bucket));
	if (t->slot || t->bucket) {
		pthread_mutex_destroy(&t->lock);
		pthread_rwlock_destroy(&t->moving);
	}
	memset(t, 0, sizeof(*t));
}

/* Locked. The entry of a mount, added when there is room; NULL when not. */
static struct fs_mount *mount_of(struct fs_nodes *t, uint64_t mnt, uint64_t dev)
{
	for (uint32_t i = 0; i < t->n_mounts; i++) {
		if (t->mount[i].mnt == mnt)
			return &t->mount[i];
	}
	if (t->n_mounts == FS_MOUNTS_MAX)
		return NULL;
	t->mount[t->n_mounts] = (struct fs_mount){.mnt = mnt, .dev = dev, .fd = -1};
	return &t->mount[t->n_mounts++];
}

static void hash_add(struct fs_nodes *t, uint32_t i)
{
	struct fs_node *n = &t->slot[i];
	uint32_t *b = &t->bucket[bucket_of(n->mnt, n->dev, n->ino)];

	n->hash_next = *b;
	n->hashed = true;
	*b = i;
}

static void hash_del(struct fs_nodes *t, uint32_t i)
{
	struct fs_node *n = &t->slot[i];
	uint32_t *p = &t->bucket[bucket_of(n->mnt, n->dev, n->ino)];

	if (!n->hashed)
		return;
	while (*p != i)
		p = &t->slot[*p].hash_next;
	*p = n->hash_next;
	n->hashed = false;
}

static struct fs_node *hash_find(struct fs_nodes *t, uint64_t mnt, uint64_t dev, uint64_t ino)
{
	uint32_t i = t->bucket[bucket_of(mnt, dev, ino)];

	for (; i; i = t->slot[i].hash_next) {
		struct fs_node *n = &t->slot[i];

		if (n->ino == ino && n->dev == dev && n->mnt == mnt)
			return n;
	}
	return NULL;
}

int fs_nodes_set_root(struct fs_nodes *t, int root_fd)
{
	struct fs_node *n = &t->slot[FS_NODE_ROOT];
	struct statx stx;
	int fd, r;

	fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = fs_statx(fd, &stx);
	if (r < 0) {
		close(fd);
		return r;
	}
	pthread_mutex_lock(&t->lock);
	*n = (struct fs_node){.mnt = stx.stx_mnt_id,
		.dev = stx_dev(&stx),
		.ino = stx.stx_ino,
		.nlookup = 1,
		.fd = -1,
		.type = stx.stx_mode & S_IFMT,
		.cls = FS_CLASS_TOP,
		.live = true,
		.no_handle = true};
	hash_add(t, FS_NODE_ROOT);
	mount_of(t, n->mnt, n->dev);
	t->count++;
	fs_node_opened(t, n, fd);
	pthread_mutex_unlock(&t->lock);
	return 0;
}

uint64_t fs_node_id(const struct fs_nodes *t, const struct fs_node *n)
{
	return (uint64_t)n->gen << 32 | (uint64_t)(n - t->slot);
}

struct fs_node *fs_node_find_id(struct fs_nodes *t, uint64_t id)
{
	uint32_t i = (uint32_t)id;
	struct fs_node *n;

	if (i == 0 || i >= t->used)
		return NULL;
	n = &t->slot[i];
	return n->live && n->nlookup && n->gen == (uint32_t)(id >> 32) ? n : NULL;
}

/* Locked. Frees the slot when nobody needs the node any more; returns the descriptor to close, or
 * -1. */
static int drop_if_unused(struct fs_nodes *t, struct fs_node *n)
{
	uint32_t i = (uint32_t)(n - t->slot);
	int fd;

	if (n->nlookup || n->pins || i == FS_NODE_ROOT)
		return -1;
	hash_del(t, i);
	fd = fs_node_closed(t, n);
	n->live = false;
	n->gen++;
	n->hash_next = t->free_head;
	t->free_head = i;
	t->count--;
	return fd;
}

int fs_node_get(struct fs_nodes *t, uint64_t id, struct fs_node **ret_node)
{
	struct fs_node *n;
	bool closed;
	int r = 0;

	pthread_mutex_lock(&t->lock);
	n = fs_node_find_id(t, id);
	if (!n) {
		pthread_mutex_unlock(&t->lock);
		return -ESTALE;
	}
	n->pins++;
	n->recent = true;
	closed = n->fd < 0;
	pthread_mutex_unlock(&t->lock);
	if (closed)
		r = fs_node_reopen(t, n);
	if (r < 0) {
		fs_node_put(t, n);
		return r;
	}
	*ret_node = n;
	return 0;
}

void fs_node_pin(struct fs_nodes *t, struct fs_node *n)
{
	pthread_mutex_lock(&t->lock);
	n->pins++;
	pthread_mutex_unlock(&t->lock);
}

void fs_node_put(struct fs_nodes *t, struct fs_node *n)
{
	int fd;

	if (!n)
		return;
	pthread_mutex_lock(&t->lock);
	BUG_ON(n->pins == 0);
	n->pins--;
	fd = drop_if_unused(t, n);
	pthread_mutex_unlock(&t->lock);
	if (fd >= 0)
		close(fd);
}

/* Locked, n's descriptor is open: how to find it again. */
static void set_place(struct fs_node *n, const struct statx *stx, const struct fs_place *place)
{
	size_t len = strlen(place->name);

	if (len == 0)
		return;
	if (len > FS_REF_NAME_MAX) {
		n->ref = FS_REF_NONE; /* the name it had may be gone */
		return;
	}
	n->ref = FS_REF_NAME;
	n->ref_bytes = (uint8_t)len;
	n->at.parent = place->parent;
	n->at.btime_sec = stx->stx_btime.tv_sec;
	n->at.btime_nsec = stx->stx_btime.tv_nsec;
	memcpy(n->at.name, place->name, len);
}

/* Locked. A new node owning fd, with one pin and one reference; NULL when the table is full. */
static struct fs_node *add_take(
	struct fs_nodes *t, int fd, const struct statx *stx, const struct fs_place *place)
{
	uint32_t i = t->free_head, gen;
	struct fs_node *n;

	if (i)
		t->free_head = t->slot[i].hash_next;
	else if (t->used < FS_NODES_MAX)
		i = t->used++;
	else
		return NULL;
	n = &t->slot[i];
	gen = n->gen;
	*n = (struct fs_node){.mnt = stx->stx_mnt_id,
		.dev = stx_dev(stx),
		.ino = stx->stx_ino,
		.nlookup = 1,
		.gen = gen,
		.pins = 1,
		.fd = -1,
		.type = stx->stx_mode & S_IFMT,
		.cls = (uint8_t)place->cls,
		.live = true,
		.recent = true};
	set_place(n, stx, place);
	hash_add(t, i);
	mount_of(t, n->mnt, n->dev);
	t->count++;
	fs_node_opened(t, n, fd);
	return n;
}

/* Locked. The node of the file that fd is, if the guest knows it, with its descriptor open and its
 * present name; NULL also when there may be no more descriptors. True in ret_taken: the node owns
 * fd now. */
static struct fs_node *find_file(struct fs_nodes *t, int fd, const struct statx *stx,
	const struct fs_place *place, bool *ret_taken)
{
	struct fs_node *n = hash_find(t, stx->stx_mnt_id, stx_dev(stx), stx->stx_ino);

	*ret_taken = false;
	if (n && n->fd < 0 && t->open_fds >= t->fd_cap)
		return NULL;
	if (n && n->fd < 0 && !fs_node_is_file(n, fd, stx, place)) {
		/* the inode number has been reused while we had no descriptor: another file */
		hash_del(t, (uint32_t)(n - t->slot));
		return NULL;
	}
	if (n && n->fd < 0) {
		fs_node_opened(t, n, fd);
		*ret_taken = true;
	}
	if (n)
		set_place(n, stx, place);
	return n;
}

int fs_node_intern_take(struct fs_nodes *t, int fd, const struct statx *stx,
	const struct fs_place *place, struct fs_node **ret_node)
{
	bool taken = false;
	struct fs_node *n;

	fs_nodes_make_room(t);
	pthread_mutex_lock(&t->lock);
	n = find_file(t, fd, stx, place, &taken);
	if (n) {
		n->nlookup++;
		n->pins++;
		n->recent = true;
	} else if (t->open_fds < t->fd_cap) {
		n = add_take(t, fd, stx, place);
		taken = n;
	}
	pthread_mutex_unlock(&t->lock);
	if (!taken)
		close(fd);
	if (!n)
		return -ENFILE;
	fs_nodes_keep_limit(t);
	*ret_node = n;
	return 0;
}

void fs_node_moved_take(
	struct fs_nodes *t, int fd, const struct statx *stx, const struct fs_place *place)
{
	bool taken;

	fs_nodes_make_room(t);
	pthread_mutex_lock(&t->lock);
	find_file(t, fd, stx, place, &taken);
	pthread_mutex_unlock(&t->lock);
	if (!taken)
		close(fd);
}

void fs_node_forget(struct fs_nodes *t, uint64_t id, uint64_t n)
{
	struct fs_node *node;
	int fd = -1;

	pthread_mutex_lock(&t->lock);
	node = fs_node_find_id(t, id);
	if (node && node != &t->slot[FS_NODE_ROOT]) {
		node->nlookup -= MIN(n, node->nlookup);
		fd = drop_if_unused(t, node);
	}
	pthread_mutex_unlock(&t->lock);
	if (fd >= 0)
		close(fd);
}

void fs_nodes_clear(struct fs_nodes *t)
{
	uint32_t next = FS_NODE_ROOT + 1;
	bool more = true;

	while (more) {
		int fds[CLEAR_BATCH], n = 0;

		pthread_mutex_lock(&t->lock);
		for (; next < t->used && n < CLEAR_BATCH; next++) {
			if (!t->slot[next].live)
				continue;
			t->slot[next].nlookup = 0;
			fds[n] = drop_if_unused(t, &t->slot[next]);
			if (fds[n] >= 0)
				n++;
		}
		more = next < t->used;
		pthread_mutex_unlock(&t->lock);
		while (n > 0)
			close(fds[--n]);
	}
}

bool fs_node_cache_check(struct fs_nodes *t, struct fs_node *n, const struct statx *stx)
{
	const struct statx_timestamp *c = &stx->stx_ctime;
	struct timespec now;
	int64_t age_ns;
	bool same;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	pthread_mutex_lock(&t->lock);
	same = n->stamped && n->stamp_sec == c->tv_sec && n->stamp_nsec == c->tv_nsec;
	if (now.tv_sec - c->tv_sec > 1)
		age_ns = INT64_MAX;
	else
		age_ns =
			(now.tv_sec - c->tv_sec) * 1000000000ll + now.tv_nsec - (int64_t)c->tv_nsec;
	n->stamped = c->tv_sec <= now.tv_sec && age_ns > STAMP_RACY_NS;
	n->stamp_sec = c->tv_sec;
	n->stamp_nsec = c->tv_nsec;
	pthread_mutex_unlock(&t->lock);
	return same;
}

uint64_t fs_node_ino(struct fs_nodes *t, const struct statx *stx)
{
	uint64_t dev = stx_dev(stx), ino = stx->stx_ino, base;
	struct fs_mount *m;

	pthread_mutex_lock(&t->lock);
	m = mount_of(t, stx->stx_mnt_id, dev);
	base = m ? m->dev : dev;
	pthread_mutex_unlock(&t->lock);
	/* An overlay of several file systems shows each layer's own st_dev; the guest sees one
	 * device, so their inode numbers must not meet. */
	if (dev != base)
		ino ^= (uint64_t)(minor(dev) % 0x7fff + 1) << 48;
	return ino;
}
