/* SPDX-License-Identifier: Apache-2.0 */
/* With jail_on.c: a worker goes on when its creator has closed what only the worker needs, of which nothing is left. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>

#include "tests/device/rows.h"
#include "tests/tap.h"

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* Its socket, what its threads wait with, what it works on. */
static unsigned worker_has(const struct vdev *dev)
{
	unsigned n = 1 + 2 * dev->n_threads + (dev->env.cmd_fd >= 0);

	for (unsigned i = 0; i < VDEV_FDS_MAX; i++)
		n += dev->env.fd[i] >= 0;
	return n;
}

static void test_leave(const struct device_row *row)
{
	/* There is no way to end the worker but the process's end. */
	struct drv *d = calloc(1, sizeof(*d));
	unsigned before;

	printf("# %s\n", row->ops->name);
	drv_open(d, row);
	before = count_fds();
	worker_leave_fds(d->worker);
	eq_int(before - count_fds(), worker_has(&d->dev), "what the worker has is closed");
	ok(is_open(d->ctl_fd) && is_open(d->dev.env.irq_fd) && is_open(d->dev.env.kick_fd[0]),
		"what the transport has is not");
	ok(drv_start(d, ~0ull) && drv_valid(d), "the device works");
	drv_reset(d);
	ok(drv_start(d, ~0ull) && drv_valid(d), "also after a reset");
	if (row->teardown)
		row->teardown(d);
}

int main(void)
{
	for (unsigned i = 0; device_rows[i]; i++)
		test_leave(device_rows[i]);
	return tap_done();
}
