/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/fs/handle.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base.h"
#include "vmm/mem.h"

int fs_handles_init(struct fs_handles *t, uint32_t max_fds)
{
	memset(t, 0, sizeof(*t));
	t->slot = mem_reserve(FS_HANDLES_MAX * sizeof(*t->slot));
	if (!t->slot)
		return -ENOMEM;
	t->used = 1;
	t->max_fds = max_fds;
	pthread_mutex_init(&t->lock, NULL);
	for (unsigned i = 0; i < FS_DIR_LOCKS; i++)
		pthread_mutex_init(&t->dir_lock[i], NULL);
	return 0;
}

void fs_handles_release(struct fs_handles *t, struct fs_nodes *nodes)
{
	if (!t->slot)
		return;
	fs_handles_clear(t, nodes);
	munmap(t->slot, FS_HANDLES_MAX * sizeof(*t->slot));
	for (unsigned i = 0; i < FS_DIR_LOCKS; i++)
		pthread_mutex_destroy(&t->dir_lock[i]);
	pthread_mutex_destroy(&t->lock);
	memset(t, 0, sizeof(*t));
}

static uint32_t fds_of(int fd, int direct_fd)
{
	return (fd >= 0) + (direct_fd >= 0);
}

int fs_handle_add(struct fs_handles *t, const struct fs_handle_new *h, uint64_t *ret_fh)
{
	uint32_t i = 0, gen, fds = fds_of(h->fd, h->direct_fd);
	struct fs_handle *s;

	pthread_mutex_lock(&t->lock);
	if (t->fds + fds <= t->max_fds) {
		i = t->free_head;
		if (i)
			t->free_head = t->slot[i].next_free;
		else if (t->used < FS_HANDLES_MAX)
			i = t->used++;
	}
	if (!i) {
		pthread_mutex_unlock(&t->lock);
		return -ENFILE;
	}
	s = &t->slot[i];
	gen = s->gen;
	*s = (struct fs_handle){.gen = gen,
		.fd = h->fd,
		.direct_fd = h->direct_fd,
		.live = true,
		.dir = h->dir,
		.writable = h->writable,
		.node = h->node};
	t->count++;
	t->fds += fds;
	*ret_fh = (uint64_t)gen << 32 | i;
	pthread_mutex_unlock(&t->lock);
	return 0;
}

/* What a freed handle owned: given back once the lock is released. */
struct freed {
	int fd, direct_fd;
	struct fs_node *node;
};

/* Locked. */
static struct freed free_if_unused(struct fs_handles *t, struct fs_handle *h)
{
	struct freed f = {-1, -1, NULL};

	if (!h->closing || h->pins)
		return f;
	f = (struct freed){h->fd, h->direct_fd, h->node};
	t->fds -= fds_of(h->fd, h->direct_fd);
	h->live = false;
	h->closing = false;
	h->fd = h->direct_fd = -1;
	h->node = NULL;
	h->gen++;
	h->next_free = t->free_head;
	t->free_head = (uint32_t)(h - t->slot);
	t->count--;
	return f;
}

static void give_back(const struct freed *f, struct fs_nodes *nodes)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->direct_fd >= 0)
		close(f->direct_fd);
	fs_node_put(nodes, f->node);
}

/* Locked. */
static struct fs_handle *find(
	struct fs_handles *t, uint64_t fh, uint64_t node_id, bool dir, const struct fs_nodes *nodes)
{
	uint32_t i = (uint32_t)fh;
	struct fs_handle *h;

	if (i == 0 || i >= t->used)
		return NULL;
	h = &t->slot[i];
	if (!h->live || h->closing || h->gen != (uint32_t)(fh >> 32) || h->dir != dir)
		return NULL;
	return fs_node_id(nodes, h->node) == node_id ? h : NULL;
}

int fs_handle_get(struct fs_handles *t, uint64_t fh, uint64_t node_id, bool dir,
	struct fs_nodes *nodes, struct fs_handle **ret_handle)
{
	struct fs_handle *h;

	pthread_mutex_lock(&t->lock);
	h = find(t, fh, node_id, dir, nodes);
	if (h)
		h->pins++;
	pthread_mutex_unlock(&t->lock);
	*ret_handle = h;
	return h ? 0 : -EBADF;
}

void fs_handle_put(struct fs_handles *t, struct fs_handle *h, struct fs_nodes *nodes)
{
	struct freed f;

	if (!h)
		return;
	pthread_mutex_lock(&t->lock);
	BUG_ON(h->pins == 0);
	h->pins--;
	f = free_if_unused(t, h);
	pthread_mutex_unlock(&t->lock);
	give_back(&f, nodes);
}

int fs_handle_close(
	struct fs_handles *t, uint64_t fh, uint64_t node_id, bool dir, struct fs_nodes *nodes)
{
	struct freed f = {-1, -1, NULL};
	struct fs_handle *h;

	pthread_mutex_lock(&t->lock);
	h = find(t, fh, node_id, dir, nodes);
	if (h) {
		h->closing = true;
		f = free_if_unused(t, h);
	}
	pthread_mutex_unlock(&t->lock);
	give_back(&f, nodes);
	return h ? 0 : -EBADF;
}

void fs_handles_clear(struct fs_handles *t, struct fs_nodes *nodes)
{
	for (uint32_t i = 1;; i++) {
		struct freed f = {-1, -1, NULL};
		bool more;

		pthread_mutex_lock(&t->lock);
		more = i < t->used;
		if (more && t->slot[i].live) {
			t->slot[i].closing = true;
			f = free_if_unused(t, &t->slot[i]);
		}
		pthread_mutex_unlock(&t->lock);
		give_back(&f, nodes);
		if (!more)
			return;
	}
}

pthread_mutex_t *fs_handle_dir_lock(struct fs_handles *t, const struct fs_handle *h)
{
	return &t->dir_lock[(size_t)(h - t->slot) % FS_DIR_LOCKS];
}
