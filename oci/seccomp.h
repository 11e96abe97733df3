/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.seccomp: checked here, compiled by libseccomp on the host, carried in the guest's
 * specification as the finished program. So the guest needs neither libseccomp nor a heap, and a
 * profile that cannot be compiled fails before a VM starts.
 */
#ifndef OCI_SECCOMP_H
#define OCI_SECCOMP_H

#include <stddef.h>
#include <stdint.h>

#include "oci/spec_ctx.h"

/* A name of the specification and what libseccomp or the kernel calls it. `refused`: known, not
 * supported. */
struct seccomp_name {
	const char *name;
	uint32_t value;
	bool refused;
};

extern const struct seccomp_name seccomp_actions[], seccomp_operators[], seccomp_archs[],
	seccomp_flags[];
extern const size_t seccomp_actions_n, seccomp_operators_n, seccomp_archs_n, seccomp_flags_n;

/* linux: the `linux` object. Sets g's GSPEC_SECCOMP, seccomp, n_seccomp and seccomp_flags; nothing
 * when the profile is absent, or empty as engines send it. */
int spec_seccomp(struct spec_ctx *c, const struct jnode *linux_node, struct gspec *g);

#endif
