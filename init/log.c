/* SPDX-License-Identifier: Apache-2.0 */
#include "init/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 900 /* /dev/kmsg refuses more than about 1000 in one record */

static int log_fd = -1;
static bool log_steps;

void log_to(int fd, bool steps)
{
	log_fd = fd;
	log_steps = steps;
}

__attribute__((format(printf, 1, 0))) static void say(const char *fmt, va_list ap)
{
	static const char head[] = "coracle-init: ";
	char line[LINE_MAX_BYTES];
	size_t len = sizeof(head) - 1;
	int n;

	if (log_fd < 0)
		return;
	__builtin_memcpy(line, head, len);
	n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	if (n < 0)
		return;
	len += (size_t)n < sizeof(line) - len - 1 ? (size_t)n : sizeof(line) - len - 2;
	line[len++] = '\n';
	if (write(log_fd, line, len) < 0)
		return; /* there is nobody left to tell */
}

void log_msg(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

void log_step(const char *fmt, ...)
{
	va_list ap;

	if (!log_steps)
		return;
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}
