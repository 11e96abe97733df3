/* SPDX-License-Identifier: Apache-2.0 */
/*
 * startContainer hooks: run by the container's first process when all that is left is execve(2), as
 * its user, with its rights, in its root and working directory. What they print is shown when they
 * fail, cut. Their process groups are their own, so that a hook which runs too long is killed with
 * what it has started.
 */
#ifndef INIT_HOOKS_H
#define INIT_HOOKS_H

#include "lib/err.h"
#include "lib/gspec.h"

/* In order, until one fails. env: for hooks that are given none. */
int hooks_run(const struct gspec *spec, const char *const *env, struct err *err);

#endif
