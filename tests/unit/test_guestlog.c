/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's log ring and the VMM's log file. */
#include <stdlib.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "vmm/guestlog.h"
#include "vmm/log.h"

static char lines[64][GUESTLOG_LINE_MAX];
static unsigned n_lines;

static void on_line(void *opaque, const char *line)
{
	snprintf(lines[n_lines++ % 64], GUESTLOG_LINE_MAX, "%s", line);
}

static void feed(struct guestlog *g, const char *s)
{
	guestlog_feed(g, s, strlen(s));
}

static void test_ring(void)
{
	static struct guestlog g;
	char buf[256], line[100], all[GUESTLOG_BYTES + 1];

	g.on_line = on_line;
	guestlog_tail(&g, buf, sizeof(buf));
	eq_str(buf, "", "nothing at first");
	feed(&g, "first\r\nsec");
	feed(&g, "ond\n");
	guestlog_tail(&g, buf, sizeof(buf));
	eq_str(buf, "first\nsecond\n", "what was fed");
	ok(n_lines == 2 && !strcmp(lines[1], "second"), "a line is told once it is whole");
	feed(&g, "\033[31mred\t\377\n");
	guestlog_tail(&g, buf, 16);
	eq_str(buf, "?[31mred ?\n", "a tail begins with a whole line, control characters are gone");
	for (int i = 0; i < 5000; i++) {
		snprintf(line, sizeof(line), "line %d of many\n", i);
		feed(&g, line);
	}
	guestlog_tail(&g, all, sizeof(all));
	ok(strlen(all) <= GUESTLOG_BYTES && !strncmp(all, "line ", 5),
		"old lines make room for new ones");
	ok(strstr(all, "line 4999 of many\n") != NULL, "the last line is there");
	guestlog_tail(&g, buf, 20);
	eq_str(buf, "line 4999 of many\n", "the last line alone");
}

static void test_long_line(void)
{
	static struct guestlog g;
	char chunk[3 * GUESTLOG_LINE_MAX];

	g.on_line = on_line;
	n_lines = 0;
	memset(chunk, 'x', sizeof(chunk));
	guestlog_feed(&g, chunk, sizeof(chunk));
	eq_int(n_lines, 0, "a line without end is not told");
	feed(&g, "\nnext\n");
	ok(strlen(lines[0]) == GUESTLOG_LINE_MAX - 1 && !strcmp(lines[1], "next"),
		"and is cut when it ends");
}

static void test_find(void)
{
	static struct guestlog g;
	char buf[64];

	ok(!guestlog_find(&g, "panic", buf, sizeof(buf)), "nothing to find");
	feed(&g, "[ 1.0] panic: one\n[ 2.0] panic: two\n[ 3.0] end\n");
	ok(guestlog_find(&g, "panic", buf, sizeof(buf)), "found");
	eq_str(buf, "panic: two", "the last one, up to the line's end");
	ok(guestlog_find(&g, "panic", buf, 4), "found with little room");
	eq_str(buf, "pan", "cut");
}

static void log_text(bool json, char *ret, size_t cap, unsigned guest_lines)
{
	autofd int fd = memfd_with("log", "", 0, 0);
	autofree char *text = NULL;
	struct log l;
	size_t len;

	log_init(&l, fd, json);
	log_write(&l, LOG_LEVEL_ERROR, "cannot \"open\" %s\n\001\303\244", "C:\\x");
	for (unsigned i = 0; i < guest_lines; i++)
		log_guest_line(&l, "a line of the guest that is repeated without end");
	lseek(fd, 0, SEEK_SET);
	BUG_ON(read_file(fd, 64u << 20, &text, &len) < 0);
	snprintf(ret, cap, "%s", text);
	if (guest_lines)
		eq_int(len < LOG_BURST_BYTES + (1u << 20), 1, "a flood of guest lines is bounded");
}

static void test_log(void)
{
	static char text[8192];

	log_text(true, text, sizeof(text), 0);
	ok(strstr(text, "{\"level\":\"error\",\"msg\":\"cannot \\\"open\\\" C:\\\\x\\n\\u0001") ==
			text,
		"JSON: level and escaped message");
	log_text(false, text, sizeof(text), 0);
	ok(strstr(text, "Z\" level=error msg=\"cannot \\\"open\\\" C:\\\\x\\n\\u0001"),
		"text: the same");
	log_text(true, text, sizeof(text), 200000);
}

int main(void)
{
	test_ring();
	test_long_line();
	test_find();
	test_log();
	return tap_done();
}
