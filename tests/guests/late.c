/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes when the device is not, or no more, or not for long, the driver's: requests and doorbells before DRIVER_OK; all
 * of it again right after a reset with requests in flight, while the rings and buffers hold something else already;
 * DRIVER_OK withdrawn, which a driver cannot; and at last a second processor that rings and rewrites while the VM ends.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "lib/base.h"
#include "tests/guests/guest.h"

#define ROUNDS     4
#define DOORBELLS  16
#define LOOKS      500  /* each an exit: a worker that works is seen within a few */
#define ACTS       2000 /* of the second processor, before the VM ends */
#define PATTERN    0x5a
#define PART_BYTES 0x400000ull /* of memory, for each device */

static struct drv *dev[VDEV_QUEUES_MAX];
static unsigned n_devs;

#define wrong(d, what) guest_wrong("late: %s: %s", (d)->row->ops->name, what)

static void write_all(struct drv *d)
{
	for (unsigned i = 0; i < DOORBELLS; i++)
		drv_wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, i % (d->dev.n_queues + 1));
	drv_wr(d, VIRTIO_MMIO_INTERRUPT_ACK, ~0u);
	drv_wr(d, VIRTIO_MMIO_QUEUE_SEL, d->row->queue);
	drv_wr(d, VIRTIO_MMIO_QUEUE_NUM, 4);
	drv_wr(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)GUEST_DMA);
}

static void look_on(struct drv *d, uint32_t status, const char *what)
{
	for (unsigned i = 0; i < LOOKS; i++)
		if (drv_rd(d, VIRTIO_MMIO_STATUS) != status)
			wrong(d, what);
}

/* A request that is there with its doorbell before the driver is: it is taken when that says so. */
static void before(struct drv *d)
{
	struct drv_queue *q = &d->q[d->row->queue];
	struct drv_buf bufs[DRV_BUFS_MAX];
	uint32_t id, len;

	if (!drv_negotiate(d, ~0ull))
		wrong(d, "does not negotiate");
	for (unsigned i = 0; i < d->dev.n_queues; i++)
		drv_queue_setup(d, i, 0);
	drv_put(d, d->row->queue, bufs, d->row->request(d, bufs));
	for (unsigned i = 0; i < DOORBELLS; i++)
		drv_wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, i % d->dev.n_queues);
	look_on(d, 0xb, "fails before DRIVER_OK");
	if (__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE))
		wrong(d, "answers before DRIVER_OK");
	drv_driver_ok(d);
	if (!drv_wait_used(d, d->row->queue, &id, &len, DRV_WAIT_MS))
		wrong(d, "fails on what was there before DRIVER_OK");
}

/* As many requests as the queue takes; published, rung for. Where their memory ends. */
static uint64_t fill(struct drv *d)
{
	struct drv_buf bufs[DRV_BUFS_MAX];
	unsigned q = d->row->queue;

	if (!guest_started(d))
		wrong(d, "does not start");
	do
		if (d->alloc_at > d->alloc_base + PART_BYTES / 2)
			wrong(d, "a part of memory is too small");
	while (drv_stage_indirect(d, q, bufs, d->row->request(d, bufs)) >= 0);
	drv_publish(d, q);
	for (unsigned i = 0; i < d->dev.n_queues; i++)
		drv_kick_hard(d, i);
	return d->alloc_at;
}

/* Once the reset is done, memory is the driver's, and what it held is history. */
static void after_reset(struct drv *d)
{
	uint64_t end = fill(d), *p = (uint64_t *)d->alloc_base;
	uint64_t words = (end - d->alloc_base) / sizeof(*p), want;

	memset(&want, PATTERN, sizeof(want));
	drv_reset(d);
	memset(p, PATTERN, words * sizeof(*p));
	write_all(d);
	look_on(d, 0, "fails after a reset");
	if (drv_rd(d, VIRTIO_MMIO_INTERRUPT_STATUS))
		wrong(d, "interrupts after a reset");
	for (uint64_t i = 0; i < words; i++)
		if (((volatile uint64_t *)p)[i] != want)
			wrong(d, "writes to memory after a reset");
}

/* VIRTIO 1.2, 2.1.1: a driver does not take bits back; what it writes leaves the device as it is. */
static void withdrawn(struct drv *d)
{
	static const uint32_t less[] = {0xb, 3, 1, 4, 0x40, 0x8b};
	uint32_t want = 0xf;

	if (!guest_started(d))
		wrong(d, "does not start");
	for (unsigned i = 0; i < ARRAY_SIZE(less); i++) {
		drv_wr(d, VIRTIO_MMIO_STATUS, less[i]);
		want |= less[i] & VIRTIO_CONFIG_S_FAILED;
		if (drv_rd(d, VIRTIO_MMIO_STATUS) != want)
			wrong(d, "loses status bits");
		if (!drv_valid(d))
			wrong(d, "does not work with DRIVER_OK withdrawn");
	}
}

/* While the VM ends */

static volatile unsigned acts;

/* Rings are changed so that what a device finds in them are requests of before, or none. Not the console's: its words
 * would be in the midst of the last one's. */
static void storm(void *arg)
{
	struct drv *d = dev[acts % n_devs];
	struct drv_queue *q = &d->q[d->row->queue];
	uint64_t window = guest_window(d);

	if (d->row->ops->device_id != VIRTIO_ID_CONSOLE)
		__atomic_fetch_add(&q->avail->idx, 1, __ATOMIC_RELEASE);
	q->used->idx = (uint16_t)acts;
	for (unsigned i = 0; i < d->dev.n_queues; i++)
		guest_store(window + VIRTIO_MMIO_QUEUE_NOTIFY, 4, i);
	guest_store(window + VIRTIO_MMIO_INTERRUPT_ACK, 4, 3);
	guest_store(window + VIRTIO_MMIO_QUEUE_SEL, 4, acts);
	if (acts % 64 == 63) /* of all but the first, that some are always at work */
		guest_store(
			guest_window(dev[1 + acts / 64 % (n_devs - 1)]) + VIRTIO_MMIO_STATUS, 4, 0);
	acts++;
}

static void until_the_end(void)
{
	for (unsigned i = 0; i < n_devs; i++)
		guest_must_work(dev[i], "all of it");
	if (!guest_second(storm, NULL))
		guest_wrong("late: this KVM starts no second processor");
	while (acts < ACTS)
		guest_load(guest_window(dev[0]), 4);
	guest_pass("late: the end comes amidst %u acts", ACTS);
}

void guest_main(const char *word)
{
	for (; guest_rows[n_devs]; n_devs++) {
		dev[n_devs] = guest_device(guest_rows[n_devs]->ops->name);
		dev[n_devs]->alloc_base = GUEST_DMA + n_devs * PART_BYTES;
		drv_reset(dev[n_devs]);
	}
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < n_devs; i++) {
			before(dev[i]);
			after_reset(dev[i]);
			guest_must_work(dev[i], "what came after a reset");
			withdrawn(dev[i]);
		}
	until_the_end();
}
