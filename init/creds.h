/* SPDX-License-Identifier: Apache-2.0 */
/* Who a process is and what it may: limits, user, groups, capabilities, no_new_privs. */
#ifndef INIT_CREDS_H
#define INIT_CREDS_H

#include <sys/types.h>

#include "lib/err.h"
#include "lib/gspec.h"

/* Resource limits; while still privileged. */
int creds_limits(const struct gproc *p, struct err *err);

/* Raises the hard limits of a process (0: the calling one) to where creds_limits() wants them: in a
 * user namespace that would be too late. */
int creds_raise_limits(pid_t pid, const struct gproc *p, struct err *err);

#define CREDS_COUNTED 4

struct creds_lent {
	uint64_t own[CREDS_COUNTED][2]; /* soft, hard */
};

/* A user namespace as a whole never gets more locked memory, message queues, pending signals and processes than
 * the soft limits of the process that makes it. So init has the container's until it is made, and takes its own
 * back. */
int creds_lend_limits(const struct gproc *p, struct creds_lent *ret_lent, struct err *err);
void creds_take_limits_back(const struct creds_lent *lent);

/* oom_score_adj of a process (0: the calling one), through a procfs of the caller's pid namespace.
 */
int creds_oom_score(int proc, pid_t pid, int32_t adj, struct err *err);

/* Bounding set, groups, gid, uid, and the other four capability sets, in runc's order. No way back.
 */
int creds_become(const struct gproc *p, struct err *err);

#endif
