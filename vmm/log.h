/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMM's log file: text, or JSON lines {"level","msg","time"} as runc writes them. Append-only;
 * one write(2) per message; bounded in rate, because part of what is written is the guest's. Main
 * thread only.
 */
#ifndef VMM_LOG_H
#define VMM_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_MSG_MAX     6144u
#define LOG_BURST_BYTES (1u << 20)  /* guest lines: this much at once, */
#define LOG_BYTES_PER_S (64u << 10) /* and so much more per second */

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

struct log {
	int fd; /* borrowed; -1: nowhere */
	bool json;
	uint64_t budget, refilled_ns;
	uint32_t dropped;
};

void log_init(struct log *l, int fd, bool json);
/* Our own messages: never dropped. */
__attribute__((format(printf, 3, 4))) void log_write(
	struct log *l, enum log_level level, const char *fmt, ...);
/* A line of the guest's: counts against the budget; says how many were dropped once there is room
 * again. */
void log_guest_line(struct log *l, const char *line);

/* Appends s to buf (cap bytes, *len used) as the inside of a JSON string; what does not fit is left
 * out. Bytes that are not printable ASCII are escaped; invalid UTF-8 and control characters can so
 * never get out. */
void log_json_escape(char *buf, size_t cap, size_t *len, const char *s);

#endif
