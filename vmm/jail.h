/* SPDX-License-Identifier: Apache-2.0 */
/* Shuts each kind of thread in, as the last thing before guest code runs (seccomp/policy.h). */
#ifndef VMM_JAIL_H
#define VMM_JAIL_H

#include <stdbool.h>

#include "lib/err.h"

/* Once, before any thread: forbidden system calls are reported to log_fd, as JSON or text, or to
 * standard error if it is -1. */
int jail_init(int log_fd, bool log_json, struct err *err);
int jail_main(struct err *err);
int jail_vcpu(struct err *err);
/* A worker_jail_fn: the policy has the device's name. */
int jail_worker(const char *device, unsigned thread, struct err *err);

#endif
