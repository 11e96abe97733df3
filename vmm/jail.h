/* SPDX-License-Identifier: Apache-2.0 */
/* Shuts each kind of thread in, as the last thing before guest code runs (seccomp/policy.h). */
#ifndef VMM_JAIL_H
#define VMM_JAIL_H

#include <stdbool.h>

#include "lib/err.h"
#include "vmm/virtio/worker.h"

/* Once, before any thread, with /proc and CAP_SYS_ADMIN: what the steps below need; forbidden system calls are reported to log_fd, as JSON or text, or to
 * standard error if it is -1. channel: what all threads but main have in log_fd's place (log_channel()); taken; -1: log_fd is that itself. */
int jail_init(int log_fd, int channel, bool log_json, struct err *err);
/* The policies have the devices' names. */
extern const struct worker_jail jail_worker;
/* Of the caller's descriptors keep[0..n) stay (confine_fds()). */
int jail_vcpu(const int *keep, unsigned n, struct err *err);
/* The last one. */
int jail_main(struct err *err);

#endif
