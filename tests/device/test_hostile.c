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
#include "tests/tap.h"

#define F_NEXT     VRING_DESC_F_NEXT
#define F_WRITE    VRING_DESC_F_WRITE
#define F_INDIRECT VRING_DESC_F_INDIRECT

/* What a shape leads to, besides the VFAULT_* that it names. */
enum { HARMLESS = 0, ANY = -1 /* depends on the device or on who wins a race */, NO_START = -2 };

struct shape {
	const char *name;
	int expect;
	void (*attack)(struct drv *d, int arg);
	int arg;
};

static struct drv_queue *target(struct drv *d)
{
	return &d->q[d->row->queue];
}

/* Descriptor i of the queue under attack. */
static void desc(
	struct drv *d, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	target(d)->desc[i] =
		(struct vring_desc){.addr = addr, .len = len, .flags = flags, .next = next};
}

static uint64_t scratch(struct drv *d)
{
	return drv_alloc(d, 64, 16);
}

static void submit(struct drv *d, uint16_t head)
{
	struct drv_queue *q = target(d);

	q->avail->ring[q->avail_idx++ % q->size] = head;
	drv_publish(d, d->row->queue);
	drv_kick_hard(d, d->row->queue);
}

/* Chains */

static void loop(struct drv *d, int len)
{
	for (int i = 0; i < len; i++)
		desc(d, (unsigned)i, scratch(d), 16, F_NEXT | F_WRITE, (uint16_t)((i + 1) % len));
	submit(d, 0);
}

static void next_out_of_range(struct drv *d, int beyond)
{
	desc(d, 0, scratch(d), 16, F_NEXT, (uint16_t)(target(d)->size + beyond));
	submit(d, 0);
}

static void head_out_of_range(struct drv *d, int beyond)
{
	submit(d, (uint16_t)(target(d)->size + beyond));
}

static void avail_jump(struct drv *d, int by)
{
	desc(d, 0, scratch(d), 16, 0, 0);
	__atomic_store_n(
		&target(d)->avail->idx, (uint16_t)(target(d)->published + by), __ATOMIC_RELEASE);
	drv_kick_hard(d, d->row->queue);
}

static void avail_past_size(struct drv *d, int arg)
{
	avail_jump(d, target(d)->size + 1);
}

static void buffer_at_end(struct drv *d, int arg)
{
	desc(d, 0, DRV_MEM_BYTES - 8, 16, F_WRITE, 0);
	if (d->row->mem_bytes)
		target(d)->desc[0].addr = d->row->mem_bytes - 8;
	submit(d, 0);
}

static void buffer_wild(struct drv *d, int arg)
{
	static const uint64_t addr[] = {1ull << 40, ~0ull, ~0ull - 7, 1ull << 63, GUEST_LOW_MAX};

	desc(d, 0, addr[arg], 16, arg & 1 ? F_WRITE : 0, 0);
	submit(d, 0);
}

static void buffer_len(struct drv *d, int len)
{
	desc(d, 0, scratch(d), (uint32_t)len, F_WRITE, 0);
	submit(d, 0);
}

static void empty_after_good(struct drv *d, int arg)
{
	desc(d, 0, scratch(d), 16, F_NEXT, 1);
	desc(d, 1, scratch(d), 0, 0, 0);
	submit(d, 0);
}

static void readable_after_writable(struct drv *d, int arg)
{
	desc(d, 0, scratch(d), 16, F_NEXT | F_WRITE, 1);
	desc(d, 1, scratch(d), 16, 0, 0);
	submit(d, 0);
}

static void zero_descriptors(struct drv *d, int arg)
{
	desc(d, 0, 0, 0, 0, 0);
	submit(d, 0);
}

static void same_head_twice(struct drv *d, int arg)
{
	struct drv_buf bufs[DRV_BUFS_MAX];
	unsigned n = d->row->request(d, bufs);
	int head = drv_stage(d, d->row->queue, bufs, n);

	submit(d, (uint16_t)head);
	submit(d, (uint16_t)head);
}

/* Indirect tables */

static struct vring_desc *table(struct drv *d, unsigned n, uint16_t flags, uint32_t bytes)
{
	uint64_t gpa = drv_alloc(d, (n + 1) * sizeof(struct vring_desc), 16);
	struct vring_desc *t = drv_ptr(d, gpa, (n + 1) * sizeof(*t));

	for (unsigned i = 0; i < n; i++)
		t[i] = (struct vring_desc){.addr = scratch(d),
			.len = 16,
			.flags = (uint16_t)(F_WRITE | (i + 1 < n ? F_NEXT : 0)),
			.next = (uint16_t)(i + 1)};
	desc(d, 0, gpa, bytes, (uint16_t)(F_INDIRECT | flags), 1);
	return t;
}

static void indirect_nested(struct drv *d, int arg)
{
	struct vring_desc *t = table(d, 1, 0, 16);

	t[0] = target(d)->desc[0];
	submit(d, 0);
}

static void indirect_len(struct drv *d, int len)
{
	table(d, 2, 0, (uint32_t)len);
	submit(d, 0);
}

static void indirect_too_long(struct drv *d, int arg)
{
	unsigned n = target(d)->size + 1u;

	table(d, n, 0, n * 16);
	submit(d, 0);
}

static void indirect_with_next(struct drv *d, int arg)
{
	table(d, 1, F_NEXT, 16);
	desc(d, 1, scratch(d), 16, F_WRITE, 0);
	submit(d, 0);
}

static void indirect_outside(struct drv *d, int arg)
{
	desc(d, 0, (1ull << 40), 32, F_INDIRECT, 0);
	submit(d, 0);
}

static void indirect_next_out(struct drv *d, int next)
{
	struct vring_desc *t = table(d, 2, 0, 32);

	t[0].next = (uint16_t)next;
	submit(d, 0);
}

static void indirect_loop(struct drv *d, int arg)
{
	struct vring_desc *t = table(d, 2, 0, 32);

	t[1].flags = F_WRITE | F_NEXT;
	t[1].next = 0;
	submit(d, 0);
}

/* More buffers in all than the queue has descriptors: half of them direct, a full table behind. */
static void indirect_after_direct(struct drv *d, int arg)
{
	unsigned size = target(d)->size;
	uint16_t last = (uint16_t)(size - 1);
	struct vring_desc moved;

	table(d, size, 0, size * 16);
	moved = target(d)->desc[0];
	for (unsigned i = 0; i < last; i++)
		desc(d, i, scratch(d), 16, F_NEXT | F_WRITE, (uint16_t)(i + 1));
	target(d)->desc[last] = moved;
	submit(d, 0);
}

static void indirect_not_agreed(struct drv *d, int arg)
{
	if (!drv_start(d, ~BIT64(VIRTIO_RING_F_INDIRECT_DESC)))
		drv_die("%s does not start without indirect descriptors", d->row->ops->name);
	table(d, 1, 0, 16);
	submit(d, 0);
}

/* Where the rings are. The device is set up anew with one bad queue. */

enum bad_ring {
	DESC_WILD,
	AVAIL_WILD,
	USED_WILD,
	DESC_ODD,
	AVAIL_ODD,
	USED_ODD,
	DESC_END,
	USED_END,
	SIZE_0,
	SIZE_3,
	SIZE_MORE,
	SIZE_WRAP,
	SIZE_HUGE
};

static void bad_ring(struct drv *d, int what)
{
	struct drv_queue *q = target(d);
	uint64_t wild = 1ull << 40, end = d->row->mem_bytes ? d->row->mem_bytes : DRV_MEM_BYTES;
	uint64_t de, av, us;
	uint32_t size;

	if (!drv_negotiate(d, ~0ull))
		drv_die("%s does not negotiate", d->row->ops->name);
	for (unsigned i = 0; i < d->dev.n_queues; i++)
		drv_queue_setup(d, i, 0);
	de = q->desc_gpa, av = q->avail_gpa, us = q->used_gpa, size = q->size;
	switch ((enum bad_ring)what) {
	case DESC_WILD: de = wild; break;
	case AVAIL_WILD: av = wild; break;
	case USED_WILD: us = wild; break;
	case DESC_ODD: de += 8; break;
	case AVAIL_ODD: av += 1; break;
	case USED_ODD: us += 2; break;
	case DESC_END: de = end - 16; break;
	case USED_END: us = end - 8; break;
	case SIZE_0: size = 0; break;
	case SIZE_3: size = 3; break;
	case SIZE_MORE: size = 2 * size; break;
	case SIZE_WRAP: size = 0x10000 | size; break;
	case SIZE_HUGE: size = 0x80000000u; break;
	}
	drv_wr(d, VIRTIO_MMIO_QUEUE_SEL, d->row->queue);
	drv_wr(d, VIRTIO_MMIO_QUEUE_READY, 0);
	drv_queue_write(d, d->row->queue, size, de, av, us);
	drv_driver_ok(d);
}

/* The device writes used elements over its own descriptors. */
static void rings_overlap(struct drv *d, int arg)
{
	struct drv_queue *q = target(d);

	drv_negotiate(d, ~0ull);
	for (unsigned i = 0; i < d->dev.n_queues; i++)
		drv_queue_setup(d, i, 0);
	drv_wr(d, VIRTIO_MMIO_QUEUE_SEL, d->row->queue);
	drv_wr(d, VIRTIO_MMIO_QUEUE_READY, 0);
	drv_queue_write(d, d->row->queue, q->size, q->desc_gpa, q->desc_gpa, q->desc_gpa);
	drv_driver_ok(d);
	for (int i = 0; i < 50; i++) {
		memset(q->desc, i, 16u * q->size);
		drv_kick_hard(d, d->row->queue);
		sched_yield();
	}
}

/* A buffer that covers the rings themselves. */
static void buffer_over_rings(struct drv *d, int flags)
{
	struct drv_queue *q = target(d);

	desc(d, 0, q->desc_gpa, (uint32_t)(q->used_gpa + 6 + 8u * q->size - q->desc_gpa),
		(uint16_t)flags, 0);
	submit(d, 0);
}

/* Status and features */

static void features_not_offered(struct drv *d, int arg)
{
	drv_negotiate(d, ~0ull);
	drv_reset(d);
	drv_wr(d, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	drv_wr(d, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	drv_wr(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	drv_wr(d, VIRTIO_MMIO_DRIVER_FEATURES,
		arg ? 0xffffffffu : 0); /* everything; or no VERSION_1 */
	drv_wr(d, VIRTIO_MMIO_STATUS, 0xb);
	for (unsigned i = 0; i < d->dev.n_queues; i++)
		drv_queue_setup(d, i, 0);
	drv_wr(d, VIRTIO_MMIO_STATUS, 0xf);
	for (unsigned i = 0; i < d->dev.n_queues; i++)
		drv_kick_hard(d, i);
}

static void kick_before_start(struct drv *d, int arg)
{
	drv_negotiate(d, ~0ull);
	for (unsigned i = 0; i < d->dev.n_queues; i++) {
		drv_queue_setup(d, i, 0);
		drv_kick_hard(d, i);
	}
	d->q[d->row->queue].avail->idx = 1; /* a chain of zeros that must not be looked at yet */
	drv_kick_hard(d, d->row->queue);
}

static void no_queues(struct drv *d, int arg)
{
	drv_negotiate(d, ~0ull);
	drv_driver_ok(d);
	for (unsigned i = 0; i < d->dev.n_queues; i++)
		drv_kick_hard(d, i);
}

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
	struct drv_queue *q = target(r->d);
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

		desc(d, head, 0x20000, 16, F_WRITE, 0);
		submit(d, head);
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

		while (target(d)->n_free > 2) {
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
	struct drv_queue *q = target(r->d);

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
	struct drv_queue *q = target(d);
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

static const struct shape shapes[] = {
	{"a chain that loops to itself", VFAULT_DESC_LOOP, loop, 1},
	{"a chain that loops over three", VFAULT_DESC_LOOP, loop, 3},
	{"next just out of range", VFAULT_DESC_INDEX, next_out_of_range, 0},
	{"next far out of range", VFAULT_DESC_INDEX, next_out_of_range, 0x7000},
	{"head just out of range", VFAULT_DESC_INDEX, head_out_of_range, 0},
	{"head far out of range", VFAULT_DESC_INDEX, head_out_of_range, 0x7000},
	{"avail.idx one past the size", VFAULT_AVAIL_IDX, avail_past_size, 0},
	{"avail.idx jumps by 32768", VFAULT_AVAIL_IDX, avail_jump, 0x8000},
	{"avail.idx goes backwards", VFAULT_AVAIL_IDX, avail_jump, -1},
	{"a buffer across the end of memory", VFAULT_DESC_ADDR, buffer_at_end, 0},
	{"a buffer far outside", VFAULT_DESC_ADDR, buffer_wild, 0},
	{"a buffer at the last address", VFAULT_DESC_ADDR, buffer_wild, 1},
	{"a buffer that wraps around", VFAULT_DESC_ADDR, buffer_wild, 2},
	{"a buffer at a negative address", VFAULT_DESC_ADDR, buffer_wild, 3},
	{"a buffer in the MMIO hole", VFAULT_DESC_ADDR, buffer_wild, 4},
	{"a buffer of 4 GiB less one", VFAULT_DESC_ADDR, buffer_len, -1},
	{"a buffer of 2 GiB", VFAULT_DESC_ADDR, buffer_len, INT32_MIN},
	{"an empty buffer", VFAULT_DESC_LEN, buffer_len, 0},
	{"an empty buffer at the end of a chain", VFAULT_DESC_LEN, empty_after_good, 0},
	{"readable after writable", VFAULT_DESC_ORDER, readable_after_writable, 0},
	{"a descriptor of zeros", VFAULT_DESC_LEN, zero_descriptors, 0},
	{"the same head twice", ANY, same_head_twice, 0},
	{"indirect in indirect", VFAULT_INDIRECT, indirect_nested, 0},
	{"an indirect table of 24 bytes", VFAULT_INDIRECT, indirect_len, 24},
	{"an indirect table of 1 byte", VFAULT_INDIRECT, indirect_len, 1},
	{"an indirect table of 0 bytes", VFAULT_INDIRECT, indirect_len, 0},
	{"an indirect table of 4 GiB less 16", VFAULT_INDIRECT, indirect_len, -16},
	{"an indirect table longer than the queue", VFAULT_INDIRECT, indirect_too_long, 0},
	{"an indirect table with NEXT", VFAULT_INDIRECT, indirect_with_next, 0},
	{"an indirect table outside of memory", VFAULT_DESC_ADDR, indirect_outside, 0},
	{"next just out of the table", VFAULT_DESC_INDEX, indirect_next_out, 2},
	{"next far out of the table", VFAULT_DESC_INDEX, indirect_next_out, 0xffff},
	{"a loop in the table", VFAULT_DESC_LOOP, indirect_loop, 0},
	{"a full table behind a full chain", VFAULT_DESC_LOOP, indirect_after_direct, 0},
	{"indirect without having agreed to it", VFAULT_INDIRECT, indirect_not_agreed, 0},
	{"descriptors outside of memory", VFAULT_RING_ADDR, bad_ring, DESC_WILD},
	{"avail ring outside of memory", VFAULT_RING_ADDR, bad_ring, AVAIL_WILD},
	{"used ring outside of memory", VFAULT_RING_ADDR, bad_ring, USED_WILD},
	{"descriptors misaligned", VFAULT_RING_ADDR, bad_ring, DESC_ODD},
	{"avail ring misaligned", VFAULT_RING_ADDR, bad_ring, AVAIL_ODD},
	{"used ring misaligned", VFAULT_RING_ADDR, bad_ring, USED_ODD},
	{"descriptors across the end of memory", VFAULT_RING_ADDR, bad_ring, DESC_END},
	{"used ring across the end of memory", VFAULT_RING_ADDR, bad_ring, USED_END},
	{"a queue of size 0", VFAULT_RING_ADDR, bad_ring, SIZE_0},
	{"a queue of size 3", VFAULT_RING_ADDR, bad_ring, SIZE_3},
	{"a queue of twice the size", VFAULT_RING_ADDR, bad_ring, SIZE_MORE},
	{"a queue size that would wrap in 16 bits", VFAULT_RING_ADDR, bad_ring, SIZE_WRAP},
	{"a queue size of 2 G", VFAULT_RING_ADDR, bad_ring, SIZE_HUGE},
	{"all three rings in one place", ANY, rings_overlap, 0},
	{"a writable buffer over the rings", ANY, buffer_over_rings, F_WRITE},
	{"a readable buffer over the rings", ANY, buffer_over_rings, 0},
	{"features that were not offered", NO_START, features_not_offered, 1},
	{"VERSION_1 missing", NO_START, features_not_offered, 0},
	{"kicks before DRIVER_OK", HARMLESS, kick_before_start, 0},
	{"DRIVER_OK without queues", HARMLESS, no_queues, 0},
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

static void run_shape(struct drv *d, const struct shape *s)
{
	const char *name = d->row->ops->name;
	bool good;

	if (!drv_start(d, ~0ull)) {
		ok(false, "%s: starts before '%s'", name, s->name);
		return;
	}
	s->attack(d, s->arg);
	if (s->expect > 0) {
		good = drv_wait_needs_reset(d, DRV_WAIT_MS);
		if (atomic_load(&d->shared.failed) != (uint32_t)s->expect)
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
		printf("# the fault was '%s'\n", vfault_name(atomic_load(&d->shared.failed)));
	ok(drv_start(d, ~0ull) && drv_valid(d), "%s: works after '%s'", name, s->name);
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
		for (size_t i = 0; i < ARRAY_SIZE(shapes); i++)
			run_shape(&d, &shapes[i]);
		drv_close(&d);
	}
	return tap_done();
}
