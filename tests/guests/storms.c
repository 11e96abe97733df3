/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is right once, thousands of times, and in the wrong order: doorbells, resets, interrupt acknowledgements, status
 * bits, queues set up again, writes to the configuration space. With `forever` on the command line it storms until
 * somebody ends the VM.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "lib/base.h"
#include "tests/guests/guest.h"

#define DOORBELLS    5000
#define RESETS       300
#define ACKS         5000
#define CONFIG_BYTES 64

static void doorbells(struct drv *d)
{
	static const uint32_t no_queue[] = {8, 0xff, 0x10000, 0x7fffffff, 0xffffffff};

	for (unsigned i = 0; i < DOORBELLS; i++)
		drv_wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, i % d->dev.n_queues);
	for (unsigned i = 0; i < DOORBELLS / 10; i++)
		drv_wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, no_queue[i % ARRAY_SIZE(no_queue)]);
	if (drv_needs_reset(d) || !drv_valid(d))
		guest_wrong("%s: does not work after a storm of doorbells", d->row->ops->name);
}

static void acknowledgements(struct drv *d)
{
	for (unsigned i = 0; i < ACKS; i++)
		drv_wr(d, VIRTIO_MMIO_INTERRUPT_ACK, i & 1 ? 0xffffffff : i);
	if (drv_needs_reset(d) || !drv_valid(d))
		guest_wrong("%s: does not work after a storm of acks", d->row->ops->name);
}

/* The shortest way to DRIVER_OK, with no queue, and back. */
static void quick_start(struct drv *d)
{
	drv_wr(d, VIRTIO_MMIO_STATUS, 0);
	drv_wr(d, VIRTIO_MMIO_STATUS, 1);
	drv_wr(d, VIRTIO_MMIO_STATUS, 3);
	drv_wr(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	drv_wr(d, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	drv_wr(d, VIRTIO_MMIO_STATUS, 0xb);
	drv_wr(d, VIRTIO_MMIO_STATUS, 0xf);
	drv_wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

static void resets(struct drv *d)
{
	for (unsigned i = 0; i < RESETS; i++)
		quick_start(d);
	for (unsigned i = 0; i < RESETS; i++)
		drv_wr(d, VIRTIO_MMIO_STATUS, 0);
}

/* Status bits only come in the order of VIRTIO 1.2, 3.1.1; FEATURES stands for agreeing to VERSION_1. */
#define FEATURES 0x10000u
#define STEPS    6
static const struct {
	uint32_t write[STEPS];
	uint32_t want;
} orders[] = {
	{{2}, 0},
	{{4}, 0},
	{{8}, 0},
	{{0x40}, 0},
	{{0xffffff00u}, 0},
	{{0x80}, 0x80},
	{{0xf}, 3},
	{{1, 4}, 1},
	{{1, 8}, 1},
	{{1, 0xffffff00u}, 1},
	{{1, 3, 1}, 3},
	{{1, 3, 8}, 3},
	{{1, 3, 7}, 3},
	{{1, 3, 0xb, 0xf}, 3},
	{{1, 3, FEATURES, 0xf}, 0xb},
	{{1, 3, FEATURES, 0xb, 0x4f}, 0xf},
	{{1, 3, FEATURES, 0xb, 0xf, 1}, 0xf},
	{{1, FEATURES, 0xb, 3, 0xb}, 0xb},
};

static void status_orders(struct drv *d)
{
	for (unsigned i = 0; i < ARRAY_SIZE(orders); i++) {
		drv_reset(d);
		for (unsigned s = 0; s < STEPS && orders[i].write[s]; s++) {
			if (orders[i].write[s] != FEATURES) {
				drv_wr(d, VIRTIO_MMIO_STATUS, orders[i].write[s]);
				continue;
			}
			drv_wr(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
			drv_wr(d, VIRTIO_MMIO_DRIVER_FEATURES, 1);
		}
		if (drv_rd(d, VIRTIO_MMIO_STATUS) != orders[i].want)
			guest_wrong("%s: status %x after the order %u, expected %x",
				d->row->ops->name, drv_rd(d, VIRTIO_MMIO_STATUS), i,
				orders[i].want);
	}
}

/* A queue that runs keeps its place, whatever is written; one that does not yet can be taken back. */
static void queues_again(struct drv *d)
{
	unsigned q = d->row->queue;
	struct drv_queue *dq = &d->q[q];

	if (!drv_negotiate(d, ~0ull))
		guest_wrong("%s does not negotiate", d->row->ops->name);
	for (unsigned i = 0; i < d->dev.n_queues; i++)
		drv_queue_setup(d, i, 0);
	for (uint32_t v = 2; v; v <<= 1) {
		drv_wr(d, VIRTIO_MMIO_QUEUE_SEL, q);
		drv_wr(d, VIRTIO_MMIO_QUEUE_READY, v);
		if (drv_rd(d, VIRTIO_MMIO_QUEUE_READY))
			guest_wrong("%s: QueueReady takes %x", d->row->ops->name, v);
		drv_queue_write(d, q, dq->size, dq->desc_gpa, dq->avail_gpa, dq->used_gpa);
	}
	drv_driver_ok(d);
	drv_wr(d, VIRTIO_MMIO_QUEUE_READY, 0);
	if (drv_rd(d, VIRTIO_MMIO_QUEUE_READY) != 1)
		guest_wrong("%s: a running queue was taken back", d->row->ops->name);
	drv_queue_write(d, q, 0, ~0ull, ~0ull, ~0ull);
	if (d->row->started)
		d->row->started(d);
	if (!drv_valid(d))
		guest_wrong("%s: the queue was moved while it ran", d->row->ops->name);
}

/* Nothing in there is the driver's to write but the balloon's `actual`, bytes 4 to 7. */
static void config_writes(struct drv *d)
{
	uint64_t at = guest_window(d) + VIRTIO_MMIO_CONFIG;
	bool balloon = !strcmp(d->row->ops->name, "balloon");
	uint8_t before[CONFIG_BYTES];

	for (unsigned i = 0; i < CONFIG_BYTES; i++)
		before[i] = (uint8_t)guest_load(at + i, 1);
	for (unsigned width = 1; width <= 8; width *= 2)
		for (unsigned i = 0; i < CONFIG_BYTES; i++)
			guest_store(at + i, width, 0x5a5a5a5a5a5a5a5aull);
	for (unsigned i = 0; i < CONFIG_BYTES; i++)
		if (guest_load(at + i, 1) != (balloon && i / 4 == 1 ? 0x5a : before[i]))
			guest_wrong("%s: byte %u of the configuration", d->row->ops->name, i);
}

static void storm(struct drv *d)
{
	guest_must_work(d, "nothing");
	doorbells(d);
	acknowledgements(d);
	config_writes(d);
	resets(d);
	guest_must_work(d, "a storm of resets");
	status_orders(d);
	guest_must_work(d, "status bits in wrong orders");
	queues_again(d);
	drv_reset(d);
}

static void forever(void)
{
	guest_say("the storm begins");
	for (;;)
		for (unsigned r = 0; guest_rows[r]; r++) {
			struct drv *d = guest_device(guest_rows[r]->ops->name);

			for (unsigned i = 0; i < 100; i++)
				quick_start(d);
			guest_must_work(d, "a storm");
			for (unsigned i = 0; i < 1000; i++)
				drv_wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, i % d->dev.n_queues);
		}
}

void guest_main(const char *word)
{
	if (!strcmp(word, "forever"))
		forever();
	for (unsigned r = 0; guest_rows[r]; r++)
		storm(guest_device(guest_rows[r]->ops->name));
	guest_pass("storms: all weathered");
}
