/* SPDX-License-Identifier: Apache-2.0 */
/* Messages for whoever debugs the guest, on the kernel's log: "coracle-init: ...". */
#ifndef INIT_LOG_H
#define INIT_LOG_H

#include <stdbool.h>

/* Where messages go (borrowed; -1, the start value: nowhere), and whether log_step() says anything.
 */
void log_to(int fd, bool steps);

__attribute__((format(printf, 1, 2))) void log_msg(const char *fmt, ...);
__attribute__((format(printf, 1, 2))) void log_step(const char *fmt, ...);

#endif
