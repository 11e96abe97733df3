/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/device/rows.h"
#include "tests/tap.h"
#include "vmm/virtio/devices.h"

enum { RECEIVE, TRANSMIT };

static struct drv d;
static char got[1 << 20];

static int read_end(void)
{
	return *(int *)d.priv;
}

static size_t read_all(void)
{
	size_t n = 0;
	ssize_t r;

	while (n < sizeof(got) - 1 && (r = read(read_end(), got + n, sizeof(got) - 1 - n)) > 0)
		n += (size_t)r;
	got[n] = 0;
	return n;
}

static struct drv_buf text(const char *s)
{
	struct drv_buf b = {.gpa = drv_alloc(&d, strlen(s), 1), .len = (uint32_t)strlen(s)};

	memcpy(drv_ptr(&d, b.gpa, b.len), s, b.len);
	return b;
}

/* Messages of a page until the pipe has been full for long; then room again. */
static void flood(void)
{
	struct drv_buf page = {.gpa = drv_alloc(&d, 4096, 1), .len = 4096}, line = text("after\n");
	unsigned long lost = 0, pipe_bytes = (unsigned long)fcntl(read_end(), F_GETPIPE_SZ);
	const char *told;
	size_t n;

	memset(drv_ptr(&d, page.gpa, page.len), 'x', page.len);
	read_all();
	for (int i = 0; i < 1000; i++)
		if (drv_call(&d, TRANSMIT, &page, 1) != 0)
			drv_die("message %d is not answered", i);
	ok(true, "a thousand pages are answered though nobody reads");
	n = read_all();
	eq_int(n, pipe_bytes, "the pipe holds the first of them");
	drv_call(&d, TRANSMIT, &line, 1);
	n = read_all();
	told = strstr(got, "[coracle: ");
	if (told)
		lost = strtoul(told + 10, NULL, 10);
	eq_int(lost, 4096000 - pipe_bytes, "then a line says how many bytes were lost");
	ok(n > 6 && !strcmp(got + n - 6, "after\n"), "and the log goes on");
	drv_call(&d, TRANSMIT, &line, 1);
	read_all();
	eq_str(got, "after\n", "it says so once");
}

static void long_messages(void)
{
	struct drv_buf pieces[16], big = {.gpa = drv_alloc(&d, 100000, 1), .len = 100000};
	size_t n;

	for (int i = 0; i < 16; i++)
		pieces[i] = text("abcdefgh");
	eq_int(drv_call(&d, TRANSMIT, pieces, 16), 0,
		"a message of as many pieces as the queue has");
	n = read_all();
	eq_int(n, 16 * 8, "gets through");
	fcntl(read_end(), F_SETPIPE_SZ, 1 << 20);
	eq_int(drv_call(&d, TRANSMIT, &big, 1), 0, "a message of 100000 bytes");
	n = read_all();
	eq_int(n, 65536, "gets 64 KiB through");
	drv_call(&d, TRANSMIT, pieces, 1);
	read_all();
	ok(strstr(got, "[coracle: 34464 bytes of the guest's log were dropped]\nabcdefgh"),
		"the rest is counted");
}

static void receive_waits(void)
{
	struct drv_buf b = {.gpa = drv_alloc(&d, 64, 1), .len = 64, .in = true};
	uint32_t id, len;

	drv_put(&d, RECEIVE, &b, 1);
	drv_kick_hard(&d, RECEIVE);
	ok(!drv_wait_used(&d, RECEIVE, &id, &len, 50), "nothing is ever received");
}

static void reader_gone(void)
{
	struct drv_buf line = text("into the void\n");

	close(read_end());
	*(int *)d.priv = -1;
	eq_int(drv_call(&d, TRANSMIT, &line, 1), 0,
		"a message after the reader has gone is answered");
}

static void bad_pipe(void)
{
	struct err err = ERR_INIT;
	struct vdev dev = {.ops = &vdev_console};
	int fds[2];

	dev.env.fd[CONSOLE_FD_LOG] = -1;
	ok(vdev_console.init(&dev, &err) < 0, "no pipe: refused");
	vdev_console.release(&dev);
	if (pipe(fds) < 0)
		drv_die("pipe");
	err = (struct err)ERR_INIT;
	dev.env.fd[CONSOLE_FD_LOG] = fds[1];
	ok(vdev_console.init(&dev, &err) < 0, "a pipe that blocks: refused");
	has_str(err.msg, "would block");
	vdev_console.release(&dev);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	struct drv_buf in = {.len = 16, .in = true};

	drv_open(&d, &row_console);
	eq_int(drv_rd(&d, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_CONSOLE, "device id");
	ok(drv_start(&d, ~0ull), "starts");
	ok(drv_valid(&d), "a line arrives");
	receive_waits();
	flood();
	long_messages();
	in.gpa = drv_alloc(&d, 16, 1);
	drv_put(&d, TRANSMIT, &in, 1);
	drv_kick(&d, TRANSMIT);
	ok(drv_wait_needs_reset(&d, DRV_WAIT_MS), "a writable buffer to transmit is a fault");
	ok(drv_start(&d, ~0ull) && drv_valid(&d), "works again after a reset");
	reader_gone();
	drv_close(&d);
	bad_pipe();
	return tap_done();
}
