/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/shapes.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <sched.h>
#include <string.h>

#include "lib/base.h"

#define F_NEXT     VRING_DESC_F_NEXT
#define F_WRITE    VRING_DESC_F_WRITE
#define F_INDIRECT VRING_DESC_F_INDIRECT

struct drv_queue *shape_queue(struct drv *d)
{
	return &d->q[d->row->queue];
}

void shape_desc(
	struct drv *d, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	shape_queue(d)->desc[i] =
		(struct vring_desc){.addr = addr, .len = len, .flags = flags, .next = next};
}

static uint64_t scratch(struct drv *d)
{
	return drv_alloc(d, 64, 16);
}

void shape_submit(struct drv *d, uint16_t head)
{
	struct drv_queue *q = shape_queue(d);

	q->avail->ring[q->avail_idx++ % q->size] = head;
	drv_publish(d, d->row->queue);
	drv_kick_hard(d, d->row->queue);
}

/* Chains */

static void loop(struct drv *d, int len)
{
	for (int i = 0; i < len; i++)
		shape_desc(d, (unsigned)i, scratch(d), 16, F_NEXT | F_WRITE,
			(uint16_t)((i + 1) % len));
	shape_submit(d, 0);
}

static void next_out_of_range(struct drv *d, int beyond)
{
	shape_desc(d, 0, scratch(d), 16, F_NEXT, (uint16_t)(shape_queue(d)->size + beyond));
	shape_submit(d, 0);
}

static void head_out_of_range(struct drv *d, int beyond)
{
	shape_submit(d, (uint16_t)(shape_queue(d)->size + beyond));
}

static void avail_jump(struct drv *d, int by)
{
	shape_desc(d, 0, scratch(d), 16, 0, 0);
	__atomic_store_n(&shape_queue(d)->avail->idx, (uint16_t)(shape_queue(d)->published + by),
		__ATOMIC_RELEASE);
	drv_kick_hard(d, d->row->queue);
}

static void avail_past_size(struct drv *d, int arg)
{
	avail_jump(d, shape_queue(d)->size + 1);
}

static void buffer_at_end(struct drv *d, int arg)
{
	shape_desc(d, 0, DRV_MEM_BYTES - 8, 16, F_WRITE, 0);
	if (d->row->mem_bytes)
		shape_queue(d)->desc[0].addr = d->row->mem_bytes - 8;
	shape_submit(d, 0);
}

static void buffer_wild(struct drv *d, int arg)
{
	static const uint64_t addr[] = {1ull << 40, ~0ull, ~0ull - 7, 1ull << 63, GUEST_LOW_MAX};

	shape_desc(d, 0, addr[arg], 16, arg & 1 ? F_WRITE : 0, 0);
	shape_submit(d, 0);
}

static void buffer_len(struct drv *d, int len)
{
	shape_desc(d, 0, scratch(d), (uint32_t)len, F_WRITE, 0);
	shape_submit(d, 0);
}

static void empty_after_good(struct drv *d, int arg)
{
	shape_desc(d, 0, scratch(d), 16, F_NEXT, 1);
	shape_desc(d, 1, scratch(d), 0, 0, 0);
	shape_submit(d, 0);
}

static void readable_after_writable(struct drv *d, int arg)
{
	shape_desc(d, 0, scratch(d), 16, F_NEXT | F_WRITE, 1);
	shape_desc(d, 1, scratch(d), 16, 0, 0);
	shape_submit(d, 0);
}

static void zero_descriptors(struct drv *d, int arg)
{
	shape_desc(d, 0, 0, 0, 0, 0);
	shape_submit(d, 0);
}

static void same_head_twice(struct drv *d, int arg)
{
	struct drv_buf bufs[DRV_BUFS_MAX];
	unsigned n = d->row->request(d, bufs);
	int head = drv_stage(d, d->row->queue, bufs, n);

	shape_submit(d, (uint16_t)head);
	shape_submit(d, (uint16_t)head);
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
	shape_desc(d, 0, gpa, bytes, (uint16_t)(F_INDIRECT | flags), 1);
	return t;
}

static void indirect_nested(struct drv *d, int arg)
{
	struct vring_desc *t = table(d, 1, 0, 16);

	t[0] = shape_queue(d)->desc[0];
	shape_submit(d, 0);
}

static void indirect_len(struct drv *d, int len)
{
	table(d, 2, 0, (uint32_t)len);
	shape_submit(d, 0);
}

static void indirect_too_long(struct drv *d, int arg)
{
	unsigned n = shape_queue(d)->size + 1u;

	table(d, n, 0, n * 16);
	shape_submit(d, 0);
}

static void indirect_with_next(struct drv *d, int arg)
{
	table(d, 1, F_NEXT, 16);
	shape_desc(d, 1, scratch(d), 16, F_WRITE, 0);
	shape_submit(d, 0);
}

static void indirect_outside(struct drv *d, int arg)
{
	shape_desc(d, 0, (1ull << 40), 32, F_INDIRECT, 0);
	shape_submit(d, 0);
}

static void indirect_next_out(struct drv *d, int next)
{
	struct vring_desc *t = table(d, 2, 0, 32);

	t[0].next = (uint16_t)next;
	shape_submit(d, 0);
}

static void indirect_loop(struct drv *d, int arg)
{
	struct vring_desc *t = table(d, 2, 0, 32);

	t[1].flags = F_WRITE | F_NEXT;
	t[1].next = 0;
	shape_submit(d, 0);
}

/* More buffers in all than the queue has descriptors: half of them direct, a full table behind. */
static void indirect_after_direct(struct drv *d, int arg)
{
	unsigned size = shape_queue(d)->size;
	uint16_t last = (uint16_t)(size - 1);
	struct vring_desc moved;

	table(d, size, 0, size * 16);
	moved = shape_queue(d)->desc[0];
	for (unsigned i = 0; i < last; i++)
		shape_desc(d, i, scratch(d), 16, F_NEXT | F_WRITE, (uint16_t)(i + 1));
	shape_queue(d)->desc[last] = moved;
	shape_submit(d, 0);
}

static void indirect_not_agreed(struct drv *d, int arg)
{
	if (!drv_start(d, ~BIT64(VIRTIO_RING_F_INDIRECT_DESC)))
		drv_die("%s does not start without indirect descriptors", d->row->ops->name);
	table(d, 1, 0, 16);
	shape_submit(d, 0);
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
	struct drv_queue *q = shape_queue(d);
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
	struct drv_queue *q = shape_queue(d);

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
	struct drv_queue *q = shape_queue(d);

	shape_desc(d, 0, q->desc_gpa, (uint32_t)(q->used_gpa + 6 + 8u * q->size - q->desc_gpa),
		(uint16_t)flags, 0);
	shape_submit(d, 0);
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

const struct shape ring_shapes[] = {
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
};
const unsigned n_ring_shapes = ARRAY_SIZE(ring_shapes);
