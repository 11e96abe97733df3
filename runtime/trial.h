/* SPDX-License-Identifier: Apache-2.0 */
/* To find out whether something can be done, by doing it in a process that then ends. */
#ifndef RUNTIME_TRIAL_H
#define RUNTIME_TRIAL_H

#include "lib/err.h"

#define TRIAL_WAIT_MS 10000 /* for a child to do it and to end, the work of a moment */

/* In the child, which has all of the caller's descriptors but those it closes; not `pipe`, which tells the caller what *said is then. */
typedef void trial_fn(void *arg, int pipe, struct err *said);

/*
 * 0: *ret_said is what fn said. Else negative: -ETIMEDOUT after TRIAL_WAIT_MS, and a second more. The child is killed then, and not
 * waited for where it cannot end: v1's freezer keeps it until somebody else thaws its cgroup.
 */
int trial(trial_fn *fn, void *arg, struct err *ret_said);

#endif
