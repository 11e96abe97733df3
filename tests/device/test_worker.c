/* SPDX-License-Identifier: Apache-2.0 */
/* The worker, with a device made for the purpose: two threads, three queues, one watched fd. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/timeline.h"
#include "tests/device/driver.h"
#include "tests/tap.h"

/* The device under test. Its features tell it what to do wrong. */
#define F_FAIL_ACTIVATE BIT64(0)
#define F_FAULT_LATER   BIT64(1) /* kick() of queue 2 faults */
#define F_SLOW          BIT64(2) /* kick() takes a while */
#define F_ENDLESS \
	BIT64(3)    /* each chain is offered again at once, as by a driver that never stops */
#define FD_EVENT  0 /* an eventfd that the device watches in thread 1 */
#define FD_SECOND 1 /* another one, which the event of the first unwatches */

static struct {
	atomic_int in_kick, in_ctl, overlaps, kicks[3], pops[3], events[2], resets, activations;
	atomic_int bad_thread, unaligned_active;
	atomic_bool slow_reset;
	pthread_t kick_thread[3];
	char name[2][16];
	bool blocked[2];
	atomic_int enter_calls;
	int fail_enter;    /* thread + 1 */
	int watch_regular; /* result */
	bool unwatch_second;
} seen;

static int test_init(struct vdev *dev, struct err *err)
{
	dev->n_queues = 3;
	dev->n_threads = 2;
	return 0;
}

static void test_release(struct vdev *dev)
{
}

static int test_enter(struct vdev *dev, unsigned thread, struct err *err)
{
	sigset_t set;

	atomic_fetch_add(&seen.enter_calls, 1);
	pthread_getname_np(pthread_self(), seen.name[thread], sizeof(seen.name[thread]));
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	seen.blocked[thread] = sigismember(&set, SIGTERM) && sigismember(&set, SIGPIPE) &&
			       sigismember(&set, SIGUSR1) && !sigismember(&set, SIGSYS) &&
			       !sigismember(&set, SIGSEGV);
	if (seen.fail_enter == (int)thread + 1)
		return err_set(err, ENOTTY, "thread %u does not like it here", thread);
	if (thread == 1) {
		autofd int regular = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

		seen.watch_regular = vdev_watch(dev, 1, regular, EPOLLIN, 3);
		if (vdev_watch(dev, 1, dev->env.fd[FD_EVENT], EPOLLIN, 1) < 0 ||
			vdev_watch(dev, 1, dev->env.fd[FD_SECOND], EPOLLIN, 2) < 0)
			return err_set(err, EIO, "cannot watch");
	}
	return 0;
}

static void alone(void)
{
	if (atomic_load(&seen.in_kick))
		atomic_fetch_add(&seen.overlaps, 1);
}

static int test_activate(struct vdev *dev)
{
	atomic_store(&seen.in_ctl, 1);
	alone();
	atomic_fetch_add(&seen.activations, 1);
	sched_yield();
	alone();
	atomic_store(&seen.in_ctl, 0);
	return dev->features & F_FAIL_ACTIVATE ? -VFAULT_REQUEST : 0;
}

static void test_reset(struct vdev *dev)
{
	atomic_store(&seen.in_ctl, 1);
	alone();
	if (atomic_load(&seen.slow_reset))
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	atomic_fetch_add(&seen.resets, 1);
	if (dev->active || dev->vq[0].size)
		atomic_fetch_add(&seen.unaligned_active, 1);
	sched_yield();
	alone();
	atomic_store(&seen.in_ctl, 0);
}

/* Plays the driver's part from inside: faster than any driver could. */
static void offer_again(struct virtq *vq, uint16_t head)
{
	uint16_t idx = __atomic_load_n(&vq->avail->idx, __ATOMIC_RELAXED);

	__atomic_store_n(&vq->avail->ring[idx % vq->size], head, __ATOMIC_RELAXED);
	__atomic_store_n(&vq->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

static int test_kick(struct vdev *dev, unsigned q)
{
	struct virtq_chain c;
	int r;

	atomic_fetch_add(&seen.in_kick, 1);
	atomic_fetch_add(&seen.kicks[q], 1);
	if (atomic_load(&seen.in_ctl))
		atomic_fetch_add(&seen.overlaps, 1);
	seen.kick_thread[q] = pthread_self();
	while ((r = virtq_pop(&dev->vq[q], &c)) > 0) {
		atomic_fetch_add(&seen.pops[q], 1);
		if (dev->features & F_SLOW)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		virtq_push(&dev->vq[q], c.head, 0);
		if (dev->features & F_ENDLESS)
			offer_again(&dev->vq[q], c.head);
	}
	if (virtq_should_signal(&dev->vq[q]))
		vdev_signal(dev);
	if (q == 2 && (dev->features & F_FAULT_LATER))
		r = -VFAULT_REQUEST;
	atomic_fetch_sub(&seen.in_kick, 1);
	return r;
}

static int test_event(struct vdev *dev, unsigned thread, uint64_t data, uint32_t events)
{
	eventfd_t v;

	if (thread != 1 || !(events & EPOLLIN) || (data != 1 && data != 2))
		atomic_fetch_add(&seen.bad_thread, 1);
	if (data == 1 || data == 2) {
		int fd = dev->env.fd[data - 1];

		if (eventfd_read(fd, &v) < 0)
			atomic_fetch_add(&seen.bad_thread, 1); /* an event for nothing */
		if (seen.unwatch_second) { /* whichever comes first unwatches and empties the other
					    */
			int other = dev->env.fd[2 - data];

			vdev_unwatch(dev, 1, other);
			eventfd_read(other, &v);
		}
		atomic_fetch_add(&seen.events[data - 1], 1);
	}
	return 0;
}

static const struct vdev_ops ops = {
	.name = "test",
	.device_id = 999,
	.queue_size = 256, /* more than a turn */
	.features = F_FAIL_ACTIVATE | F_FAULT_LATER | F_SLOW | F_ENDLESS,
	.init = test_init,
	.release = test_release,
	.enter = test_enter,
	.activate = test_activate,
	.kick = test_kick,
	.event = test_event,
	.reset = test_reset,
};

#define GOOD (~(F_FAIL_ACTIVATE | F_FAULT_LATER | F_SLOW | F_ENDLESS))

static void setup(struct drv *d)
{
	d->dev.env.fd[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->dev.env.fd[FD_SECOND] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void teardown(struct drv *d)
{
	close_fd(&d->dev.env.fd[FD_EVENT]);
	close_fd(&d->dev.env.fd[FD_SECOND]);
}

static const struct device_row row = {.ops = &ops, .setup = setup, .teardown = teardown};

static struct drv d;

static bool wait_for(atomic_int *v, int least)
{
	uint64_t end = timeline_now() + DRV_WAIT_MS * 1000000ull;

	while (atomic_load(v) < least) {
		if (timeline_now() > end)
			return false;
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
	return true;
}

static int64_t request(unsigned q)
{
	struct drv_buf b = {.gpa = 0x200000, .len = 16};

	return drv_call(&d, q, &b, 1);
}

static void threads(void)
{
	ok(seen.enter_calls == 2 && !strcmp(seen.name[0], "cor-test.0") &&
			!strcmp(seen.name[1], "cor-test.1"),
		"two threads, with names");
	ok(seen.blocked[0] && seen.blocked[1],
		"with the signals blocked, but those for own faults");
	eq_int(seen.watch_regular, -EPERM, "a regular file can't be watched");
	ok(drv_start(&d, GOOD), "starts");
	ok(wait_for(&seen.kicks[0], 1) && wait_for(&seen.kicks[1], 1) &&
			wait_for(&seen.kicks[2], 1),
		"each queue is looked at once, unasked");
	for (unsigned q = 0; q < 3; q++)
		eq_int(request(q), 0, "a request on each queue");
	ok(pthread_equal(seen.kick_thread[0], seen.kick_thread[2]) &&
			!pthread_equal(seen.kick_thread[0], seen.kick_thread[1]),
		"queues 0 and 2 belong to one thread, 1 to the other");
	d.kick_by_register = true;
	eq_int(request(1), 0, "a kick through the register");
	d.kick_by_register = false;
}

static void events(void)
{
	eventfd_write(d.dev.env.fd[FD_EVENT], 1);
	ok(wait_for(&seen.events[0], 1), "an event of a watched fd");
	drv_reset(&d);
	eventfd_write(d.dev.env.fd[FD_EVENT], 1);
	ok(wait_for(&seen.events[0], 2), "also while the device is not active");
	eq_int(vdev_watch(&d.dev, 7, 0, EPOLLIN, 1), -EINVAL, "no such thread");
	eq_int(vdev_watch(&d.dev, 1, 0, EPOLLIN | EPOLLET, 1), -EINVAL, "no edge-triggered events");
	eq_int(vdev_watch(&d.dev, 1, 0, EPOLLIN, VDEV_DATA_MAX), -EINVAL,
		"no data of the worker's own");
	eq_int(vdev_rewatch(&d.dev, 1, d.ctl_fd, EPOLLIN, 1), -ENOENT, "not watched: no rewatch");
}

/* Both fds become ready in one batch: after the first event the second fd is not watched any more.
 */
static void stale_events(void)
{
	int before = seen.events[0] + seen.events[1];
	struct drv_buf b = {.gpa = 0x200000, .len = 16};

	drv_reset(&d);
	seen.unwatch_second = true;
	drv_start(&d, F_SLOW | GOOD); /* holds thread 1 in kick(1) while both become ready */

	for (int i = 0; i < 20; i++)
		drv_put(&d, 1, &b, 1);
	drv_kick_hard(&d, 1);
	wait_for(&seen.in_kick, 1);
	eventfd_write(d.dev.env.fd[FD_EVENT], 1);
	eventfd_write(d.dev.env.fd[FD_SECOND], 1);
	nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
	eq_int(seen.events[0] + seen.events[1] - before, 1, "no event of an fd that was unwatched");
	eq_int(seen.bad_thread, 0, "events come to the right thread, and for a reason");
}

static void faults(void)
{
	int kicks;

	ok(!drv_start(&d, GOOD | F_FAIL_ACTIVATE), "an activation that fails");
	eq_int(d.shared->failed, VFAULT_REQUEST, "is a fault");
	ok(drv_start(&d, GOOD) && request(0) == 0, "works after a reset");

	drv_start(&d, GOOD | F_FAULT_LATER); /* the first look at queue 2 does it */
	ok(drv_wait_needs_reset(&d, DRV_WAIT_MS), "a kick that fails: NEEDS_RESET");
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* a kick under way may end */
	kicks = seen.kicks[1];
	drv_kick_hard(&d, 1);
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	eq_int(seen.kicks[1], kicks, "the other thread's queue rests too");
	ok(drv_start(&d, GOOD) && request(0) == 0 && request(1) == 0 && request(2) == 0,
		"all work after a reset");
}

static void fault_interrupt(void)
{
	eventfd_t v;

	drv_reset(&d);
	eventfd_read(d.dev.env.irq_fd, &v);
	drv_negotiate(&d, GOOD | F_FAULT_LATER);
	for (unsigned q = 0; q < 3; q++)
		drv_queue_setup(&d, q, 0);
	drv_driver_ok(&d);
	ok(drv_wait_irq(&d, DRV_WAIT_MS) & VIRTIO_MMIO_INT_CONFIG,
		"a fault raises the configuration interrupt");
}

/* Other threads are out of the device while thread 0 resets or activates it. */
static void exclusion(void)
{
	struct drv_buf b = {.gpa = 0x200000, .len = 16};

	for (int i = 0; i < 100; i++) {
		bool slow = i % 4 == 0; /* only thread 1 has work, and takes long over it */

		if (!drv_start(&d, slow ? GOOD | F_SLOW : GOOD))
			drv_die("start %d", i);
		for (unsigned q = slow; q < (slow ? 2 : 3); q++) {
			for (int k = 0; k < 20; k++)
				drv_put(&d, q, &b, 1);
			drv_kick_hard(&d, q);
		}
		if (slow)
			wait_for(&seen.pops[1], seen.pops[1] + 2);
	}
	drv_reset(&d);
	eq_int(seen.overlaps, 0, "no kick overlaps a reset or an activation");
	eq_int(seen.unaligned_active, 0, "queues are inactive when reset() runs");
}

/* A driver whose reset has returned has its memory to itself: the device's reset() is over, and no thread is at a ring. */
static void reset_is_over(void)
{
	struct drv_buf b = {.gpa = 0x200000, .len = 16};
	int before, kicks, pops;

	drv_start(&d, GOOD | F_SLOW | F_ENDLESS);
	before = atomic_load(&seen.pops[1]);
	for (int k = 0; k < 20; k++)
		drv_put(&d, 1, &b, 1);
	drv_kick_hard(&d, 1);
	ok(wait_for(&seen.pops[1], before + 2), "thread 1 is at work");
	before = atomic_load(&seen.resets);
	atomic_store(&seen.slow_reset, true);
	drv_reset(&d);
	kicks = atomic_load(&seen.in_kick);
	pops = atomic_load(&seen.pops[1]);
	ok(!kicks && !atomic_load(&seen.in_ctl) && atomic_load(&seen.resets) == before + 1,
		"a reset that has returned is over, in all threads");
	atomic_store(&seen.slow_reset, false);
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	eq_int(atomic_load(&seen.pops[1]), pops, "and nothing is taken from the rings any more");
}

/* Rings that are never empty, in both threads: control messages and events get their turn. */
static void fairness(void)
{
	struct drv_buf b = {.gpa = 0x200000, .len = 16};
	uint64_t t = timeline_now();
	int before;

	drv_start(&d, GOOD | F_ENDLESS);
	before = seen.kicks[2];
	for (unsigned q = 0; q < 3; q++) {
		drv_put(&d, q, &b, 1);
		drv_kick_hard(&d, q);
	}
	ok(wait_for(&seen.kicks[2], before + 10), "an endless ring does not starve another queue");
	before = seen.events[0];
	eventfd_write(d.dev.env.fd[FD_EVENT], 1);
	ok(wait_for(&seen.events[0], before + 1), "nor a watched fd");
	drv_reset(&d);
	ok(!drv_needs_reset(&d) && timeline_now() - t < 10000000000u, "nor the reset");
}

/* More chains than a turn has: they come without further kicks. */
static void no_lost_kick(void)
{
	struct drv_buf b = {.gpa = 0x200000, .len = 16};
	int before;
	uint32_t id, len;

	drv_start(&d, GOOD);
	wait_for(&seen.kicks[0], 1);
	request(0);
	before = seen.pops[0];
	for (int i = 0; i < 2000; i++) {
		while (drv_stage(&d, 0, &b, 1) >= 0)
			;
		drv_publish(&d, 0);
		drv_kick(&d, 0); /* when the device asked for it, no oftener */
		if (!drv_wait_used(&d, 0, &id, &len, DRV_WAIT_MS)) {
			ok(false, "lost in round %d", i);
			return;
		}
		while (drv_pop_used(&d, 0, &id, &len))
			;
	}
	ok(seen.pops[0] - before > 2000,
		"full rings with as few kicks as the event index allows: none lost");
}

static int failing_jail(const char *device, unsigned thread, struct err *err)
{
	return thread == 1 ? err_set(err, EPERM, "no jail for %s", device) : 0;
}

static int own_nothing(const char *device, const int *keep, unsigned n, struct err *err)
{
	return 0;
}

static int keep_root(const char *device, const struct vdev_env *env, struct err *err)
{
	return 0;
}

static void failed_start(void)
{
	struct err err = ERR_INIT;
	static const struct worker_jail jail = {own_nothing, keep_root, failing_jail};
	struct worker *w = NULL;
	int r;

	worker_free(d.worker);
	d.worker = NULL;
	seen.fail_enter = 1;
	r = worker_start(&w, &d.dev, NULL, &err);
	ok(r == -ENOTTY && !w, "a thread that can't enter: no worker");
	ok(strstr(err.msg, "cannot start the test device: thread 0 does not like it here"),
		"with its reason");
	err = (struct err)ERR_INIT;
	seen.fail_enter = 0;
	r = worker_start(&w, &d.dev, &jail, &err);
	ok(r == -EPERM && !w && strstr(err.msg, "no jail for test"), "nor one that is not jailed");
	err = (struct err)ERR_INIT;
	eq_int(worker_start(&d.worker, &d.dev, NULL, &err), 0, "then it starts after all");
	ok(drv_start(&d, GOOD) && request(1) == 0, "and works");
}

/* Nonsense from the VMM's side, and its end. */
static void control(void)
{
	struct vdev_ctl msg = {.type = 77};
	struct vdev_ctl_reply reply = {.result = 0};

	drv_reset(&d);
	send(d.ctl_fd, &msg, sizeof(msg), 0);
	recv(d.ctl_fd, &reply, sizeof(reply), 0);
	ok(reply.result < 0, "an unknown message is refused");
	reply.result = 0;
	msg.type = VDEV_CTL_ACTIVATE;
	send(d.ctl_fd, &msg, sizeof(msg) - 1, 0);
	recv(d.ctl_fd, &reply, sizeof(reply), 0);
	ok(reply.result < 0, "a short one too");
	reply.result = 0;
	msg.n_queues = 4;
	send(d.ctl_fd, &msg, sizeof(msg), 0);
	recv(d.ctl_fd, &reply, sizeof(reply), 0);
	ok(reply.result < 0, "and one for another number of queues");
	ok(drv_start(&d, GOOD) && request(0) == 0, "the device works on");
	reply.result = 0;
	msg.n_queues = 3;
	send(d.ctl_fd, &msg, sizeof(msg), 0);
	recv(d.ctl_fd, &reply, sizeof(reply), 0);
	ok(reply.result < 0, "it is not activated twice");
	shutdown(d.ctl_fd, SHUT_RDWR);
	worker_free(d.worker);
	d.worker = NULL;
	ok(true, "when the VMM is gone the threads end");
}

int main(void)
{
	drv_open(&d, &row);
	threads();
	events();
	faults();
	fault_interrupt();
	exclusion();
	reset_is_over();
	fairness();
	no_lost_kick();
	stale_events();
	failed_start();
	control();
	drv_close(&d);
	return tap_done();
}
