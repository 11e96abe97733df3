/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's open files and directories. A handle id is a slot and its generation: a forged or
 * outdated one is -EBADF, and so is one used with another node than it was opened on. Every handle
 * pins its node. Functions may be called by any thread; the lock is never held over a system call.
 */
#ifndef VMM_VIRTIO_FS_HANDLE_H
#define VMM_VIRTIO_FS_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/virtio/fs/node.h"

#define FS_HANDLES_MAX (1u << 16)
#define FS_DIR_LOCKS   16

struct fs_handle {
	uint32_t gen;
	uint32_t next_free; /* 0: end */
	uint32_t pins;
	int fd;
	int direct_fd; /* the same file with O_DIRECT, when the guest opened it so; else -1 */
	bool live, closing, dir, writable;
	struct fs_node *node; /* pinned */
};

struct fs_handles {
	pthread_mutex_t lock;   /* protects all below */
	struct fs_handle *slot; /* FS_HANDLES_MAX, slot 0 unused */
	uint32_t used, free_head, count;
	uint32_t fds, max_fds; /* descriptors: a handle has one or two */
	/* A directory's position is shared by all requests on its handle: held from seek to read.
	 * Not a table lock: whoever waits here waits for the same directory (or one of 1/16 of the
	 * others). */
	pthread_mutex_t dir_lock[FS_DIR_LOCKS];
};

/* max_fds: how many descriptors they may have together. 0 or -errno. */
int fs_handles_init(struct fs_handles *t, uint32_t max_fds);
void fs_handles_release(struct fs_handles *t, struct fs_nodes *nodes);
/* Closes everything; handles that a request is using close when it is done. */
void fs_handles_clear(struct fs_handles *t, struct fs_nodes *nodes);

struct fs_handle_new {
	int fd, direct_fd;
	bool dir, writable;
	struct fs_node *node;
};

/* Adds a handle; on success it owns the descriptors and one pin of the node, on failure (-ENFILE)
 * nothing has changed hands. */
int fs_handle_add(struct fs_handles *t, const struct fs_handle_new *h, uint64_t *ret_fh);
/* The handle, pinned. -EBADF. */
int fs_handle_get(struct fs_handles *t, uint64_t fh, uint64_t node_id, bool dir,
	struct fs_nodes *nodes, struct fs_handle **ret_handle);
void fs_handle_put(struct fs_handles *t, struct fs_handle *h, struct fs_nodes *nodes);
/* Closes the handle once nobody uses it. 0 or -EBADF. */
int fs_handle_close(
	struct fs_handles *t, uint64_t fh, uint64_t node_id, bool dir, struct fs_nodes *nodes);

pthread_mutex_t *fs_handle_dir_lock(struct fs_handles *t, const struct fs_handle *h);

#endif
