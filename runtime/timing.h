/* SPDX-License-Identifier: Apache-2.0 */
/* The timeline of one start as a JSON file, and as a picture. */
#ifndef RUNTIME_TIMING_H
#define RUNTIME_TIMING_H

#include <stdio.h>

#include "lib/err.h"
#include "lib/timeline.h"

/* {"version":1,"unit":"ns","phases":[{"name","start","duration"}...],"total":N}; start counts from
 * coracle's first instruction. Phases that were not
 * reached are left out. */
int timing_write(int fd, const struct timeline *t, struct err *err);

struct timing_entry {
	char name[32];
	uint64_t start, duration;
};
struct timing {
	struct timing_entry entry[64];
	unsigned n;
	uint64_t total;
};
/* Reads such a file, hostile; or its text, of which text[len] is NUL, called `name` in errors. */
int timing_read(const char *path, struct timing *ret, struct err *err);
int timing_parse(
	const char *name, const char *text, size_t len, struct timing *ret, struct err *err);
int timing_draw_text(FILE *f, const struct timing *t, unsigned columns);
int timing_draw_svg(FILE *f, const struct timing *t);

#endif
