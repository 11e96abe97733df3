/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/vsock_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/base.h"
#include "lib/cleanup.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008 /* linux/fs.h */
#endif

/* syscalls: getsockopt(SO_TYPE), fcntl(F_GETPIPE_SZ), ioctl(TIOCGWINSZ), close */
void vsock_io_init_take(struct vsock_io *io, int fd)
{
	struct winsize ws;
	socklen_t len = sizeof(int);
	int type;

	*io = (struct vsock_io){.fd = fd, .nowait = true};
	if (fd < 0) {
		io->fd = -1;
		io->kind = VSOCK_IO_NONE;
	} else if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0) {
		io->kind = VSOCK_IO_SOCKET;
		io->messages = type != SOCK_STREAM;
	} else if (fcntl(fd, F_GETPIPE_SZ) >= 0) {
		io->kind = VSOCK_IO_PIPE;
	} else if (ioctl(fd, TIOCGWINSZ, &ws) == 0) {
		io->kind = VSOCK_IO_TTY;
	} else {
		io->kind = VSOCK_IO_POLLED;
	}
}

void vsock_io_close(struct vsock_io *io)
{
	close_fd(&io->fd);
	io->kind = VSOCK_IO_NONE;
}

/* syscalls: ppoll with no waiting time. An error or a hang-up counts as ready: the call then
 * reports it. */
static bool ready(int fd, short events)
{
	const struct timespec none = {0};
	struct pollfd p = {.fd = fd, .events = events};

	return ppoll(&p, 1, &none, NULL) > 0;
}

/* How many vectors hold the first max bytes; the last one is cut and *ret_cut is what it lost. */
static int iov_trim(struct iovec *iov, int n, size_t max, size_t *ret_cut)
{
	*ret_cut = 0;
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len >= max) {
			*ret_cut = iov[i].iov_len - max;
			iov[i].iov_len = max;
			return i + 1;
		}
		max -= iov[i].iov_len;
	}
	return n;
}

static void iov_advance(struct iovec **iov, int *n, size_t done)
{
	while (*n && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

/* syscalls: preadv2 (position -1: the file's own), ppoll, readv, recvmsg */
static ssize_t read_once(struct vsock_io *io, struct iovec *iov, int n)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
	ssize_t r;

	if (io->kind == VSOCK_IO_SOCKET)
		return recvmsg(io->fd, &msg, MSG_DONTWAIT); /* no room for descriptors: dropped */
	if (io->kind == VSOCK_IO_FILE)
		return readv(io->fd, iov, n);
	if (io->nowait) {
		r = preadv2(io->fd, iov, n, -1, RWF_NOWAIT);
		if (r >= 0 || errno != EOPNOTSUPP)
			return r;
		io->nowait = false;
	}
	if (!ready(io->fd, POLLIN)) {
		errno = EAGAIN;
		return -1;
	}
	return readv(io->fd, iov, n);
}

ssize_t vsock_io_readv(struct vsock_io *io, struct iovec *iov, int n)
{
	ssize_t r;

	do {
		r = read_once(io, iov, n);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

/*
 * A pseudo terminal polls writable with 256 bytes of room or more, but what output processing makes
 * of a control character ("\r\n") is put in by a step of its own, after a look at the room left
 * then. So: text and control characters go apart, the latter one by one. A copy, because the guest
 * could change it between look and write.
 */
static ssize_t write_tty(struct vsock_io *io, const struct iovec *iov)
{
	char buf[VSOCK_TTY_CHUNK];
	size_t max = MIN(iov->iov_len, sizeof(buf)), n = 0;

	memcpy(buf, iov->iov_base, max);
	while (n < max && (unsigned char)buf[n] >= ' ')
		n++;
	return write(io->fd, buf, n ? n : 1);
}

/* syscalls: ppoll, writev, write */
static ssize_t write_chunk(struct vsock_io *io, struct iovec *iov, int n)
{
	size_t cut;
	ssize_t r;
	int used;

	if (!ready(io->fd, POLLOUT)) {
		errno = EAGAIN;
		return -1;
	}
	if (io->kind == VSOCK_IO_TTY)
		return write_tty(io, iov);
	used = iov_trim(iov, n, PIPE_BUF, &cut);
	r = writev(io->fd, iov, used);
	iov[used - 1].iov_len += cut;
	return r;
}

/* syscalls: pwritev2 (position -1: the file's own), writev, sendmsg */
static ssize_t write_once(struct vsock_io *io, struct iovec *iov, int n)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)n};
	size_t cut = 0;
	ssize_t r;

	if (io->kind == VSOCK_IO_SOCKET) {
		if (io->messages)
			msg.msg_iovlen = (size_t)iov_trim(iov, n, VSOCK_MSG_CHUNK, &cut);
		r = sendmsg(io->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		iov[msg.msg_iovlen - 1].iov_len += cut;
		return r;
	}
	if (io->kind == VSOCK_IO_FILE)
		return writev(io->fd, iov, n);
	if (io->nowait) {
		r = pwritev2(io->fd, iov, n, -1, RWF_NOWAIT);
		if (r >= 0 || errno != EOPNOTSUPP)
			return r;
		io->nowait = false;
	}
	return write_chunk(io, iov, n);
}

ssize_t vsock_io_writev(struct vsock_io *io, struct iovec *iov, int n)
{
	ssize_t total = 0;

	while (n) {
		ssize_t r = write_once(io, iov, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return total ? total : -errno;
		if (r == 0) /* no descriptor of ours does that; not worth a loop without end */
			return total ? total : -EIO;
		total += r;
		iov_advance(&iov, &n, (size_t)r);
	}
	return total;
}
