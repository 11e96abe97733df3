/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/signals.h"

#include <errno.h>

#include "lib/base.h"
#include "tests/tap.h"

static const struct {
	const char *text;
	int signo;
} good[] = {
	{"9", 9},
	{"0", 0},
	{"64", 64},
	{"KILL", 9},
	{"SIGKILL", 9},
	{"sigterm", 15},
	{"usr1", 10},
	{"CLD", 17},
	{"SIGCHLD", 17},
	{"WINCH", 28},
	{"RTMIN", 34},
	{"SIGRTMIN+3", 37},
	{"rtmax-1", 63},
	{"RTMAX", 64},
};

static const char *const bad[] = {"", "-1", "65", "9x", "SIG", "SIGNOSUCH", "RTMIN+31", "RTMAX-31",
	"RTMIN+", "99999999999999999999", " 9x"};

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct err err = ERR_INIT;

		eq_int(signal_parse(good[i].text, &err), good[i].signo, good[i].text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = ERR_INIT;

		ok(signal_parse(bad[i], &err) == -EINVAL, "'%s' is refused", bad[i]);
		has_str(err.msg, "unknown signal");
	}
	return tap_done();
}
