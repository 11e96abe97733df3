/* SPDX-License-Identifier: Apache-2.0 */
#include "init/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "init/log.h"
#include "lib/base.h"
#include "lib/cleanup.h"

#define ROUNDS    16          /* buffers moved before the other streams get their turn */
#define TTY_BYTES (64u << 10) /* what a terminal may hold that FIONREAD does not count */

void relay_stop(struct relay *r)
{
	if (!r->open)
		return;
	r->open = false;
	watch_off(&r->w_src);
	watch_off(&r->w_dst);
	if (r->dst_socket)
		shutdown(r->dst, SHUT_WR);
	close_fd(&r->src);
	close_fd(&r->dst);
}

/* Waits for what can go on: the source or the destination, as the buffer is empty or not. */
static void arm(struct relay *r)
{
	bool full = r->len || r->eof;
	uint32_t events = full ? EPOLLOUT : 0;
	int e = 0;

	if (!r->open)
		return;
	/* A source that is not read now is not waited for at all: its EPOLLHUP would spin. */
	if (full)
		watch_off(&r->w_src);
	else
		e = watch_set(&r->w_src, r->src, EPOLLIN);
	/* The destination always is, for the reader's going away: EPOLLERR, EPOLLHUP. */
	if (r->dst_socket && !r->peer_half)
		events |= EPOLLRDHUP;
	if (e == 0)
		e = watch_set(&r->w_dst, r->dst, events);
	if (e < 0) {
		log_msg("a stream is given up: %s", strerror(-e));
		relay_stop(r);
	}
}

/* True when nobody will ever read from the destination again. */
static bool reader_gone(struct relay *r, uint32_t events)
{
	if (events & (EPOLLERR | EPOLLHUP))
		return true;
	if (!(events & EPOLLRDHUP))
		return false;
	/* An orderly close of both directions or of the unused one alone: an empty send tells
	 * which. */
	if (send(r->dst, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		return true;
	r->peer_half = true;
	return false;
}

/* Fills the empty buffer. False: nothing there now. */
static bool fill(struct relay *r)
{
	ssize_t n;

	do {
		n = read(r->src, r->buf, r->cap);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	r->off = 0;
	r->len = n > 0 ? (uint32_t)n : 0;
	r->eof = n <= 0; /* an error ends a source as its end does: EIO is a terminal's way */
	return true;
}

/* Empties the buffer. False: the destination takes no more now, or the relay has ended. */
static bool drain(struct relay *r, bool writable)
{
	while (r->off < r->len) {
		ssize_t n = write(r->dst, r->buf + r->off, r->len - r->off);

		if (n >= 0) {
			r->off += (uint32_t)n;
			r->moved += (uint64_t)n;
			r->dst_ready = true;
			continue;
		}
		if (errno == EINTR)
			continue;
		/* A socket that still connects says ENOTCONN, and is not yet writable. */
		if (errno != EAGAIN && !(errno == ENOTCONN && !writable))
			relay_stop(r);
		return false;
	}
	r->off = r->len = 0;
	return true;
}

/* Moves what can be moved now. Bounded work. */
static void pump(struct relay *r, bool writable)
{
	for (int i = 0; i < ROUNDS; i++) {
		if (!drain(r, writable))
			return;
		if (r->eof) {
			/* Not before it has connected: the peer is to see an end, not a reset. */
			if (r->dst_ready)
				relay_stop(r);
			return;
		}
		if (!fill(r)) {
			r->dry = true;
			return;
		}
	}
}

static void src_ready(struct watch *w, uint32_t events)
{
	struct relay *r = container_of(w, struct relay, w_src);

	pump(r, false);
	arm(r);
}

static void dst_ready(struct watch *w, uint32_t events)
{
	struct relay *r = container_of(w, struct relay, w_dst);

	if (reader_gone(r, events)) {
		relay_stop(r);
		return;
	}
	r->dst_ready |= !!(events & EPOLLOUT);
	pump(r, events & EPOLLOUT);
	arm(r);
}

void relay_mark(struct relay *r)
{
	int n = 0;

	if (!r->open)
		return;
	if (ioctl(r->src, FIONREAD, &n) < 0 || n < 0)
		n = 0;
	r->mark = r->moved + (r->len - r->off) + (uint64_t)n;
	if (isatty(r->src))
		r->mark += TTY_BYTES;
	r->dry = false;
	pump(r, false); /* nothing may be there, and then no event comes */
	arm(r);
}

bool relay_past_mark(const struct relay *r)
{
	return !r->open || r->dry || r->moved >= r->mark;
}

void relay_start_take(
	struct relay *r, int src, int dst, bool dst_socket, uint8_t *buf, uint32_t cap)
{
	*r = (struct relay){
		.open = true,
		.dst_socket = dst_socket,
		.dst_ready = !dst_socket,
		.src = src,
		.dst = dst,
		.w_src = WATCH_OFF(src_ready),
		.w_dst = WATCH_OFF(dst_ready),
		.cap = cap,
		.buf = buf,
	};
	arm(r);
}
