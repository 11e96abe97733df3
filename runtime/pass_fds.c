/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pass_fds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/log.h"

static int refuse(const char *what, bool lenient, struct err *err)
{
	if (!lenient)
		return err_plain(
			err, EOPNOTSUPP, "%s: a descriptor cannot be passed into a VM", what);
	log_msg(LOG_LEVEL_WARNING, "%s: not passed into the VM", what);
	return 0;
}

/* Others' variables, which a service leaves in its children's environment, are nobody's wish. */
static bool is_activated(const char *fds)
{
	const char *listener = getenv("LISTEN_PID");
	char self[16];

	snprintf(self, sizeof(self), "%d", getpid());
	return fds && strtol(fds, NULL, 10) > 0 && listener && !strcmp(listener, self);
}

int pass_fds_check(unsigned n, bool lenient, struct err *err)
{
	const char *fds = getenv("LISTEN_FDS");
	char what[64];
	int r = 0;

	if (n) {
		snprintf(what, sizeof(what), "--preserve-fds %u", n);
		r = refuse(what, lenient, err);
	}
	if (r == 0 && is_activated(fds)) {
		snprintf(what, sizeof(what), "$LISTEN_FDS=%.20s", fds);
		r = refuse(what, lenient, err);
	}
	return r;
}
