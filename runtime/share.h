/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The share tree: what the guest's virtio-fs shows. A small read-only tmpfs whose entries
 * ("rootfs", "m0", "m1"...) are mount points, one for the root file system and one for each bind
 * mount. Every mount in it is a private clone, nosuid, nodev, noexec on the host, and read-only
 * where the spec says so: the host kernel itself refuses writes there, whatever the file server is
 * made to do.
 */
#ifndef RUNTIME_SHARE_H
#define RUNTIME_SHARE_H

#include "lib/err.h"
#include "oci/spec.h"

/* Makes the mount points that the spec's mounts need and a read-only root lacks, by the rules the
 * guest has (path_make()): the share refuses its writes from the first. Does nothing for a writable
 * root: the guest makes them. What a read-only file system refuses here too, the guest reports. */
int share_make_mount_points(struct container_spec *spec, struct err *err);

struct share {
	const struct container_spec *spec; /* borrowed */
	int *clone; /* detached mounts: the root file system, then the bind mounts in order */
	uint32_t n;
	const char *rootfs; /* borrowed; see share_clone() */
	int peer_fd;        /* the mount there, from share_mount() to share_settle(); else -1 */
};

/* Clones the mounts, in the mount namespace that the sources were opened in (spec_open_sources): a
 * mount of another namespace cannot be cloned. Release also after a failure.
 * rootfs: the root file system's path, absolute, when hooks are to mount something below it, which then is in
 * the share tree as well; else NULL. */
int share_clone(
	struct share *s, const struct container_spec *spec, const char *rootfs, struct err *err);
/* Mounts the tree on mount_point_fd, in the calling process's own, newer mount namespace. *ret_fd:
 * O_PATH, its root, CLOEXEC. */
int share_mount(struct share *s, int mount_point_fd, int *ret_fd, struct err *err);
/* Behind the hooks: what is mounted from now on stays out of the tree. Moves the working directory. */
int share_settle(struct share *s, int tree_fd, struct err *err);
void share_release(struct share *s);

#endif
