/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of files the guest knows ("nodes"). A node is one (mount, device, inode) on the host;
 * the guest names it by a 64-bit id of slot and generation, so a forged or outdated id finds
 * nothing.
 *
 * A node normally holds an O_PATH descriptor, which keeps its inode alive. When more than fd_limit
 * of them are open, idle ones are closed and their files remembered; the next use opens them again:
 *
 * - by file handle (name_to_handle_at(2)), where the file system can open those;
 * - else (overlayfs, so nearly every root file system an engine makes) by name below the directory
 *   the guest knew the file in, up the chain of directories to one that is open. What is found must
 *   have the device, inode number and type that the node had. If not, somebody on the host has
 *   moved or replaced the file: -ESTALE, upon which the guest kernel walks its path again. Renames
 *   by the guest are followed. What has no name to be found by keeps its descriptor: names longer
 *   than FS_REF_NAME_MAX, O_TMPFILE files, fifos, sockets and devices (in use in the guest without
 *   a handle here). So do directories until fd_cap is near: an overlay of several file systems
 *   gives them new inode numbers when the host forgets them.
 *
 * fd_cap is never exceeded: beyond it, and when nothing can be closed, the guest gets -ENFILE.
 *
 * A node lives while the guest has references (lookups not yet forgotten) or somebody here has it
 * pinned. Every function may be called by any thread. The table's lock is never held over a system
 * call that may wait for a disk. Memory: FS_NODES_MAX slots are reserved at init and cost nothing
 * until used.
 */
#ifndef VMM_VIRTIO_FS_NODE_H
#define VMM_VIRTIO_FS_NODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define FS_NODES_MAX    (1u << 20)
#define FS_BUCKETS      (1u << 16)
#define FS_MOUNTS_MAX   256
#define FS_NODE_FDS     8192 /* O_PATH descriptors kept open, where they can be opened again */
#define FS_REF_NAME_MAX 68   /* bytes of a name to open a node again by; 99 in 100 are shorter */
#define FS_HANDLE_MAX   40   /* bytes of a file handle we keep: xfs 24, btrfs 40, others less */
#define FS_NODE_ROOT    1ull /* FUSE_ROOT_ID */

/* Where in the share a node lies: decides how long the guest may cache (attr.c). FS_CLASS_HOLDER is a directory of
 * the share's own with one mount in it, which is bound under its name. */
enum fs_class { FS_CLASS_TOP, FS_CLASS_ROOTFS, FS_CLASS_BIND, FS_CLASS_HOLDER };

/* How a node is found again once its descriptor is closed. */
enum fs_ref { FS_REF_NONE, FS_REF_NAME, FS_REF_HANDLE };

/* Where the guest knows a file: its directory's node id, its name there ("": it has none). */
struct fs_place {
	uint64_t parent;
	const char *name;
	enum fs_class cls;
};

struct fs_node {
	uint64_t mnt, dev, ino; /* key */
	uint64_t nlookup;       /* the guest's references */
	uint32_t gen;
	uint32_t hash_next; /* also the free list; 0: end */
	uint32_t pins;
	uint32_t newer, older;     /* list of nodes with a descriptor; 0: end */
	int fd;                    /* O_PATH; -1 while only remembered. Stable while pinned */
	uint16_t type;             /* S_IFMT bits; an inode never changes it */
	uint8_t cls;               /* enum fs_class */
	bool live, hashed, recent; /* recent: used since it became the newest */
	bool no_handle;            /* name_to_handle_at() has refused: do not ask again */
	bool stamped;              /* the guest's cached pages are from the version with this ctime:
			 cache_check() */
	uint8_t ref, ref_bytes;    /* enum fs_ref; length of the name or the handle */
	uint32_t stamp_nsec;
	int64_t stamp_sec;
	_Atomic uint64_t held; /* node id of the mount in a directory of the share's own; 0: none */
	union {
		struct {
			uint64_t parent;            /* node id; may be outdated */
			int64_t btime_sec;          /* of when it was last looked up; an */
			uint32_t btime_nsec;        /* overlay's changes at copy-up */
			char name[FS_REF_NAME_MAX]; /* without a NUL */
		} at;
		struct {
			int32_t type;
			uint8_t bytes[FS_HANDLE_MAX];
		} fh;
	};
};

/* One mount of the share: its file system for open_by_handle_at(), its first st_dev. */
struct fs_mount {
	uint64_t mnt, dev;
	int fd;          /* a real descriptor on it, -1 until needed */
	bool no_handles; /* its file handles cannot be opened: nodes go by name */
};

struct fs_nodes {
	pthread_mutex_t lock;     /* protects all below */
	struct fs_node *slot;     /* FS_NODES_MAX, slot 0 unused */
	uint32_t *bucket;         /* FS_BUCKETS slot numbers */
	uint32_t used, free_head; /* slots ever used; free list */
	/* Nodes with a descriptor. The oldest goes first, but for those used since they came there:
	 * they start anew. */
	uint32_t newest, oldest;
	uint32_t count, open_fds, fd_limit, fd_cap;
	uint32_t trim_above; /* more than fd_limit while the last trim could not get below that */
	struct fs_mount mount[FS_MOUNTS_MAX];
	uint32_t n_mounts;
	/* Held for reading from resolving a name until it is recorded, for writing over a rename
	 * and its recording: a name that has moved is never taken for the present one. Taken before
	 * `lock`, and held over system calls. */
	pthread_rwlock_t moving;
};

/* Reserves the tables; fd_limit is the number of descriptors above which idle ones are closed,
 * fd_cap the number there may be. 0 or -errno. */
int fs_nodes_init(struct fs_nodes *t, uint32_t fd_limit, uint32_t fd_cap);
/* Closes all descriptors; nothing can be served any more. */
void fs_nodes_close(struct fs_nodes *t);
void fs_nodes_release(struct fs_nodes *t);
/* Makes root_fd (duplicated) node FS_NODE_ROOT. 0 or -errno. */
int fs_nodes_set_root(struct fs_nodes *t, int root_fd);
/* Drops every reference of the guest's but the root: a new session begins. */
void fs_nodes_clear(struct fs_nodes *t);

uint64_t fs_node_id(const struct fs_nodes *t, const struct fs_node *n);
/* The node, pinned and with its descriptor open. -ESTALE for an id that is not (or no longer)
 * valid. */
int fs_node_get(struct fs_nodes *t, uint64_t id, struct fs_node **ret_node);
/* One more pin on a pinned node. */
void fs_node_pin(struct fs_nodes *t, struct fs_node *n);
void fs_node_put(struct fs_nodes *t, struct fs_node *n); /* NULL is fine */

/* The node of the file that fd (O_PATH, consumed also on failure) is, found or added, pinned, with
 * one more reference of the guest's. stx has STATX_BASIC_STATS and STATX_MNT_ID. 0, -ENFILE,
 * -errno. */
int fs_node_intern_take(struct fs_nodes *t, int fd, const struct statx *stx,
	const struct fs_place *place, struct fs_node **ret_node);
/* The file that fd (O_PATH, consumed) is has got this name: if it has a node, that follows. */
void fs_node_moved_take(
	struct fs_nodes *t, int fd, const struct statx *stx, const struct fs_place *place);
/* Takes back n references. An unknown id, or more than there are, does no harm. */
void fs_node_forget(struct fs_nodes *t, uint64_t id, uint64_t n);

/* True when what the guest has cached of the file since the last call is still right: ctime has not
 * moved, and had come to rest when it was recorded. Records the new ctime. */
bool fs_node_cache_check(struct fs_nodes *t, struct fs_node *n, const struct statx *stx);

/* An inode number that is unique within the mount. */
uint64_t fs_node_ino(struct fs_nodes *t, const struct statx *stx);

/* Closes idle descriptors until at most `keep` are open, as far as one round finds any; those of
 * directories without handles only with `dirs`. Returns how many. */
uint32_t fs_nodes_trim(struct fs_nodes *t, uint32_t keep, bool dirs);

/* statx() of an O_PATH or other descriptor with all that this server needs. 0 or -errno. */
int fs_statx(int fd, struct statx *ret_stx);

#endif
