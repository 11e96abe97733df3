/* SPDX-License-Identifier: Apache-2.0 */
/* Linked to a device test, it makes the devices' workers processes, with descriptors of their own (tests/guests has what
 * coracle-vmm does about the rest). */
#include "tests/device/driver.h"
#include "vmm/confine.h"

static int own(const char *device, const int *keep, unsigned n, struct err *err)
{
	return confine_fds(keep, n, err);
}

static int stay(const char *device, const struct vdev_env *env, struct err *err)
{
	return 0;
}

static int open_jail(const char *device, unsigned thread, struct err *err)
{
	return 0;
}

static const struct worker_jail jail = {own, stay, open_jail};

__attribute__((constructor)) static void process_on(void)
{
	drv_jail = &jail;
	drv_process = true;
}
