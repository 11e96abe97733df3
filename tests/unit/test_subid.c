/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/subid.h"

#include <errno.h>
#include <string.h>

#include "lib/base.h"
#include "tests/tap.h"

static struct subid_ranges ranges;
static struct gidmap map[SUBID_MAP_MAX];

static void parse(const char *text)
{
	subid_parse(text, "jo", 1000, &ranges);
}

static void is_range(unsigned i, uint32_t first, uint32_t count, const char *what)
{
	ok(i < ranges.n && ranges.v[i].first == first && ranges.v[i].count == count, "%s", what);
}

static void is_entry(unsigned i, uint32_t inside, uint32_t outside, uint32_t count)
{
	ok(map[i].inside == inside && map[i].outside == outside && map[i].count == count,
		"entry %u: %u %u %u", i, map[i].inside, map[i].outside, map[i].count);
}

static void test_parse(void)
{
	parse("");
	eq_int(ranges.n, 0, "an empty file");
	parse("joe:1:2\njo:100000:65536\n# jo:5:5\n1000:300000:10\n10000:7:7\nj:8:8\n:9:9\n");
	eq_int(ranges.n, 2, "by name and by number, nobody else's");
	is_range(0, 100000, 65536, "the first");
	is_range(1, 300000, 10, "the second");
	parse("jo:5:6");
	is_range(0, 5, 6, "without a newline at the end");
	parse("jo:5\njo:5:\njo::5\njo:-5:6\njo:+5:6\njo: "
	      "5:6\njo:5:6x\njo:5:6:7\njo:x:6\njo\njo:5:0\njo:0x5:6\n\n\n");
	eq_int(ranges.n, 0, "what is no such line is nobody's");
	parse("jo:4294967295:1\njo:4294967294:2\njo:99999999999999999999:1\njo:1:4294967295\njo:0:"
	      "99999999999999999999\n");
	eq_int(ranges.n, 0, "ids that there are not");
	parse("jo:1:4294967294\n");
	is_range(0, 1, 4294967294u, "all that there are but 0");
	subid_parse("jo:1:2\n1000:3:4\n", NULL, 1000, &ranges);
	eq_int(ranges.n, 1, "a user without a name");
}

static void test_many(void)
{
	char text[40 * 200] = "";

	for (unsigned i = 0; i < 200; i++)
		sprintf(text + strlen(text), "jo:%u:5\n", 1000000 + i * 10);
	parse(text);
	eq_int(ranges.n, SUBID_RANGES_MAX, "no more than there is room for");
	eq_int(subid_map(1000, &ranges, map), SUBID_RANGES_MAX + 1, "all of them in the map");
}

static void test_map(void)
{
	ranges.n = 0;
	eq_int(subid_map(1000, &ranges, map), 1, "without a range: one id");
	is_entry(0, 0, 1000, 1);
	parse("jo:100000:65536\njo:300000:10\n");
	eq_int(subid_map(1000, &ranges, map), 3, "two ranges");
	is_entry(1, 1, 100000, 65536);
	is_entry(2, 65537, 300000, 10);
	parse("jo:990:20\n");
	eq_int(subid_map(1000, &ranges, map), 3, "a range around the own id");
	is_entry(1, 1, 990, 10);
	is_entry(2, 11, 1001, 9);
	parse("jo:1000:5\njo:2000:10\njo:2005:10\njo:1995:30\njo:2000:10\n");
	eq_int(subid_map(1000, &ranges, map), 6, "ranges over each other");
	is_entry(1, 1, 1001, 4);
	is_entry(2, 5, 2000, 10);
	is_entry(3, 15, 2010, 5);
	is_entry(4, 20, 1995, 5);
	is_entry(5, 25, 2015, 10);
	parse("jo:0:4294967295\n");
	eq_int(subid_map(1000, &ranges, map), 3, "everything");
	is_entry(1, 1, 0, 1000);
	is_entry(2, 1001, 1001, 4294967294u - 1000u);
}

static void test_written(void)
{
	const struct gidmap m[] = {{0, 1000, 1}, {1, 100000, 65536}};
	const char *text = "         0       1000          1\n         1     100000      65536\n";

	ok(subid_map_is(text, m, 2), "what the kernel shows of it");
	ok(!subid_map_is(text, m, 1), "more than it");
	ok(!subid_map_is("0 1000 1\n", m, 2), "less");
	ok(!subid_map_is("", m, 2), "nothing");
	ok(subid_map_is("", m, 0), "nothing was wanted");
	ok(!subid_map_is("0 1000 1\n1 100001 65536\n", m, 2), "another one");
	ok(!subid_map_is("0 1000 1\n1 100000", m, 2), "half of it");
	ok(!subid_map_is("x", m, 0), "no map at all");
}

static void test_translate(void)
{
	const struct gidmap ns[] = {{0, 1000, 1}, {1, 100000, 10}, {11, 300000, 10}};
	const struct gidmap own[] = {{0, 1000, 1}};
	const struct gidmap spread[] = {{0, 100002, 3}, {3, 300000, 10}, {13, 1000, 1}};
	const struct gidmap past[] = {{0, 100005, 6}};
	const struct gidmap low[] = {{0, 999, 1}};
	uint32_t missing = 0;

	eq_int(subid_translate(ns, 3, own, 1, map, 8, &missing), 1, "the own id");
	is_entry(0, 0, 0, 1);
	eq_int(subid_translate(ns, 3, spread, 3, map, 8, &missing), 3, "of several ranges");
	is_entry(0, 0, 3, 3);
	is_entry(1, 3, 11, 10);
	is_entry(2, 13, 0, 1);
	eq_int(subid_translate(ns, 3, past, 1, map, 8, &missing), -ENOENT, "one past a range");
	eq_int(missing, 100010, "which one");
	eq_int(subid_translate(ns, 3, low, 1, map, 8, &missing), -ENOENT, "one below");
	eq_int(subid_translate(ns, 3, spread, 3, map, 2, &missing), -E2BIG, "too many");
	const struct gidmap joined[] = {{0, 10, 5}, {5, 15, 5}};
	const struct gidmap across[] = {{7, 12, 6}};
	eq_int(subid_translate(joined, 2, across, 1, map, 8, &missing), 2, "over a border");
	is_entry(0, 7, 2, 3);
	is_entry(1, 10, 5, 3);
}

int main(void)
{
	struct err err = ERR_INIT;

	test_parse();
	test_many();
	test_map();
	test_written();
	test_translate();
	eq_int(subid_read("/nowhere/subuid", "jo", 1, &ranges, &err), 0, "no such file: no ranges");
	eq_int(ranges.n, 0, "none");
	ok(subid_read("/", "jo", 1, &ranges, &err) < 0, "a directory");
	has_str(err.msg, "cannot read '/'");
	return tap_done();
}
