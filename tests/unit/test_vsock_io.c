/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of every kind, with RWF_NOWAIT and without: nothing waits (alarm(2) would end the
 * test). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "tests/tap.h"
#include "vmm/virtio/vsock_io.h"

static char block[1 << 20], back[1 << 20];

static ssize_t put(struct vsock_io *io, size_t len)
{
	struct iovec iov[3] = {
		{block, len / 3}, {block + len / 3, len / 3}, {block + len / 3 * 2, 0}};

	iov[2].iov_len = len - len / 3 * 2;
	return vsock_io_writev(io, iov, 3);
}

static ssize_t get(struct vsock_io *io, size_t len)
{
	struct iovec iov[2] = {{back, len / 2}, {back + len / 2, len - len / 2}};

	return vsock_io_readv(io, iov, 2);
}

/* w and r are the two ends of something that can fill up. */
static void ends(const char *what, int w, int r, enum vsock_io_kind kind, bool nowait, size_t unit)
{
	struct vsock_io out, in;
	size_t total = 0;
	ssize_t n;
	bool same;

	vsock_io_init_take(&out, w);
	vsock_io_init_take(&in, r);
	ok(out.kind == kind && in.kind == kind, "%s: kind", what);
	out.nowait = in.nowait = nowait;
	eq_int(get(&in, 100), -EAGAIN, "nothing to read");
	n = put(&out, sizeof(block));
	ok(n > 0 && n < (ssize_t)sizeof(block), "%s: fills up after %zd", what, n);
	eq_int(put(&out, unit), -EAGAIN, "no more");
	while (total < (size_t)n) {
		ssize_t got = get(&in, sizeof(back) - total > 30000 ? 30000 : sizeof(back) - total);

		if (got <= 0)
			break;
		same = !memcmp(back, block + total, (size_t)got);
		if (!same)
			break;
		total += (size_t)got;
	}
	eq_int(total, n, "and comes out the same");
	ok(put(&out, 10) == 10 && get(&in, 100) == 10, "%s: goes on", what);
	ok(!(fcntl(w, F_GETFL) & O_NONBLOCK) && !(fcntl(r, F_GETFL) & O_NONBLOCK),
		"%s: O_NONBLOCK is not touched", what);
	vsock_io_close(&out);
	ok(out.kind == VSOCK_IO_NONE && out.fd == -1, "%s: closed", what);
	eq_int(get(&in, 100), 0, "end of file");
	vsock_io_close(&in);
}

static void pipes(void)
{
	int a[2], b[2], c[2];

	ok(!pipe2(a, O_CLOEXEC) && !pipe2(b, O_CLOEXEC) && !pipe2(c, O_CLOEXEC), "pipes");
	ends("pipe", a[1], a[0], VSOCK_IO_PIPE, true, 1);
	ends("pipe without RWF_NOWAIT", b[1], b[0], VSOCK_IO_PIPE, false, 1);
	for (int i = 0; i < 2; i++) {
		struct vsock_io w;

		vsock_io_init_take(&w, dup(c[1]));
		w.nowait = i;
		if (!i)
			close_fd(&c[0]);
		eq_int(put(&w, 100), -EPIPE, "no reader");
		vsock_io_close(&w);
	}
	close_fd(&c[1]);
}

static void sockets(void)
{
	int a[2], b[2];
	struct vsock_io w;
	ssize_t n;

	ok(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a), "socket pair");
	ends("socket", a[1], a[0], VSOCK_IO_SOCKET, true, 1);
	ok(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, b), "datagram sockets");
	vsock_io_init_take(&w, b[1]);
	ok(w.kind == VSOCK_IO_SOCKET && w.messages, "keep messages apart");
	n = put(&w, 10000);
	eq_int(n, 10000, "10000 bytes");
	eq_int(recv(b[0], back, sizeof(back), 0), VSOCK_MSG_CHUNK,
		"go as messages of the chunk's size");
	vsock_io_close(&w);
	close_fd(&b[0]);
}

static void ttys(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	struct vsock_io io;
	ssize_t n;

	if (master < 0 || grantpt(master) || unlockpt(master)) {
		skip("no pseudo terminals here");
		return;
	}
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	vsock_io_init_take(&io, slave);
	eq_int(io.kind, VSOCK_IO_TTY, "a terminal");
	eq_int(get(&io, 10), -EAGAIN, "nothing typed");
	memset(block, '\n', 200000);
	n = put(&io, 200000);
	ok(n > 0 && n < 200000, "a terminal nobody reads fills up after %zd", n);
	eq_int(put(&io, 1000), -EAGAIN, "no more");
	close_fd(&master);
	n = put(&io, 1000);
	ok(n == -EIO, "hung up (%zd)", n);
	vsock_io_close(&io);
}

static void others(void)
{
	struct vsock_io io;

	vsock_io_init_take(&io, -1);
	ok(io.kind == VSOCK_IO_NONE && io.fd == -1, "no descriptor");
	vsock_io_init_take(&io, open("/dev/null", O_RDWR | O_CLOEXEC));
	eq_int(io.kind, VSOCK_IO_POLLED, "what only epoll can tell");
	io.kind = VSOCK_IO_FILE;
	ok(put(&io, 500000) == 500000 && get(&io, 10) == 0, "/dev/null");
	vsock_io_close(&io);
	vsock_io_init_take(&io, open("/dev/full", O_WRONLY | O_CLOEXEC));
	io.kind = VSOCK_IO_FILE;
	eq_int(put(&io, 10), -ENOSPC, "/dev/full");
	vsock_io_close(&io);
	vsock_io_init_take(&io, open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	io.kind = VSOCK_IO_FILE;
	eq_int(get(&io, 10), -EISDIR, "a directory");
	eq_int(put(&io, 10), -EBADF, "that is not for writing");
	vsock_io_close(&io);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	alarm(30);
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i * 7 + i / 255);
	pipes();
	sockets();
	ttys();
	others();
	return tap_done();
}
