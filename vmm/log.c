/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/timeline.h"

#define ESCAPE_MAX 6 /* \u00XX */

static const char *const level_name[] = {"debug", "info", "warning", "error"};

void log_init(struct log *l, int fd, bool json)
{
	tzset(); /* reads a file, once: later, in the jail, gmtime_r() will not */
	*l = (struct log){
		.fd = fd, .json = json, .budget = LOG_BURST_BYTES, .refilled_ns = timeline_now()};
}

void log_json_escape(char *buf, size_t cap, size_t *len, const char *s)
{
	for (; *s && *len + ESCAPE_MAX < cap; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			*len += (size_t)snprintf(buf + *len, cap - *len, "\\%c", c);
		else if (c == '\n')
			*len += (size_t)snprintf(buf + *len, cap - *len, "\\n");
		else if (c < ' ' || c > '~')
			*len += (size_t)snprintf(buf + *len, cap - *len, "\\u%04x", c);
		else
			buf[(*len)++] = (char)c;
	}
	buf[*len] = '\0';
}

static void emit(struct log *l, enum log_level level, const char *msg)
{
	char out[LOG_MSG_MAX * ESCAPE_MAX + 128], when[40] = "";
	struct timespec now = {0};
	struct tm tm;
	size_t len;

	if (l->fd < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	if (gmtime_r(&now.tv_sec, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (l->json) {
		len = (size_t)snprintf(
			out, sizeof(out), "{\"level\":\"%s\",\"msg\":\"", level_name[level]);
		log_json_escape(out, sizeof(out) - 64, &len, msg);
		len += (size_t)snprintf(
			out + len, sizeof(out) - len, "\",\"time\":\"%s\"}\n", when);
	} else {
		len = (size_t)snprintf(
			out, sizeof(out), "%s %s coracle-vmm: %s\n", when, level_name[level], msg);
		len = MIN(len, sizeof(out) - 1);
	}
	/* A log that cannot be written has nobody to be told to. */
	if (write(l->fd, out, len) < 0)
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
