/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: their names, and those that a command gets itself. */
#ifndef RUNTIME_SIGNALS_H
#define RUNTIME_SIGNALS_H

#include "lib/err.h"

/* A signal as engines and people write it: 9, KILL, SIGKILL, rtmin+3. 0 (a probe) to 64, or -EINVAL. Numbers are Linux's own, as in the guest (glibc hides 32 and 33; the kernel
 * does not). */
int signal_parse(const char *text, struct err *err);

/* Blocks SIGCHLD and the signals that end or steer a command, and gives a signalfd for them, CLOEXEC; -1
 * with errno. */
int signals_open(void);
/* The same for every signal there is, but the two that nobody can block: all are passed on. */
int signals_open_all(void);
/* Waits until fd is readable, hung up or broken (0). -EINTR: a signal that ends a command came first; err
 * then says which and carries the exit status 128+N. signal_fd -1: none is waited for. */
int signals_wait(int signal_fd, int fd, struct err *err);

#endif
