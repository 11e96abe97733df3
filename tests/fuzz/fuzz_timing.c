/* SPDX-License-Identifier: Apache-2.0 */
/* A timing file from anywhere. What is accepted must draw, on any width, as text and as a picture. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "runtime/timing.h"

#define TEXT_MAX    (65u << 10) /* a little more than what is read */
#define COLUMNS_MAX 300u

static void draw(const struct timing *t, unsigned columns, bool svg, const char *end)
{
	char *text = NULL;
	size_t len, n = strlen(end);
	FILE *f = open_memstream(&text, &len);

	BUG_ON(!f);
	BUG_ON(svg ? timing_draw_svg(f, t) : timing_draw_text(f, t, columns));
	fclose(f);
	BUG_ON(len < n || strcmp(text + len - n, end));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err err = ERR_INIT;
	struct timing t;
	char *text;

	if (len > TEXT_MAX)
		return 0;
	text = malloc(len + 1);
	memcpy(text, data, len);
	text[len] = '\0';
	if (timing_parse("timing", text, len, &t, &err)) {
		BUG_ON(!err_is_set(&err));
	} else {
		BUG_ON(err_is_set(&err) || t.n > ARRAY_SIZE(t.entry));
		draw(&t, 0, false, " ms\n");
		draw(&t, (unsigned)(len % COLUMNS_MAX), false, " ms\n");
		draw(&t, 0, true, "</svg>\n");
	}
	free(text);
	return 0;
}
