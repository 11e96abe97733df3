/* SPDX-License-Identifier: Apache-2.0 */
/* The container's root: bound, entered with pivot_root, then closed down. */
#ifndef INIT_ROOTFS_H
#define INIT_ROOTFS_H

#include "lib/err.h"
#include "lib/gspec.h"

/*
 * In a new mount namespace, working directory the share: makes every mount private and binds the
 * share's entry spec->root over itself. Gives an O_PATH descriptor of the root, which stays good
 * after the pivot.
 */
int rootfs_bind(const struct gspec *spec, int *ret_root, struct err *err);

/* Makes `root` "/" and the working directory; the old root is gone from this mount namespace. */
int rootfs_enter(int root, struct err *err);

/* A detached copy of the null device's mount for rootfs_close_down(); before the mount namespace is
 * made. */
int rootfs_null_mount(int null_fd, struct err *err);

/*
 * After the pivot: read-only paths, masked paths, the root's own flags and propagation. null_mnt:
 * from rootfs_null_mount(), consumed; -1 when nothing is masked. Paths that are missing are no
 * error.
 */
int rootfs_close_down_take(int root, const struct gspec *spec, int null_mnt, struct err *err);

#endif
