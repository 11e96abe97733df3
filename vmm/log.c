/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/timeline.h"

void log_init(struct log *l, int fd, bool json)
{
	*l = (struct log){
		.fd = fd, .json = json, .budget = LOG_BURST_BYTES, .refilled_ns = timeline_now()};
}

static void emit(struct log *l, enum log_level level, const char *msg)
{
	char line[LOGLINE_BYTES(LOG_MSG_MAX)];
	struct timespec now = {0};
	size_t len;

	if (l->fd < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	len = logline_format(line, sizeof(line), l->json, level, &now, msg);
	/* A log that cannot be written has nobody to be told to. */
	if (write(l->fd, line, len) < 0)
		return;
}

void log_write(struct log *l, enum log_level level, const char *fmt, ...)
{
	char msg[LOG_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	emit(l, level, msg);
}

void log_guest_line(struct log *l, const char *line)
{
	uint64_t now = timeline_now(), ms = (now - l->refilled_ns) / 1000000,
		 cost = strlen(line) + 64;

	if (ms) {
		l->budget = MIN(l->budget + ms * LOG_BYTES_PER_S / 1000, (uint64_t)LOG_BURST_BYTES);
		l->refilled_ns = now;
	}
	if (l->budget < cost) {
		l->dropped++;
		return;
	}
	l->budget -= cost;
	if (l->dropped)
		log_write(l, LOG_LEVEL_WARNING, "%u lines of the guest's log were left out",
			l->dropped);
	l->dropped = 0;
	log_write(l, LOG_LEVEL_DEBUG, "guest: %s", line);
}
