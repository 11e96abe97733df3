/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define SIGNAL_MAX 64
#define RT_MIN     34 /* what glibc and Go call SIGRTMIN */

static int parse_number(const char *s, int max)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(s, &end, 10);
	if (errno || end == s || *end || v < 0 || v > max)
		return -EINVAL;
	return (int)v;
}

static int parse_realtime(const char *name)
{
	int n;

	if (!strcasecmp(name, "RTMIN"))
		return RT_MIN;
	if (!strcasecmp(name, "RTMAX"))
		return SIGNAL_MAX;
	if (!strncasecmp(name, "RTMIN+", 6)) {
		n = parse_number(name + 6, SIGNAL_MAX - RT_MIN);
		return n < 0 ? n : RT_MIN + n;
	}
	if (!strncasecmp(name, "RTMAX-", 6)) {
		n = parse_number(name + 6, SIGNAL_MAX - RT_MIN);
		return n < 0 ? n : SIGNAL_MAX - n;
	}
	return -EINVAL;
}

static int parse_name(const char *text)
{
	const char *name = strncasecmp(text, "SIG", 3) ? text : text + 3;

	for (int s = 1; s < 32; s++) {
		const char *abbrev = sigabbrev_np(s);

		if (abbrev && !strcasecmp(abbrev, name))
			return s;
	}
	if (!strcasecmp(name, "CLD"))
		return SIGCHLD;
	if (!strcasecmp(name, "IOT"))
		return SIGABRT;
	return parse_realtime(name);
}

int signal_parse(const char *text, struct err *err)
{
	int s = parse_number(text, SIGNAL_MAX);

	if (s < 0)
		s = parse_name(text);
	if (s < 0)
		return err_plain(err, EINVAL, "unknown signal \"%s\"", text);
	return s;
}
