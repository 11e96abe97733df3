/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_PASS_FDS_H
#define RUNTIME_PASS_FDS_H

#include <stdbool.h>

#include "lib/err.h"

/* Refuses, or with `lenient` warns of, descriptors beside the streams that the caller wants the process to have: runc
 * passes --preserve-fds' ones (n) and those of $LISTEN_FDS, when $LISTEN_PID is this process (sd_listen_fds(3)). */
int pass_fds_check(unsigned n, bool lenient, struct err *err);

#endif
