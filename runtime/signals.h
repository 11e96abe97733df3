/* SPDX-License-Identifier: Apache-2.0 */
/* Signals by name or number, as engines and people write them: 9, KILL, SIGKILL, rtmin+3. */
#ifndef RUNTIME_SIGNALS_H
#define RUNTIME_SIGNALS_H

#include "lib/err.h"

/* 0 (a probe) to 64, or -EINVAL. Numbers are Linux's own, as in the guest (glibc hides 32 and 33; the kernel
 * does not). */
int signal_parse(const char *text, struct err *err);

#endif
