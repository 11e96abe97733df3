/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses where no memory is, for every ring, for buffers of both kinds and for indirect tables: the device must fail
 * each time, and nothing be read or written. With `halt` on the command line every device is left failed, with
 * doorbells rung, and the processor halts: the VMM has nothing to do until its boot timeout.
 */
#include <linux/virtio_mmio.h>
#include <string.h>

#include "lib/base.h"
#include "tests/device/shapes.h"
#include "tests/guests/guest.h"
#include "vmm/layout.h"

#define WILD_MAX 24

struct wild {
	uint64_t gpa;
	uint32_t len;
};

static struct wild wild[WILD_MAX];
static unsigned n_wild;

static void add(uint64_t gpa, uint32_t len)
{
	if (n_wild == WILD_MAX)
		drv_die("too many addresses");
	wild[n_wild++] = (struct wild){gpa, len};
}

/* All are aligned for any ring, so that it is the address that is wrong. */
static void fill(void)
{
	uint64_t end = guest_low_end;

	add(end, 32);
	add(end - 16, 32);               /* across the end of RAM */
	add(GUEST_DMA, (uint32_t)(end)); /* from inside, as long as all of RAM */
	add(GUEST_LOW_MAX, 32);          /* the hole's first byte */
	add(LAYOUT_VIRTIO_BASE, 32);     /* registers of the first device */
	add(LAYOUT_VIRTIO_BASE - 16, 32);
	add(LAYOUT_IOAPIC, 32);
	add(LAYOUT_LAPIC, 32);
	add(LAYOUT_TSS, 32);
	add(0xfffff000u, 32);
	add(guest_high_end ? guest_high_end : GUEST_HIGH_BASE, 32);
	add(GUEST_HIGH_BASE - 16, 32); /* from the hole into what may be RAM */
	add(end - 4096, 0xfffff000u);  /* over the hole */
	add(1ull << 40, 32);
	add(1ull << 52, 32);
	add(1ull << 63, 32);
	add(~0ull - 15, 16); /* ends at 2^64 */
	add(~0ull - 15, 32); /* wraps */
	add(~0ull - 15, 0xffffffffu);
}

static void wild_ring(struct drv *d, const struct wild *w, unsigned which)
{
	struct drv_queue *q = shape_queue(d);
	uint64_t ring[3];

	if (w->gpa == GUEST_DMA || w->gpa == guest_low_end - 4096)
		return; /* wrong by their length alone, which a ring has none of */
	if (!drv_negotiate(d, ~0ull))
		guest_wrong("%s does not negotiate", d->row->ops->name);
	for (unsigned i = 0; i < d->dev.n_queues; i++)
		drv_queue_setup(d, i, 0);
	ring[0] = q->desc_gpa, ring[1] = q->avail_gpa, ring[2] = q->used_gpa;
	ring[which] = w->gpa;
	drv_wr(d, VIRTIO_MMIO_QUEUE_SEL, d->row->queue);
	drv_wr(d, VIRTIO_MMIO_QUEUE_READY, 0);
	drv_queue_write(d, d->row->queue, q->size, ring[0], ring[1], ring[2]);
	drv_driver_ok(d);
	guest_must_fail(d, "a ring where no memory is");
}

static void wild_buffer(struct drv *d, const struct wild *w, uint16_t flags)
{
	uint32_t len = flags & VRING_DESC_F_INDIRECT ? 32 : w->len;

	if (len != w->len && (w->gpa == GUEST_DMA || w->gpa == guest_low_end - 4096))
		return;
	if (!guest_started(d))
		guest_wrong("%s does not start", d->row->ops->name);
	shape_desc(d, 0, w->gpa, len, flags, 0);
	shape_submit(d, 0);
	guest_must_fail(d, "a buffer where no memory is");
}

/* Address 0 is memory, and the guest's own loss: whatever the device makes of it, it goes on. */
static void null_addresses(struct drv *d)
{
	if (!guest_started(d))
		guest_wrong("%s does not start", d->row->ops->name);
	shape_desc(d, 0, 0, 1, 0, 0);
	shape_submit(d, 0);
	guest_must_work(d, "a buffer at 0");
}

void guest_main(const char *word)
{
	bool halt = !strcmp(word, "halt");

	fill();
	for (unsigned r = 0; guest_rows[r]; r++) {
		struct drv *d = guest_device(guest_rows[r]->ops->name);

		for (unsigned i = 0; i < n_wild && !halt; i++) {
			for (unsigned which = 0; which < 3; which++)
				wild_ring(d, &wild[i], which);
			wild_buffer(d, &wild[i], 0);
			wild_buffer(d, &wild[i], VRING_DESC_F_WRITE);
			wild_buffer(d, &wild[i], VRING_DESC_F_INDIRECT);
		}
		if (!halt)
			null_addresses(d);
		guest_must_work(d, "wild addresses");
		wild_buffer(d, &wild[0], VRING_DESC_F_WRITE);
		for (unsigned q = 0; q < d->dev.n_queues; q++)
			drv_kick_hard(d, q);
	}
	if (halt)
		guest_halt();
	guest_pass("wild: %u addresses", n_wild);
}
