/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/worker_priv.h"

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "vmm/virtio/fault.h"

#define TURN_CHAINS 64 /* chains per queue before the control socket is looked at again */
#define TURN_EVENTS 16

static void drain(int fd)
{
	eventfd_t v;

	eventfd_read(fd, &v); /* EAGAIN: someone was quicker; the same to us */
}

/* Faults */

static void interrupt(struct vdev *dev, uint32_t bit)
{
	atomic_fetch_or(&dev->env.shared->isr, bit);
	eventfd_write(
		dev->env.irq_fd, 1); /* EAGAIN: the counter is full, so the interrupt is pending */
}

void vdev_signal(struct vdev *dev)
{
	interrupt(dev, VIRTIO_MMIO_INT_VRING);
}

/* The driver or the device broke the rules: VIRTIO 1.2, 2.1.2. The first fault is the one told. */
static void fault(struct worker *w, int result)
{
	uint32_t code = (uint32_t)-result;

	if (!code || code >= VFAULTS)
		code = VFAULT_REQUEST;
	atomic_store(&w->faulted, true);
	vdev_fail(w->dev->env.shared, w->dev->env.fault_fd, code);
	interrupt(w->dev, VIRTIO_MMIO_INT_CONFIG);
}

/* Holding the other threads off the device */

static void enter_device(struct worker_thread *t)
{
	struct worker *w = t->w;

	if (t->index == 0)
		return;
	pthread_mutex_lock(&w->lock);
	while (w->held)
		pthread_cond_wait(&w->changed, &w->lock);
	w->inside++;
	pthread_mutex_unlock(&w->lock);
}

static void leave_device(struct worker_thread *t)
{
	struct worker *w = t->w;

	if (t->index == 0)
		return;
	pthread_mutex_lock(&w->lock);
	w->inside--;
	if (w->held)
		pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void hold_others(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->held = true;
	while (w->inside)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static void release_others(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->held = false;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

/* Control messages: thread 0, all others held */

static void reset_device(struct worker *w)
{
	struct vdev *dev = w->dev;

	for (unsigned q = 0; q < dev->n_queues; q++)
		virtq_reset(&dev->vq[q]);
	dev->active = false;
	if (dev->ops->reset)
		dev->ops->reset(dev);
	dev->features = 0;
	atomic_store(&w->faulted, false);
}

static int activate_device(struct worker *w, const struct vdev_ctl *msg)
{
	struct vdev *dev = w->dev;
	int r = 0;

	if (dev->active || msg->n_queues != dev->n_queues)
		return -VFAULT_REQUEST;
	for (unsigned q = 0; q < dev->n_queues && r == 0; q++) {
		const struct virtq_config *c = &msg->queue[q];

		virtq_reset(&dev->vq[q]);
		if (!c->enabled)
			continue;
		r = c->size > dev->ops->queue_size
			    ? -VFAULT_RING_ADDR
			    : virtq_init(&dev->vq[q], dev->env.mem, c, msg->features);
	}
	if (r == 0) {
		dev->features = msg->features;
		dev->active = true;
		if (dev->ops->activate)
			r = dev->ops->activate(dev);
	}
	if (r < 0) {
		reset_device(w);
		return r;
	}
	/* A driver may have filled its rings before DRIVER_OK: look at each queue once, unasked. */
	for (unsigned q = 0; q < dev->n_queues; q++)
		if (dev->vq[q].size)
			eventfd_write(dev->env.kick_fd[q], 1);
	return 0;
}

static void stop_all(struct worker *w)
{
	atomic_store(&w->stop, true);
	for (unsigned i = 0; i < w->n; i++)
		eventfd_write(w->thread[i].wake_fd, 1);
}

static void serve_ctl(struct worker *w)
{
	struct vdev_ctl msg;
	struct vdev_ctl_reply reply = {.result = -VFAULT_REQUEST};
	ssize_t n = recv(w->dev->env.ctl_fd, &msg, sizeof(msg), MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		stop_all(w); /* the VMM is gone, or this socket is: nothing to serve any more */
		return;
	}
	hold_others(w);
	if (n == sizeof(msg) && msg.type == VDEV_CTL_ACTIVATE) {
		reply.result = activate_device(w, &msg);
	} else if (n == sizeof(msg) && msg.type == VDEV_CTL_RESET) {
		reset_device(w);
		reply.result = 0;
	}
	release_others(w);
	/* A full socket can't be: the transport waits for each answer. */
	send(w->dev->env.ctl_fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* One turn of a thread: what epoll reported, then the queues */

static void begin_turns(struct worker_thread *t)
{
	struct vdev *dev = t->w->dev;

	for (unsigned q = 0; q < dev->n_queues; q++) {
		if (!(t->own & BIT(q)))
			continue;
		/* Another thread's fault stops our queues too, from our own hand: a virtq has one
		 * owner. */
		if (atomic_load_explicit(&t->w->faulted, memory_order_relaxed))
			virtq_reset(&dev->vq[q]);
		virtq_begin_turn(&dev->vq[q], TURN_CHAINS);
	}
}

static void dispatch(struct worker_thread *t, const struct epoll_event *ev)
{
	struct vdev *dev = t->w->dev;
	uint64_t data = ev->data.u64;
	int r;

	if (data == DATA_WAKE) {
		drain(t->wake_fd);
	} else if (data == DATA_CTL) {
		serve_ctl(t->w);
		begin_turns(t); /* the queues may be new */
	} else if (IS_KICK(data)) {
		unsigned q = (unsigned)(data - DATA_KICK);

		/* Before the ring is looked at, or a kick could be lost. */
		drain(dev->env.kick_fd[q]);
		t->pending |= BIT(q);
	} else if (!atomic_load(&t->stale)) {
		r = dev->ops->event ? dev->ops->event(dev, t->index, data, ev->events) : 0;
		if (r < 0)
			fault(t->w, r);
	}
}

static void serve_queues(struct worker_thread *t)
{
	struct vdev *dev = t->w->dev;
	uint32_t again = 0, own = t->own;

	for (unsigned q = 0; q < dev->n_queues; q++) {
		struct virtq *vq = &dev->vq[q];
		int r;

		if (!(own & BIT(q)))
			continue;
		if ((t->pending & BIT(q)) && dev->active && vq->size &&
			!atomic_load_explicit(&t->w->faulted, memory_order_relaxed)) {
			r = dev->ops->kick(dev, q);
			if (r < 0)
				fault(t->w, r);
		}
	}
	/* After all: one queue's kick() may have popped from another of the thread's queues. */
	for (unsigned q = 0; q < dev->n_queues; q++)
		if ((own & BIT(q)) && virtq_turn_over(&dev->vq[q]))
			again |= BIT(q);
	t->pending = again;
}

static void turn(struct worker_thread *t, const struct epoll_event *ev, int n)
{
	enter_device(t);
	begin_turns(t);
	for (int i = 0; i < n; i++)
		dispatch(t, &ev[i]);
	serve_queues(t);
	leave_device(t);
}

void worker_serve(struct worker_thread *t)
{
	struct epoll_event ev[TURN_EVENTS];

	while (!atomic_load(&t->w->stop)) {
		int n;

		atomic_store(&t->stale, false);
		n = epoll_wait(t->epoll_fd, ev, TURN_EVENTS, t->pending ? 0 : -1);
		if (n < 0)
			n = 0; /* EINTR only: a stop and continue of the process */
		turn(t, ev, n);
	}
}

/* For devices */

int worker_epoll_ctl(int epoll_fd, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};

	return epoll_ctl(epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

static int watch(struct vdev *dev, unsigned thread, int op, int fd, uint32_t events, uint64_t data)
{
	if (thread >= dev->n_threads || data >= VDEV_DATA_MAX ||
		(events & (EPOLLET | EPOLLONESHOT)))
		return -EINVAL;
	return worker_epoll_ctl(dev->worker->thread[thread].epoll_fd, op, fd, events, data);
}

int vdev_watch(struct vdev *dev, unsigned thread, int fd, uint32_t events, uint64_t data)
{
	return watch(dev, thread, EPOLL_CTL_ADD, fd, events, data);
}

int vdev_rewatch(struct vdev *dev, unsigned thread, int fd, uint32_t events, uint64_t data)
{
	return watch(dev, thread, EPOLL_CTL_MOD, fd, events, data);
}

void vdev_unwatch(struct vdev *dev, unsigned thread, int fd)
{
	struct worker_thread *t = &dev->worker->thread[thread];

	BUG_ON(thread >= dev->n_threads);
	epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	/* What is left of the batch may speak of this fd. Level-triggered: the others come again.
	 */
	atomic_store(&t->stale, true);
}
