/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of a log, as every program of ours writes it. JSON, the form that containerd's shim and Podman read
 * back, or text:
 *
 *	{"level":"error","msg":"cannot open 'x'","time":"2024-05-06T07:08:09.123456789Z"}
 *	time="2024-05-06T07:08:09.123456789Z" level=error msg="cannot open 'x'"
 *
 * Whatever the message holds, the line is one line of printable UTF-8: quotes, backslashes and control
 * characters are escaped as JSON does it, in both forms, and bytes that are no UTF-8 become U+FFFD. No
 * allocation, no locale, no time zone, no system call: also for signal handlers and behind filters.
 */
#ifndef LIB_LOGLINE_H
#define LIB_LOGLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

/* Room that any message of n bytes fits in, and what a line needs at least. */
#define LOGLINE_BYTES(n) (6 * (n) + LOGLINE_MIN)
#define LOGLINE_MIN      128

/* Writes the line, with '\n' and without NUL, into buf (cap >= LOGLINE_MIN). A message that does not fit is
 * cut, never in the middle of a character. when: CLOCK_REALTIME. Returns the line's length. */
size_t logline_format(char *buf, size_t cap, bool json, enum log_level level,
	const struct timespec *when, const char *msg);

/* For a text that somebody hostile wrote, in place: each byte of a control character, and each that is no UTF-8,
 * becomes '?'. */
void logline_printable(char *text);

#endif
