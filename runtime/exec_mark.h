/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which exec proxies a container has, for `ps`. Each leaves a symbolic link exec.PID in the state directory,
 * whose target is its start time (field 22 of /proc/PID/stat): made and read in one step, and a link that
 * a killed proxy has left behind does not match whoever has its pid later.
 */
#ifndef RUNTIME_EXEC_MARK_H
#define RUNTIME_EXEC_MARK_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"
#include "runtime/container.h"

/* For the calling process. */
int exec_mark_set(const struct container *c, struct err *err);
void exec_mark_clear(const struct container *c);

/* The pids of the proxies that live, ascending; malloc'd. Links of others are removed. */
int exec_mark_list(const struct container *c, pid_t **ret_pids, size_t *ret_n, struct err *err);

#endif
