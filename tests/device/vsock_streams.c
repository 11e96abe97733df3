/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/vsock_streams.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tests/tap.h"

struct peer p;
uint8_t *pattern, *sink;
uint32_t next_port = 1024;

void make_pipe(int fd[2])
{
	if (pipe2(fd, O_CLOEXEC) < 0)
		drv_die("pipe2");
}

void make_pair(int fd[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		drv_die("socketpair");
}

int make_file(const void *data, size_t len)
{
	char path[] = "/tmp/vsock-test-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || unlink(path) < 0 || write(fd, data, len) != (ssize_t)len ||
		lseek(fd, 0, SEEK_SET))
		drv_die("no temporary file");
	return fd;
}

uint32_t open_stream(struct gstream *s, int *rx_fd, int *tx_fd)
{
	uint32_t port = next_port++;

	if (peer_bind(&p, port, rx_fd ? *rx_fd : -1, tx_fd ? *tx_fd : -1))
		drv_die("bind refused");
	if (rx_fd)
		close_fd(rx_fd);
	if (tx_fd)
		close_fd(tx_fd);
	if (!peer_connect(&p, s, port + 50000, port))
		drv_die("no connection");
	return port;
}

uint32_t send_some(struct gstream *s, const uint8_t *data, uint32_t len)
{
	uint32_t n = peer_room(s);

	n = MIN(n, MIN(len, 65536u));
	if (n)
		peer_send(&p, s, VIRTIO_VSOCK_OP_RW, 0, data, n);
	return n;
}

uint32_t read_some(int fd, uint8_t *to, uint32_t len, int ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	ssize_t r;

	if (poll(&pfd, 1, ms) != 1)
		return 0;
	r = read(fd, to, len);
	return r > 0 ? (uint32_t)r : 0;
}

bool at_eof(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char c;

	return poll(&pfd, 1, DRV_WAIT_MS) == 1 && read(fd, &c, 1) == 0;
}

uint32_t fill_up(struct gstream *s)
{
	uint32_t sent = 0;

	for (int quiet = 0; quiet < 2;) {
		uint32_t n = send_some(s, pattern + sent, 3000);

		sent += n;
		quiet = peer_recv(&p, n ? 0 : 100) || n ? 0 : quiet + 1;
	}
	return sent;
}

static void fill(void)
{
	uint32_t x = 12345;

	pattern = malloc(BIG);
	sink = malloc(BIG);
	if (!pattern || !sink)
		drv_die("no memory");
	for (uint32_t i = 0; i < BIG; i++) {
		x = x * 1664525u + 1013904223u;
		pattern[i] = (uint8_t)(x >> 24);
	}
}

void use_up_rx(struct gstream *s)
{
	p.hold_rx = true;
	for (unsigned i = 0; i < PEER_RX_BUFS;) {
		if (p.rx_head[i] < 0) {
			i++;
			continue;
		}
		/* One by one: requests that wait together have one answer. */
		peer_send(&p, s, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, NULL, 0);
		if (!peer_recv(&p, DRV_WAIT_MS))
			drv_die("a credit request is not answered");
	}
}

int streams_run(void (*const tests[])(void), size_t n)
{
	fill();
	peer_open(&p);
	eq_int(drv_rd(&p.d, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_VSOCK, "device id");
	for (size_t i = 0; i < n; i++) {
		printf("# test %zu\n", i);
		p.n_streams = 0; /* they were on the last test's stack */
		peer_idle(&p);
		tests[i]();
	}
	ok(!drv_needs_reset(&p.d), "the device is well to the end");
	peer_close(&p);
	free(pattern);
	free(sink);
	return tap_done();
}
