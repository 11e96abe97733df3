/* SPDX-License-Identifier: Apache-2.0 */
/* What coracle-vmm says on its report pipe (lib/control.h), to the command that launched it. */
#ifndef RUNTIME_LAUNCH_REPORT_H
#define RUNTIME_LAUNCH_REPORT_H

#include "lib/control.h"
#include "lib/err.h"
#include "runtime/launch.h"

/* Reads one report. -EPIPE: the VMM ended without one (the message says how); it is then waited for
 * and l->pid 0. */
int launch_report_read(struct launch *l, struct vmm_report *ret, struct err *err);
/* Waits for VMM_READY; what comes instead becomes err, and the guest's last lines are logged. */
int launch_report_ready(struct launch *l, struct err *err);

#endif
