/* SPDX-License-Identifier: Apache-2.0 */
/* How a process is scheduled: policy, I/O priority, CPUs. */
#ifndef INIT_SCHED_H
#define INIT_SCHED_H

#include <stdint.h>

#include "lib/err.h"
#include "lib/gspec.h"

/* process.scheduler and process.ioPriority; while still privileged. */
int sched_become(const struct gproc *p, struct err *err);

/* cpus: bit N is CPU N. Those that are not there or not in its cgroup's set do not count; none left is
 * an error. */
int sched_cpus(uint64_t cpus, struct err *err);

#endif
