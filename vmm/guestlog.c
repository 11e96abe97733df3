/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/guestlog.h"

#include <string.h>

#include "lib/base.h"

static void end_line(struct guestlog *g)
{
	g->line[g->line_len] = '\0';
	if (g->on_line && g->line_len)
		g->on_line(g->opaque, g->line);
	g->line_len = 0;
}

static char clean(char c)
{
	return c == '\n' || (c >= ' ' && c <= '~') ? c : '?';
}

void guestlog_feed(struct guestlog *g, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = data[i];

		if (c == '\r' || c == '\0')
			continue;
		c = clean(c == '\t' ? ' ' : c);
		g->ring[g->total++ % GUESTLOG_BYTES] = c;
		if (c == '\n')
			end_line(g);
		else if (g->line_len < GUESTLOG_LINE_MAX - 1)
			g->line[g->line_len++] = c;
	}
}

void guestlog_tail(const struct guestlog *g, char *buf, size_t cap)
{
	size_t have = MIN(g->total, (size_t)GUESTLOG_BYTES), n = MIN(have, cap - 1);
	const char *first;

	for (size_t i = 0; i < n; i++)
		buf[i] = g->ring[(g->total - n + i) % GUESTLOG_BYTES];
	buf[n] = '\0';
	/* When something is cut off before, begin with a whole line if there is one. */
	first = n < g->total ? strchr(buf, '\n') : NULL;
	if (first && first[1])
		memmove(buf, first + 1, strlen(first + 1) + 1);
}

int guestlog_find(const struct guestlog *g, const char *what, char *buf, size_t cap)
{
	char all[GUESTLOG_BYTES + 1];
	char *at, *next, *eol;
	size_t n;

	guestlog_tail(g, all, sizeof(all));
	at = strstr(all, what);
	if (!at)
		return 0;
	while ((next = strstr(at + 1, what)))
		at = next;
	eol = strchr(at, '\n');
	n = eol ? (size_t)(eol - at) : strlen(at);
	n = MIN(n, cap - 1);
	memcpy(buf, at, n);
	buf[n] = '\0';
	return 1;
}
