/* SPDX-License-Identifier: Apache-2.0 */
#include "init/sched.h"

#include <errno.h>

#include <linux/ioprio.h>

#include "init/fail.h"
#include "init/sys.h"

/* struct sched_attr, first version: <linux/sched/types.h> clashes with newer C libraries'. */
struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

int sched_become(const struct gproc *p, struct err *err)
{
	struct attr attr = {
		.size = sizeof(attr),
		.policy = p->sched.policy,
		.flags = p->sched.flags,
		.nice = p->sched.nice,
		.priority = p->sched.priority,
		.runtime = p->sched.runtime,
		.deadline = p->sched.deadline,
		.period = p->sched.period,
	};

	if ((p->flags & GPROC_HAS_SCHED) && syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
		return fail(err, errno, "error setting scheduler");
	if ((p->flags & GPROC_HAS_IOPRIO) &&
		syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, p->ioprio) < 0)
		return fail(err, errno, "failed to set io priority");
	return 0;
}

int sched_cpus(uint64_t cpus, struct err *err)
{
	if (syscall(SYS_sched_setaffinity, 0, sizeof(cpus), &cpus) < 0)
		return fail(
			err, errno, "error setting CPU affinity 0x%llx", (unsigned long long)cpus);
	return 0;
}
