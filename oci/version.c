/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/version.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* A number without leading zeros, below a million. */
static const char *number(const char *s, unsigned *ret)
{
	size_t n = strspn(s, "0123456789");

	if (!n || n > 6 || (s[0] == '0' && n > 1))
		return NULL;
	*ret = 0;
	for (size_t i = 0; i < n; i++)
		*ret = *ret * 10 + (unsigned)(s[i] - '0');
	return s + n;
}

/* Identifiers separated by dots, up to one of `end`. */
static const char *suffix(const char *s, char end)
{
	static const char allowed[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-";

	for (;;) {
		size_t n = strspn(s, allowed);

		if (!n)
			return NULL;
		s += n;
		if (!*s || *s == end)
			return s;
		if (*s++ != '.')
			return NULL;
	}
}

int oci_version_parse(const char *s, struct oci_version *ret)
{
	struct oci_version v;

	s = number(s, &v.major);
	if (!s || *s++ != '.')
		return -EINVAL;
	s = number(s, &v.minor);
	if (!s || *s++ != '.')
		return -EINVAL;
	s = number(s, &v.patch);
	if (s && *s == '-')
		s = suffix(s + 1, '+');
	if (s && *s == '+')
		s = suffix(s + 1, '\0');
	if (!s || *s)
		return -EINVAL;
	*ret = v;
	return 0;
}
