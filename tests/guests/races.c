/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processors on one device: one sets it up, gives it requests and resets it, the other meanwhile rewrites registers,
 * descriptors and indices, rings doorbells, or resets it too. Who wins is nobody's; whatever the device was left
 * in, it must work once the other has stopped. Each device, each pair, each round.
 *
 * That the two meet is not left to the scheduler: at random register accesses the first waits until the other has
 * acted, so that also on one core each round has some acts in the middle of it; and the other pauses for random
 * numbers of the first's accesses, or few starts would ever get as far as a request. A pair goes on until the
 * device has answered some.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "lib/base.h"
#include "tests/device/shapes.h"
#include "tests/guests/guest.h"

#define ROUNDS   12
#define REQUESTS 4  /* in a round, */
#define LOOKS    16 /* with so many looks at the status after each */
#define REWRITES 16 /* of descriptors, in an act */
/* Accesses of the first between two acts that it waits for, at most; or the race's pace, if that is more. */
#define MEETING 64

#define FIRST  0
#define SECOND 1

typedef void (*act)(struct drv *d);

static struct drv *volatile target;
static volatile act other;         /* what the second processor is to do; NULL: nothing */
static volatile uint32_t pace = 1; /* accesses of the first between two acts, at most */
static volatile bool at_work;      /* it does */
static volatile bool wanted;       /* the first waits for an act */
static volatile unsigned acts;     /* of the second */
static volatile unsigned steps;    /* accesses of the first */
static volatile unsigned turn;     /* how many of them the second waits for */
static uint32_t seed[2] = {0x9e3779b9, 0x7f4a7c15}; /* each its own */

static uint32_t rnd(uint32_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 17;
	*s ^= *s << 5;
	return *s;
}

/* The second processor's. It goes to the registers itself: drv_wr() counts the first one's steps. */

static uint32_t any(void)
{
	return rnd(&seed[1]);
}

static void other_wr(struct drv *d, uint32_t reg, uint32_t v)
{
	guest_store(guest_window(d) + reg, 4, v);
}

static bool has_work(void)
{
	return other;
}

static bool has_turn(void)
{
	return !other || wanted || (int32_t)(steps - turn) >= 0;
}

static void second(void *arg)
{
	act a = other;

	turn = steps + any() % pace;
	at_work = a;
	guest_wake(FIRST);
	guest_wait_for(SECOND, a ? has_turn : has_work);
	if (!a)
		return;
	a(target);
	wanted = false;
	acts++;
	guest_wake(FIRST);
}

/* Addresses are within what devices may be given: elsewhere a used ring would be written over our page tables. */
static void write_registers(struct drv *d)
{
	static const uint32_t reg[] = {VIRTIO_MMIO_QUEUE_SEL, VIRTIO_MMIO_QUEUE_NUM,
		VIRTIO_MMIO_QUEUE_READY, VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
		VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_MMIO_STATUS};
	static const uint32_t address[] = {VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
		VIRTIO_MMIO_QUEUE_USED_LOW};
	uint32_t r = any(), i = r % (ARRAY_SIZE(reg) + ARRAY_SIZE(address));

	if (i < ARRAY_SIZE(reg))
		other_wr(d, reg[i], r >> 16 & (r & 0x8000 ? 0xffff : 0xf));
	else
		other_wr(d, address[i - ARRAY_SIZE(reg)], (uint32_t)GUEST_DMA + (r >> 16));
}

/* Nothing that it leaves behind may be the number of a page of ours, which the balloon would give away: so addresses
 * and lengths are multiples, by which a length stays a length. */
static void rewrite_rings(struct drv *d)
{
	uint64_t table = *(volatile uint64_t *)&shape_queue(d)->desc_gpa;

	if (!table) /* between two starts */
		return;
	for (unsigned i = 0; i < REWRITES; i++) {
		uint32_t r = any();
		volatile struct vring_desc *desc =
			(void *)((r & 0x80000000 ? table : GUEST_DMA) + r % 16 * sizeof(*desc));

		switch (r >> 8 & 3) {
		case 0: desc->addr = GUEST_DMA + (r >> 12 & 0xfffc); break;
		case 1: desc->len = r >> 12 & 0xf0; break;
		case 2: desc->flags = r >> 16 & 7; break;
		case 3: desc->next = r >> 16 & 3; break;
		}
	}
}

static void ring_doorbells(struct drv *d)
{
	other_wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, any() % 4);
}

static void reset_it(struct drv *d)
{
	other_wr(d, VIRTIO_MMIO_STATUS, 0);
}

static void read_and_acknowledge(struct drv *d)
{
	guest_load(guest_window(d) + (any() % 0x140 & ~3u), 4);
	other_wr(d, VIRTIO_MMIO_INTERRUPT_ACK, any());
}

/* The first one's */

static bool is_acted(void)
{
	return !wanted;
}

static bool is_at_work(void)
{
	return at_work;
}

static bool is_at_rest(void)
{
	return !at_work;
}

/* At each of its accesses. The other can always act: nothing of the first's holds it. */
static void step(void)
{
	static uint32_t left;

	steps++;
	if (left--) {
		if (has_turn())
			guest_wake(SECOND);
		return;
	}
	left = rnd(&seed[0]) % (pace > MEETING ? pace : MEETING);
	wanted = true;
	guest_wake(SECOND);
	guest_wait_for(FIRST, is_acted);
}

/* It waits for nothing that the other could prevent. How many requests came back: as far as one can tell. */
static unsigned set_up_and_ask(struct drv *d)
{
	struct drv_queue *q = shape_queue(d);
	struct drv_buf bufs[DRV_BUFS_MAX];
	unsigned n, used;

	drv_negotiate(d, ~0ull);
	for (unsigned i = 0; i < d->dev.n_queues; i++)
		drv_queue_setup(d, i, 0);
	drv_driver_ok(d);
	if (!q->avail) /* the other had selected another queue */
		return 0;
	n = d->row->request(d, bufs);
	for (unsigned i = 0; i < REQUESTS && drv_put(d, d->row->queue, bufs, n) >= 0; i++) {
		drv_kick_hard(d, d->row->queue);
		for (unsigned j = 0; j < LOOKS && !drv_needs_reset(d); j++)
			guest_relax();
	}
	used = __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);
	return used <= REQUESTS ? used : 0;
}

static const struct {
	const char *name;
	act second;
	uint32_t pace; /* a start and a request take some 100 accesses */
} races[] = {
	{"registers written by another", write_registers, 16},
	{"rings rewritten by another", rewrite_rings, 4},
	{"doorbells of another", ring_doorbells, 1},
	{"resets of another", reset_it, 256},
	{"acknowledgements of another", read_and_acknowledge, 1},
};

/* One round, of which nothing but d's state is left when it returns. */
static unsigned round_of(struct drv *d, unsigned n)
{
	unsigned answered;

	target = d;
	pace = races[n].pace;
	other = races[n].second;
	guest_wake(SECOND);
	guest_wait_for(FIRST, is_at_work);
	guest_step = step;
	answered = set_up_and_ask(d);
	guest_step = NULL;
	other = NULL;
	guest_wake(SECOND);
	guest_wait_for(FIRST, is_at_rest);
	return answered;
}

static void race(struct drv *d, unsigned n)
{
	unsigned rounds, answered = 0, failed = 0, before = acts, began = steps;

	drv_reset(d);
	/* What is left of another device may be page numbers to the balloon. 64 KiB, and a ring at their end. */
	memset((void *)GUEST_DMA, 0, 0x11000);
	for (rounds = 0; rounds < ROUNDS || !answered; rounds++) {
		answered += round_of(d, n);
		failed += drv_needs_reset(d);
		guest_must_work(
			d, races[n].name); /* after each: the next one's reset might heal it */
	}
	guest_say("%s, %s: %u rounds of %u steps, %u acts, %u answered, %u failed",
		d->row->ops->name, races[n].name, rounds, (steps - began) / rounds, acts - before,
		answered, failed);
}

void guest_main(const char *word)
{
	if (!guest_second(second, NULL))
		guest_wrong("races: this KVM starts no second processor");
	for (unsigned r = 0; guest_rows[r]; r++) {
		struct drv *d = guest_device(guest_rows[r]->ops->name);

		for (unsigned i = 0; i < ARRAY_SIZE(races); i++)
			race(d, i);
		drv_reset(d);
	}
	guest_pass("races: all devices work");
}
