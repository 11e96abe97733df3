/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a prepared process to the user's program: independent of who asked for it (the container's
 * first process, later exec) and of how it came into its namespaces.
 */
#ifndef INIT_PROCESS_H
#define INIT_PROCESS_H

#include "lib/err.h"
#include "lib/gspec.h"

#define PROCESS_REPORT_FD 3 /* where process_stdio() leaves the report socket */

/* What all processes of the container have in common: its seccomp filter, its personality, and
 * spec->proc's CPUs. Before any of the below; spec must stay. */
void process_setup(const struct gspec *spec);

/* Puts stdio[0..2] on 0, 1 and 2, report on PROCESS_REPORT_FD (CLOEXEC), and closes everything
 * else, so that nothing of init's can be reached from here on, not by cwd "/proc/self/fd/N" either
 * (CVE-2024-21626). */
int process_stdio(const int stdio[3], int report, struct err *err);

/*
 * Everything that comes before execve(2), in the container's root with its standard streams in
 * place: limits, user, capabilities, working directory, umask, HOME, finding the program.
 * oom_score_adj is the caller's affair (it takes a procfs). Keeps the result for process_exec().
 */
int process_become(const struct gproc *p, struct err *err);

/* The environment that process_become() has put together; ends in NULL. */
const char *const *process_env(void);

/* Returns only on failure, with err->exit_status set. */
int process_exec(const struct gproc *p, struct err *err);

#endif
