/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMM's log file, in the lines of lib/logline.h: text or JSON. Append-only; one write(2) per
 * message; bounded in rate, because part of what is written is the guest's. Main
 * thread only, but for a log_taker.
 */
#ifndef VMM_LOG_H
#define VMM_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/logline.h"

#define LOG_MSG_MAX     6144u
#define LOG_BURST_BYTES (1u << 20)  /* guest lines: this much at once, */
#define LOG_BYTES_PER_S (64u << 10) /* and so much more per second */

struct log {
	int fd; /* borrowed; -1: nowhere */
	bool json;
	uint64_t budget, refilled_ns;
	uint32_t dropped;
	uint32_t lines; /* messages taken of others */
};

void log_init(struct log *l, int fd, bool json);
/* Our own messages: never dropped. */
__attribute__((format(printf, 3, 4))) void log_write(
	struct log *l, enum log_level level, const char *fmt, ...);
/* A line of the guest's: counts against the budget; says how many were dropped once there is room
 * again. */
void log_guest_line(struct log *l, const char *line);

/*
 * The way to the log of all threads but main: a socket, for a file would be a way into its file system. Each message is a
 * line, formatted already, and main answers a byte once the line is in the log, or could not be written to it, which no waiting
 * would change. The writer waits for that, for LOG_CHANNEL_S at most, and before it as long for room in the socket. Whoever
 * writes may be the guest's: a message is made one line of printable text that is bounded, and after LOG_LINES_MAX, empty
 * ones and those that could not be written counted, the way is closed for good.
 */
#define LOG_CHANNEL_S 2
#define LOG_LINES_MAX 16u
#define LOG_LINE_MAX  4096u

/* Both are close-on-exec. */
int log_channel(int *ret_main, int *ret_others, struct err *err);
/* Takes one line from main's end, if there is one. False: there is none, or this was the last: then *fd is closed, and -1.
 * At the others' end too, after LOG_LINES_MAX calls at most.
 * syscalls: recvfrom, write, sendto, close */
bool log_take_line(struct log *l, int *fd);

/*
 * A thread that takes lines while main starts the others and waits for them: one that has its filter may make a forbidden call
 * before main listens, and with threads the process ends with it. It shares main's descriptors, and has a duplicate of main's
 * end. It must be gone when main is jailed; what comes afterwards is main's to take.
 */
struct log_taker {
	struct log *log; /* its own until the stop */
	int fd, stop_fd;
	bool runs;
	pthread_t thread;
};
#define LOG_TAKER_INIT                  \
	{                               \
		.fd = -1, .stop_fd = -1 \
	}

/* All signals are blocked in it. fd: main's end, borrowed. */
int log_taker_start(struct log_taker *t, struct log *log, int fd, struct err *err);
/* Fine for one that was not started, or could not be. */
void log_taker_stop(struct log_taker *t);

#endif
