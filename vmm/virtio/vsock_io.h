/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing a descriptor that may be anything a container's standard stream can be,
 * without waiting. The descriptors are inherited from an engine or a shell: O_NONBLOCK belongs to
 * the open file description that they share with us and is never set. What is used instead:
 *
 * Sockets: MSG_DONTWAIT, which never waits.
 *
 * Pipes, terminals and others that can be polled: preadv2/pwritev2 with RWF_NOWAIT where the file
 * has it (pipes since Linux 6.5), which never waits; else poll(2), then one read, or one write of
 * at most PIPE_BUF bytes (VSOCK_TTY_CHUNK to a terminal), and poll again.
 *
 * What cannot be polled (regular files, /dev/null): always ready, plain reads and writes.
 *
 * What can still wait, and then stops all streams of the sandbox until it ends: a pipe without
 * RWF_NOWAIT that another process writes to (or reads from) at the same moment, so that it takes
 * the room (the bytes) between our poll and our call; alone on a pipe we never wait, as one that
 * polls writable has a free slot and a slot holds PIPE_BUF bytes. A terminal that another process
 * writes to at the same moment, or that polls writable with less room than a chunk needs (a pty has
 * 256 bytes then; a serial line may not). A regular file on a slow disk or a dead network file
 * system.
 */
#ifndef VMM_VIRTIO_VSOCK_IO_H
#define VMM_VIRTIO_VSOCK_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define VSOCK_TTY_CHUNK 128  /* a pty that polls writable has room for 256 bytes */
#define VSOCK_MSG_CHUNK 4096 /* to a socket that keeps messages apart */

enum vsock_io_kind {
	VSOCK_IO_NONE, /* no descriptor */
	VSOCK_IO_SOCKET,
	VSOCK_IO_PIPE,
	VSOCK_IO_TTY,
	VSOCK_IO_POLLED, /* anything else that epoll takes */
	VSOCK_IO_FILE,   /* what epoll refuses: always ready */
};

struct vsock_io {
	int fd;        /* owned; -1 when kind is VSOCK_IO_NONE */
	uint8_t kind;  /* enum vsock_io_kind */
	bool nowait;   /* RWF_NOWAIT is worth a try */
	bool messages; /* a socket that keeps messages apart */
};

/* Takes fd (-1: none) and finds out what it is. The kind is VSOCK_IO_POLLED for all that only epoll
 * can tell from VSOCK_IO_FILE: the caller asks it and corrects the kind. */
void vsock_io_init_take(struct vsock_io *io, int fd);
void vsock_io_close(struct vsock_io *io);

/* Bytes read (0: end of file), -EAGAIN when nothing is there now, or -errno. */
ssize_t vsock_io_readv(struct vsock_io *io, struct iovec *iov, int n);
/* Bytes written, fewer than asked for when no more could be taken now, -EAGAIN when none could, or
 * -errno. Changes iov. SIGPIPE and SIGXFSZ must be blocked, as everything is in a worker: a reader
 * that is gone is an error, not a signal. SIGTTIN and SIGTTOU blocked means -EIO on a background
 * terminal. */
ssize_t vsock_io_writev(struct vsock_io *io, struct iovec *iov, int n);

#endif
