/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tests/device/rows.h"
#include "vmm/virtio/devices.h"

static void setup(struct drv *d)
{
	static int pipe_fd[2]; /* the read end, for check() and the console's own test */

	if (pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK) < 0)
		drv_die("pipe2: %s", strerror(errno));
	d->dev.env.fd[CONSOLE_FD_LOG] = pipe_fd[1];
	d->priv = &pipe_fd[0];
}

static void teardown(struct drv *d)
{
	close_fd(&d->dev.env.fd[CONSOLE_FD_LOG]);
	close_fd(d->priv);
}

static unsigned request(struct drv *d, struct drv_buf bufs[DRV_BUFS_MAX])
{
	static const char *const text[2] = {"hello, ", "world\n"};
	char rest[4096];

	while (read(*(int *)d->priv, rest, sizeof(rest)) > 0) /* what hostile requests left */
		;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t len = (uint32_t)strlen(text[i]);

		bufs[i] = (struct drv_buf){.gpa = drv_alloc(d, len, 1), .len = len};
		memcpy(drv_ptr(d, bufs[i].gpa, len), text[i], len);
	}
	return 2;
}

/* A line about log that was dropped, in a flood before this, may come first. */
static bool check(struct drv *d, const struct drv_buf *bufs, unsigned n, uint32_t used_len)
{
	static const char want[] = "hello, world\n";
	char got[256];
	ssize_t len = read(*(int *)d->priv, got, sizeof(got));
	ssize_t tail = (ssize_t)strlen(want);

	if (len > tail && strncmp(got, "\n[coracle: ", 11))
		return false;
	return len >= tail && !memcmp(got + len - tail, want, (size_t)tail) && used_len == 0;
}

const struct device_row row_console = {
	.ops = &vdev_console,
	.queue = 1,
	.setup = setup,
	.teardown = teardown,
	.request = request,
	.check = check,
};
