/* SPDX-License-Identifier: Apache-2.0 */
/* Linked to a device test, it puts the device's workers into their jail. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "seccomp/policy.h"
#include "tests/device/driver.h"
#include "vmm/confine.h"
#include "vmm/virtio/devices.h"

static int report_fd, empty_ns;

/* As vmm/jail.c does it. The report of a forbidden call goes to what was standard error: the workers have none. */
static int own(const char *device, const int *keep, unsigned n, struct err *err)
{
	int fd[64];

	BUG_ON(n + 2 > ARRAY_SIZE(fd));
	memcpy(fd, keep, n * sizeof(fd[0]));
	fd[n] = report_fd;
	fd[n + 1] = empty_ns;
	return confine_fds(fd, n + 2, err);
}

static int root(const char *device, const struct vdev_env *env, struct err *err)
{
	int r = strcmp(device, "fs") ? confine_root(empty_ns, err)
				     : confine_tree(env->fd[FS_FD_ROOT], empty_ns, err);

	close(empty_ns);
	return r;
}

static int close_jail(const char *device, unsigned thread, struct err *err)
{
	unsigned files = strcmp(device, "fs") ? CONFINE_FILES : 0;
	int r = confine_landlock(CONFINE_SOCKETS | files, err);

	return r < 0 ? r : policy_install(device, err);
}

static const struct worker_jail jail = {own, root, close_jail};

__attribute__((constructor)) static void jail_on(void)
{
	struct err err = ERR_INIT;

	report_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (policy_init(report_fd, false, &err) < 0 || confine_make_empty_ns(&empty_ns, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
	drv_jail = &jail;
}
