/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A FUSE client for tests of the file server: raw requests in plain memory, over a temporary tree.
 * The tree has `rootfs/` (writable) and what a test adds. Host-side checks use paths below c->dir.
 */
#ifndef TESTS_UNIT_FS_CLIENT_H
#define TESTS_UNIT_FS_CLIENT_H

#include <linux/fuse.h>
#include <linux/posix_acl_xattr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/virtio/fs/server.h"

#define FSC_REPLY_MAX (1u << 20)

struct fsc {
	struct fs_server fs;
	struct fs_thread t;
	char dir[64];
	uint32_t uid, gid; /* of the requests */
	uint64_t rootfs;   /* node */
	uint32_t out_len;  /* of the last reply, behind its header */
	uint64_t unique;
	struct virtq_chain chain;
	uint8_t reply[FSC_REPLY_MAX];
};

struct fsc_arg {
	const void *p;
	size_t n;
};

/* A tree in a new directory below `base` (NULL: /tmp), a server with INIT done, `rootfs` looked up.
 */
struct fsc *fsc_new(const char *base);
/* The same over a tree of the caller's, which has a rootfs. */
struct fsc *fsc_on(const char *dir);
/* Another server on the same tree: a jailed one has the mounts that were there when it started. All nodes are new. */
void fsc_restart(struct fsc *c);
void fsc_free(struct fsc *c); /* removes the tree, too */

/* One request of up to 4 arguments, ended by {0}. Room for `room` reply bytes behind the header.
 * Returns 0 or the reply's -errno; 1 when the server called it a fault. The reply is in c->reply.
 */
int fsc_call(struct fsc *c, uint32_t op, uint64_t node, const struct fsc_arg *args, size_t room);
int fsc_init(struct fsc *c, uint64_t flags);

/* Single operations; 0 or -errno. */
int fsc_lookup(struct fsc *c, uint64_t dir, const char *name, struct fuse_entry_out *ret);
uint64_t fsc_node(struct fsc *c, uint64_t dir, const char *name); /* 0 when it fails */
void fsc_forget(struct fsc *c, uint64_t node, uint64_t n);
int fsc_getattr(struct fsc *c, uint64_t node, struct fuse_attr *ret);
int fsc_setattr(struct fsc *c, uint64_t node, struct fuse_setattr_in in);
int fsc_mkdir(
	struct fsc *c, uint64_t dir, const char *name, uint32_t mode, struct fuse_entry_out *ret);
int fsc_mknod(struct fsc *c, uint64_t dir, const char *name, uint32_t mode, uint32_t rdev,
	struct fuse_entry_out *ret);
int fsc_symlink(struct fsc *c, uint64_t dir, const char *name, const char *target,
	struct fuse_entry_out *ret);
int fsc_create(struct fsc *c, uint64_t dir, const char *name, uint32_t flags, uint32_t mode,
	struct fuse_entry_out *ret, uint64_t *ret_fh);
int fsc_remove(struct fsc *c, uint32_t op, uint64_t dir, const char *name);
int fsc_rename(
	struct fsc *c, uint64_t from, const char *a, uint64_t to, const char *b, uint32_t flags);
int fsc_link(
	struct fsc *c, uint64_t node, uint64_t dir, const char *name, struct fuse_entry_out *ret);
int fsc_open(struct fsc *c, uint32_t op, uint64_t node, uint32_t flags, struct fuse_open_out *ret);
int fsc_release(struct fsc *c, uint32_t op, uint64_t node, uint64_t fh);
/* Bytes or -errno; data is in c->reply. */
int fsc_read(struct fsc *c, uint64_t node, uint64_t fh, uint64_t off, uint32_t size);
int fsc_readdir(
	struct fsc *c, uint32_t op, uint64_t node, uint64_t fh, uint64_t off, uint32_t size);
int fsc_write(struct fsc *c, uint64_t node, uint64_t fh, uint64_t off, const void *p, size_t n,
	uint32_t flags, uint32_t write_flags);
int fsc_setxattr(struct fsc *c, uint64_t node, const char *name, const char *value, uint32_t flags);
int fsc_getxattr(
	struct fsc *c, uint64_t node, const char *name, uint32_t size); /* bytes or -errno */

unsigned fsc_open_fds(void); /* of this process */

/* An ACL: rwx for the owner, user 1000 and the mask, `group` for the group, `other` for others. */
struct fsc_acl {
	struct posix_acl_xattr_header h;
	struct posix_acl_xattr_entry e[5];
};

struct fsc_acl fsc_acl_of(uint16_t group, uint16_t other);

/* A path on the host, below the tree; the next call of the same thread overwrites it. */
__attribute__((format(printf, 2, 3))) const char *fsc_host(
	const struct fsc *c, const char *fmt, ...);
void fsc_host_write(const char *path, const char *text);

/* Other file systems to serve, in a mount namespace of the test's own. False when that is not
 * allowed. */
bool fsc_private_mounts(void);
bool fsc_mount_tmpfs(const char *dir);
/* Over dir, a tmpfs, with its upper layer there. The lower one is on another file system, or, as
 * engines do it, on the same. */
bool fsc_mount_overlay(const char *dir, bool same);

#define FSC_FILE_SYSTEMS 3
/* Calls run on /tmp (or $TMPDIR), on a tmpfs and on an overlay. mounts: there is a mount namespace of
 * our own. Returns on how many. */
int fsc_on_file_systems(void (*run)(const char *base, bool mounts));

#endif
