/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lab-host (outside) and lab-init (process 1 of the lab) say to each other over one
 * virtio-serial port. A message is a struct lab_msg and len bytes. Both ends are ours and come from
 * the same build, so a broken message ends the lab; nothing here is a security boundary.
 *
 * Flow control: each of the three streams starts with LAB_WINDOW bytes of credit; LAB_CREDIT gives
 * back what the receiver has passed on. So both ends can always read, and a slow reader of one
 * stream holds up neither the other streams nor the end of the lab.
 */
#ifndef LAB_PROTO_H
#define LAB_PROTO_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAB_PORT    "lab"
#define LAB_WINDOW  (256u * 1024)
#define LAB_MSG_MAX (256u * 1024)

enum lab_msg_type {
	/* host to lab, in this order, before anything else */
	LAB_TIME = 1, /* struct lab_time */
	LAB_SHARE,    /* a path: mount the shared directory there */
	LAB_MODULES,  /* a path: the directory to show as /lib/modules/<release> */
	LAB_KEEP, /* a path to keep visible even where a fresh file system would hide it; repeatable
		   */
	LAB_CWD,  /* a path */
	LAB_ENV,  /* NAME=VALUE, any number of times */
	LAB_ARG,  /* one word of the command, any number of times */
	LAB_GO,
	/* lab to host */
	LAB_READY = 32, /* the command is about to run */
	LAB_FAIL,       /* text: the lab cannot run the command */
	LAB_EXIT,       /* uint32_t: exit status; the last message, after all output */
	/* both ways */
	LAB_DATA = 64,
	LAB_EOF,    /* nothing more will come on this stream */
	LAB_CREDIT, /* uint32_t */
};

struct lab_msg {
	uint8_t type;
	uint8_t stream; /* 0, 1, 2 for DATA, EOF and CREDIT, else 0 */
	uint16_t reserved;
	uint32_t len;
};

struct lab_time {
	int64_t sec;
	int64_t nsec;
};

/* A growing byte queue: data is at buf + head, len bytes long. */
struct lab_queue {
	uint8_t *buf;
	size_t head, len, size;
};

static inline void lab_queue_put(struct lab_queue *q, const void *data, size_t len)
{
	if (q->head + q->len + len > q->size) {
		memmove(q->buf, q->buf + q->head, q->len);
		q->head = 0;
	}
	if (q->len + len > q->size) {
		q->size = (q->len + len) * 2;
		q->buf = realloc(q->buf, q->size);
		if (!q->buf)
			abort();
	}
	if (len)
		memcpy(q->buf + q->head + q->len, data, len);
	q->len += len;
}

static inline void lab_queue_drop(struct lab_queue *q, size_t len)
{
	q->head += len;
	q->len -= len;
	if (q->len == 0)
		q->head = 0;
}

static inline void lab_send(struct lab_queue *q, int type, int stream, const void *data, size_t len)
{
	struct lab_msg msg = {.type = type, .stream = stream, .len = len};

	lab_queue_put(q, &msg, sizeof(msg));
	lab_queue_put(q, data, len);
}

/* The next whole message in q, or NULL when it is not there yet. *ret_body is valid until q
 * changes. */
static inline const struct lab_msg *lab_next(
	struct lab_queue *q, struct lab_msg *msg, const uint8_t **ret_body)
{
	if (q->len < sizeof(*msg))
		return NULL;
	memcpy(msg, q->buf + q->head, sizeof(*msg));
	if (msg->len > LAB_MSG_MAX || msg->stream > 2)
		abort();
	if (q->len < sizeof(*msg) + msg->len)
		return NULL;
	*ret_body = q->buf + q->head + sizeof(*msg);
	return msg;
}

static inline void lab_done(struct lab_queue *q, const struct lab_msg *msg)
{
	lab_queue_drop(q, sizeof(*msg) + msg->len);
}

static inline uint32_t lab_u32(const struct lab_msg *msg, const uint8_t *body)
{
	uint32_t v = 0;

	if (msg->len != sizeof(v))
		abort();
	memcpy(&v, body, sizeof(v));
	return v;
}

/* One write of what is queued. 0, or -errno; -EAGAIN is 0. */
static inline int lab_flush(struct lab_queue *q, int fd, size_t max)
{
	ssize_t n;

	if (!q->len)
		return 0;
	n = write(fd, q->buf + q->head, q->len < max ? q->len : max);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	lab_queue_drop(q, n);
	return 0;
}

#endif
