/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console (VIRTIO 1.2, 5.3), one port, no features: the guest kernel's log. What is sent on
 * queue 1 goes to a pipe, whose reader keeps the last lines and limits the rate. Nothing is ever
 * received on queue 0.
 *
 * The pipe does not block. When it is full, what does not fit is dropped and counted: a guest that
 * floods its console loses log, and never waits. A line says how much was lost, once there is room
 * for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base.h"
#include "vmm/virtio/devices.h"

enum { Q_RECEIVE, Q_TRANSMIT, CONSOLE_QUEUES };

/* Linux waits for each message before it sends the next, and gives a page of memory to each entry of the
 * receive queue, which nothing is ever received on: few are enough. It is also the most buffers that a
 * message can have. */
#define QUEUE_SIZE  16
#define MESSAGE_MAX 65536u /* bytes taken from one message; Linux sends a page at most */

struct console {
	uint64_t dropped; /* bytes, since the last one that was told */
	struct virtq_chain chain;
};

static int console_init(struct vdev *dev, struct err *err)
{
	int flags = fcntl(dev->env.fd[CONSOLE_FD_LOG], F_GETFL);

	if (flags < 0)
		return err_set(err, errno, "the console has no pipe to write to");
	if (!(flags & O_NONBLOCK))
		return err_plain(err, EINVAL, "the console's pipe would block");
	dev->priv = calloc(1, sizeof(struct console));
	if (!dev->priv)
		return err_set(err, ENOMEM, "cannot create the console");
	dev->n_queues = CONSOLE_QUEUES;
	dev->n_threads = 1;
	return 0;
}

static void console_release(struct vdev *dev)
{
	free(dev->priv);
	dev->priv = NULL;
}

/* False while the gap can't be told yet. At most PIPE_BUF bytes go into a pipe whole or not at all.
 */
static bool tell_dropped(struct vdev *dev)
{
	struct console *c = dev->priv;
	char line[80];
	int n;

	if (!c->dropped)
		return true;
	n = snprintf(line, sizeof(line),
		"\n[coracle: %" PRIu64 " bytes of the guest's log were dropped]\n", c->dropped);
	if (write(dev->env.fd[CONSOLE_FD_LOG], line, (size_t)n) != n)
		return false;
	c->dropped = 0;
	return true;
}

/* The first buffers of a message, MESSAGE_MAX bytes of them. */
static int pick(const struct virtq_chain *m, struct iovec iov[QUEUE_SIZE])
{
	size_t left = MESSAGE_MAX;
	int n = 0;

	for (; n < QUEUE_SIZE && n < m->n_out && left; n++) {
		iov[n].iov_base = m->iov[n].iov_base;
		iov[n].iov_len = MIN(m->iov[n].iov_len, left);
		left -= iov[n].iov_len;
	}
	return n;
}

static void transmit(struct vdev *dev)
{
	struct console *c = dev->priv;
	struct iovec iov[QUEUE_SIZE];
	int n = pick(&c->chain, iov);
	ssize_t done = 0;

	/* writev: the guest's log. EAGAIN: full; EPIPE: the reader is gone (SIGPIPE is blocked). */
	if (tell_dropped(dev))
		done = writev(dev->env.fd[CONSOLE_FD_LOG], iov, n);
	c->dropped += c->chain.out_bytes - (uint32_t)MAX(done, 0);
}

static int console_kick(struct vdev *dev, unsigned q)
{
	struct console *c = dev->priv;
	struct virtq *vq = &dev->vq[q];
	int r;

	if (q == Q_RECEIVE)
		return 0; /* its buffers wait for input that does not come */
	while ((r = virtq_pop(vq, &c->chain)) > 0) {
		if (c->chain.n_in)
			return -VFAULT_REQUEST;
		transmit(dev);
		virtq_push(vq, c->chain.head, 0);
	}
	if (virtq_should_signal(vq))
		vdev_signal(dev);
	return r;
}

static void console_reset(struct vdev *dev)
{
	tell_dropped(
		dev); /* the last chance of an orderly guest; else it waits for the next message */
}

const struct vdev_ops vdev_console = {
	.name = "console",
	.device_id = VIRTIO_ID_CONSOLE,
	.queue_size = QUEUE_SIZE,
	.init = console_init,
	.release = console_release,
	.kick = console_kick,
	.reset = console_reset,
};
