/* SPDX-License-Identifier: Apache-2.0 */
/* Shuts each kind of thread in, as the last thing before guest code runs (seccomp/policy.h). */
#ifndef VMM_JAIL_H
#define VMM_JAIL_H

#include <stdbool.h>

#include "lib/err.h"
#include "vmm/virtio/worker.h"

/* Once, before any thread, with /proc and CAP_SYS_ADMIN: what the steps below need; forbidden system calls are reported to log_fd, as JSON or text, or to
 * standard error if it is -1. channel: what all threads but main have in log_fd's place (log_channel()); taken; -1: log_fd is that itself.
 * ns: another process's jail_empty_ns(), taken; -1: one is made. */
int jail_init(int log_fd, int channel, int ns, bool log_json, struct err *err);
/* The mount namespace with the empty root; until jail_main(). Borrowed. */
int jail_empty_ns(void);
/* The policies have the devices' names. */
extern const struct worker_jail jail_worker;
/* Of the caller's descriptors keep[0..n) stay (confine_fds()). */
int jail_vcpu(const int *keep, unsigned n, struct err *err);
/* The last one. */
int jail_main(struct err *err);

#endif
