/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy device, the balloon and the console (the input's first byte says which) against any sequence of chains,
 * kicks and resets. The rest of the input is a list of steps, one byte each with what it needs behind it: chains are
 * well-formed unless a step says otherwise, so that most inputs reach the device itself. No worker: the vdev_* helpers
 * below stand in for it.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "vmm/virtio/devices.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAGE       4096u
#define LOW_BYTES  (64u * PAGE) /* at 0: the rings, then buffers */
#define HIGH_GPA   (1u << 20)   /* a second region, next to the first in the memory file */
#define HIGH_BYTES (16u * PAGE)
#define PAGES      ((LOW_BYTES + HIGH_BYTES) / PAGE)
#define RING_AT(q) (PAGE * (1 + 3u * (q))) /* descriptors, avail, used: a page each */
#define TABLE_AT   (PAGE * 10)             /* indirect descriptors */
#define BUFS_AT    (PAGE * 16)
#define QUEUES     3
#define SEGS       16
#define STEPS_MAX  300
#define MARK       0xa5
#define PIPE_BYTES 65536 /* a pipe's room, and the most of one message */
#define NOTICE     80    /* the console's line about what was dropped */

#define CHECK(cond) BUG_ON(!(cond))

enum step {
	STEP_CHAIN,
	STEP_KICK,
	STEP_RESET,
	STEP_WRITE,
	STEP_PFNS,
	STEP_DESC,
	STEP_AVAIL,
	STEP_HOST,
	STEPS
};

static struct vdev dev;
static struct guest_mem mem;
static uint8_t *base; /* the memory file, between two pages that nobody may touch */
static int log_fd;    /* the console's reader: us; -1: gone */
static uint64_t features, log_room, log_seen;
static uint16_t avail_idx[QUEUES];
static bool
	offered[PAGES]; /* pages that the guest wrote to, or has given back: they may be anything */
static uint32_t in_max; /* of the chains put so far */
static bool rings_are_known; /* no step has written into them at random */

void vdev_signal(struct vdev *d)
{
}

static void map_memory(void)
{
	uint8_t *area =
		mmap(NULL, (PAGES + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mem.fd = memfd_create("guest", MFD_CLOEXEC);
	CHECK(area != MAP_FAILED && mem.fd >= 0 && ftruncate(mem.fd, PAGES * PAGE) == 0);
	base = mmap(area + PAGE, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		mem.fd, 0);
	CHECK(base != MAP_FAILED);
	mem.n = 2;
	mem.region[0] = (struct guest_region){.gpa = 0, .bytes = LOW_BYTES, .hva = base};
	mem.region[1] = (struct guest_region){.gpa = HIGH_GPA,
		.bytes = HIGH_BYTES,
		.hva = base + LOW_BYTES,
		.fd_offset = LOW_BYTES};
}

/* Pages that a range touches. A range outside of memory touches none. */
static void offer(uint64_t gpa, uint64_t len)
{
	const uint8_t *at = mem_at(&mem, gpa, len);

	if (!at)
		return;
	for (size_t p = (size_t)(at - base) / PAGE; p * PAGE < (size_t)(at - base) + len; p++)
		offered[p] = true;
}

/* What the balloon may take of a reported range: the whole pages in it, for it writes nothing. */
static void offer_whole(uint64_t gpa, uint64_t len)
{
	uint64_t from = (gpa + PAGE - 1) & ~(uint64_t)(PAGE - 1),
		 to = (gpa + len) & ~(uint64_t)(PAGE - 1);

	if (mem_at(&mem, gpa, len) && from < to)
		offer(from, to - from);
}

/* The rings may say anything now, and what they then make the device do is not known. */
static void lose_rings(void)
{
	rings_are_known = false;
	memset(offered, true, sizeof(offered));
	log_room = UINT64_MAX / 2;
}

/* A page that is none of the guest's offers is as it was: nothing was punched out, nothing written. */
static void check_pages(void)
{
	for (size_t p = 0; p < PAGES; p++)
		CHECK(offered[p] || (base[p * PAGE] == MARK && base[p * PAGE + PAGE - 1] == MARK));
}

static void activate(void)
{
	for (unsigned q = 0; q < dev.n_queues; q++) {
		struct virtq_config c = {.size = dev.ops->queue_size,
			.enabled = 1,
			.desc = RING_AT(q),
			.avail = RING_AT(q) + PAGE,
			.used = RING_AT(q) + 2 * PAGE};

		memset(base + RING_AT(q), 0, 3 * PAGE);
		offer(RING_AT(q), 3 * PAGE);
		avail_idx[q] = 0;
		CHECK(virtq_init(&dev.vq[q], &mem, &c, features) == 0);
	}
	rings_are_known = true;
	in_max = 0;
	dev.features = features;
	dev.active = true;
}

static void reset(void)
{
	for (unsigned q = 0; q < dev.n_queues; q++)
		virtq_reset(&dev.vq[q]);
	dev.active = false;
	if (dev.ops->reset)
		dev.ops->reset(&dev);
	log_room += NOTICE;
}

/* What is handed back was asked for, and no longer than it can be. */
static void check_used(unsigned q)
{
	const struct vring_used *used = (void *)(base + RING_AT(q) + 2 * PAGE);

	if (!rings_are_known)
		return;
	CHECK((uint16_t)(avail_idx[q] - used->idx) < 0x8000);
	for (unsigned i = 0; i < MIN((unsigned)used->idx, (unsigned)dev.ops->queue_size); i++)
		CHECK(used->ring[i].id < dev.ops->queue_size && used->ring[i].len <= in_max);
}

static void kick(unsigned q)
{
	log_room += NOTICE;
	if (dev.ops->kick(&dev, q) < 0) {
		reset();
		activate();
	}
	check_used(q);
}

static void offer_page(uint32_t pfn)
{
	offer((uint64_t)pfn * PAGE, PAGE);
	if ((uint64_t)pfn * PAGE < BUFS_AT)
		lose_rings();
}

/* What a readable buffer of the balloon's says: any memory may be read as page numbers. */
static void offer_pfns(uint64_t gpa, uint32_t len)
{
	const uint8_t *at = mem_at(&mem, gpa, len);
	uint32_t pfn;

	if (len % 4)
		lose_rings(); /* then the next buffer is read askew */
	for (uint32_t i = 0; at && i + 4 <= len && i < PAGE; i += 4) {
		memcpy(&pfn, at + i, 4);
		offer_page(le32toh(pfn));
	}
}

/* Somewhere: mostly in a buffer's place, else at the edges of the regions, or anywhere. */
static uint64_t some_address(struct rbuf *in)
{
	uint8_t how = rbuf_u8(in);
	uint16_t at = rbuf_u16(in);

	switch (how % 8) {
	case 5: return LOW_BYTES - at % 64;
	case 6: return HIGH_GPA + at % (HIGH_BYTES + PAGE);
	case 7: return how & 8 ? rbuf_u64(in) : (uint64_t)at << (how >> 4);
	default: return BUFS_AT + ((uint64_t)at << 2) % (LOW_BYTES - BUFS_AT);
	}
}

static uint32_t some_length(struct rbuf *in)
{
	uint8_t how = rbuf_u8(in);
	uint16_t len = rbuf_u16(in);

	switch (how % 8) {
	case 4: return PAGE * (1 + len % 32);
	case 5: return len * 4u;
	case 6: return how & 8 ? rbuf_u32(in) : 0;
	default: return 1 + len;
	}
}

/* Direct or indirect; all readable, all writable, or as the input has it. */
static void step_chain(struct rbuf *in)
{
	unsigned q = rbuf_u8(in) % dev.n_queues, how = rbuf_u8(in), n = 1 + how % 8;
	uint16_t size = dev.ops->queue_size, head = (uint16_t)(avail_idx[q] % size);
	struct vring_desc *ring = (void *)(base + RING_AT(q)), *table = ring;
	struct vring_avail *avail = (void *)(base + RING_AT(q) + PAGE);
	bool indirect = how & 8;

	if (indirect) {
		table = (void *)(base + TABLE_AT);
		offer(TABLE_AT, SEGS * sizeof(*table));
		ring[head] =
			(struct vring_desc){TABLE_AT, n * sizeof(*table), VRING_DESC_F_INDIRECT, 0};
	}
	for (unsigned i = 0; i < n; i++) {
		unsigned slot = indirect ? i : (head + i) % size;
		unsigned next = indirect ? i + 1 : (slot + 1) % size;
		bool write = how & 16 ? rbuf_u8(in) & 1 : !(how & 32);
		uint64_t addr = some_address(in);
		uint32_t len = some_length(in);

		table[slot] = (struct vring_desc){addr, len,
			(uint16_t)((write ? VRING_DESC_F_WRITE : 0) |
				   (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
			(uint16_t)next};
		if (write) {
			if (dev.ops == &vdev_balloon)
				offer_whole(addr, len);
			else
				offer(addr, len);
			if (addr < BUFS_AT)
				lose_rings();
			in_max = MIN(in_max + (uint64_t)len, UINT32_MAX);
		} else if (dev.ops == &vdev_balloon) {
			offer_pfns(addr, len);
		}
	}
	log_room += PIPE_BYTES;
	avail->ring[avail_idx[q] % size] = head;
	avail->idx = ++avail_idx[q];
	if (!(how & 64))
		kick(q);
}

/* Page numbers for the balloon, in runs; they may be of any page, and then any page may go. */
static void step_pfns(struct rbuf *in)
{
	uint32_t at = BUFS_AT + rbuf_u8(in) * 4u, n = rbuf_u8(in), pfn = rbuf_u8(in);

	offer(at, n * 4 + 4);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t le = htole32(pfn);

		memcpy(base + at + 4 * i, &le, 4);
		offer_page(pfn);
		if (i % 8 == 7)
			pfn = rbuf_u32(in) % (HIGH_GPA / PAGE + HIGH_BYTES / PAGE + 2);
		else
			pfn++;
	}
}

/* Guest memory at random: rings, tables, buffers. What the balloon then reads from it is not known. */
static void step_write(struct rbuf *in)
{
	uint32_t at = rbuf_u16(in) * 4u % LOW_BYTES, n = rbuf_u8(in) % 64;

	n = MIN(n, LOW_BYTES - at);
	for (uint32_t i = 0; i < n; i++)
		base[at + i] = rbuf_u8(in);
	lose_rings();
}

static void step_desc(struct rbuf *in)
{
	unsigned q = rbuf_u8(in) % dev.n_queues, slot = rbuf_u8(in) % dev.ops->queue_size;
	struct vring_desc *d = (void *)(base + RING_AT(q));

	d[slot].flags = rbuf_u16(in) % 16;
	d[slot].next = rbuf_u8(in) % (dev.ops->queue_size + 1);
	d[slot].len = some_length(in);
	lose_rings();
}

static void step_host(uint8_t arg)
{
	char buf[4096];
	ssize_t n;

	if (arg == 255)
		close_fd(&log_fd);
	for (int i = 0; log_fd >= 0 && i <= arg % 20; i++) {
		n = read(log_fd, buf, sizeof(buf));
		log_seen += (uint64_t)MAX(n, 0);
	}
	CHECK(log_seen <= log_room);
}

static void do_step(uint8_t step, struct rbuf *in)
{
	unsigned q;

	switch (step) {
	case STEP_CHAIN: step_chain(in); break;
	case STEP_KICK: kick(rbuf_u8(in) % dev.n_queues); break;
	case STEP_RESET:
		reset();
		activate();
		break;
	case STEP_WRITE: step_write(in); break;
	case STEP_PFNS: step_pfns(in); break;
	case STEP_DESC: step_desc(in); break;
	case STEP_AVAIL:
		q = rbuf_u8(in) % dev.n_queues;
		avail_idx[q] = (uint16_t)(avail_idx[q] + rbuf_u8(in));
		((struct vring_avail *)(void *)(base + RING_AT(q) + PAGE))->idx = avail_idx[q];
		lose_rings();
		break;
	default: step_host(rbuf_u8(in));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vdev_ops *const devices[] = {&vdev_rng, &vdev_balloon, &vdev_console};
	struct rbuf in = rbuf_of(data, size);
	struct err err = ERR_INIT;
	uint8_t first = rbuf_u8(&in);
	int p[2];

	signal(SIGPIPE, SIG_IGN);
	if (!base)
		map_memory();
	memset(base, MARK, PAGES * PAGE);
	memset(offered, 0, sizeof(offered));
	offered[0] = true; /* what a hole says, as a page number */
	log_room = log_seen = 0;
	features = (first & 16 ? BIT64(VIRTIO_RING_F_EVENT_IDX) : 0) |
		   (first & 32 ? 0 : BIT64(VIRTIO_RING_F_INDIRECT_DESC));
	CHECK(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0);
	log_fd = p[0];
	dev = (struct vdev){.ops = devices[first % ARRAY_SIZE(devices)], .env = {.mem = &mem}};
	dev.env.fd[0] = dev.ops == &vdev_console ? p[1] : mem.fd;
	CHECK(dev.ops->init(&dev, &err) == 0);
	activate();
	for (int i = 0; i < STEPS_MAX && rbuf_left(&in); i++) {
		do_step(rbuf_u8(&in) % STEPS, &in);
		check_pages();
	}
	step_host(19);
	reset();
	dev.ops->release(&dev);
	close_fd(&log_fd);
	close(p[1]);
	return 0;
}
