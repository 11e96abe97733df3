/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE server behind virtio-fs: takes one request as a chain of guest buffers, does it on the
 * share, puts the reply in the chain. It knows nothing of virtqueues' rings, so tests drive it with
 * plain memory.
 *
 * Trust: every byte of a request is the guest's. The header and all arguments but file data are
 * copied once and checked; file data moves straight between guest memory and files. What the guest
 * may reach is what lies below the share's root; whether it may write is the host mount's matter
 * (read-only mounts), and who in the guest may do what is the guest kernel's (default_permissions).
 * docs/fs.md says the rest.
 */
#ifndef VMM_VIRTIO_FS_SERVER_H
#define VMM_VIRTIO_FS_SERVER_H

#include <linux/capability.h>
#include <linux/limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "vmm/virtio/fs/handle.h"
#include "vmm/virtio/fs/name.h"
#include "vmm/virtio/fs/node.h"
#include "vmm/virtio/virtq.h"

#define FS_ARG_MAX   (64 + XATTR_NAME_MAX + 1 + XATTR_SIZE_MAX) /* setxattr has the longest */
#define FS_REPLY_MAX 65536                                      /* of what is not file data */
#define FS_DENTS_MAX 32768                                      /* one getdents64() */

#define FS_SESSION_RUNNING      1u /* between INIT and DESTROY */
#define FS_SESSION_SETXATTR_EXT 2u /* setxattr requests have the long form */

/* Descriptors that nodes and handles leave free in the worker's table, which is its own: one a mount of the share, those of
 * requests at work, the worker's, and room to spare. A quarter of them all, where there are few. */
#define FS_FD_RESERVE (2 * FS_MOUNTS_MAX)

struct fs_server {
	struct fs_nodes nodes;
	struct fs_handles handles;
	/* What INIT has agreed, FS_SESSION_*; 0 outside of a session. One word, read once for each
	 * request (fs_req.session): INIT and DESTROY come by any queue, at any time. */
	_Atomic uint32_t session;
	struct vdev_shared *shared; /* where writes are counted; NULL: nobody looks */
	_Atomic bool ended;         /* PROTO_SHARE_ENDED was looked up in this session */
};

/* What one worker thread needs of its own. */
struct fs_thread {
	struct fs_server *fs;
	int proc_fd; /* /proc/thread-self/fd, of a thread with the same table: descriptors opened again by
			number. Also this thread's cwd */
	mode_t umask;                          /* the thread's current one */
	uid_t uid;                             /* owner of what it creates */
	struct __user_cap_data_struct caps[2]; /* as they were at start: what "restore" means */
	struct iovec iov[VIRTQ_SEGS_MAX];
	uint8_t *arg;   /* FS_ARG_MAX + 1 */
	uint8_t *reply; /* FS_REPLY_MAX */
	uint8_t *dents; /* FS_DENTS_MAX */
};

/* Allocates everything for serving the tree below root_fd (O_PATH; duplicated). -1: it is not known yet. 0 or -errno. */
int fs_server_init(struct fs_server *fs, int root_fd, struct err *err);
/* In a worker, whose table of descriptors is its own: the root, then; and all descriptors that there are, at the end. */
int fs_server_open(struct fs_server *fs, int root_fd, struct err *err);
void fs_server_close(struct fs_server *fs);
void fs_server_release(struct fs_server *fs);
/* The guest is gone or starts anew: forgets all files and handles. Requests at work on other queues
 * (a guest that sends DESTROY meanwhile) keep what they have pinned until they are done. */
void fs_server_reset(struct fs_server *fs);

/* Three steps: the memory (any thread, before the worker starts); its view of its descriptors (one that shares its
 * table, and lives as long; needs /proc); then in the thread itself: its own umask, root and working directory
 * (CLONE_FS). jail_fd, unless -1, becomes the thread's root, if it is not already. enter() does open()'s
 * work where that was not done. 0 or -errno. */
int fs_thread_init(struct fs_thread *t, struct fs_server *fs, struct err *err);
int fs_thread_open(struct fs_thread *t, bool jailed, struct err *err);
int fs_thread_enter(struct fs_thread *t, int jail_fd, struct err *err);
/* At its end: the descriptor that open() opened. */
void fs_thread_leave(struct fs_thread *t);
void fs_thread_release(struct fs_thread *t);

/* Serves one request. *ret_written is the number of bytes put in the chain's writable part. Returns
 * 0, or -VFAULT_REQUEST when there is not even room for a header: the guest's driver is broken. */
int fs_serve(struct fs_thread *t, const struct virtq_chain *chain, uint32_t *ret_written);

#endif
