/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside the container's root, which is hostile: its symlinks are followed, but as a process
 * inside would follow them, never out. Every step is resolved by the kernel below the root's
 * descriptor (RESOLVE_IN_ROOT); nothing is opened twice by name. In the guest, and on the host for
 * the mount points of a read-only root. For one thread.
 */
#ifndef LIB_PATH_H
#define LIB_PATH_H

#include <stdbool.h>
#include <stddef.h>

#define PATH_BYTES 4096 /* with the NUL */

/* Writes the lexically cleaned absolute form of path ("//a/./b/" -> "/a/b", ".." resolved) to out.
 * Returns 0 or -ENAMETOOLONG. */
int path_clean(const char *path, char out[PATH_BYTES]);

/* Opens path below root with open(2) flags (O_CLOEXEC is added), no magic links. Returns fd or
 * -errno. */
int path_open(int root, const char *path, int flags);

/* The same, but any symlink on the way, or at the end, is -ELOOP. */
int path_open_nolink(int root, const char *path, int flags);

/*
 * An O_PATH descriptor of path below root; what is missing is made: directories with mode 0755, and
 * at the end an empty file instead when `dir` is false. A dangling symlink is followed and its
 * target made, inside the root. *ret_made (may be NULL) says whether the end itself was made.
 * Returns fd or -errno.
 */
int path_make(int root, const char *path, bool dir, bool *ret_made);

#endif
