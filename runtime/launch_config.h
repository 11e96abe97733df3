/* SPDX-License-Identifier: Apache-2.0 */
/* What coracle-vmm is given: its configuration, and everything it needs opened. */
#ifndef RUNTIME_LAUNCH_CONFIG_H
#define RUNTIME_LAUNCH_CONFIG_H

#include "lib/err.h"
#include "lib/vm_config.h"
#include "oci/spec.h"
#include "runtime/launch.h"

/* Fills cfg and opens all its descriptors but two: the share tree's root, which the child makes, and
 * the report pipe, made when it is forked. Release it also after a failure. */
int launch_config_fill(struct vm_config *cfg, const struct launch *l, const struct global *g,
	const struct container_spec *spec, const struct container *c, struct err *err);
void launch_config_release(struct vm_config *cfg);

#endif
