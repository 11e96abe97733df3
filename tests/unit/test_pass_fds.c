/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that callers want a process to have. */
#include "runtime/pass_fds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/tap.h"

static struct err err;

static int check(unsigned n, const char *fds, const char *pid, bool lenient)
{
	err = (struct err)ERR_INIT;
	setenv("LISTEN_FDS", fds, 1);
	setenv("LISTEN_PID", pid, 1);
	return pass_fds_check(n, lenient, &err);
}

int main(void)
{
	char self[16];

	snprintf(self, sizeof(self), "%d", getpid());
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	eq_int(pass_fds_check(0, false, &err), 0, "none");
	eq_int(check(2, "0", "1", false), -EOPNOTSUPP, "--preserve-fds");
	eq_str(err.msg, "--preserve-fds 2: a descriptor cannot be passed into a VM", "by name");
	eq_int(check(2, "0", "1", true), 0, "lenient");
	eq_int(check(0, "1", self, false), -EOPNOTSUPP, "socket activation");
	eq_str(err.msg, "$LISTEN_FDS=1: a descriptor cannot be passed into a VM", "by name");
	eq_int(check(0, "1", self, true), 0, "lenient");
	eq_int(check(0, "1", "1", false), 0, "meant for another process");
	eq_int(check(0, "0", self, false), 0, "of no descriptor");
	eq_int(check(0, "x", self, false), 0, "of none that is a number");
	return tap_done();
}
