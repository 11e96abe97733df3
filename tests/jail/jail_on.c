/* SPDX-License-Identifier: Apache-2.0 */
/* Linked to a device test, it puts the device's workers under their policy. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "seccomp/policy.h"
#include "tests/device/driver.h"

static int jail(const char *device, unsigned thread, struct err *err)
{
	return policy_install(device, err);
}

__attribute__((constructor)) static void jail_on(void)
{
	struct err err = ERR_INIT;

	if (policy_init(STDERR_FILENO, false, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
	drv_jail = jail;
}
