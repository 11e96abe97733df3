/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/vsock.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "lib/cleanup.h"

#define VSOCK_RINGS_BYTES ((size_t)VSOCK_STREAMS_MAX * VSOCK_WINDOW)

static int vsock_init(struct vdev *dev, struct err *err)
{
	struct vsock *v = calloc(1, sizeof(*v));

	if (!v)
		return err_set(err, ENOMEM, "cannot allocate the vsock device");
	dev->priv = v;
	dev->n_queues = VSOCK_QUEUES;
	dev->n_threads = 1;
	v->dev = dev;
	v->turn_fd = -1;
	for (unsigned i = 0; i < VSOCK_STREAMS_MAX; i++) /* so that the first bound takes slot 0 */
		v->free_slot[v->n_free++] = (uint16_t)(VSOCK_STREAMS_MAX - 1 - i);
	/* Address space only: a page is taken when a stream's reader is too slow for the first
	 * time. */
	v->rings = mem_reserve(VSOCK_RINGS_BYTES);
	if (!v->rings)
		return err_set(err, errno, "cannot map the vsock buffers");
	return 0;
}

static void vsock_release(struct vdev *dev)
{
	struct vsock *v = dev->priv;

	if (!v)
		return;
	if (v->rings)
		munmap(v->rings, VSOCK_RINGS_BYTES);
	free(v);
	dev->priv = NULL;
}

static int vsock_enter(struct vdev *dev, unsigned thread, struct err *err)
{
	struct vsock *v = dev->priv;
	int r;

	if (dev->env.cmd_fd >= 0) {
		r = vdev_watch(dev, thread, dev->env.cmd_fd, EPOLLIN, VSOCK_DATA_CMD);
		if (r < 0)
			return err_set(err, -r, "cannot watch the vsock command socket");
	}
	v->turn_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->turn_fd < 0)
		return err_set(err, errno, "cannot create an eventfd");
	r = vdev_watch(dev, thread, v->turn_fd, EPOLLIN, VSOCK_DATA_TURN);
	if (r < 0)
		return err_set(err, -r, "cannot watch the vsock eventfd");
	return 0;
}

static void vsock_leave(struct vdev *dev, unsigned thread)
{
	struct vsock *v = dev->priv;

	v->live = false;
	vconn_release_all(v);
	close_fd(&v->turn_fd);
}

static int vsock_activate(struct vdev *dev)
{
	struct vsock *v = dev->priv;

	v->live = true;
	v->tx_paused = false;
	virtq_disable_kicks(&dev->vq[VSOCK_Q_RX]); /* asked for when one is missed */
	return 0;
}

/* syscalls: read, write (eventfd). Armed: event(VSOCK_DATA_TURN) comes again and again. */
static void arm_turn(struct vsock *v, bool arm)
{
	uint64_t one = 1;
	ssize_t r;

	if (arm == v->turn_armed)
		return;
	r = arm ? write(v->turn_fd, &one, sizeof(one)) : read(v->turn_fd, &one, sizeof(one));
	if (r == sizeof(one))
		v->turn_armed = arm;
}

/* The guest's packets. Each may need one reply: none is looked at without a place for it. */
int vsock_take_packets(struct vsock *v)
{
	struct virtq *vq = &v->dev->vq[VSOCK_Q_TX];
	int r = 0;

	v->tx_paused = false;
	virtq_disable_kicks(vq);
	for (;;) {
		if (v->n_replies == VSOCK_REPLIES_MAX) {
			r = vsock_out_flush(v);
			if (r < 0)
				return r;
			if (v->n_replies == VSOCK_REPLIES_MAX) {
				v->tx_paused = true;
				vsock_cmd_taken(v, true); /* no drain waits for such a guest */
				return 0;
			}
		}
		r = virtq_pop(vq, &v->chain);
		if (r < 0)
			return r;
		if (r == 0 && !virtq_enable_kicks(vq)) {
			/* else kick() comes again by itself */
			vsock_cmd_taken(v, !virtq_turn_over(vq));
			return 0;
		}
		if (r == 0)
			continue;
		if (v->chain.out_bytes < VSOCK_HDR_BYTES)
			return -VFAULT_REQUEST;
		vconn_packet(v, &v->chain);
		virtq_push(vq, v->chain.head, 0);
		v->taken++;
	}
}

/* One round over the streams that can be read without an event. Each goes to the end of the queue
 * again, so none waits longer than the others take for one turn each. */
static int run_streams(struct vsock *v)
{
	int r = vsock_out_ready(v);

	for (uint32_t n = v->runq.n; n && r > 0; n--) {
		struct vconn *c = &v->conn[vconn_queue_pop(&v->runq)];

		c->in_runq = false;
		r = vconn_pull(v, c);
		if (r < 0)
			return r;
		r = vsock_out_ready(v);
	}
	if (r >= 0)
		arm_turn(v, r > 0 && v->runq.n); /* without rx buffers: their kick goes on */
	return r < 0 ? r : 0;
}

/* Ends every entry from outside: what was put in motion goes on, and the driver hears of used
 * buffers. */
static int finish(struct vsock *v, int r)
{
	struct vdev *dev = v->dev;

	if (r >= 0 && v->live)
		r = run_streams(v);
	if (r >= 0 && v->live && v->tx_paused && v->n_replies < VSOCK_REPLIES_MAX)
		r = vsock_take_packets(v);
	if (r >= 0 && v->live)
		r = vsock_out_flush(v);
	vsock_cmd_answer(v);
	if (v->live) {
		bool rx = virtq_should_signal(&dev->vq[VSOCK_Q_RX]);
		bool tx = virtq_should_signal(&dev->vq[VSOCK_Q_TX]);

		if (rx || tx)
			vdev_signal(dev);
	}
	if (r >= 0)
		return 0;
	v->live = false;
	return r;
}

static int vsock_kick(struct vdev *dev, unsigned q)
{
	struct vsock *v = dev->priv;
	int r = 0;

	if (!v->live)
		return 0;
	if (q == VSOCK_Q_TX)
		r = vsock_take_packets(v);
	else if (q == VSOCK_Q_RX)
		virtq_disable_kicks(&dev->vq[VSOCK_Q_RX]);
	/* VSOCK_Q_EVENT: its one event, a transport reset by migration, never happens here. */
	return finish(v, r);
}

static int vsock_event(struct vdev *dev, unsigned thread, uint64_t data, uint32_t events)
{
	struct vsock *v = dev->priv;
	enum vsock_dir dir;
	struct vconn *c;
	int r = 0;

	if (data == VSOCK_DATA_CMD) {
		r = vsock_cmd_event(v);
	} else if (data != VSOCK_DATA_TURN) {
		c = vconn_of_event(v, data, &dir);
		if (c && dir == VSOCK_DIR_RX)
			vconn_rx_event(v, c, events);
		else if (c)
			r = vconn_tx_event(v, c, events);
	}
	return finish(v, r);
}

static void vsock_reset(struct vdev *dev)
{
	struct vsock *v = dev->priv;

	v->live = false;
	v->tx_paused = false;
	vsock_out_reset(v);
	vconn_guest_gone(v);
	arm_turn(v, false);
	vsock_cmd_taken(v, true);
	vsock_cmd_answer(v);
}

/* VIRTIO_VSOCK_F_STREAM (bit 0) is for drivers that know of it: without it, streams are what there
 * is. */
const struct vdev_ops vdev_vsock = {
	.name = "vsock",
	.device_id = VIRTIO_ID_VSOCK,
	.queue_size = VSOCK_QUEUE_SIZE,
	.features = 0,
	.init = vsock_init,
	.release = vsock_release,
	.enter = vsock_enter,
	.leave = vsock_leave,
	.activate = vsock_activate,
	.kick = vsock_kick,
	.event = vsock_event,
	.reset = vsock_reset,
};
