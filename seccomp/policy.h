/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system-call filter of each thread kind, compiled at build time from seccomp/<kind>.policy
 * into BPF: no libseccomp in coracle-vmm. A forbidden call raises SIGSYS; the handler writes one
 * readable line (thread, call, number, arguments, policy file and line to add), in the log's form,
 * and the process ends by that signal.
 *
 * Why SECCOMP_RET_TRAP and not KILL_PROCESS: the report. A kill leaves a line in the kernel's audit
 * log at best, with a number in it. The call is not made in either case, and the handler makes no
 * other than write(2), read(2), and clock_gettime(2) where the vDSO has no clock: every policy has them. What a trap gives an attacker who runs code in the thread is a choice of
 * when to end: the handler itself can be made to fail (a bad stack), which ends the process as
 * well. The calls of another architecture's table, x32 included, kill at once.
 */
#ifndef SECCOMP_POLICY_H
#define SECCOMP_POLICY_H

#include <stdbool.h>

#include "lib/err.h"

/* Installs the SIGSYS reporter, once per process, before any filter and any thread: SIGSYS must not
 * be blocked in a thread, or it ends without the line. report_fd gets the line, as JSON or text (lib/logline.h); -1: nobody. In a
 * thread in whose table it is a socket with a limit for receiving (SO_RCVTIMEO) when the policy is installed, the handler waits
 * for a byte in return. */
int policy_init(int report_fd, bool json, struct err *err);
/* Filters the calling thread with policy `kind` ("main", "vcpu", "fs", "vsock", "rng", "balloon",
 * "console", "waiter"). Sets no_new_privs. 0 or -errno; -ENOENT for an unknown kind. */
int policy_install(const char *kind, struct err *err);

#endif
