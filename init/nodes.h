/* SPDX-License-Identifier: Apache-2.0 */
/* Device nodes for a container in a user namespace of its own, where none can be made: they are made
 * outside, and shown by bind mounts, as runc does. */
#ifndef INIT_NODES_H
#define INIT_NODES_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/gspec.h"

/* By the guest's root: a detached tmpfs with the spec's nodes and the default ones, owned by ids of
 * the container. Its descriptor or -errno. */
int nodes_make(const struct gspec *spec, struct err *err);

/* In the container's mount namespace, with `nodes` attached anywhere: shows them below root, where
 * there is nothing or an ordinary file. What else is there is devices_make()'s to judge, which comes
 * next. dev_defaults: as there. */
int nodes_bind(int root, int nodes, const struct gspec *spec, bool dev_defaults, struct err *err);

#endif
