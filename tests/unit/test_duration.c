/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/duration.h"

#include <errno.h>

#include "lib/base.h"
#include "tests/tap.h"

int main(void)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
		{"0", 0},
		{"0s", 0},
		{"5s", 5000000000},
		{"100ms", 100000000},
		{"7us", 7000},
		{"7\xc2\xb5s", 7000},
		{"9ns", 9},
		{"1m30s", 90000000000},
		{"1.5h", 5400000000000},
		{".5s", 500000000},
		{"2.s", 2000000000},
		{"1h2m3s4ms", 3723004000000},
		{"0.000000001s", 0},
		{"2562047h", 2562047ull * 3600000000000},
	};
	static const char *const bad[] = {"", "5", "s", ".", ".s", "-5s", "+5s", "5 s", "5sx",
		"1e3s", "5S", "9999999h", "99999999999999999999s", "5s-", "0x5s"};
	uint64_t ns;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		ok(duration_parse(good[i].text, &ns) == 0, "'%s'", good[i].text);
		eq_int(ns, good[i].ns, "its nanoseconds");
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(duration_parse(bad[i], &ns) == -EINVAL, "not '%s'", bad[i]);
	return tap_done();
}
