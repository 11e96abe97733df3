/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the fake driver that needs no host: registers in order, rings. The flat guests of
 * tests/guests are built from it too, over real registers. */
#include "tests/device/driver.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "lib/base.h"

uint64_t drv_alloc(struct drv *d, uint64_t bytes, uint64_t align)
{
	uint64_t at = (d->alloc_at + align - 1) & ~(align - 1);

	memset(drv_ptr(d, at, bytes), 0, bytes);
	d->alloc_at = at + bytes;
	return at;
}

/* Registers */

uint64_t drv_offered(struct drv *d)
{
	uint64_t v;

	drv_wr(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	v = (uint64_t)drv_rd(d, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
	drv_wr(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	return v | drv_rd(d, VIRTIO_MMIO_DEVICE_FEATURES);
}

void drv_reset(struct drv *d)
{
	drv_wr(d, VIRTIO_MMIO_STATUS, 0);
	memset(d->q, 0, sizeof(d->q));
	d->alloc_at = d->alloc_base;
}

static void add_status(struct drv *d, uint32_t bit)
{
	drv_wr(d, VIRTIO_MMIO_STATUS, drv_rd(d, VIRTIO_MMIO_STATUS) | bit);
}

bool drv_negotiate(struct drv *d, uint64_t want)
{
	drv_reset(d);
	add_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	add_status(d, VIRTIO_CONFIG_S_DRIVER);
	d->features = drv_offered(d) & want;
	drv_wr(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	drv_wr(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(d->features >> 32));
	drv_wr(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	drv_wr(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)d->features);
	add_status(d, VIRTIO_CONFIG_S_FEATURES_OK);
	return drv_rd(d, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK;
}

void drv_queue_write(
	struct drv *d, unsigned q, uint32_t size, uint64_t desc, uint64_t avail, uint64_t used)
{
	drv_wr(d, VIRTIO_MMIO_QUEUE_SEL, q);
	drv_wr(d, VIRTIO_MMIO_QUEUE_NUM, size);
	drv_wr(d, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)desc);
	drv_wr(d, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(desc >> 32));
	drv_wr(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)avail);
	drv_wr(d, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(avail >> 32));
	drv_wr(d, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)used);
	drv_wr(d, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(used >> 32));
	drv_wr(d, VIRTIO_MMIO_QUEUE_READY, 1);
}

bool drv_queue_setup(struct drv *d, unsigned q, uint16_t size)
{
	struct drv_queue *dq = &d->q[q];
	uint32_t max;

	drv_wr(d, VIRTIO_MMIO_QUEUE_SEL, q);
	max = drv_rd(d, VIRTIO_MMIO_QUEUE_NUM_MAX);
	if (drv_rd(d, VIRTIO_MMIO_QUEUE_READY) || !max)
		return false;
	*dq = (struct drv_queue){.size = size ? size : (uint16_t)max};
	dq->desc_gpa = drv_alloc(d, 16u * dq->size, 16);
	dq->avail_gpa = drv_alloc(d, 6u + 2u * dq->size, 2);
	dq->used_gpa = drv_alloc(d, 6u + 8u * dq->size, 4);
	dq->desc = drv_ptr(d, dq->desc_gpa, 16u * dq->size);
	dq->avail = drv_ptr(d, dq->avail_gpa, 6u + 2u * dq->size);
	dq->used = drv_ptr(d, dq->used_gpa, 6u + 8u * dq->size);
	dq->n_free = dq->size;
	for (unsigned i = 0; i < dq->size; i++)
		dq->next[i] = (uint16_t)(i + 1);
	drv_queue_write(d, q, dq->size, dq->desc_gpa, dq->avail_gpa, dq->used_gpa);
	return drv_rd(d, VIRTIO_MMIO_QUEUE_READY) == 1;
}

void drv_driver_ok(struct drv *d)
{
	add_status(d, VIRTIO_CONFIG_S_DRIVER_OK);
}

bool drv_start(struct drv *d, uint64_t want)
{
	if (!drv_negotiate(d, want))
		return false;
	for (unsigned q = 0; q < d->dev.n_queues; q++)
		if (!drv_queue_setup(d, q, 0))
			return false;
	drv_driver_ok(d);
	if (drv_needs_reset(d))
		return false;
	if (d->row->started)
		d->row->started(d);
	return !drv_needs_reset(d);
}

/* Rings */

static bool event_idx(const struct drv *d)
{
	return d->features & BIT64(VIRTIO_RING_F_EVENT_IDX);
}

static struct vring_desc desc_of(const struct drv_buf *b, bool last, unsigned next)
{
	return (struct vring_desc){
		.addr = b->gpa,
		.len = b->len,
		.flags = (uint16_t)((b->in ? VRING_DESC_F_WRITE : 0) |
				    (last ? 0 : VRING_DESC_F_NEXT)),
		.next = (uint16_t)next,
	};
}

/* Takes n descriptors off the free list, linked by next[]. */
static int take_descs(struct drv_queue *dq, unsigned n)
{
	uint16_t head = dq->free_head, at = head;

	if (!n || n > dq->n_free)
		return -1;
	for (unsigned i = 1; i < n; i++)
		at = dq->next[at];
	dq->free_head = dq->next[at];
	dq->n_free = (uint16_t)(dq->n_free - n);
	dq->chain_len[head] = (uint16_t)n;
	return head;
}

static void give_descs(struct drv_queue *dq, uint16_t head)
{
	uint16_t n = dq->chain_len[head], at = head;

	for (unsigned i = 1; i < n; i++)
		at = dq->next[at];
	dq->next[at] = dq->free_head;
	dq->free_head = head;
	dq->n_free = (uint16_t)(dq->n_free + n);
	dq->chain_len[head] = 0;
}

static void stage_head(struct drv_queue *dq, uint16_t head)
{
	__atomic_store_n(&dq->avail->ring[dq->avail_idx++ % dq->size], head, __ATOMIC_RELAXED);
}

int drv_stage(struct drv *d, unsigned q, const struct drv_buf *bufs, unsigned n)
{
	struct drv_queue *dq = &d->q[q];
	int head = take_descs(dq, n);

	if (head < 0)
		return -1;
	for (unsigned i = 0, at = (unsigned)head; i < n; i++, at = dq->next[at])
		dq->desc[at] = desc_of(&bufs[i], i + 1 == n, dq->next[at]);
	stage_head(dq, (uint16_t)head);
	return head;
}

int drv_stage_indirect(struct drv *d, unsigned q, const struct drv_buf *bufs, unsigned n)
{
	struct drv_queue *dq = &d->q[q];
	uint64_t gpa = drv_alloc(d, n * sizeof(struct vring_desc), 16);
	struct vring_desc *table = drv_ptr(d, gpa, n * sizeof(struct vring_desc));
	int head = take_descs(dq, 1);

	if (head < 0)
		return -1;
	for (unsigned i = 0; i < n; i++)
		table[i] = desc_of(&bufs[i], i + 1 == n, i + 1);
	dq->desc[head] = (struct vring_desc){
		.addr = gpa, .len = (uint32_t)(n * sizeof(*table)), .flags = VRING_DESC_F_INDIRECT};
	stage_head(dq, (uint16_t)head);
	return head;
}

void drv_publish(struct drv *d, unsigned q)
{
	struct drv_queue *dq = &d->q[q];

	dq->published = dq->avail_idx;
	__atomic_store_n(&dq->avail->idx, dq->published, __ATOMIC_RELEASE);
}

int drv_put(struct drv *d, unsigned q, const struct drv_buf *bufs, unsigned n)
{
	int head = drv_stage(d, q, bufs, n);

	if (head >= 0)
		drv_publish(d, q);
	return head;
}

bool drv_needs_kick(struct drv *d, unsigned q)
{
	struct drv_queue *dq = &d->q[q];
	uint16_t old = dq->kicked, event;

	dq->kicked = dq->published;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!event_idx(d))
		return !(__atomic_load_n(&dq->used->flags, __ATOMIC_RELAXED) &
			 VRING_USED_F_NO_NOTIFY);
	event = __atomic_load_n((uint16_t *)(void *)&dq->used->ring[dq->size], __ATOMIC_RELAXED);
	return vring_need_event(event, dq->published, old);
}

void drv_kick(struct drv *d, unsigned q)
{
	if (drv_needs_kick(d, q))
		drv_kick_hard(d, q);
}

bool drv_pop_used(struct drv *d, unsigned q, uint32_t *ret_id, uint32_t *ret_len)
{
	struct drv_queue *dq = &d->q[q];
	struct vring_used_elem *e = &dq->used->ring[dq->last_used % dq->size];

	if (__atomic_load_n(&dq->used->idx, __ATOMIC_ACQUIRE) == dq->last_used)
		return false;
	*ret_id = __atomic_load_n(&e->id, __ATOMIC_RELAXED);
	*ret_len = __atomic_load_n(&e->len, __ATOMIC_RELAXED);
	if (*ret_id < dq->size && dq->chain_len[*ret_id])
		give_descs(dq, (uint16_t)*ret_id);
	dq->last_used++;
	return true;
}

bool drv_needs_reset(struct drv *d)
{
	return drv_rd(d, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

int64_t drv_call(struct drv *d, unsigned q, const struct drv_buf *bufs, unsigned n)
{
	int head = drv_put(d, q, bufs, n);
	uint32_t id, len;

	if (head < 0)
		return -1;
	drv_kick(d, q);
	if (!drv_wait_used(d, q, &id, &len, DRV_WAIT_MS) || id != (uint32_t)head)
		return -1;
	return len;
}

bool drv_valid(struct drv *d)
{
	struct drv_buf bufs[DRV_BUFS_MAX];
	unsigned n = d->row->request(d, bufs);
	int64_t used = drv_call(d, d->row->queue, bufs, n);

	return used >= 0 && d->row->check(d, bufs, n, (uint32_t)used);
}
