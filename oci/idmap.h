/* SPDX-License-Identifier: Apache-2.0 */
/* uidMappings and gidMappings: of the container (linux) and of mounts. Used inside oci/ only. */
#ifndef OCI_IDMAP_H
#define OCI_IDMAP_H

#include "oci/spec_ctx.h"

/* The array n[key] of {containerID, hostID, size}, checked as the kernel would: at most 340, none
 * empty, none past the last id, no id twice on either side. Absent: *ret_n stays. */
int idmap_parse(struct spec_ctx *c, const struct jnode *n, const char *key,
	const struct gidmap **ret_maps, uint32_t *ret_n);

/* n: the `linux` object. Those of the container, which belong to a user namespace. */
int spec_idmaps(struct spec_ctx *c, const struct jnode *n, struct gspec *g);

/* root: the root object; after spec_mounts() and spec_linux(). Mounts that are to have the
 * container's mappings get them. */
int spec_mount_idmaps(struct spec_ctx *c, const struct jnode *root, struct container_spec *spec);

#endif
