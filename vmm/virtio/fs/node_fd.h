/* SPDX-License-Identifier: Apache-2.0 */
/* node.c's other half: closing the descriptors of idle nodes and opening them again by file handle.
 */
#ifndef VMM_VIRTIO_FS_NODE_FD_H
#define VMM_VIRTIO_FS_NODE_FD_H

#include <stdbool.h>

#include "vmm/virtio/fs/node.h"

/* Gives a pinned node without a descriptor one again. 0, -ESTALE (the file is gone), -ENFILE,
 * -errno. */
int fs_node_reopen(struct fs_nodes *t, struct fs_node *n);

/* True when fd is the very file that n, which has only its handle, remembers. The table is locked;
 * the call needs no disk. */
bool fs_node_is_file(const struct fs_node *n, int fd);

#endif
