/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/worker.h"

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

/* epoll data of our own descriptors; a device's own is below VDEV_DATA_MAX. */
#define OWN_BIT    BIT64(63)
#define DATA_CTL   (OWN_BIT | 1)
#define DATA_WAKE  (OWN_BIT | 2)
#define DATA_KICK  (OWN_BIT | 0x100) /* + queue */
#define IS_KICK(d) ((d) >= DATA_KICK && (d) < DATA_KICK + VDEV_QUEUES_MAX)

struct worker_thread {
	struct worker *w;
	unsigned index;
	pthread_t pthread;
	bool created;
	int epoll_fd, wake_fd;
	uint32_t own;      /* the queues of this thread, a bit each */
	uint32_t pending;  /* this thread only: queues to kick in this turn, a bit each */
	atomic_bool stale; /* the batch of events at hand may name fds that are gone */
	struct err err;    /* why it did not start; read after the barrier */
};

struct worker {
	struct vdev *dev;
	worker_jail_fn jail;
	unsigned n;
	struct worker_thread thread[VDEV_THREADS_MAX];
	atomic_bool stop;
	atomic_bool faulted; /* no queue is touched until a reset */

	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t changed;
	unsigned reported,
		ready;   /* start barrier: threads that said how it went; that it went well */
	bool go;         /* all are ready: serve */
	bool held;       /* thread 0 wants the others to stay out of the device */
	unsigned inside; /* threads other than 0 that are in the device */
};

static uint32_t own_queues(const struct worker *w, unsigned index)
{
	uint32_t mask = 0;

	for (unsigned q = 0; q < w->dev->n_queues; q++)
		if (q % w->n == index)
			mask |= BIT(q);
	return mask;
}

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

static void serve(struct worker_thread *t)
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

/* Start, a step per function, in this order, in the new thread. The creator has blocked the
 * signals. */

static int step_name(struct worker_thread *t, struct err *err)
{
	char name[16]; /* the kernel's limit */

	snprintf(name, sizeof(name), "cor-%.9s.%u", t->w->dev->ops->name, t->index % 10);
	pthread_setname_np(pthread_self(), name);
	return 0;
}

static int step_enter(struct worker_thread *t, struct err *err)
{
	const struct vdev_ops *ops = t->w->dev->ops;

	return ops->enter ? ops->enter(t->w->dev, t->index, err) : 0;
}

static int step_jail(struct worker_thread *t, struct err *err)
{
	return t->w->jail ? t->w->jail(t->w->dev->ops->name, t->index, err) : 0;
}

static int (*const start_steps[])(struct worker_thread *t, struct err *err) = {
	step_name,
	step_enter,
	step_jail,
};

/* Says how it went and waits for the word that all are ready. */
static bool report_and_wait(struct worker_thread *t, int result)
{
	struct worker *w = t->w;
	bool go;

	pthread_mutex_lock(&w->lock);
	w->reported++;
	if (result == 0)
		w->ready++;
	pthread_cond_broadcast(&w->changed);
	while (!w->go && !atomic_load(&w->stop))
		pthread_cond_wait(&w->changed, &w->lock);
	go = w->go;
	pthread_mutex_unlock(&w->lock);
	return go;
}

static void *thread_main(void *arg)
{
	struct worker_thread *t = arg;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(start_steps) && r == 0; i++) {
		r = start_steps[i](t, &t->err);
		if (r < 0 && !err_is_set(&t->err))
			err_set(&t->err, -r, "a step of the start failed");
	}
	if (report_and_wait(t, r))
		serve(t);
	return NULL;
}

static int epoll_ctl_data(int epoll_fd, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};

	return epoll_ctl(epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

static int open_thread(struct worker_thread *t, struct err *err)
{
	struct vdev *dev = t->w->dev;
	int r;

	t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll_fd < 0)
		return err_set(err, errno, "cannot create an epoll instance");
	t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->wake_fd < 0)
		return err_set(err, errno, "cannot create an eventfd");
	r = epoll_ctl_data(t->epoll_fd, EPOLL_CTL_ADD, t->wake_fd, EPOLLIN, DATA_WAKE);
	if (r == 0 && t->index == 0)
		r = epoll_ctl_data(t->epoll_fd, EPOLL_CTL_ADD, dev->env.ctl_fd, EPOLLIN, DATA_CTL);
	for (unsigned q = 0; q < dev->n_queues && r == 0; q++)
		if (t->own & BIT(q))
			r = epoll_ctl_data(t->epoll_fd, EPOLL_CTL_ADD, dev->env.kick_fd[q], EPOLLIN,
				DATA_KICK + q);
	return r < 0 ? err_set(err, -r, "cannot watch the queues") : 0;
}

/* Everything is blocked in a worker but what the kernel raises for the thread's own mistakes. */
static void block_signals(sigset_t *ret_old)
{
	static const int own_faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT};
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(own_faults); i++)
		sigdelset(&set, own_faults[i]);
	pthread_sigmask(SIG_SETMASK, &set, ret_old);
}

static int create_threads(struct worker *w, struct err *err)
{
	sigset_t old;
	int r = 0;

	block_signals(&old);
	for (unsigned i = 0; i < w->n && r == 0; i++) {
		r = pthread_create(&w->thread[i].pthread, NULL, thread_main, &w->thread[i]);
		w->thread[i].created = r == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r ? err_set(err, r, "cannot create a thread") : 0;
}

/* The barrier: true when every thread is ready; on failure the first one's reason. */
static int await_ready(struct worker *w, struct err *err)
{
	bool all;

	pthread_mutex_lock(&w->lock);
	while (w->reported < w->n)
		pthread_cond_wait(&w->changed, &w->lock);
	all = w->ready == w->n;
	if (all) {
		w->go = true;
		pthread_cond_broadcast(&w->changed);
	}
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->n && !all; i++)
		if (err_is_set(&w->thread[i].err)) {
			if (err)
				*err = w->thread[i].err;
			return -w->thread[i].err.errnum;
		}
	return 0;
}

static struct worker *worker_new(struct vdev *dev, worker_jail_fn jail)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->dev = dev;
	w->jail = jail;
	w->n = dev->n_threads;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	for (unsigned i = 0; i < w->n; i++)
		w->thread[i] = (struct worker_thread){
			.w = w, .index = i, .own = own_queues(w, i), .epoll_fd = -1, .wake_fd = -1};
	return w;
}

int worker_start(struct worker **ret_w, struct vdev *dev, worker_jail_fn jail, struct err *err)
{
	struct worker *w;
	int r = 0;

	BUG_ON(!dev->n_threads || dev->n_threads > VDEV_THREADS_MAX ||
		dev->n_queues > VDEV_QUEUES_MAX);
	w = worker_new(dev, jail);
	if (!w)
		return err_set(err, ENOMEM, "cannot start the %s device", dev->ops->name);
	dev->worker = w;
	for (unsigned i = 0; i < w->n && r == 0; i++)
		r = open_thread(&w->thread[i], err);
	if (r == 0)
		r = create_threads(w, err);
	if (r == 0)
		r = await_ready(w, err);
	if (r < 0) {
		worker_free(w);
		return err_wrap(err, "cannot start the %s device", dev->ops->name);
	}
	*ret_w = w;
	return 0;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	atomic_store(&w->stop, true);
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->n; i++)
		if (w->thread[i].wake_fd >= 0)
			eventfd_write(w->thread[i].wake_fd, 1);
	for (unsigned i = 0; i < w->n; i++) {
		if (w->thread[i].created)
			pthread_join(w->thread[i].pthread, NULL);
		close_fd(&w->thread[i].epoll_fd);
		close_fd(&w->thread[i].wake_fd);
	}
	w->dev->worker = NULL;
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* For devices */

static int watch(struct vdev *dev, unsigned thread, int op, int fd, uint32_t events, uint64_t data)
{
	if (thread >= dev->n_threads || data >= VDEV_DATA_MAX ||
		(events & (EPOLLET | EPOLLONESHOT)))
		return -EINVAL;
	return epoll_ctl_data(dev->worker->thread[thread].epoll_fd, op, fd, events, data);
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
