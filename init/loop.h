/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for descriptors: epoll(7), level-triggered, as a table for poll(2) would be some two
 * thousand entries long.
 */
#ifndef INIT_LOOP_H
#define INIT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

/*
 * One descriptor that is waited for. EPOLLERR and EPOLLHUP come whether asked for or not, so a
 * descriptor that is not to be heard of is taken off. It must be taken off before it is closed: a
 * forked child may hold it open, and epoll would go on reporting it.
 */
struct watch {
	int fd; /* borrowed; -1: off */
	uint32_t events;
	void (*ready)(struct watch *w, uint32_t events);
};

#define WATCH_OFF(function)                   \
	{                                     \
		.fd = -1, .ready = (function) \
	}

int loop_open(struct err *err);

/* Starts or changes what is waited for. 0 or -errno; then it is as before. */
int watch_set(struct watch *w, int fd, uint32_t events);
void watch_off(struct watch *w);

/*
 * Waits until something is ready, at most timeout_ms (-1: as long as it takes), and calls what is to be
 * called, for a bounded number of descriptors. A watch that was off when the turn began may be used
 * again only after it: events of its past may still be under way. 0 or -errno.
 */
int loop_turn(int timeout_ms);

#endif
