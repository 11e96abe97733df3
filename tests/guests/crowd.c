/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All devices at once, as full as their rings get: every queue has as many chains as descriptors, published before
 * the first doorbell rings. In even rounds each device answers all that it has to answer. In odd ones each is reset
 * with all of it in flight, and works.
 */
#include <linux/virtio_ids.h>

#include "lib/base.h"
#include "tests/guests/guest.h"

#define ROUNDS     8
#define SMALL      64u
#define PART_BYTES 0x400000ull /* of memory, for each device */

static struct drv *dev[VDEV_QUEUES_MAX];
static unsigned n_devs, answered;

/* A queue where the device's valid request is one: it comes back without anything else. */
static bool asks(const struct drv *d, unsigned q)
{
	return q == d->row->queue || d->row->ops->device_id == VIRTIO_ID_FS;
}

static void fill(struct drv *d, unsigned q)
{
	struct drv_buf bufs[DRV_BUFS_MAX];
	unsigned n = 1;

	for (unsigned i = 0; i < d->q[q].size; i++) {
		if (asks(d, q))
			n = d->row->request(d, bufs);
		else /* a place for what the device may have to say */
			bufs[0] = (struct drv_buf){
				.gpa = drv_alloc(d, SMALL, 8), .len = SMALL, .in = true};
		if (drv_stage_indirect(d, q, bufs, n) < 0)
			guest_wrong("crowd: %s: queue %u takes only %u", d->row->ops->name, q, i);
	}
}

static void fill_all(void)
{
	for (unsigned i = 0; i < n_devs; i++) {
		struct drv *d = dev[i];

		if (!guest_started(d))
			guest_wrong("crowd: %s does not start", d->row->ops->name);
		for (unsigned q = 0; q < d->dev.n_queues; q++)
			fill(d, q);
		if (d->alloc_at > d->alloc_base + PART_BYTES)
			guest_wrong("crowd: %s: a part of memory is too small", d->row->ops->name);
	}
	for (unsigned i = 0; i < n_devs; i++)
		for (unsigned q = 0; q < dev[i]->dev.n_queues; q++)
			drv_publish(dev[i], q);
}

static void ring_all(struct drv *d)
{
	for (unsigned q = 0; q < d->dev.n_queues; q++)
		drv_kick_hard(d, q);
}

static void all_answered(void)
{
	uint32_t id, len;

	for (unsigned i = 0; i < n_devs; i++)
		ring_all(dev[i]);
	for (unsigned i = 0; i < n_devs; i++)
		for (unsigned q = 0; q < dev[i]->dev.n_queues; q++)
			for (unsigned k = 0; asks(dev[i], q) && k < dev[i]->q[q].size; k++) {
				if (!drv_wait_used(dev[i], q, &id, &len, DRV_WAIT_MS))
					guest_wrong("crowd: %s fails", dev[i]->row->ops->name);
				answered++;
			}
}

/* With all of it in flight. */
static void all_reset(void)
{
	for (unsigned i = 0; i < n_devs; i++) {
		ring_all(dev[i]);
		drv_reset(dev[i]);
	}
}

void guest_main(const char *word)
{
	for (; guest_rows[n_devs]; n_devs++) {
		dev[n_devs] = guest_device(guest_rows[n_devs]->ops->name);
		dev[n_devs]->alloc_base = GUEST_DMA + n_devs * PART_BYTES;
		drv_reset(dev[n_devs]);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		fill_all();
		if (round % 2)
			all_reset();
		else
			all_answered();
		for (unsigned i = 0; i < n_devs; i++)
			guest_must_work(dev[i], "a crowd");
	}
	guest_pass("crowd: %u answered", answered);
}
