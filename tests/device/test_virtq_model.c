/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain walker against a model, over every ring of small shape: each field of each descriptor
 * takes every value of a small domain that holds the edges. The model is written the other way
 * round: it lists all rules that a chain breaks, first to last, without stopping where it can go
 * on. A chain is to be popped when it breaks none, with the model's buffers; and else refused for
 * one of the rules it breaks.
 */
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "vmm/virtio/virtq.h"

#define MEM_BYTES (2u << 20)
#define DESC      0x1000u
#define AVAIL     0x2000u
#define USED      0x3000u
#define TABLE     0x4000u          /* the indirect table; also a good place for data */
#define OUTSIDE   (MEM_BYTES - 4u) /* begins inside, ends outside, for any length of the domain */

struct verdict {
	uint32_t broken; /* a bit per VFAULT_* */
	unsigned n;
	struct {
		uint64_t addr;
		uint32_t len;
		bool in;
	} buf[16];
};

static struct guest_mem mem;
static struct vring_desc *ring, *table;
static struct vring_avail *avail;
static unsigned size;
static bool offered;
static unsigned long cases, good;

static void breaks(struct verdict *v, enum vfault f)
{
	v->broken |= BIT(f);
}

static void model_buffer(struct verdict *v, const struct vring_desc *d)
{
	bool in = d->flags & VRING_DESC_F_WRITE;

	if (d->len == 0)
		breaks(v, VFAULT_DESC_LEN);
	else if (d->addr + d->len > MEM_BYTES)
		breaks(v, VFAULT_DESC_ADDR);
	if (v->n && v->buf[v->n - 1].in && !in)
		breaks(v, VFAULT_DESC_ORDER);
	v->buf[v->n].addr = d->addr;
	v->buf[v->n].len = d->len;
	v->buf[v->n++].in = in;
}

/* Follows at most size + 1 steps: one more than any good chain has. */
static void model_table(struct verdict *v, const struct vring_desc *at)
{
	unsigned n = at->len / 16, i = 0;

	if (!offered || (at->flags & VRING_DESC_F_NEXT) || at->len == 0 || at->len % 16 ||
		n > size) {
		breaks(v, VFAULT_INDIRECT);
		return;
	}
	if (at->addr + at->len > MEM_BYTES) {
		breaks(v, VFAULT_DESC_ADDR);
		return;
	}
	for (;;) {
		const struct vring_desc *d = &table[i];

		if (v->n == size) {
			breaks(v, VFAULT_DESC_LOOP);
			/* a nested table in this place is just as wrong */
			if (d->flags & VRING_DESC_F_INDIRECT)
				breaks(v, VFAULT_INDIRECT);
			return;
		}
		if (d->flags & VRING_DESC_F_INDIRECT) {
			breaks(v, VFAULT_INDIRECT);
			return;
		}
		model_buffer(v, d);
		if (!(d->flags & VRING_DESC_F_NEXT))
			return;
		i = d->next;
		if (i >= n) {
			breaks(v, VFAULT_DESC_INDEX);
			return;
		}
	}
}

static void model(struct verdict *v, unsigned head)
{
	unsigned i = head;

	v->broken = 0;
	v->n = 0;
	for (;;) {
		if (i >= size) {
			breaks(v, VFAULT_DESC_INDEX);
			return;
		}
		if (ring[i].flags & VRING_DESC_F_INDIRECT) {
			model_table(v, &ring[i]);
			return;
		}
		if (v->n == size) {
			breaks(v, VFAULT_DESC_LOOP);
			return;
		}
		model_buffer(v, &ring[i]);
		if (!(ring[i].flags & VRING_DESC_F_NEXT))
			return;
		i = ring[i].next;
	}
}

static bool same(const struct virtq_chain *c, const struct verdict *v)
{
	uint64_t out = 0, in = 0;

	if ((unsigned)c->n_out + c->n_in != v->n)
		return false;
	for (unsigned i = 0; i < v->n; i++) {
		if (c->iov[i].iov_base != mem_at(&mem, v->buf[i].addr, 1) ||
			c->iov[i].iov_len != v->buf[i].len || (i >= c->n_out) != v->buf[i].in)
			return false;
		*(v->buf[i].in ? &in : &out) += v->buf[i].len;
	}
	return c->out_bytes == out && c->in_bytes == in;
}

/* One ring: pops the chain at head. False, once, with a report. */
static bool agree(unsigned head)
{
	static struct virtq_chain chain;
	struct virtq_config cfg = {.size = size, .desc = DESC, .avail = AVAIL, .used = USED};
	struct verdict v;
	struct virtq vq;
	int r;

	virtq_init(&vq, &mem, &cfg, offered ? BIT64(VIRTIO_RING_F_INDIRECT_DESC) : 0);
	avail->ring[0] = (uint16_t)head;
	avail->idx = 1;
	model(&v, head);
	r = virtq_pop(&vq, &chain);
	cases++;
	if (r == 1 && !v.broken && same(&chain, &v)) {
		good++;
		return true;
	}
	if (r < 0 && -r < VFAULTS && (v.broken & BIT(-r)) && vq.size == 0)
		return true;
	ok(false, "size %u head %u: popped %d, broken rules %#x", size, head, r, v.broken);
	for (unsigned i = 0; i < 4; i++)
		printf("# ring[%u] %#llx+%u flags %u next %u; table[%u] %#llx+%u flags %u next "
		       "%u\n",
			i, (unsigned long long)ring[i].addr, ring[i].len, ring[i].flags,
			ring[i].next, i, (unsigned long long)table[i].addr, table[i].len,
			table[i].flags, table[i].next);
	return false;
}

struct domain {
	const uint32_t *addr, *len;
	unsigned n_addr, n_len, n_flags, n_next;
};

static unsigned long domain_size(const struct domain *d)
{
	return (unsigned long)d->n_addr * d->n_len * d->n_flags * d->n_next;
}

static struct vring_desc pick(const struct domain *d, unsigned long k)
{
	struct vring_desc r;

	r.addr = d->addr[k % d->n_addr];
	k /= d->n_addr;
	r.len = d->len[k % d->n_len];
	k /= d->n_len;
	r.flags = (uint16_t)(k % d->n_flags);
	r.next = (uint16_t)(k / d->n_flags);
	return r;
}

static const uint32_t addrs[] = {TABLE, OUTSIDE}, lens[] = {16, 0, 32, 24, 48}, two_lens[] = {8, 0};

/* Two descriptors, all of either, over tables of every flavour. */
static bool direct_rings(void)
{
	const struct domain d = {addrs, lens, 2, 5, 8, 3};
	static const struct vring_desc tables[][2] = {
		{{.addr = DESC, .len = 8}, {.addr = DESC, .len = 8}},
		{{.addr = DESC, .len = 8, .flags = 1, .next = 1},
			{.addr = DESC, .len = 8, .flags = 2}},
		{{.addr = DESC, .len = 8, .flags = 3, .next = 1}, {.addr = DESC, .len = 8}},
		{{.addr = DESC, .len = 8, .flags = 1, .next = 0}, {.addr = DESC, .len = 8}},
		{{.addr = DESC, .len = 8, .flags = 1, .next = 2}, {.addr = DESC, .len = 8}},
	};

	size = 2;
	for (unsigned t = 0; t < ARRAY_SIZE(tables); t++) {
		memcpy(table, tables[t], sizeof(tables[t]));
		for (unsigned long i = 0; i < domain_size(&d); i++)
			for (unsigned long k = 0; k < domain_size(&d); k++) {
				ring[0] = pick(&d, i);
				ring[1] = pick(&d, k);
				for (unsigned head = 0; head < 3; head++)
					if (!agree(head))
						return false;
			}
	}
	return true;
}

/* Four descriptors with good buffers, or one empty: every way to link them. */
static bool links(void)
{
	const struct domain d = {addrs, two_lens, 1, 2, 4, 5};
	unsigned long n = domain_size(&d);

	size = 4;
	for (unsigned long i = 0; i < n * n * n; i++) {
		ring[0] = pick(&d, i % n);
		ring[1] = pick(&d, i / n % n);
		ring[2] = pick(&d, i / n / n);
		ring[3] = (struct vring_desc){
			.addr = DESC, .len = 8, .flags = 3, .next = (uint16_t)(i % 3)};
		for (unsigned head = 0; head < 2; head++)
			if (!agree(head))
				return false;
	}
	return true;
}

/* Tables of two and three, all there are, behind nothing or a direct buffer of either direction. */
static bool tables(void)
{
	const struct domain d = {addrs, two_lens, 2, 2, 8, 4};
	unsigned long n = domain_size(&d);

	size = 4;
	for (unsigned front = 0; front < 3; front++)
		for (unsigned long i = 0; i < n * n; i++) {
			ring[0] = (struct vring_desc){.addr = DESC,
				.len = 8,
				.flags = (uint16_t)(front == 2 ? 3 : 1),
				.next = 1};
			table[0] = pick(&d, i % n);
			table[1] = pick(&d, i / n);
			table[2] = (struct vring_desc){
				.addr = DESC, .len = 8, .flags = 3, .next = (uint16_t)(i % 4)};
			for (uint32_t len = 16; len <= 48; len += 16) {
				ring[1] =
					(struct vring_desc){.addr = TABLE, .len = len, .flags = 4};
				if (!agree(front ? 0 : 1))
					return false;
			}
		}
	return true;
}

int main(void)
{
	struct err err = ERR_INIT;

	if (guest_mem_init(&mem, MEM_BYTES, &err) < 0) {
		ok(false, "%s", err.msg);
		return tap_done();
	}
	ring = mem_at(&mem, DESC, 4096);
	table = mem_at(&mem, TABLE, 4096);
	avail = mem_at(&mem, AVAIL, 4096);
	for (int on = 0; on < 2; on++) {
		const char *with = on ? "with" : "without";

		offered = on;
		ok(direct_rings(), "all rings of two descriptors, %s indirect", with);
		ok(links(), "all ways to link four descriptors, %s indirect", with);
		ok(tables(), "all tables of up to three, %s indirect", with);
	}
	ok(good > 1000 && good < cases, "%lu of %lu rings are good", good, cases);
	guest_mem_release(&mem);
	return tap_done();
}
