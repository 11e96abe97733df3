/* SPDX-License-Identifier: Apache-2.0 */
/* The device workers of a VMM that are processes of their own (vmm/worker_proc.h), seen from a command. */
#ifndef RUNTIME_WORKERS_H
#define RUNTIME_WORKERS_H

#include <sys/types.h>

#include "lib/err.h"

#define WORKERS_WAIT_MS 10000

/* The VMM with this pid has ended, and the kernel has killed its workers with it: waits until they are gone too.
 * They are in its process group. Bounded: -EBUSY. */
int workers_wait_gone(pid_t vmm, const char *id, int timeout_ms, struct err *err);

#endif
