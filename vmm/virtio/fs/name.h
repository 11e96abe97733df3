/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names the guest sends. A name is one path component and nothing else: the kernel resolves it
 * below a directory we hold, never through a symbolic link, a magic link or "..".
 */
#ifndef VMM_VIRTIO_FS_NAME_H
#define VMM_VIRTIO_FS_NAME_H

#include <stddef.h>

#define FS_NAME_MAX 255 /* bytes without the NUL; what Linux file systems take */

/* 0; -EINVAL for an empty name, ".", "..", or one with '/' or a NUL; -ENAMETOOLONG. */
int fs_name_check(const char *name, size_t len);

/* An O_PATH descriptor of parent/name, which has passed fs_name_check() (node_name.c: several such
 * names with slashes between); the last one may be a symbolic link (then the descriptor is the
 * link's). Crosses mounts downwards: a recursive bind holds several. Returns fd or -errno. */
int fs_name_open(int parent_fd, const char *name);

#endif
