/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded buffers for everything that crosses a trust boundary as bytes. Both remember failure:
 * code reads or writes a whole message and asks once at the end (`rbuf_ok`, `wbuf_ok`). After a
 * failure every read gives 0 or an empty string and every write does nothing. Integers are little
 * endian on the wire. A string on the wire is a u32 length (without the NUL), the bytes, and a NUL:
 * so the reader can hand out a pointer into the buffer. A string with a NUL inside is refused.
 */
#ifndef LIB_BUF_H
#define LIB_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rbuf {
	const uint8_t *data; /* borrowed */
	size_t len, pos;
	bool failed;
};

struct wbuf {
	uint8_t *data; /* borrowed, cap bytes */
	size_t cap, len;
	bool failed;
};

static inline struct rbuf rbuf_of(const void *data, size_t len)
{
	return (struct rbuf){.data = data, .len = len};
}

static inline struct wbuf wbuf_of(void *data, size_t cap)
{
	return (struct wbuf){.data = data, .cap = cap};
}

static inline bool rbuf_ok(const struct rbuf *b)
{
	return !b->failed;
}

/* True when everything was read and nothing failed. */
static inline bool rbuf_done(const struct rbuf *b)
{
	return !b->failed && b->pos == b->len;
}

static inline bool wbuf_ok(const struct wbuf *b)
{
	return !b->failed;
}

static inline size_t rbuf_left(const struct rbuf *b)
{
	return b->failed ? 0 : b->len - b->pos;
}

/* A pointer to the next len bytes, or NULL (and failed) when there are fewer. */
const void *rbuf_bytes(struct rbuf *b, size_t len);
uint8_t rbuf_u8(struct rbuf *b);
uint16_t rbuf_u16(struct rbuf *b);
uint32_t rbuf_u32(struct rbuf *b);
uint64_t rbuf_u64(struct rbuf *b);
/* Never NULL: "" after a failure. At most max bytes without the NUL. Points into the buffer. */
const char *rbuf_str(struct rbuf *b, size_t max);
/* A u32 count of at most max; fails when larger. Each counted item is at least min_item bytes, so a
 * count that the rest of the buffer cannot hold fails too. */
uint32_t rbuf_count(struct rbuf *b, uint32_t max, size_t min_item);

void wbuf_bytes(struct wbuf *b, const void *p, size_t len);
void wbuf_u8(struct wbuf *b, uint8_t v);
void wbuf_u16(struct wbuf *b, uint16_t v);
void wbuf_u32(struct wbuf *b, uint32_t v);
void wbuf_u64(struct wbuf *b, uint64_t v);
void wbuf_str(struct wbuf *b, const char *s); /* NULL is written as "" */

#endif
