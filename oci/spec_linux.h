/* SPDX-License-Identifier: Apache-2.0 */
/* The `linux` object of config.json, but for its resources. */
#ifndef OCI_SPEC_LINUX_H
#define OCI_SPEC_LINUX_H

#include "oci/spec_ctx.h"

struct namespace_kind {
	const char *name;
	uint32_t guest_bit; /* GNS_* */
};

extern const struct namespace_kind namespace_kinds[];
extern const size_t namespace_kinds_n;

/* root: the root object of config.json. */
int spec_linux(struct spec_ctx *c, const struct jnode *root, struct container_spec *spec);

/* A sysctl's name as a path below /proc/sys, in out (cap bytes). Separators are '.' or '/',
 * whichever comes first; the other one then stands for a literal '.' (sysctl(8)):
 * "net.ipv4.conf.eth0/1.mtu". 0, or -EINVAL for an empty, "." or ".." component, or a name too
 * long. */
int sysctl_path(const char *name, char *out, size_t cap);

#endif
