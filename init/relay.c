/* SPDX-License-Identifier: Apache-2.0 */
#include "init/relay.h"

#include <errno.h>
#include <sys/socket.h>

#include "lib/cleanup.h"

#define ROUNDS 16 /* buffers moved before the other streams get their turn */

void relay_start_take(struct relay *r, int src, int dst, bool dst_socket)
{
	r->open = true;
	r->eof = r->peer_half = false;
	r->dst_socket = dst_socket;
	r->dst_ready = !dst_socket;
	r->src = src;
	r->dst = dst;
	r->off = r->len = 0;
}

void relay_stop(struct relay *r)
{
	if (!r->open)
		return;
	r->open = false;
	if (r->dst_socket)
		shutdown(r->dst, SHUT_WR);
	close_fd(&r->src);
	close_fd(&r->dst);
}

void relay_want(const struct relay *r, struct pollfd pf[2])
{
	bool full = r->len || r->eof;

	pf[0] = (struct pollfd){.fd = -1};
	pf[1] = (struct pollfd){.fd = -1};
	if (!r->open)
		return;
	/* A source that is not read now is not polled at all: its POLLHUP would spin. */
	if (!full)
		pf[0] = (struct pollfd){.fd = r->src, .events = POLLIN};
	/* The destination always is, for the reader's going away: POLLERR, POLLHUP. */
	pf[1] = (struct pollfd){.fd = r->dst, .events = full ? POLLOUT : 0};
	if (r->dst_socket && !r->peer_half)
		pf[1].events |= POLLRDHUP;
}

/* True when nobody will ever read from the destination again. */
static bool reader_gone(struct relay *r, short revents)
{
	if (revents & (POLLERR | POLLHUP | POLLNVAL))
		return true;
	if (!(revents & POLLRDHUP))
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
		n = read(r->src, r->buf, sizeof(r->buf));
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

void relay_run(struct relay *r, const struct pollfd pf[2])
{
	bool writable = pf[1].revents & POLLOUT;

	if (!r->open || !(pf[0].revents | pf[1].revents))
		return;
	if (reader_gone(r, pf[1].revents)) {
		relay_stop(r);
		return;
	}
	r->dst_ready |= writable;
	for (int i = 0; i < ROUNDS; i++) {
		if (!drain(r, writable))
			return;
		if (r->eof) {
			/* Not before it has connected: the peer is to see an end, not a reset. */
			if (r->dst_ready)
				relay_stop(r);
			return;
		}
		if (!fill(r))
			return;
	}
}
