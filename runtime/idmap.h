/* SPDX-License-Identifier: Apache-2.0 */
/* Id-mapped mounts, made by the host's kernel. */
#ifndef RUNTIME_IDMAP_H
#define RUNTIME_IDMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/gspec.h"

struct idmaps {
	uint32_t n_uids, n_gids;
	const struct gidmap *uids, *gids; /* inside is the file system's id, outside the mount's */
};

/* Maps the ids of a detached mount that nobody has used yet, and with `recursive` of those below. An
 * error says what the kernel said, such as that the file system cannot. */
int idmap_mount(int mnt, const struct idmaps *m, bool recursive, struct err *err);

/* The lines of a uid_map: those of m, and one more when id 0 of the mount has none. The file server
 * makes files as 0 and then gives them away, which the kernel refuses (EOVERFLOW) where 0 cannot be
 * stored: it becomes an id that nobody uses. 0 or -E2BIG. */
int idmap_text(const struct gidmap *m, uint32_t n, char *out, size_t out_bytes);

#define IDMAP_TEXT_BYTES ((GSPEC_IDMAPS_MAX + 1) * 33u + 1) /* three numbers of ten digits each */

#endif
