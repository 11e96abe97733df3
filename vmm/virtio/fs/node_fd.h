/* SPDX-License-Identifier: Apache-2.0 */
/* node.c's other half: closing the descriptors of idle nodes and opening them again. */
#ifndef VMM_VIRTIO_FS_NODE_FD_H
#define VMM_VIRTIO_FS_NODE_FD_H

#include <stdbool.h>

#include "vmm/virtio/fs/node.h"

/* Locked. The node with this id, NULL for an id that is not valid. */
struct fs_node *fs_node_find_id(struct fs_nodes *t, uint64_t id);

/* Locked. A node without a descriptor gets this one; a node's (or -1) is the caller's to close. */
void fs_node_opened(struct fs_nodes *t, struct fs_node *n, int fd);
int fs_node_closed(struct fs_nodes *t, struct fs_node *n);

/* Gives a pinned node without a descriptor one again. 0, -ESTALE (the file is gone), -ENFILE,
 * -errno. */
int fs_node_reopen(struct fs_nodes *t, struct fs_node *n);
/* The two ways to do that: an O_PATH descriptor of the very file, or -errno. */
int fs_node_open_handle(struct fs_nodes *t, struct fs_node *n);
int fs_node_open_name(struct fs_nodes *t, struct fs_node *n);

/* One more is open: closes idle descriptors when there are more than fd_limit. */
void fs_nodes_keep_limit(struct fs_nodes *t);
/* One more is to be opened: the same when there are nearly as many as there may be. */
void fs_nodes_make_room(struct fs_nodes *t);

/* True when the nodes of this directory's mount are found again by name. */
bool fs_node_goes_by_name(struct fs_nodes *t, const struct fs_node *dir);

/* True when fd (with stx), found at place, is the very file that n, which has no descriptor,
 * remembers. The table is locked; the call needs no disk. */
bool fs_node_is_file(
	const struct fs_node *n, int fd, const struct statx *stx, const struct fs_place *place);
/* The same for one that is remembered by name. */
bool fs_node_is_named(
	const struct fs_node *n, const struct statx *stx, const struct fs_place *place);

#endif
