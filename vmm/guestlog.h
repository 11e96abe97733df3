/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last of what the guest's kernel said: a ring of bytes that outlives the guest's death. Fed by
 * the main loop from the console's pipe. The guest decides what is in here: it is cleaned when it
 * is taken out.
 */
#ifndef VMM_GUESTLOG_H
#define VMM_GUESTLOG_H

#include <stddef.h>

#define GUESTLOG_BYTES    16384u
#define GUESTLOG_LINE_MAX 512u

struct guestlog {
	char ring[GUESTLOG_BYTES];
	size_t total;                 /* bytes ever fed */
	char line[GUESTLOG_LINE_MAX]; /* the line being assembled */
	size_t line_len;
	/* Called once per finished line (printable, NUL-terminated, cut at GUESTLOG_LINE_MAX); may
	 * be NULL. */
	void (*on_line)(void *opaque, const char *line);
	void *opaque;
};

void guestlog_feed(struct guestlog *g, const char *data, size_t len);
/* The last whole lines that fit into cap bytes, printable ASCII and newlines, NUL-terminated. */
void guestlog_tail(const struct guestlog *g, char *buf, size_t cap);
/* The last line that contains `what`, from there on ("Kernel panic - not syncing: ..."). False:
 * none. */
int guestlog_find(const struct guestlog *g, const char *what, char *buf, size_t cap);

#endif
