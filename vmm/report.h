/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the parent on the report pipe how it went (struct vmm_report, lib/control.h). */
#ifndef VMM_REPORT_H
#define VMM_REPORT_H

#include "lib/control.h"
#include "vmm/guestlog.h"

/* Never blocks and never fails: the parent may have gone. fd -1: nowhere. err NULL: all is well.
 * log: when the VM itself failed, else NULL. */
void report_send(int fd, enum vmm_report_type type, const struct err *err, uint32_t exit_status,
	const struct guestlog *log, const struct timeline *tl);

#endif
