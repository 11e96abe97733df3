/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE requests of a flat guest, well-formed or not, one at a time on the first request queue. All of it but
 * what a case wants wrong is right: header, lengths, room.
 */
#ifndef TESTS_GUESTS_FUSE_H
#define TESTS_GUESTS_FUSE_H

#include <linux/fuse.h>
#include <stdint.h>

#include "tests/guests/guest.h"

#define FUSE_QUEUE 1
#define FUSE_ROOM  65536u /* the most that fuse_ask() gives a reply, and that its arguments may be */
#define FUSE_LOST  (-1)   /* the device has failed, and was started anew */

struct fuse_arg {
	const void *p;
	uint32_t n; /* 0: none */
};

#define FUSE_ARGS_MAX   4
#define FUSE_ARGS(...)  ((const struct fuse_arg[FUSE_ARGS_MAX]){__VA_ARGS__})
#define FUSE_STRUCT(v)  ((struct fuse_arg){&(v), sizeof(v)})
#define FUSE_STRING(s)  ((struct fuse_arg){(s), (uint32_t)strlen(s) + 1})
#define FUSE_BYTES(s)   ((struct fuse_arg){(s), sizeof(s) - 1}) /* of a literal, without its NUL */
#define FUSE_HEADER     ((uint32_t)sizeof(struct fuse_in_header))
#define FUSE_OUT_HEADER ((uint32_t)sizeof(struct fuse_out_header))

/* The device, started, with FUSE_INIT done and the buffers below; again after each reset. */
void fuse_start(struct drv *d);

/* Guest memory for a request and for its reply, FUSE_ROOM and a header each. */
extern uint64_t fuse_in_gpa, fuse_out_gpa;

/* Puts header and arguments at fuse_in_gpa. Returns their length. */
uint32_t fuse_put(uint32_t opcode, uint64_t node, const struct fuse_arg args[FUSE_ARGS_MAX]);
/* Sends a chain. Returns the reply's error as a positive number (0: none), the reply being the chain's writable part
 * from `reply_gpa` on; FUSE_LOST. A request that is neither answered nor makes the device fail ends the guest. */
int fuse_send(struct drv *d, const struct drv_buf *bufs, unsigned n, uint64_t reply_gpa);
/* Both, with `room` bytes for a reply behind its header. */
int fuse_ask(struct drv *d, uint32_t opcode, uint64_t node,
	const struct fuse_arg args[FUSE_ARGS_MAX], uint32_t room);
/* Of the last fuse_ask(): what is behind its header. */
const void *fuse_reply(void);
uint32_t fuse_reply_len(void);

/* For what a case needs: these end the guest when they fail. */
uint64_t fuse_lookup(struct drv *d, uint64_t dir, const char *name);               /* node id */
uint64_t fuse_open(struct drv *d, uint32_t opcode, uint64_t node, uint32_t flags); /* handle */

#endif
