/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/json_gate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "oci/json.h"

#define BLANKS " \t\r\n" /* RFC 8259, 2: ws */

/* A key that was read: which object it stands in, and where. Sorted at the end to find duplicates:
 * n log n whatever the keys are, where a hash table would let hostile keys collide. */
struct gate_key {
	uint32_t object;
	uint32_t len;
	size_t copy; /* offset in gate.names: decoded, so that "a" and "\u0061" are the same key */
	size_t at;   /* offset in the text */
};

struct gate {
	const char *name, *text;
	size_t len;
	yajl_handle yajl;
	struct err *err;
	bool failed;
	unsigned depth;
	uint32_t values, objects;
	uint32_t object[JSON_DEPTH_MAX + 1]; /* number of the object open at each depth */
	struct gate_key *keys;
	size_t n_keys, cap_keys;
	char *names; /* len + 1 bytes: decoded keys are never longer than their text */
	size_t names_len;
	size_t root_end; /* offset behind the root object */
};

/* C0, DEL and, as UTF-8, C1: all that a terminal might obey. */
void json_printable(char *msg)
{
	for (unsigned char *p = (unsigned char *)msg; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			p[0] = p[1] = '?';
	}
}

/* Line and column, from 1, of the byte at offset `at`. */
__attribute__((format(printf, 3, 4))) static int gate_fail(
	struct gate *g, size_t at, const char *fmt, ...)
{
	unsigned line = 1, column = 1;
	char why[512];
	va_list ap;

	if (g->failed)
		return -EINVAL;
	g->failed = true;
	for (size_t i = 0; i < MIN(at, g->len); i++) {
		if (g->text[i] == '\n') {
			line++;
			column = 1;
		} else {
			column++;
		}
	}
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	json_printable(why);
	return err_plain(g->err, EINVAL, "%s:%u:%u: %s", g->name, line, column, why);
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629: no overlong form, no surrogate, at most
 * U+10FFFF), or 0. */
static unsigned utf8_len(const unsigned char *p, size_t left)
{
	unsigned n, i;
	uint32_t c;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (left < n)
		return 0;
	c = p[0] & (0x7fu >> n);
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (n == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff)))
		return 0;
	if (n == 4 && (c < 0x10000 || c > 0x10ffff))
		return 0;
	return n;
}

/* The value of "\uXXXX" at p, or -1 when that is not what stands there. */
static int escape_value(const char *p, size_t left)
{
	int v = 0;

	if (left < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		char c = p[i];
		int d = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : -1;
		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* An escape in a string at offset i: returns its length, 0 after a failure. yajl takes lone
 * surrogates for '?' and \u0000 for a NUL, so both are refused before it runs. */
static size_t scan_escape(struct gate *g, size_t i)
{
	int v = escape_value(g->text + i, g->len - i), low;

	if (v < 0)
		return 2; /* \n and the like, or malformed: yajl says so */
	if (v == 0) {
		gate_fail(g, i, "NUL character (\\u0000) in a string");
		return 0;
	}
	if (v < 0xd800 || v > 0xdfff)
		return 6;
	low = v < 0xdc00 ? escape_value(g->text + i + 6, g->len - i - 6) : -1;
	if (low < 0xdc00 || low > 0xdfff) {
		gate_fail(g, i, "half a surrogate pair (\\u%04x) in a string", (unsigned)v);
		return 0;
	}
	return 12;
}

/* Bytes and escapes, before any parser. For text that is not JSON the notion of "in a string" may
 * be wrong, but such text fails anyway. */
static int gate_scan(struct gate *g)
{
	bool in_string = false;
	size_t i = 0, n;

	while (i < g->len) {
		char c = g->text[i];

		if (c == '\0')
			return gate_fail(g, i, "NUL byte");
		if ((unsigned char)c < 0x20 &&
			!strchr("\t\r\n", c)) /* \v and \f are blanks to yajl */
			return gate_fail(g, i, "control character 0x%02x", (unsigned char)c);
		if (in_string && c == '\\') {
			n = scan_escape(g, i);
			if (!n)
				return -EINVAL;
			i += n;
			continue;
		}
		n = utf8_len((const unsigned char *)g->text + i, g->len - i);
		if (!n)
			return gate_fail(g, i, "byte 0x%02x is not UTF-8", (unsigned char)c);
		if (c == '"')
			in_string = !in_string;
		i += n;
	}
	return 0;
}

/* Offset just behind the token a callback is called for. */
static size_t gate_at(struct gate *g)
{
	return yajl_get_bytes_consumed(g->yajl);
}

/* Where the string that ends at `end` begins: the nearest quote before that is not escaped.
 * Backslashes are counted at quotes only, so that a key full of them is not walked over and over.
 */
static size_t string_start(const struct gate *g, size_t end)
{
	for (size_t i = end - MIN(end, 2u); i > 0; i--) {
		size_t slashes = 0;

		if (g->text[i] != '"')
			continue;
		while (i > slashes && g->text[i - 1 - slashes] == '\\')
			slashes++;
		if (slashes % 2 == 0)
			return i;
	}
	return 0;
}

/* One more value. The root must be an object. */
static int on_value(struct gate *g, size_t token_len)
{
	size_t end = gate_at(g), at = end - MIN(end, token_len);

	if (!g->depth)
		return gate_fail(g, strspn(g->text, BLANKS), "expected an object ('{')"), 0;
	if (++g->values > JSON_VALUES_MAX)
		return gate_fail(g, at, "more than %u values", JSON_VALUES_MAX), 0;
	return 1;
}

static int on_null(void *ctx)
{
	return on_value(ctx, 4);
}

static int on_boolean(void *ctx, int v)
{
	return on_value(ctx, v ? 4 : 5);
}

/* Integers must fit what json-c keeps; it would saturate the others. Anything with a fraction or an
 * exponent is left to the getters, none of which takes it. */
static int on_number(void *ctx, const char *s, size_t len)
{
	struct gate *g = ctx;
	char num[32];

	if (!on_value(g, len))
		return 0;
	if (memchr(s, '.', len) || memchr(s, 'e', len) || memchr(s, 'E', len))
		return len < 512 || (gate_fail(g, gate_at(g) - len, "number too long"), 0);
	if (len < sizeof(num)) {
		memcpy(num, s, len);
		num[len] = '\0';
		errno = 0;
		if (num[0] == '-')
			(void)strtoll(num, NULL, 10);
		else
			(void)strtoull(num, NULL, 10);
		if (!errno)
			return 1;
	}
	gate_fail(g, gate_at(g) - len, "integer out of range (-2^63 to 2^64-1)");
	return 0;
}

static int on_string(void *ctx, const unsigned char *s, size_t len)
{
	struct gate *g = ctx;

	if (!g->depth || g->values >= JSON_VALUES_MAX)
		return on_value(g, gate_at(g) - string_start(g, gate_at(g)));
	g->values++;
	if (len <= JSON_STRING_MAX)
		return 1;
	gate_fail(g, string_start(g, gate_at(g)), "string longer than %u bytes", JSON_STRING_MAX);
	return 0;
}

static int on_open(struct gate *g, bool is_object)
{
	if ((g->depth || !is_object) && !on_value(g, 1))
		return 0;
	if (g->depth == JSON_DEPTH_MAX) {
		gate_fail(g, gate_at(g) - 1, "nested deeper than %u levels", JSON_DEPTH_MAX);
		return 0;
	}
	g->object[++g->depth] = is_object ? ++g->objects : 0;
	return 1;
}

static int on_start_map(void *ctx)
{
	return on_open(ctx, true);
}

static int on_start_array(void *ctx)
{
	return on_open(ctx, false);
}

static int on_close(void *ctx)
{
	struct gate *g = ctx;

	if (!--g->depth)
		g->root_end = gate_at(g);
	return 1;
}

static int on_key(void *ctx, const unsigned char *s, size_t len)
{
	struct gate *g = ctx;
	size_t at = string_start(g, gate_at(g));
	struct gate_key *grown;

	if (len > JSON_KEY_MAX) {
		gate_fail(g, at, "key longer than %u bytes", JSON_KEY_MAX);
		return 0;
	}
	if (g->n_keys == g->cap_keys) {
		size_t cap = g->cap_keys ? 2 * g->cap_keys : 256;

		grown = reallocarray(g->keys, cap, sizeof(*grown));
		if (!grown) {
			g->failed = true;
			err_set(g->err, ENOMEM, "%s", g->name);
			return 0;
		}
		g->keys = grown;
		g->cap_keys = cap;
	}
	BUG_ON(len > g->len - g->names_len);
	memcpy(g->names + g->names_len, s, len);
	g->keys[g->n_keys++] = (struct gate_key){.object = g->object[g->depth],
		.len = (uint32_t)len,
		.copy = g->names_len,
		.at = at};
	g->names_len += len;
	return 1;
}

static const yajl_callbacks gate_callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_start_map,
	.yajl_map_key = on_key,
	.yajl_end_map = on_close,
	.yajl_start_array = on_start_array,
	.yajl_end_array = on_close,
};

static int key_cmp(const void *a, const void *b, void *names)
{
	const struct gate_key *x = a, *y = b;
	const char *n = names;
	int r;

	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	r = memcmp(n + x->copy, n + y->copy, MIN(x->len, y->len));
	if (r)
		return r;
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* The first key of the text that its object already has. */
static int gate_duplicates(struct gate *g)
{
	const struct gate_key *dup = NULL;

	if (g->n_keys)
		qsort_r(g->keys, g->n_keys, sizeof(*g->keys), key_cmp, g->names);
	for (size_t i = 1; i < g->n_keys; i++) {
		const struct gate_key *x = &g->keys[i - 1], *y = &g->keys[i];

		if (x->object == y->object && x->len == y->len &&
			!memcmp(g->names + x->copy, g->names + y->copy, x->len) &&
			(!dup || y->at < dup->at))
			dup = y;
	}
	if (!dup)
		return 0;
	return gate_fail(
		g, dup->at, "duplicate key '%.*s'", (int)MIN(dup->len, 128u), g->names + dup->copy);
}

/* yajl says "lexical error: invalid char in json text.\n": the first line without the full stop. */
static int gate_syntax_error(struct gate *g, bool at_end)
{
	size_t at = at_end ? g->len : gate_at(g) - MIN(gate_at(g), 1u); /* it stops behind */
	unsigned char *text = yajl_get_error(g->yajl, 0, NULL, 0);
	char why[128] = "not valid JSON";
	size_t n;

	if (text) {
		snprintf(why, sizeof(why), "%s", text);
		yajl_free_error(g->yajl, text);
	}
	n = strcspn(why, "\n");
	while (n && (why[n - 1] == '.' || why[n - 1] == ' '))
		n--;
	why[n] = '\0';
	return gate_fail(g, at, "%s", why);
}

static int gate_parse(struct gate *g)
{
	yajl_status st = yajl_parse(g->yajl, (const unsigned char *)g->text, g->len);
	bool at_end = st == yajl_status_ok;
	size_t rest;

	if (st == yajl_status_ok)
		st = yajl_complete_parse(g->yajl);
	if (g->failed)
		return -EINVAL;
	if (st != yajl_status_ok)
		return gate_syntax_error(g, at_end);
	/* yajl forgives a string that begins behind the root and never ends. */
	rest = g->root_end + strspn(g->text + g->root_end, BLANKS);
	if (rest != g->len)
		return gate_fail(g, rest, "trailing garbage");
	return gate_duplicates(g);
}

int json_gate(const char *name, const char *text, size_t len, struct err *err)
{
	struct gate g = {.name = name, .text = text, .len = len, .err = err};
	int r;

	r = gate_scan(&g);
	if (r)
		return r;
	g.names = malloc(len + 1);
	g.yajl = yajl_alloc(&gate_callbacks, NULL, &g);
	if (g.names && g.yajl)
		r = gate_parse(&g);
	else
		r = err_set(err, ENOMEM, "%s", name);
	if (g.yajl)
		yajl_free(g.yajl);
	free(g.names);
	free(g.keys);
	return r;
}
