/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the guest (CTL_ASK, PROTO_ASK) and what it tells by itself (CTL_EVENTS, PROTO_EVENT).
 *
 * A few askers at once, each with a buffer for the whole answer: it is passed on when it is complete, as
 * fast as the asker takes it, and neither the guest nor the main loop waits for that. Nobody here reads
 * what is in it. An answer that nobody waits for any more is dropped.
 */
#ifndef VMM_LIFE_QUERY_H
#define VMM_LIFE_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/control.h"
#include "lib/err.h"
#include "lib/proto.h"

#define LIFE_ASKS_MAX 8
#define LIFE_ASK_BYTES \
	(1u << 20)        /* of an answer, with 4 for each of its messages: 6000 processes */
#define LIFE_ASK_MS 20000 /* for the answer, and once more for the asker to take it */

struct life;

enum ask_state { ASK_FREE, ASK_WAITING, ASK_SENDING };

struct ask_slot {
	uint8_t state;  /* enum ask_state */
	bool head_sent; /* SENDING: the ctl_reply */
	uint32_t id;
	int conn_fd; /* -1: free */
	uint64_t until_ns;
	uint32_t len, sent; /* of the slot's part of asks.buf: messages, a u32 length before each */
};

struct asks {
	uint8_t *buf;    /* LIFE_ASKS_MAX times LIFE_ASK_BYTES, untouched until needed */
	uint32_t ask_ms; /* LIFE_ASK_MS; tests have less time */
	unsigned n;      /* slots that are not free */
	struct ask_slot slot[LIFE_ASKS_MAX];
};

int life_query_init(struct life *l, struct err *err);
/* CTL_ASK. True: refused, *reply says why. False: *conn_fd is taken (-1) and watched, until it is given back
 * to control.c. fd: what came with it, -1: nothing; borrowed. */
bool life_query_request(struct life *l, int *conn_fd, const struct ctl_request *req, int fd,
	struct ctl_reply *reply);
bool life_query_waiting(const struct life *l);                        /* for the guest */
bool life_query_answer(struct life *l, const struct proto_frame *f);  /* false: malformed */
bool life_query_event(struct life *l, const struct proto_frame *f);   /* false: malformed */
void life_query_conn(struct life *l, uint64_t data, uint32_t events); /* data: epoll's */
void life_query_expire(struct life *l, uint64_t now_ns);
uint64_t life_query_next_ns(const struct life *l); /* UINT64_MAX: none waits */
void life_query_postpone(struct life *l, uint64_t ns);
void life_query_end(struct life *l, const struct ctl_reply *reply); /* the VM ends */

#endif
