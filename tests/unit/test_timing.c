/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/timing.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "tests/tap.h"

static int read_text(const char *text, struct timing *ret, struct err *err)
{
	autofd int fd = memfd_create("timing", MFD_CLOEXEC);
	char path[32];

	*err = (struct err)ERR_INIT;
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return timing_read(path, ret, err);
}

static void test_round_trip(void)
{
	struct timeline tl = {
		.ns = {[TL_START] = 1000,
			[TL_SPEC] = 3000,
			[TL_KERNEL] = 2000,
			[TL_INIT] = 9000}}; /* KERNEL is before SPEC: no time, not less */
	autofd int fd = memfd_create("timing", MFD_CLOEXEC);
	struct err err = ERR_INIT;
	struct timing t;
	char path[32];

	eq_int(timing_write(fd, &tl, &err), 0, "written");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	eq_int(timing_read(path, &t, &err), 0, "read");
	eq_int(t.n, 3, "phases that were not reached are left out");
	eq_int(t.total, 8000, "total");
	eq_str(t.entry[0].name, "spec", "first");
	eq_int(t.entry[0].duration, 2000, "its duration");
	eq_int(t.entry[1].duration, 0, "out of order: nothing");
	eq_int(t.entry[2].start, 2000, "start counts from coracle's own");
}

static const struct {
	const char *text, *says;
} bad[] = {
	{"", "premature EOF"},
	{"[]", "expected an object"},
	{"{}", "version"},
	{"{\"version\":2,\"total\":0,\"phases\":[]}", "version"},
	{"{\"version\":1,\"total\":0}", "phases is missing"},
	{"{\"version\":1,\"total\":-1,\"phases\":[]}", "total"},
	{"{\"version\":1,\"total\":9,\"phases\":[{\"name\":\"<x>\",\"start\":0,\"duration\":1}]}",
		"name"},
	{"{\"version\":1,\"total\":9,\"phases\":[{\"name\":\"x\",\"start\":9,\"duration\":1}]}",
		"total"},
	{"{\"version\":1,\"total\":9,\"phases\":[{\"name\":\"x\",\"start\":0}]}", "duration"},
	{"{\"version\":1,\"total\":9,\"phases\":[{\"name\":"
	 "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
	 "\"start\":0,\"duration\":1}]}",
		"name"},
};

static void test_drawing(void)
{
	struct timing t = {.n = 2, .total = 100, .entry = {{"a", 0, 90}, {"b", 90, 10}}};
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	eq_int(timing_draw_text(f, &t, 80), 0, "text");
	fclose(f);
	has_str(text, "90.0 %");
	has_str(text, "total");
	free(text);
	f = open_memstream(&text, &len);
	eq_int(timing_draw_svg(f, &t), 0, "picture");
	fclose(f);
	ok(!strncmp(text, "<svg ", 5) && strstr(text, "</svg>"), "is an SVG");
	free(text);
	t = (struct timing){.n = 1, .total = 0, .entry = {{"a", 0, 0}}};
	f = open_memstream(&text, &len);
	eq_int(timing_draw_text(f, &t, 0), 0, "no time, no columns");
	fclose(f);
	free(text);
}

int main(void)
{
	test_round_trip();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct timing t;
		struct err err;

		ok(read_text(bad[i].text, &t, &err) < 0, "refused: %s", bad[i].text);
		ok(strstr(err.msg, bad[i].says), "and says '%s': %s", bad[i].says, err.msg);
	}
	test_drawing();
	return tap_done();
}
