/* SPDX-License-Identifier: Apache-2.0 */
/* A further process of the container: forked into its namespaces and cgroup. It reads its own
 * specification from the host, so that init waits for nothing. */
#ifndef INIT_ENTER_H
#define INIT_ENTER_H

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "init/container.h"
#include "lib/err.h"

struct enter {
	const struct init_env *env;
	const struct container *c; /* whose first process is alive */
	const struct gspec *of;    /* the container's */
	uint32_t flags;       /* GPROC_TERMINAL, GPROC_STD*_NULL: in place of the process's own */
	struct rlimit nofile; /* before init raised it */
	int spec; /* stream socket, perhaps still connecting: an encoded struct gproc, then the end */
	int stdio[3]; /* ends of the pipes; -1: null, or a terminal */
	int report;   /* socket for struct child_msg */
};

/* Gives the pid, or -errno. All descriptors stay the caller's. */
pid_t enter_fork(const struct enter *x, struct err *err);

#endif
