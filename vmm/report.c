/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void report_send(int fd, enum vmm_report_type type, const struct err *err, uint32_t exit_status,
	const struct guestlog *log, const struct timeline *tl)
{
	struct vmm_report r = {
		.version = CTL_VERSION,
		.type = type,
		.errnum = err ? err->errnum : 0,
		.exit_status = exit_status,
		.timeline = *tl,
	};
	int flags;

	if (fd < 0)
		return;
	if (err)
		snprintf(r.text, sizeof(r.text), "%s", err->msg);
	if (log)
		guestlog_tail(log, r.guest_log, sizeof(r.guest_log));
	/* Two reports fit into a pipe, and nobody else writes to it: what does not go in at once is
	 * lost. */
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || write(fd, &r, sizeof(r)) < 0)
		return;
}
