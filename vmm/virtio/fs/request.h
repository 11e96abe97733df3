/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request on its way through the server. server.c checks the sizes its table demands, copies
 * the arguments and calls the handler: a handler finds req->arg with at least its fixed structure,
 * the strings ended and checked, and room in the chain for its fixed reply, so it never begins what
 * it cannot answer.
 *
 * A handler returns the length of the reply it has put behind the header, or -errno.
 */
#ifndef VMM_VIRTIO_FS_REQUEST_H
#define VMM_VIRTIO_FS_REQUEST_H

#include <linux/fuse.h>

#include "vmm/virtio/fs/server.h"

/* Newer than the headers of Debian 12 (protocol 7.39, Linux 6.6); struct fuse_statx has the layout
 * of the system call's struct statx. */
#ifndef FUSE_STATX_OPCODE
#define FUSE_STATX_OPCODE 52
#endif

struct fs_statx_in {
	uint32_t getattr_flags, reserved;
	uint64_t fh;
	uint32_t sx_flags, sx_mask;
};

struct fs_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec, flags;
	uint64_t spare[2];
	struct statx stat;
};

_Static_assert(sizeof(struct fs_statx_in) == 24, "fuse_statx_in");
_Static_assert(sizeof(struct fs_statx_out) == 288, "fuse_statx_out");

struct fs_req {
	struct fs_thread *t;
	struct fs_server *fs;
	const struct virtq_chain *chain;
	struct fuse_in_header in; /* our copy */
	const void *arg;    /* our copy of the fixed arguments and what follows; 8-byte aligned */
	uint32_t arg_bytes; /* length of all arguments, file data included */
	const char *name, *name2; /* as the operation's table entry says; into arg */
	const uint8_t *rest;      /* what follows the strings: an xattr's value, forgets */
	uint32_t rest_bytes;
	uint32_t room;    /* bytes the chain can take behind the reply's header */
	uint32_t session; /* FS_SESSION_*, as it was when the request came */
};

/* Puts the reply behind the header. Returns len; -ERANGE when the guest gave less room. */
int fs_reply(struct fs_req *req, const void *data, uint32_t len);

/* Entries of the share seen by the guest: attr.c. */
bool fs_is_mount(const struct statx *stx);
void fs_fill_attr(struct fs_server *fs, const struct statx *stx, struct fuse_attr *ret_attr);
void fs_fill_entry(struct fs_server *fs, struct fs_node *n, const struct statx *stx,
	struct fuse_entry_out *ret_entry);

/* Looks name up below parent and takes one reference for the guest. *ret_node is pinned. lookup.c.
 */
int fs_lookup(struct fs_server *fs, struct fs_node *parent, const char *name,
	struct fs_node **ret_node, struct fuse_entry_out *ret_entry);
/* The same for a descriptor already open (O_PATH, consumed). */
int fs_lookup_fd_take(struct fs_server *fs, struct fs_node *parent, const char *name, int fd,
	struct fs_node **ret_node, struct fuse_entry_out *ret_entry);

/* Thread state: thread.c. */
int fs_open_again(struct fs_thread *t, int fd, int flags); /* by number; fd or -errno */
void fs_fd_name(int fd, char ret_name[16]); /* the name below proc_fd (and the cwd) */
void fs_set_umask(struct fs_thread *t, mode_t umask);
/* The kernel then takes suid and sgid bits off as for a writer without CAP_FSETID. Pairs. 0 or
 * -errno. */
int fs_fsetid_drop(struct fs_thread *t);
void fs_fsetid_restore(struct fs_thread *t);

/* An open file for the guest; consumes fd, also on failure; the handle pins node for itself. io.c.
 */
int fs_open_file_take(struct fs_req *req, struct fs_node *node, int fd, uint32_t guest_flags,
	struct fuse_open_out *ret_open);
/* The flags of the guest's open that we pass on. -EINVAL. */
int fs_open_flags(uint32_t guest_flags);

/* Handlers. */
int fs_op_init(struct fs_req *req), fs_op_destroy(struct fs_req *req),
	fs_op_statfs(struct fs_req *req), fs_op_syncfs(struct fs_req *req);
int fs_op_lookup(struct fs_req *req), fs_op_forget(struct fs_req *req),
	fs_op_batch_forget(struct fs_req *req);
int fs_op_getattr(struct fs_req *req), fs_op_setattr(struct fs_req *req),
	fs_op_statx(struct fs_req *req);
int fs_op_readlink(struct fs_req *req), fs_op_unlink(struct fs_req *req),
	fs_op_rmdir(struct fs_req *req), fs_op_rename(struct fs_req *req),
	fs_op_rename2(struct fs_req *req), fs_op_link(struct fs_req *req);
int fs_op_symlink(struct fs_req *req), fs_op_mknod(struct fs_req *req),
	fs_op_mkdir(struct fs_req *req), fs_op_create(struct fs_req *req),
	fs_op_tmpfile(struct fs_req *req);
int fs_op_open(struct fs_req *req), fs_op_read(struct fs_req *req), fs_op_write(struct fs_req *req),
	fs_op_release(struct fs_req *req), fs_op_flush(struct fs_req *req),
	fs_op_fsync(struct fs_req *req), fs_op_fallocate(struct fs_req *req),
	fs_op_lseek(struct fs_req *req), fs_op_copy_file_range(struct fs_req *req);
int fs_op_opendir(struct fs_req *req), fs_op_readdir(struct fs_req *req),
	fs_op_readdirplus(struct fs_req *req), fs_op_releasedir(struct fs_req *req),
	fs_op_fsyncdir(struct fs_req *req);
int fs_op_setxattr(struct fs_req *req), fs_op_getxattr(struct fs_req *req),
	fs_op_listxattr(struct fs_req *req), fs_op_removexattr(struct fs_req *req);

#endif
