/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/logline.h"

#include <stdint.h>
#include <string.h>

#include "lib/base.h"

#define TAIL_BYTES 64 /* what comes after the message: quotes, JSON's time, the end of the line */
#define CHAR_BYTES 6  /* the longest that one character becomes: \u00XX */
#define LAST_YEAR  9999

struct out {
	char *buf;
	size_t cap, len;
};

static void put(struct out *o, const char *s, size_t len)
{
	BUG_ON(len >
		o->cap - o->len); /* the message is cut where it must be: only that is not ours */
	memcpy(o->buf + o->len, s, len);
	o->len += len;
}

static void put_str(struct out *o, const char *s)
{
	put(o, s, strlen(s));
}

static void put_digits(struct out *o, uint64_t v, unsigned digits)
{
	char text[20];

	for (unsigned i = digits; i--; v /= 10)
		text[i] = (char)('0' + v % 10);
	put(o, text, digits);
}

static bool leap(uint32_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static uint32_t days_of_month(uint32_t year, uint32_t month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && leap(year));
}

/* RFC 3339. Times before 1970 are shown as its beginning, those after 9999 as its end. */
static void put_time(struct out *o, const struct timespec *when)
{
	uint64_t s = when->tv_sec < 0 ? 0 : (uint64_t)when->tv_sec, days = s / 86400;
	uint32_t year = 1970, month = 1, day_s = (uint32_t)(s % 86400);

	for (; year <= LAST_YEAR && days >= 365u + leap(year); year++)
		days -= 365u + leap(year);
	if (year > LAST_YEAR) {
		year = LAST_YEAR;
		days = 364;
		day_s = 86399;
	}
	for (; days >= days_of_month(year, month); month++)
		days -= days_of_month(year, month);
	put_digits(o, year, 4);
	put_str(o, "-");
	put_digits(o, month, 2);
	put_str(o, "-");
	put_digits(o, days + 1, 2);
	put_str(o, "T");
	put_digits(o, day_s / 3600, 2);
	put_str(o, ":");
	put_digits(o, day_s / 60 % 60, 2);
	put_str(o, ":");
	put_digits(o, day_s % 60, 2);
	put_str(o, ".");
	put_digits(o, (uint64_t)when->tv_nsec % 1000000000u, 9);
	put_str(o, "Z");
}

/* By the first byte; 0: none begins so. */
static unsigned char_bytes(unsigned char c)
{
	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	return c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/*
 * The character at s: its length and code point; 0: no UTF-8 (RFC 3629: nothing longer than need be, no
 * surrogates, nothing above U+10FFFF). Reads no further than the first byte that is wrong, so never past the
 * NUL.
 */
static unsigned decode(const unsigned char *s, uint32_t *ret)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned len = char_bytes(s[0]);
	uint32_t c;

	if (len < 2) {
		*ret = s[0];
		return len;
	}
	c = s[0] & (0x7fu >> len);
	for (unsigned i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return len;
}

/* C0, DEL and C1: what some terminals obey. */
static bool is_control(uint32_t c)
{
	return c < ' ' || (c >= 0x7f && c < 0xa0);
}

void logline_printable(char *text)
{
	unsigned char *s = (unsigned char *)text;

	while (*s) {
		uint32_t c;
		unsigned len = decode(s, &c);

		if (!len || is_control(c))
			memset(s, '?', len ? len : 1);
		s += len ? len : 1;
	}
}

static void put_escape(struct out *o, uint32_t c)
{
	static const char hex[] = "0123456789abcdef";
	char text[CHAR_BYTES] = {'\\', 'u', '0', '0', hex[c >> 4 & 15], hex[c & 15]};

	switch (c) {
	case '\n': put_str(o, "\\n"); break;
	case '\t': put_str(o, "\\t"); break;
	case '\r': put_str(o, "\\r"); break;
	default: put(o, text, sizeof(text)); break;
	}
}

/* What is left of the buffer after `keep` bytes bounds it. */
static void put_message(struct out *o, const char *msg, size_t keep)
{
	const unsigned char *s = (const unsigned char *)msg;

	while (*s && o->cap - o->len >= keep + CHAR_BYTES) {
		uint32_t c;
		unsigned len = decode(s, &c);

		if (!len)
			put_str(o, "\xef\xbf\xbd"); /* U+FFFD */
		else if (is_control(c))
			put_escape(o, c);
		else if (c == '"' || c == '\\')
			put(o, c == '"' ? "\\\"" : "\\\\", 2);
		else
			put(o, (const char *)s, len);
		s += len ? len : 1;
	}
}

size_t logline_format(char *buf, size_t cap, bool json, enum log_level level,
	const struct timespec *when, const char *msg)
{
	static const char *const name[] = {"debug", "info", "warning", "error"};
	struct out o = {.buf = buf, .cap = cap};

	BUG_ON(cap < LOGLINE_MIN);
	if (json) {
		put_str(&o, "{\"level\":\"");
		put_str(&o, name[level]);
		put_str(&o, "\",\"msg\":\"");
		put_message(&o, msg, TAIL_BYTES);
		put_str(&o, "\",\"time\":\"");
		put_time(&o, when);
		put_str(&o, "\"}\n");
	} else {
		put_str(&o, "time=\"");
		put_time(&o, when);
		put_str(&o, "\" level=");
		put_str(&o, name[level]);
		put_str(&o, " msg=\"");
		put_message(&o, msg, TAIL_BYTES);
		put_str(&o, "\"\n");
	}
	return o.len;
}
