/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spec's mounts, made in the container's root before it becomes "/". All by descriptor (fsopen,
 * open_tree, move_mount): the target is resolved once, inside the root, and the mount lands on
 * exactly that (CVE-2021-30465 was a second look-up by name).
 */
#ifndef INIT_MOUNTS_H
#define INIT_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/gspec.h"

/* MS_* of mount(2) as attributes of one mount. Returns 0, or -EINVAL when a bit is not one we know.
 * Flags of a whole file system (MS_SYNCHRONOUS, ...) are known but give no attribute:
 * mount_new_fs() takes them. */
int mount_attrs(uint64_t flags, uint64_t clear, uint64_t *ret_set, uint64_t *ret_clr);

/* True when a mount at clean path `dest` inside /proc would fake what the kernel says: not in
 * runc's list. */
bool mount_inside_proc(const char *dest);

/* True when the comma-separated options hold `name` or `name=...`. */
bool mount_has_option(const char *data, const char *name);

/*
 * Makes all mounts, in order, below `root` (an O_PATH directory, attached in the caller's mount
 * namespace). Sources of bind mounts are entries of the working directory: the share. Mounts that
 * are to be read-only but are still written to while the container is prepared (tmpfs) become so in
 * mounts_seal(). *ret_dev_defaults: /dev is a fresh tmpfs or the root file system's own, and wants its
 * default nodes; a bind or another file system there brings its own.
 */
int mounts_make(int root, const struct gspec *spec, bool *ret_dev_defaults, struct err *err);
int mounts_seal(struct err *err);

/* Propagation (MS_SHARED..., | MS_REC; 0: leave) of the mount whose root is `path` below `dir`. */
int mount_propagation(int dir, const char *path, uint64_t ms_flags);

/* A new, detached file system with the comma-separated options. `why`, of why_bytes, gets the
 * kernel's own explanation or "". Returns the mount's fd or -errno. */
int mount_new_fs(const char *fstype, const char *source, const char *data, uint64_t ms_flags,
	uint64_t attrs, char *why, size_t why_bytes);

/* Changes the file system that is mounted at mnt (O_PATH, its root), but for read-only, which is the mount's
 * affair. 0 or -errno; why: as above. */
int mount_change_fs(int mnt, const char *data, uint64_t ms_flags, uint64_t clear_flags, char *why,
	size_t why_bytes);

#endif
