/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp/policy.h"
#include "vmm/virtio/devices.h"

int jail_init(int log_fd, bool log_json, struct err *err)
{
	return policy_init(log_fd >= 0 ? log_fd : STDERR_FILENO, log_json, err);
}

/* All of the calling thread's: what it works on is open. */
static int drop_caps(struct err *err)
{
	struct __user_cap_header_struct hdr = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	if (syscall(SYS_capset, &hdr, none) < 0)
		return err_set(err, errno, "cannot drop a thread's capabilities");
	return 0;
}

static int jail(const char *kind, struct err *err)
{
	int r = drop_caps(err);

	return r < 0 ? r : policy_install(kind, err);
}

int jail_main(struct err *err)
{
	return jail("main", err);
}

int jail_vcpu(struct err *err)
{
	return jail("vcpu", err);
}

int jail_worker(const char *device, unsigned thread, struct err *err)
{
	/* The file server keeps some, and has dropped the others itself (fs/thread.c). */
	if (!strcmp(device, vdev_fs.name))
		return policy_install(device, err);
	return jail(device, err);
}
