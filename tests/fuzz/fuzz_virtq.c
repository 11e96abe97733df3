/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue whose memory is the input, and a device that pops, reads, writes and pushes as the input
 * says. What the device writes may land on the rings themselves. Input: struct head, then the
 * memory image.
 */
#include <linux/virtio_ring.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "vmm/virtio/virtq.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEM_BYTES 16384u
#define POPS_MAX  1000

struct head {
	uint8_t size_log; /* up to 9: one too many */
	uint8_t features; /* 1: indirect, 2: event index */
	uint8_t ops;      /* see step() */
	uint8_t turn;
	uint16_t desc, avail, used; /* in units of 2 bytes */
} __attribute__((packed));

static uint8_t memory[MEM_BYTES] __attribute__((aligned(4096)));

static struct guest_mem mem = {
	.region = {{.gpa = 0, .bytes = MEM_BYTES, .hva = memory}},
	.n = 1,
	.fd = -1,
};

/* What every popped chain promises. */
static void check_chain(const struct virtq *vq, const struct virtq_chain *c)
{
	unsigned n = (unsigned)c->n_out + c->n_in;
	uint64_t out = 0, in = 0;

	BUG_ON(c->head >= vq->size || n == 0 || n > vq->size);
	for (unsigned i = 0; i < n; i++) {
		uint8_t *p = c->iov[i].iov_base;

		BUG_ON(p < memory || !c->iov[i].iov_len || c->iov[i].iov_len > MEM_BYTES ||
			p + c->iov[i].iov_len > memory + MEM_BYTES);
		*(i < c->n_out ? &out : &in) += c->iov[i].iov_len;
	}
	BUG_ON(out != c->out_bytes || in != c->in_bytes);
}

static void use_chain(const struct virtq_chain *c, uint8_t ops)
{
	uint8_t buf[64];
	struct iovec iov[4];
	uint32_t off = c->out_bytes > 8 ? c->out_bytes - 8 : 0;

	BUG_ON(!chain_read(c, off, buf, c->out_bytes - off) || chain_read(c, off, buf, UINT32_MAX));
	BUG_ON(chain_read(c, c->out_bytes, buf, 1) || chain_write(c, c->in_bytes, buf, 1));
	BUG_ON(chain_out_iov(c, off, c->out_bytes - off, iov, 4) < 0 && c->n_out <= 4);
	BUG_ON(chain_in_iov(c, 0, c->in_bytes + 1, iov, 4) >= 0 && c->in_bytes != UINT32_MAX);
	if (ops & 1) {
		memset(buf, ops, sizeof(buf));
		chain_write(c, 0, buf, MIN(c->in_bytes, (uint32_t)sizeof(buf)));
		chain_write(c, c->in_bytes / 2, buf, 1);
	}
}

/* One round of a device's life. False when the queue has nothing more. */
static bool step(struct virtq *vq, struct virtq_chain *c, uint8_t ops, unsigned round)
{
	uint16_t turn_popped = vq->turn_popped;
	int r;

	if (ops & 2)
		virtq_disable_kicks(vq);
	r = virtq_pop(vq, c);
	BUG_ON(r > 1 || r <= -VFAULTS || (r < 0 && vq->size));
	BUG_ON(vq->turn_max && vq->turn_popped > vq->turn_max);
	if (r <= 0) {
		if (virtq_turn_over(vq)) {
			virtq_begin_turn(vq, vq->turn_max);
			return true;
		}
		return r == 0 && virtq_enable_kicks(vq);
	}
	check_chain(vq, c);
	use_chain(c, ops);
	if ((ops & 4) && round % 5 == 0) {
		virtq_unpop(vq);
		BUG_ON(vq->turn_popped != turn_popped);
	} else if (!(ops & 8) || round % 3) {
		virtq_push(vq, c->head, c->in_bytes); /* otherwise kept: the ring runs out */
	}
	if (ops & 16)
		virtq_should_signal(vq);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct virtq_chain c;
	struct head h;
	struct virtq_config cfg;
	struct virtq vq;
	uint64_t features;

	if (size < sizeof(h))
		return 0;
	memcpy(&h, data, sizeof(h));
	memset(memory, 0, sizeof(memory));
	memcpy(memory, data + sizeof(h), MIN(size - sizeof(h), (size_t)MEM_BYTES));
	cfg = (struct virtq_config){.size = 1u << h.size_log % 10,
		.desc = h.desc * 2u,
		.avail = h.avail * 2u,
		.used = h.used * 2u};
	features = (h.features & 1 ? BIT64(VIRTIO_RING_F_INDIRECT_DESC) : 0) |
		   (h.features & 2 ? BIT64(VIRTIO_RING_F_EVENT_IDX) : 0);
	if (virtq_init(&vq, &mem, &cfg, features) < 0) {
		BUG_ON(vq.size || virtq_pop(&vq, &c) != 0);
		return 0;
	}
	virtq_begin_turn(&vq, h.turn);
	for (unsigned i = 0; i < POPS_MAX && step(&vq, &c, h.ops, i); i++)
		;
	return 0;
}
