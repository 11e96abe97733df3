/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a standard stream: bytes from `src` to `dst`, both non-blocking, through a fixed
 * buffer. End of file at the source becomes shutdown(SHUT_WR) or close at the destination once all
 * is delivered; a destination that is gone closes the source, so that its writer learns of it.
 */
#ifndef INIT_RELAY_H
#define INIT_RELAY_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define RELAY_BYTES (64u << 10)

struct relay {
	bool open;
	bool eof; /* the source has ended; what is buffered still goes out */
	bool dst_socket;
	bool dst_ready; /* a socket has connected: it was writable once */
	bool peer_half; /* the peer of a destination socket closed its own direction only */
	int src, dst;
	uint32_t off, len; /* buffered: buf[off..len) */
	uint8_t buf[RELAY_BYTES];
};

/* Takes both descriptors; they are different ones. */
void relay_start_take(struct relay *r, int src, int dst, bool dst_socket);

/* What to wait for; an entry with fd -1 is to be ignored. Closed relays give two of those. */
void relay_want(const struct relay *r, struct pollfd pf[2]);

/* Moves what can be moved after poll(2). Bounded work. */
void relay_run(struct relay *r, const struct pollfd pf[2]);

/* Ends it now; what is buffered is lost. */
void relay_stop(struct relay *r);

#endif
