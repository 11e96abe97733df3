/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/duration.h"

#include <errno.h>
#include <string.h>

#include "lib/base.h"

static const struct {
	const char *name;
	uint64_t ns;
} units[] = {
	/* "ms" before "m": the first that fits is taken */
	{"ns", 1},
	{"us", 1000},
	{"\xc2\xb5s", 1000}, /* the micro sign */
	{"ms", 1000000},
	{"s", 1000000000},
	{"m", 60000000000},
	{"h", 3600000000000},
};

static uint64_t unit_at(const char **p)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		size_t len = strlen(units[i].name);

		if (strncmp(*p, units[i].name, len))
			continue;
		*p += len;
		return units[i].ns;
	}
	return 0;
}

/* One number with its unit. What is behind the point counts as far as it is a whole nanosecond. */
static int parse_part(const char **p, uint64_t *sum)
{
	uint64_t whole = 0, part = 0, scale = 1, unit, v;
	const char *start = *p;

	for (; **p >= '0' && **p <= '9'; (*p)++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
			__builtin_add_overflow(whole, (uint64_t)(**p - '0'), &whole))
			return -EINVAL;
	if (**p == '.') {
		for ((*p)++; **p >= '0' && **p <= '9'; (*p)++)
			if (scale < 1000000) {
				part = part * 10 + (uint64_t)(**p - '0');
				scale *= 10;
			}
	}
	if (*p == start || (*p == start + 1 && *start == '.'))
		return -EINVAL;
	unit = unit_at(p);
	if (!unit || __builtin_mul_overflow(whole, unit, &v) ||
		__builtin_add_overflow(v, part * unit / scale, &v) ||
		__builtin_add_overflow(*sum, v, sum))
		return -EINVAL;
	return 0;
}

int duration_parse(const char *text, uint64_t *ret_ns)
{
	uint64_t sum = 0;

	if (!*text)
		return -EINVAL;
	if (!strcmp(text, "0")) {
		*ret_ns = 0;
		return 0;
	}
	while (*text)
		if (parse_part(&text, &sum) < 0)
			return -EINVAL;
	if (sum > INT64_MAX)
		return -EINVAL;
	*ret_ns = sum;
	return 0;
}
