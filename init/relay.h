/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a standard stream: bytes from `src` to `dst`, both non-blocking, through a fixed
 * buffer. End of file at the source becomes shutdown(SHUT_WR) or close at the destination once all
 * is delivered; a destination that is gone closes the source, so that its writer learns of it.
 * It runs by itself in init/loop.h's loop.
 */
#ifndef INIT_RELAY_H
#define INIT_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "init/loop.h"

struct relay {
	bool open;
	bool eof; /* the source has ended; what is buffered still goes out */
	bool dst_socket;
	bool dst_ready; /* a socket has connected: it was writable once */
	bool peer_half; /* the peer of a destination socket closed its own direction only */
	bool dry;       /* since relay_mark() the source once had nothing, and the buffer too */
	int src, dst;
	struct watch w_src, w_dst;
	uint64_t moved, mark; /* bytes delivered; where relay_past_mark() is reached */
	uint32_t off, len;    /* buffered: buf[off..len) */
	uint32_t cap;
	uint8_t *buf;
};

/* Takes both descriptors, which are different ones; borrows the buffer, of cap bytes. */
void relay_start_take(
	struct relay *r, int src, int dst, bool dst_socket, uint8_t *buf, uint32_t cap);

/* Remembers what there is to deliver now: in the buffer and at the source. */
void relay_mark(struct relay *r);

/* True once that has been delivered, or never will be. */
bool relay_past_mark(const struct relay *r);

/* Ends it now; what is buffered is lost. */
void relay_stop(struct relay *r);

#endif
