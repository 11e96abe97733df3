/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/events.h"

#include <stdlib.h>

#include "tests/tap.h"

/* The number at a path such as "data.memory.usage.limit". */
static uint64_t at(struct json_object *o, const char *path)
{
	char copy[128], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *key = strtok_r(copy, ".", &save); key; key = strtok_r(NULL, ".", &save))
		if (!json_object_object_get_ex(o, key, &o)) {
			ok(false, "%s is there", path);
			return 0;
		}
	return json_object_get_uint64(o);
}

static void test_stats(void)
{
	const struct proto_stats s = {.cpu_usage_us = 3,
		.cpu_user_us = 2,
		.cpu_system_us = UINT64_MAX,
		.memory_usage = 10,
		.memory_peak = 20,
		.memory_limit = 30,
		.swap_usage = UINT64_MAX,
		.swap_limit = 5,
		.memory_file = 4,
		.memory_failcnt = 6,
		.pids = 7,
		.pids_limit = 8};
	struct json_object *o = event_stats_json("c1", &s);

	eq_int(at(o, "data.cpu.usage.total"), 3000, "nanoseconds");
	ok(at(o, "data.cpu.usage.kernel") == UINT64_MAX, "the guest's nonsense does not wrap");
	eq_int(at(o, "data.memory.usage.usage"), 10, "memory");
	eq_int(at(o, "data.memory.usage.limit"), 30, "limit");
	eq_int(at(o, "data.memory.usage.max"), 20, "peak");
	eq_int(at(o, "data.memory.usage.failcnt"), 6, "failcnt");
	eq_int(at(o, "data.memory.cache"), 4, "cache");
	eq_int(at(o, "data.memory.swap.limit"), 35, "swap with memory, as runc");
	ok(at(o, "data.memory.swap.usage") == UINT64_MAX, "that does not wrap either");
	eq_int(at(o, "data.pids.current"), 7, "pids");
	eq_int(at(o, "data.pids.limit"), 8, "their limit");
	json_object_put(o);
}

static void test_unlimited(void)
{
	const struct proto_stats s = {
		.memory_limit = UINT64_MAX, .swap_limit = UINT64_MAX, .pids_limit = UINT64_MAX};
	struct json_object *o = event_stats_json("c1", &s), *data, *pids, *limit;

	ok(at(o, "data.memory.usage.limit") == UINT64_MAX, "no limit");
	ok(at(o, "data.memory.swap.limit") == UINT64_MAX, "none for swap");
	json_object_object_get_ex(o, "data", &data);
	json_object_object_get_ex(data, "pids", &pids);
	ok(!json_object_object_get_ex(pids, "limit", &limit), "none for pids is left out");
	json_object_put(o);
}

int main(void)
{
	struct json_object *o = event_oom_json("c1");

	eq_str(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN),
		"{\"type\":\"oom\",\"id\":\"c1\"}", "an OOM event");
	json_object_put(o);
	test_stats();
	test_unlimited();
	return tap_done();
}
