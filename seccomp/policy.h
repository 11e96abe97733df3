/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system-call filter of each thread kind, compiled at build time from seccomp/<kind>.policy into BPF:
 * no libseccomp in coracle-vmm. A forbidden call raises SIGSYS; the handler writes one readable line
 * (thread, call, number, arguments, policy file) and ends the process.
 */
#ifndef SECCOMP_POLICY_H
#define SECCOMP_POLICY_H

#include "lib/err.h"

/* Installs the SIGSYS reporter, once per process, before any filter. report_fd gets the line. */
int policy_init(int report_fd, struct err *err);
/* Filters the calling thread with policy `kind` ("main", "vcpu", "fs", "vsock", "rng", "balloon",
 * "console"). Sets no_new_privs. 0 or -errno; -ENOENT for an unknown kind. */
int policy_install(const char *kind, struct err *err);

#endif
