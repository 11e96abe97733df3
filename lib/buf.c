/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/buf.h"

#include <endian.h>
#include <string.h>

const void *rbuf_bytes(struct rbuf *b, size_t len)
{
	const void *p;

	if (b->failed || len > b->len - b->pos) {
		b->failed = true;
		return NULL;
	}
	p = b->data + b->pos;
	b->pos += len;
	return p;
}

uint8_t rbuf_u8(struct rbuf *b)
{
	const uint8_t *p = rbuf_bytes(b, 1);

	return p ? *p : 0;
}

uint16_t rbuf_u16(struct rbuf *b)
{
	const void *p = rbuf_bytes(b, sizeof(uint16_t));
	uint16_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

uint32_t rbuf_u32(struct rbuf *b)
{
	const void *p = rbuf_bytes(b, sizeof(uint32_t));
	uint32_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

uint64_t rbuf_u64(struct rbuf *b)
{
	const void *p = rbuf_bytes(b, sizeof(uint64_t));
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

const char *rbuf_str(struct rbuf *b, size_t max)
{
	uint32_t len = rbuf_u32(b);
	const char *s;

	if (b->failed || len > max || len >= b->len - b->pos) {
		b->failed = true;
		return "";
	}
	s = rbuf_bytes(b, (size_t)len + 1);
	if (!s || s[len] != '\0' || memchr(s, '\0', len)) {
		b->failed = true;
		return "";
	}
	return s;
}

uint32_t rbuf_count(struct rbuf *b, uint32_t max, size_t min_item)
{
	uint32_t n = rbuf_u32(b);

	if (b->failed || n > max || n > rbuf_left(b) / (min_item ? min_item : 1)) {
		b->failed = true;
		return 0;
	}
	return n;
}

void wbuf_bytes(struct wbuf *b, const void *p, size_t len)
{
	if (b->failed || len > b->cap - b->len) {
		b->failed = true;
		return;
	}
	if (len)
		memcpy(b->data + b->len, p, len);
	b->len += len;
}

void wbuf_u8(struct wbuf *b, uint8_t v)
{
	wbuf_bytes(b, &v, sizeof(v));
}

void wbuf_u16(struct wbuf *b, uint16_t v)
{
	v = htole16(v);
	wbuf_bytes(b, &v, sizeof(v));
}

void wbuf_u32(struct wbuf *b, uint32_t v)
{
	v = htole32(v);
	wbuf_bytes(b, &v, sizeof(v));
}

void wbuf_u64(struct wbuf *b, uint64_t v)
{
	v = htole64(v);
	wbuf_bytes(b, &v, sizeof(v));
}

void wbuf_str(struct wbuf *b, const char *s)
{
	size_t len = s ? strlen(s) : 0;

	if (len > UINT32_MAX) {
		b->failed = true;
		return;
	}
	wbuf_u32(b, (uint32_t)len);
	wbuf_bytes(b, s ? s : "", len + 1);
}
