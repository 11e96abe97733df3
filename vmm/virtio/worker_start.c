/* SPDX-License-Identifier: Apache-2.0 */
/* How a worker starts and ends. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "vmm/virtio/worker_priv.h"

/* Start, a step per function, in this order, in the new thread. The creator has blocked the signals. */

static int step_name(struct worker_thread *t, struct err *err)
{
	char name[16]; /* the kernel's limit */

	snprintf(name, sizeof(name), "cor-%.9s.%u", t->w->dev->ops->name, t->index % 10);
	pthread_setname_np(pthread_self(), name);
	return 0;
}

/* What the worker works with, for it may have a table of descriptors of its own. */
static int step_own(struct worker_thread *t, struct err *err)
{
	const struct worker *w = t->w;
	const struct vdev_env *env = &w->dev->env;
	int keep[4 + VDEV_QUEUES_MAX + VDEV_FDS_MAX + 2 * VDEV_THREADS_MAX];
	unsigned n = 0;

	if (!w->jail || t->index != 0)
		return 0;
	keep[n++] = env->ctl_fd;
	keep[n++] = env->cmd_fd;
	keep[n++] = env->irq_fd;
	keep[n++] = env->fault_fd;
	for (unsigned i = 0; i < w->dev->n_queues; i++)
		keep[n++] = env->kick_fd[i];
	for (unsigned i = 0; i < VDEV_FDS_MAX; i++)
		keep[n++] = env->fd[i];
	for (unsigned i = 0; i < w->n; i++) {
		keep[n++] = w->thread[i].epoll_fd;
		keep[n++] = w->thread[i].wake_fd;
	}
	return w->jail->own(w->dev->ops->name, keep, n, err);
}

static int step_open(struct worker_thread *t, struct err *err)
{
	const struct vdev_ops *ops = t->w->dev->ops;

	return t->index == 0 && ops->open ? ops->open(t->w->dev, err) : 0;
}

static int step_root(struct worker_thread *t, struct err *err)
{
	const struct worker *w = t->w;

	if (!w->jail || t->index != 0)
		return 0;
	return w->jail->root(w->dev->ops->name, &w->dev->env, err);
}

static void *thread_main(void *arg);

/* Thread 0 creates the others: they share its table and its root. One that cannot be created has nothing to report. */
static int step_others(struct worker_thread *t, struct err *err)
{
	struct worker *w = t->w;
	int r = 0;

	for (unsigned i = 1; t->index == 0 && i < w->n && r == 0; i++) {
		r = pthread_create(&w->thread[i].pthread, NULL, thread_main, &w->thread[i]);
		w->thread[i].created = r == 0;
	}
	return r ? err_set(err, r, "cannot create a thread") : 0;
}

static int step_enter(struct worker_thread *t, struct err *err)
{
	const struct vdev_ops *ops = t->w->dev->ops;

	return ops->enter ? ops->enter(t->w->dev, t->index, err) : 0;
}

static int step_close(struct worker_thread *t, struct err *err)
{
	return t->w->jail ? t->w->jail->close(t->w->dev->ops->name, t->index, err) : 0;
}

static int (*const start_steps[])(struct worker_thread *t, struct err *err) = {
	step_name,
	step_own,
	step_open,
	step_root,
	step_others,
	step_enter,
	step_close,
};

/* Says how it went and waits for the word that all are ready. */
static bool report_and_wait(struct worker_thread *t, int result)
{
	struct worker *w = t->w;
	bool go;

	pthread_mutex_lock(&w->lock);
	w->reported++;
	for (unsigned i = 1; t->index == 0 && i < w->n; i++)
		w->reported += !w->thread[i].created;
	if (result == 0)
		w->ready++;
	pthread_cond_broadcast(&w->changed);
	while (!w->go && !atomic_load(&w->stop))
		pthread_cond_wait(&w->changed, &w->lock);
	go = w->go;
	pthread_mutex_unlock(&w->lock);
	return go;
}

/* Thread 0 waits until the others have left. */
static void wait_for_others(struct worker *w)
{
	unsigned others = 0;

	for (unsigned i = 1; i < w->n; i++)
		others += w->thread[i].created;
	pthread_mutex_lock(&w->lock);
	while (w->gone < others)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

/* What was opened in the worker is closed there. Whoever has left waits: a process that ends with its worker ends at
 * once, and not thread by thread. */
static void leave(struct worker_thread *t)
{
	struct worker *w = t->w;

	if (t->index == 0)
		wait_for_others(w);
	if (w->dev->ops->leave)
		w->dev->ops->leave(w->dev, t->index);
	pthread_mutex_lock(&w->lock);
	if (t->index == 0)
		w->over = true;
	else
		w->gone++;
	pthread_cond_broadcast(&w->changed);
	while (!w->freed)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
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
		worker_serve(t);
	leave(t);
	return NULL;
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
	r = worker_epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, t->wake_fd, EPOLLIN, DATA_WAKE);
	if (r == 0 && t->index == 0)
		r = worker_epoll_ctl(
			t->epoll_fd, EPOLL_CTL_ADD, dev->env.ctl_fd, EPOLLIN, DATA_CTL);
	for (unsigned q = 0; q < dev->n_queues && r == 0; q++)
		if (t->own & BIT(q))
			r = worker_epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, dev->env.kick_fd[q],
				EPOLLIN, DATA_KICK + q);
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

/* Thread 0, which inherits the mask, and passes it on. */
static int create_thread(struct worker *w, struct err *err)
{
	sigset_t old;
	int r;

	block_signals(&old);
	r = pthread_create(&w->thread[0].pthread, NULL, thread_main, &w->thread[0]);
	w->thread[0].created = r == 0;
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

static uint32_t own_queues(const struct worker *w, unsigned index)
{
	uint32_t mask = 0;

	for (unsigned q = 0; q < w->dev->n_queues; q++)
		if (q % w->n == index)
			mask |= BIT(q);
	return mask;
}

static struct worker *worker_new(struct vdev *dev, const struct worker_jail *jail)
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

int worker_start(
	struct worker **ret_w, struct vdev *dev, const struct worker_jail *jail, struct err *err)
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
		r = create_thread(w, err);
	if (r == 0)
		r = await_ready(w, err);
	if (r < 0) {
		worker_free(w);
		return err_wrap(err, "cannot start the %s device", dev->ops->name);
	}
	*ret_w = w;
	return 0;
}

static void leave_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* By number, which the worker goes on reading. */
void worker_leave_fds(struct worker *w)
{
	const struct vdev_env *env = &w->dev->env;

	leave_fd(env->ctl_fd);
	leave_fd(env->cmd_fd);
	for (unsigned i = 0; i < VDEV_FDS_MAX; i++)
		leave_fd(env->fd[i]);
	for (unsigned i = 0; i < w->n; i++) {
		leave_fd(w->thread[i].epoll_fd);
		leave_fd(w->thread[i].wake_fd);
	}
}

void worker_wait(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->over)
		pthread_cond_wait(&w->changed, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	atomic_store(&w->stop, true);
	w->freed = true;
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
