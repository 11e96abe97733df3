/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every hostile ring shape against every device. Each shape starts a healthy device, attacks it,
 * and then wants: the fault that fits (DEVICE_NEEDS_RESET), or no harm; a device that works after a
 * reset; all of it in bounded time (each wait ends, and meson's timeout stands behind them).
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base.h"
#include "lib/timeline.h"
#include "tests/device/rows.h"
#include "tests/device/shapes.h"
#include "tests/tap.h"

#define F_WRITE VRING_DESC_F_WRITE

/* Races. A second thread is the other vCPU. */

static uint32_t rnd(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

struct rival {
	struct drv *d;
	atomic_bool stop;
	pthread_t thread;
};

static void rival_start(struct rival *r, struct drv *d, void *(*fn)(void *))
{
	r->d = d;
	atomic_store(&r->stop, false);
	if (pthread_create(&r->thread, NULL, fn, r))
		drv_die("pthread_create");
}

static void rival_stop(struct rival *r)
{
	atomic_store(&r->stop, true);
	pthread_join(r->thread, NULL);
}

/* Rewrites every field of the descriptors, with values near the valid ones, as fast as it can. */
static void *rewriter(void *arg)
{
	struct rival *r = arg;
	struct drv_queue *q = shape_queue(r->d);
	uint32_t seed = 0x1234567;

	while (!atomic_load(&r->stop)) {
		uint32_t v = rnd(&seed), i = v % 4;

		switch (v >> 8 & 3) {
		case 0:
			__atomic_store_n(&q->desc[i].addr, 0x10000 + (rnd(&seed) & 0xffff),
				__ATOMIC_RELAXED);
			break;
		case 1:
			__atomic_store_n(&q->desc[i].len, rnd(&seed) & 0x7f, __ATOMIC_RELAXED);
			break;
		case 2:
			__atomic_store_n(&q->desc[i].flags, rnd(&seed) & 7, __ATOMIC_RELAXED);
			break;
		case 3: __atomic_store_n(&q->desc[i].next, rnd(&seed) & 3, __ATOMIC_RELAXED); break;
		}
	}
	return NULL;
}

static void rewritten(struct drv *d, int rounds)
{
	static struct rival r;

	rival_start(&r, d, rewriter);
	for (int i = 0; i < rounds; i++) {
		uint16_t head = (uint16_t)(i % 4);

		shape_desc(d, head, 0x20000, 16, F_WRITE, 0);
		shape_submit(d, head);
		for (int spin = 0; spin < 20; spin++)
			sched_yield();
		if (!drv_needs_reset(d))
			continue;
		rival_stop(&r); /* it writes into q->desc */
		if (!drv_start(d, ~0ull)) {
			ok(false, "%s starts in round %d", d->row->ops->name, i);
			return;
		}
		rival_start(&r, d, rewriter);
	}
	rival_stop(&r);
}

/* After a reset the worker has let go of memory: what is there stays as it is. */
static void reset_in_flight(struct drv *d, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		struct drv_buf bufs[DRV_BUFS_MAX];
		uint64_t bytes = 0x20000;
		uint8_t *mem = drv_ptr(d, 0x10000, bytes);

		while (shape_queue(d)->n_free > 2) {
			unsigned n = d->row->request(d, bufs);

			if (drv_put(d, d->row->queue, bufs, n) < 0)
				break;
		}
		drv_kick_hard(d, d->row->queue);
		if (i % 2)
			sched_yield();
		drv_reset(d);
		memset(mem, 0x5a, bytes);
		drv_kick_hard(d, d->row->queue);
		if (i % 16 == 0)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		for (uint64_t k = 0; k < bytes; k++)
			if (mem[k] != 0x5a) {
				ok(false, "%s writes after a reset, round %d", d->row->ops->name,
					i);
				return;
			}
		if (!drv_start(d, ~0ull)) {
			ok(false, "%s starts in round %d", d->row->ops->name, i);
			return;
		}
	}
}

static void *kicker(void *arg)
{
	struct rival *r = arg;
	unsigned n = 0;

	while (!atomic_load(&r->stop)) {
		drv_kick_hard(r->d, n++ % r->d->dev.n_queues);
		drv_wr(r->d, VIRTIO_MMIO_QUEUE_NOTIFY, n * 0x10001u); /* mostly no queue of ours */
	}
	return NULL;
}

static void doorbell_storm(struct drv *d, int requests)
{
	static struct rival r;
	int bad = 0;

	rival_start(&r, d, kicker);
	for (int i = 0; i < requests; i++)
		bad += !drv_valid(d);
	rival_stop(&r);
	if (bad)
		ok(false, "%s: %d of %d requests lost in the storm", d->row->ops->name, bad,
			requests);
}

static void *resetter(void *arg)
{
	struct rival *r = arg;
	uint32_t seed = 0x7654321;

	while (!atomic_load(&r->stop)) {
		uint32_t v = rnd(&seed);

		drv_wr(r->d, VIRTIO_MMIO_STATUS, v % 3 ? v >> 8 & 0xf : 0);
		drv_wr(r->d, (v >> 16 & 0x3f) * 4, v % 3 ? 1 : v);
		drv_rd(r->d, v >> 20 & 0xff);
	}
	return NULL;
}

static void reset_storm(struct drv *d, int rounds)
{
	static struct rival r;

	rival_start(&r, d, resetter);
	for (int i = 0; i < rounds; i++) {
		drv_wr(d, VIRTIO_MMIO_STATUS, 0);
		for (uint32_t s = 1; s < 16; s = s * 2 + 1) {
			drv_wr(d, VIRTIO_MMIO_STATUS, s == 7 ? 0xb : s);
			drv_queue_write(d, d->row->queue, 8, 0x10000, 0x11000, 0x12000);
		}
	}
	rival_stop(&r);
}

/* Keeps the ring full for ever, by the rules: the reset must get through all the same. */
static void *flooder(void *arg)
{
	struct rival *r = arg;
	struct drv_queue *q = shape_queue(r->d);

	while (!atomic_load(&r->stop)) {
		uint16_t used = __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);

		__atomic_store_n(&q->avail->idx, (uint16_t)(used + q->size), __ATOMIC_RELEASE);
		drv_kick_hard(r->d, r->d->row->queue);
	}
	return NULL;
}

static void flood(struct drv *d, int ms)
{
	static struct rival r;
	struct drv_buf bufs[DRV_BUFS_MAX];
	struct drv_queue *q = shape_queue(d);
	unsigned n = d->row->request(d, bufs);
	int head = drv_stage(d, d->row->queue, bufs, n);
	uint64_t t;

	for (unsigned i = 0; i < q->size; i++)
		q->avail->ring[i] = (uint16_t)head;
	rival_start(&r, d, flooder);
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
	t = timeline_now();
	drv_wr(d, VIRTIO_MMIO_STATUS, 0); /* not drv_reset(): the flooder still uses d->q */
	t = timeline_now() - t;
	rival_stop(&r);
	if (t > 2000000000u)
		ok(false, "%s: a reset takes %llu ms under a flood", d->row->ops->name,
			(unsigned long long)t / 1000000u);
}

static const struct shape race_shapes[] = {
	{"descriptors rewritten while they are read", ANY, rewritten, 300},
	{"resets with requests in flight", HARMLESS, reset_in_flight, 100},
	{"a doorbell storm", HARMLESS, doorbell_storm, 200},
	{"a reset storm on two CPUs", ANY, reset_storm, 500},
	{"a ring that is never empty", HARMLESS, flood, 100},
};

/* Gives a harmless shape the time to do harm after all. */
static bool still_healthy(struct drv *d)
{
	nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	return !drv_needs_reset(d);
}

static uint32_t failed_so(struct drv *d, int vfault)
{
	return vfault > 0 ? atomic_load(&d->shared->faults[vfault]) : 0;
}

static void run_shape(struct drv *d, const struct shape *s)
{
	const char *name = d->row->ops->name;
	uint32_t before;
	bool good;

	if (!drv_start(d, ~0ull)) {
		ok(false, "%s: starts before '%s'", name, s->name);
		return;
	}
	drv_failures(d);
	before = failed_so(d, s->expect);
	s->attack(d, s->arg);
	if (s->expect > 0) {
		good = drv_wait_needs_reset(d, DRV_WAIT_MS);
		if (atomic_load(&d->shared->failed) != (uint32_t)s->expect)
			good = false;
	} else if (s->expect == ANY) {
		good = true;
	} else {
		good = still_healthy(d);
	}
	if (s->expect == NO_START)
		good = good && !(drv_rd(d, VIRTIO_MMIO_STATUS) &
				       (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK));
	if (!ok(good, "%s: %s: %s", name, s->name,
		    s->expect > 0 ? vfault_name(s->expect) : "no harm"))
		printf("# the fault was '%s'\n", vfault_name(atomic_load(&d->shared->failed)));
	ok(drv_start(d, ~0ull) && drv_valid(d), "%s: works after '%s'", name, s->name);
	/* Not before: the reset waits until the worker is done with the failure. */
	if (s->expect > 0)
		ok(drv_failures(d) == 1 && failed_so(d, s->expect) == before + 1,
			"%s: '%s' is told once", name, s->name);
	else if (s->expect != ANY)
		ok(drv_failures(d) == 0, "%s: '%s' is told of as no failure", name, s->name);
}

int main(int argc, char **argv)
{
	static struct drv d;

	/* test_device_hostile [DEVICE]: all of them, or one. */
	for (const struct device_row *const *row = device_rows; *row; row++) {
		if (argc > 1 && strcmp(argv[1], (*row)->ops->name))
			continue;
		drv_open(&d, *row);
		ok(drv_start(&d, ~0ull) && drv_valid(&d), "%s: a healthy device",
			(*row)->ops->name);
		for (unsigned i = 0; i < n_ring_shapes; i++)
			run_shape(&d, &ring_shapes[i]);
		for (size_t i = 0; i < ARRAY_SIZE(race_shapes); i++)
			run_shape(&d, &race_shapes[i]);
		drv_close(&d);
	}
	return tap_done();
}
