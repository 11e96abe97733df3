/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail.h"

#include <unistd.h>

#include "seccomp/policy.h"

int jail_init(int log_fd, struct err *err)
{
	return policy_init(log_fd >= 0 ? log_fd : STDERR_FILENO, err);
}

int jail_main(struct err *err)
{
	return policy_install("main", err);
}

int jail_vcpu(struct err *err)
{
	return policy_install("vcpu", err);
}

int jail_worker(const char *device, unsigned thread, struct err *err)
{
	return policy_install(device, err);
}
