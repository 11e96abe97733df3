/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/virtq.h"

#include <endian.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "lib/base.h"

/*
 * The rings are shared with a driver that may change any byte at any time. Every field is read
 * exactly once, by one of these, and only the copy is looked at. Acquire and release pair with the
 * driver's own barriers around avail.idx and used.idx (VIRTIO 1.2, 2.7.13).
 */
static uint16_t get16(const __virtio16 *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static uint16_t get16_acquire(const __virtio16 *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static void put16(__virtio16 *p, uint16_t v)
{
	__atomic_store_n(p, htole16(v), __ATOMIC_RELAXED);
}

static void put16_release(__virtio16 *p, uint16_t v)
{
	__atomic_store_n(p, htole16(v), __ATOMIC_RELEASE);
}

static void put32(__virtio32 *p, uint32_t v)
{
	__atomic_store_n(p, htole32(v), __ATOMIC_RELAXED);
}

/* An indirect table need not be aligned (2.7.5.3 asks for nothing): packed, so that any address
 * will do. */
struct wire_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
} __attribute__((packed));

_Static_assert(sizeof(struct wire_desc) == sizeof(struct vring_desc), "descriptor layout");
_Static_assert(sizeof(struct vring_desc) == 16, "descriptor size");

/* volatile: one read of each field, kept. Not instrumented: that the driver races with us is the
 * point. */
__attribute__((noinline, no_sanitize("thread"))) static struct vring_desc desc_copy(const void *p)
{
	const volatile struct wire_desc *w = p;

	return (struct vring_desc){
		.addr = le64toh(w->addr),
		.len = le32toh(w->len),
		.flags = le16toh(w->flags),
		.next = le16toh(w->next),
	};
}

/* The last two fields of the rings exist with EVENT_IDX only (2.7.7, 2.7.8). */
static __virtio16 *used_event(const struct virtq *vq)
{
	return &vq->avail->ring[vq->size];
}

static __virtio16 *avail_event(const struct virtq *vq)
{
	return (__virtio16 *)(void *)&vq->used->ring[vq->size];
}

const char *vfault_name(enum vfault f)
{
	static const char *const names[VFAULTS] = {
		[VFAULT_RING_ADDR] = "ring address or size",
		[VFAULT_AVAIL_IDX] = "available index",
		[VFAULT_DESC_INDEX] = "descriptor index",
		[VFAULT_DESC_LOOP] = "descriptor loop",
		[VFAULT_DESC_ADDR] = "buffer address",
		[VFAULT_DESC_LEN] = "buffer length",
		[VFAULT_DESC_ORDER] = "descriptor order",
		[VFAULT_INDIRECT] = "indirect descriptor",
		[VFAULT_REQUEST] = "request",
	};

	if ((unsigned)f >= VFAULTS || !names[f])
		return "unknown";
	return names[f];
}

int virtq_init(struct virtq *vq, const struct guest_mem *mem, const struct virtq_config *cfg,
	uint64_t features)
{
	uint64_t n = cfg->size;

	virtq_reset(vq);
	if (!n || n > VIRTQ_SIZE_MAX || (n & (n - 1)))
		return -VFAULT_RING_ADDR;
	if (cfg->desc % 16 || cfg->avail % 2 || cfg->used % 4)
		return -VFAULT_RING_ADDR;
	/* The event fields are demanded even where they are not negotiated: drivers allocate them
	 * always. */
	vq->desc = mem_at(mem, cfg->desc, n * sizeof(struct vring_desc));
	vq->avail = mem_at(mem, cfg->avail, 6 + 2 * n);
	vq->used = mem_at(mem, cfg->used, 6 + 8 * n);
	if (!vq->desc || !vq->avail || !vq->used) {
		virtq_reset(vq);
		return -VFAULT_RING_ADDR;
	}
	vq->mem = mem;
	vq->size = (uint16_t)n;
	vq->indirect = features & BIT64(VIRTIO_RING_F_INDIRECT_DESC);
	vq->event_idx = features & BIT64(VIRTIO_RING_F_EVENT_IDX);
	vq->signalled_valid = true; /* both sides begin at 0 */
	return 0;
}

void virtq_reset(struct virtq *vq)
{
	*vq = (struct virtq){.size = 0};
}

/* Adds one buffer. With this check alone a chain ends after `size` descriptors, however it is
 * linked. */
static int add_buffer(const struct virtq *vq, struct virtq_chain *c, const struct vring_desc *d)
{
	unsigned n = c->n_out + c->n_in;
	uint32_t total;
	void *hva;

	if (n >= vq->size)
		return -VFAULT_DESC_LOOP;
	/* 2.7.4.2 limits a chain to 2^32 bytes: we stop one short. It says nothing of empty
	 * buffers; no driver of note sends any and QEMU refuses them, so nothing is lost by doing
	 * the same. */
	if (!d->len || __builtin_add_overflow(c->out_bytes, c->in_bytes, &total) ||
		__builtin_add_overflow(total, d->len, &total))
		return -VFAULT_DESC_LEN;
	if (!(d->flags & VRING_DESC_F_WRITE) && c->n_in)
		return -VFAULT_DESC_ORDER;
	hva = mem_at(vq->mem, d->addr, d->len);
	if (!hva)
		return -VFAULT_DESC_ADDR;
	c->iov[n] = (struct iovec){.iov_base = hva, .iov_len = d->len};
	if (d->flags & VRING_DESC_F_WRITE) {
		c->n_in++;
		c->in_bytes += d->len;
	} else {
		c->n_out++;
		c->out_bytes += d->len;
	}
	return 0;
}

/* 2.7.5.3: the table is all there is; it does not link back. Its own WRITE flag means nothing. */
static int walk_indirect(
	const struct virtq *vq, struct virtq_chain *c, const struct vring_desc *table)
{
	uint32_t n = table->len / sizeof(struct vring_desc), i = 0;
	const uint8_t *base;

	if (!vq->indirect || (table->flags & VRING_DESC_F_NEXT) || !table->len ||
		table->len % sizeof(struct vring_desc) || n > vq->size)
		return -VFAULT_INDIRECT;
	base = mem_at(vq->mem, table->addr, table->len);
	if (!base)
		return -VFAULT_DESC_ADDR;
	for (;;) {
		struct vring_desc d = desc_copy(base + i * sizeof(struct vring_desc));
		int r;

		if (d.flags & VRING_DESC_F_INDIRECT)
			return -VFAULT_INDIRECT;
		r = add_buffer(vq, c, &d);
		if (r < 0)
			return r;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		if (d.next >= n)
			return -VFAULT_DESC_INDEX;
		i = d.next;
	}
}

static int walk(const struct virtq *vq, struct virtq_chain *c)
{
	uint16_t i = c->head;

	for (;;) {
		struct vring_desc d;
		int r;

		if (i >= vq->size)
			return -VFAULT_DESC_INDEX;
		d = desc_copy(&vq->desc[i]);
		if (d.flags & VRING_DESC_F_INDIRECT)
			return walk_indirect(vq, c, &d);
		r = add_buffer(vq, c, &d);
		if (r < 0)
			return r;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		i = d.next;
	}
}

/*
 * How many chains wait, or a fault. A driver owns `size` descriptors, so what is in our hands and
 * what it offers can't be more than that together.
 */
static int available(const struct virtq *vq)
{
	uint16_t waiting = get16_acquire(&vq->avail->idx) - vq->next_avail;
	uint16_t held = vq->next_avail - vq->next_used;

	if (waiting > vq->size - held)
		return -VFAULT_AVAIL_IDX;
	return waiting;
}

/* Tells the driver where we stopped, then looks again: it may have added a buffer and, seeing the
 * old value, decided not to kick. The full barrier pairs with the driver's between avail.idx and
 * avail_event. */
static int ask_for_kick(struct virtq *vq)
{
	if (vq->event_idx)
		put16(avail_event(vq), vq->next_avail);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return available(vq);
}

int virtq_pop(struct virtq *vq, struct virtq_chain *ret_chain)
{
	int n;

	if (!vq->size)
		return 0;
	n = available(vq);
	if (n == 0 && vq->event_idx && !vq->kicks_off)
		n = ask_for_kick(vq);
	if (n > 0 && vq->turn_max && vq->turn_popped >= vq->turn_max) {
		vq->turn_over = true;
		return 0;
	}
	if (n > 0) {
		int r;

		ret_chain->head = get16(&vq->avail->ring[vq->next_avail & (vq->size - 1)]);
		ret_chain->n_out = ret_chain->n_in = 0;
		ret_chain->out_bytes = ret_chain->in_bytes = 0;
		r = walk(vq, ret_chain);
		if (r < 0)
			n = r;
	}
	if (n < 0) {
		vq->size = 0; /* dead: pops nothing, pushes nothing, until it is set up again */
		return n;
	}
	if (n == 0)
		return 0;
	vq->next_avail++;
	vq->turn_popped++;
	return 1;
}

void virtq_push(struct virtq *vq, uint16_t head, uint32_t written)
{
	struct vring_used_elem *e;

	if (!vq->size)
		return;
	e = &vq->used->ring[vq->next_used & (vq->size - 1)];
	put32(&e->id, head);
	put32(&e->len, written);
	vq->next_used++;
	if (vq->next_used == vq->signalled_used)
		vq->signalled_valid =
			false; /* 65536 pushes without being asked: the distance is lost */
	put16_release(&vq->used->idx, vq->next_used);
}

void virtq_unpop(struct virtq *vq)
{
	if (!vq->size)
		return;
	BUG_ON(vq->next_avail == vq->next_used);
	vq->next_avail--;
	if (vq->turn_popped)
		vq->turn_popped--;
}

bool virtq_should_signal(struct virtq *vq)
{
	uint16_t old = vq->signalled_used, new = vq->next_used;
	bool valid = vq->signalled_valid;

	if (!vq->size || (valid && old == new))
		return false;
	vq->signalled_used = new;
	vq->signalled_valid = true;
	/* used.idx must be out before the driver's wish is read, or both sides can miss each other
	 * (2.7.10). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!vq->event_idx)
		return !(get16(&vq->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	return !valid || vring_need_event(get16(used_event(vq)), new, old);
}

void virtq_disable_kicks(struct virtq *vq)
{
	if (!vq->size)
		return;
	vq->kicks_off = true;
	/* With EVENT_IDX, leaving avail_event behind says it already. */
	if (!vq->event_idx)
		put16(&vq->used->flags, VRING_USED_F_NO_NOTIFY);
}

bool virtq_enable_kicks(struct virtq *vq)
{
	if (!vq->size)
		return false;
	vq->kicks_off = false;
	if (!vq->event_idx)
		put16(&vq->used->flags, 0);
	/* A bad index counts as "look again": the pop that follows reports it. */
	return ask_for_kick(vq) != 0 && !vq->turn_over;
}

void virtq_begin_turn(struct virtq *vq, uint16_t max)
{
	vq->turn_max = max;
	vq->turn_popped = 0;
	vq->turn_over = false;
}

bool virtq_turn_over(const struct virtq *vq)
{
	return vq->size && vq->turn_over;
}

/* The iovecs of [off, off+len) of n iovecs that hold `bytes` in all. */
static int part_iov(const struct iovec *v, unsigned n, uint32_t bytes, uint32_t off, uint32_t len,
	struct iovec *iov, int max)
{
	int count = 0;

	if (off > bytes || len > bytes - off)
		return -1;
	for (unsigned i = 0; i < n && len; i++) {
		uint32_t take;

		if (off >= v[i].iov_len) {
			off -= (uint32_t)v[i].iov_len;
			continue;
		}
		if (count >= max)
			return -1;
		take = (uint32_t)MIN(v[i].iov_len - off, len);
		iov[count++] =
			(struct iovec){.iov_base = (uint8_t *)v[i].iov_base + off, .iov_len = take};
		len -= take;
		off = 0;
	}
	return count;
}

int chain_out_iov(
	const struct virtq_chain *c, uint32_t off, uint32_t len, struct iovec *iov, int max)
{
	return part_iov(c->iov, c->n_out, c->out_bytes, off, len, iov, max);
}

int chain_in_iov(
	const struct virtq_chain *c, uint32_t off, uint32_t len, struct iovec *iov, int max)
{
	return part_iov(c->iov + c->n_out, c->n_in, c->in_bytes, off, len, iov, max);
}

/* Copies [off, off+len), which the caller checked, between the iovecs and buf. */
static void part_copy(
	const struct iovec *v, uint32_t off, uint8_t *buf, uint32_t len, bool to_guest)
{
	while (len) {
		uint8_t *at;
		uint32_t n;

		if (off >= v->iov_len) {
			off -= (uint32_t)v++->iov_len;
			continue;
		}
		at = (uint8_t *)v->iov_base + off;
		n = (uint32_t)MIN(v->iov_len - off, len);
		if (to_guest)
			memcpy(at, buf, n);
		else
			memcpy(buf, at, n);
		buf += n;
		len -= n;
		off = 0;
		v++;
	}
}

bool chain_read(const struct virtq_chain *c, uint32_t off, void *buf, uint32_t len)
{
	if (off > c->out_bytes || len > c->out_bytes - off)
		return false;
	part_copy(c->iov, off, buf, len, false);
	return true;
}

bool chain_write(const struct virtq_chain *c, uint32_t off, const void *buf, uint32_t len)
{
	if (off > c->in_bytes || len > c->in_bytes - off)
		return false;
	part_copy(c->iov + c->n_out, off, (uint8_t *)(uintptr_t)buf, len, true);
	return true;
}
