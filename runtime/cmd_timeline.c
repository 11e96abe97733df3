/* SPDX-License-Identifier: Apache-2.0 */
/* coracle timeline: draws what `run --timing FILE` recorded. */
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base.h"
#include "runtime/command.h"
#include "runtime/timing.h"

#define DEFAULT_COLUMNS 100

static unsigned terminal_columns(void)
{
	struct winsize ws;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col)
		return ws.ws_col;
	return DEFAULT_COLUMNS;
}

int cmd_timeline(const struct global *g, int argc, char **argv, struct err *err)
{
	bool svg = false;
	const struct option_def options[] = {
		{"svg", 0, OPTION_FLAG, NULL, "as an SVG picture instead of text", &svg},
	};
	const struct usage u = {"timeline [OPTION]... FILE",
		"Draws the phases of a start that `coracle run --timing FILE` recorded.", options,
		ARRAY_SIZE(options), 1, 1};
	int first = options_parse(&u, argc, argv, err);
	struct timing t;
	int r;

	(void)g;
	if (first <= 0)
		return first;
	r = timing_read(argv[first], &t, err);
	if (r < 0)
		return r;
	r = svg ? timing_draw_svg(stdout, &t) : timing_draw_text(stdout, &t, terminal_columns());
	return r < 0 ? err_set(err, -r, "cannot draw the timeline") : 0;
}
