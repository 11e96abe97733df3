/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processors on one device: one sets it up, gives it requests and resets it, the other meanwhile rewrites registers,
 * descriptors and indices, rings doorbells, or resets it too. Who wins is nobody's; whatever the device was left
 * in, it must work once the other has stopped. Each device, each pair.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "lib/base.h"
#include "tests/device/shapes.h"
#include "tests/guests/guest.h"

#define ROUNDS 15
#define SPINS  200

typedef void (*act)(struct drv *d);

static struct drv *volatile target;
static volatile act other;    /* what the second processor is to do; NULL: nothing */
static volatile bool at_work; /* it does */
static uint32_t seed = 0x9e3779b9;

static uint32_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

static void second(void *arg)
{
	act a = other;

	at_work = a;
	if (a)
		a(target);
	else
		guest_relax();
}

/* The second processor's */

static void write_registers(struct drv *d)
{
	static const uint32_t reg[] = {VIRTIO_MMIO_QUEUE_SEL, VIRTIO_MMIO_QUEUE_NUM,
		VIRTIO_MMIO_QUEUE_READY, VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
		VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_MMIO_DRIVER_FEATURES_SEL,
		VIRTIO_MMIO_DRIVER_FEATURES, VIRTIO_MMIO_STATUS};
	uint32_t r = rnd();

	drv_wr(d, reg[r % ARRAY_SIZE(reg)], r >> 16 & (r & 0x8000 ? 0xffff : 0xf));
}

static void rewrite_rings(struct drv *d)
{
	struct drv_queue *q = shape_queue(d);
	uint32_t r = rnd();
	volatile struct vring_desc *desc = (void *)(GUEST_DMA + r % 4 * sizeof(*desc));

	if (!q->avail) /* between two starts */
		return;
	switch (r >> 8 & 3) {
	case 0: desc->addr = GUEST_DMA + (r & 0xffff); break;
	case 1: desc->len = r & 0x7f; break;
	case 2: desc->flags = r >> 16 & 7; break;
	case 3: desc->next = r >> 16 & 3; break;
	}
	desc = (void *)(q->desc_gpa + (r >> 4) % 4 * sizeof(*desc));
	desc->len = rnd() & 0xff;
	desc->flags = rnd() & 7;
}

static void ring_doorbells(struct drv *d)
{
	drv_wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, rnd() % 4);
}

static void reset_it(struct drv *d)
{
	drv_wr(d, VIRTIO_MMIO_STATUS, 0);
}

static void read_and_acknowledge(struct drv *d)
{
	drv_rd(d, rnd() % 0x140 & ~3u);
	drv_wr(d, VIRTIO_MMIO_INTERRUPT_ACK, rnd());
}

/* The first one's. It waits for nothing that the other could prevent. */
static void set_up_and_ask(struct drv *d)
{
	struct drv_buf bufs[DRV_BUFS_MAX];
	unsigned n;

	drv_negotiate(d, ~0ull);
	for (unsigned q = 0; q < d->dev.n_queues; q++)
		drv_queue_setup(d, q, 0);
	drv_driver_ok(d);
	if (!shape_queue(d)->avail) /* the other had selected another queue */
		return;
	n = d->row->request(d, bufs);
	for (unsigned i = 0; i < 4 && drv_put(d, d->row->queue, bufs, n) >= 0; i++)
		drv_kick_hard(d, d->row->queue);
	for (unsigned i = 0; i < SPINS && !drv_needs_reset(d); i++)
		guest_relax();
}

static const struct {
	const char *name;
	act second;
} races[] = {
	{"registers written by another", write_registers},
	{"rings rewritten by another", rewrite_rings},
	{"doorbells of another", ring_doorbells},
	{"resets of another", reset_it},
	{"acknowledgements of another", read_and_acknowledge},
};

static void race(struct drv *d, unsigned n)
{
	target = d;
	other = races[n].second;
	while (!at_work)
		guest_relax();
	for (unsigned i = 0; i < ROUNDS; i++)
		set_up_and_ask(d);
	other = NULL;
	while (at_work)
		guest_relax();
	guest_must_work(d, races[n].name);
}

void guest_main(const char *word)
{
	if (!guest_second(second, NULL))
		guest_pass("races: this KVM starts no second processor");
	for (unsigned r = 0; guest_rows[r]; r++) {
		struct drv *d = guest_device(guest_rows[r]->ops->name);

		for (unsigned i = 0; i < ARRAY_SIZE(races); i++)
			race(d, i);
		drv_reset(d);
	}
	guest_pass("races: all devices work");
}
