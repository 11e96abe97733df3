/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing what `update` has worked out (oci/update.h): to the container's cgroup in the guest and to the VMM's on
 * the host. A paused guest answers nothing: what is for it waits, under the mark that says so, for `resume`.
 */
#ifndef RUNTIME_LIMITS_H
#define RUNTIME_LIMITS_H

#include "lib/err.h"
#include "oci/update.h"
#include "runtime/container.h"

/* Writes and notes a merged update. paused: the guest's part is left to limits_catch_up(). */
int limits_write(const struct update *u, const struct container *c, bool paused, struct err *err);
/* Writes to the guest what an update of the paused container has left, or one that failed half-way. */
int limits_catch_up(const struct container *c, struct err *err);

#endif
