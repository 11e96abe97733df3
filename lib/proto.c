/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/proto.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base.h"

/* The payload of each type is one struct; of some, more may follow it. */
static const struct {
	uint16_t fixed, extra_max;
} payload[PROTO_TYPES] = {
	[PROTO_HELLO] = {sizeof(struct proto_hello), 0},
	[PROTO_READY] = {sizeof(struct proto_ready), 0},
	[PROTO_FAILED] = {sizeof(struct proto_failed), 0},
	[PROTO_START] = {0, 0},
	[PROTO_STARTED] = {sizeof(struct proto_ready), 0},
	[PROTO_SIGNAL] = {sizeof(struct proto_signal), 0},
	[PROTO_SIGNALED] = {sizeof(struct proto_signaled), 0},
	[PROTO_EXITED] = {sizeof(struct proto_exited), 0},
	[PROTO_EXEC] = {sizeof(struct proto_exec), 0},
	[PROTO_EXEC_STARTED] = {sizeof(struct proto_exec_id), 0},
	[PROTO_EXEC_FAILED] = {sizeof(struct proto_exec_failed), 0},
	[PROTO_EXEC_EXITED] = {sizeof(struct proto_exec_exited), 0},
	[PROTO_EXEC_CLOSED] = {sizeof(struct proto_exec_id), 0},
	[PROTO_RESIZE] = {sizeof(struct proto_resize), 0},
	[PROTO_ASK] = {sizeof(struct proto_ask), PROTO_ASK_MAX},
	[PROTO_ANSWER] = {sizeof(struct proto_answer), PROTO_ANSWER_MAX},
	[PROTO_EVENT] = {sizeof(struct proto_event), 0},
	[PROTO_CLOCK] = {sizeof(struct proto_clock), 0},
};

static bool length_fits(uint32_t type, uint32_t len)
{
	return len >= payload[type].fixed && len - payload[type].fixed <= payload[type].extra_max;
}

/* Forgets the frame that was given out; what follows it moves to the front. */
static void drop_given(struct proto_rx *rx)
{
	if (!rx->drop)
		return;
	rx->have -= rx->drop;
	memmove(rx->buf, rx->buf + rx->drop, rx->have);
	rx->drop = 0;
}

uint32_t proto_room(const struct proto_rx *rx)
{
	return (uint32_t)sizeof(rx->buf) - (rx->have - rx->drop);
}

uint32_t proto_feed(struct proto_rx *rx, const void *data, uint32_t len)
{
	drop_given(rx);
	len = MIN(len, (uint32_t)sizeof(rx->buf) - rx->have);
	if (len)
		memcpy(rx->buf + rx->have, data, len);
	rx->have += len;
	return len;
}

int proto_next(struct proto_rx *rx, struct proto_frame *ret_f)
{
	struct proto_hdr h;
	uint32_t len, type;

	drop_given(rx);
	if (rx->have < sizeof(h))
		return 0;
	memcpy(&h, rx->buf, sizeof(h));
	len = le32toh(h.len);
	type = le16toh(h.type);
	if (type < PROTO_HELLO || type >= PROTO_TYPES || h.reserved || !length_fits(type, len))
		return -EPROTO;
	if (rx->have - sizeof(h) < len)
		return 0;
	rx->drop = (uint32_t)sizeof(h) + len;
	ret_f->type = (enum proto_type)type;
	ret_f->len = len;
	ret_f->payload = rx->buf + sizeof(h);
	return 1;
}

static ssize_t send_some(int fd, struct iovec *iov, unsigned n)
{
	struct msghdr mh = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t r = sendmsg(fd, &mh, MSG_NOSIGNAL);

	return r < 0 && errno == ENOTSOCK ? writev(fd, iov, (int)n) : r;
}

int proto_send(int fd, enum proto_type type, const void *data, uint32_t len)
{
	struct proto_hdr h = {.len = htole32(len), .type = htole16((uint16_t)type)};
	struct iovec iov[2] = {
		{.iov_base = &h, .iov_len = sizeof(h)},
		{.iov_base = (void *)data, .iov_len = len},
	};
	unsigned at = 0;

	BUG_ON(type < PROTO_HELLO || type >= PROTO_TYPES || !length_fits(type, len));
	while (at < ARRAY_SIZE(iov)) {
		ssize_t n;

		if (!iov[at].iov_len) {
			at++;
			continue;
		}
		n = send_some(fd, iov + at, (unsigned)ARRAY_SIZE(iov) - at);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		for (unsigned i = at; i < ARRAY_SIZE(iov) && n > 0; i++) {
			size_t part = MIN((size_t)n, iov[i].iov_len);

			iov[i].iov_base = (char *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			n -= (ssize_t)part;
		}
	}
	return 0;
}
