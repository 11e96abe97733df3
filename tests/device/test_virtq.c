/* SPDX-License-Identifier: Apache-2.0 */
/* The ring itself, by hand: no worker, no transport. The chain walker's exhaustive test is
 * virtq_model. */
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "vmm/virtio/virtq.h"

#define SIZE      4
#define DESC      0x1000
#define AVAIL     0x2000
#define USED      0x3000
#define DATA      0x4000
#define MEM_BYTES (4ull << 30) /* nothing is touched that is not used; with a second region */
#define EVENT     BIT64(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT  BIT64(VIRTIO_RING_F_INDIRECT_DESC)

static struct guest_mem mem;
static struct virtq vq;
static struct virtq_chain chain;
static struct vring_desc *desc;
static struct vring_avail *avail;
static struct vring_used *used;

static struct virtq_config config(void)
{
	return (struct virtq_config){
		.size = SIZE, .enabled = 1, .desc = DESC, .avail = AVAIL, .used = USED};
}

static void fresh(uint64_t features)
{
	struct virtq_config cfg = config();

	desc = mem_at(&mem, DESC, 4096);
	avail = mem_at(&mem, AVAIL, 4096);
	used = mem_at(&mem, USED, 4096);
	memset(desc, 0, 3 * 4096);
	if (virtq_init(&vq, &mem, &cfg, features) < 0)
		ok(false, "a good queue is refused");
}

static void put_desc(unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	desc[i] = (struct vring_desc){.addr = addr, .len = len, .flags = flags, .next = next};
}

static void offer(uint16_t head)
{
	avail->ring[avail->idx % SIZE] = head;
	avail->idx++;
}

static void places(void)
{
	static const struct {
		const char *what;
		uint32_t size;
		uint64_t desc, avail, used;
		bool good;
	} t[] = {
		{"a good place", SIZE, DESC, AVAIL, USED, true},
		{"size 1", 1, DESC, AVAIL, USED, true},
		{"size 256", 256, DESC, AVAIL, USED, true},
		{"size 512", 512, DESC, AVAIL, USED, false},
		{"size 0", 0, DESC, AVAIL, USED, false},
		{"size 5", 5, DESC, AVAIL, USED, false},
		{"size 65536 + 4", 65540, DESC, AVAIL, USED, false},
		{"desc + 8", SIZE, DESC + 8, AVAIL, USED, false},
		{"avail + 1", SIZE, DESC, AVAIL + 1, USED, false},
		{"avail + 2", SIZE, DESC, AVAIL + 2, USED, true},
		{"used + 2", SIZE, DESC, AVAIL, USED + 2, false},
		{"used + 4", SIZE, DESC, AVAIL, USED + 4, true},
		{"in high memory", SIZE, GUEST_HIGH_BASE, AVAIL, USED, true},
		{"in the hole", SIZE, GUEST_LOW_MAX, AVAIL, USED, false},
		{"just below the hole", SIZE, GUEST_LOW_MAX - 64, AVAIL, USED, true},
		{"into the hole", SIZE, GUEST_LOW_MAX - 48, AVAIL, USED, false},
		{"avail into the hole", SIZE, DESC, GUEST_LOW_MAX - 12, USED, false},
		{"used into the hole", SIZE, DESC, AVAIL, GUEST_LOW_MAX - 36, false},
		{"used up to the hole", SIZE, DESC, AVAIL, GUEST_LOW_MAX - 40, true},
		{"the last address", SIZE, ~15ull, AVAIL, USED, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct virtq_config c = {.size = t[i].size,
			.desc = t[i].desc,
			.avail = t[i].avail,
			.used = t[i].used};

		ok((virtq_init(&vq, &mem, &c, 0) == 0) == t[i].good, "%s is %s", t[i].what,
			t[i].good ? "accepted" : "refused");
		ok(t[i].good || (vq.size == 0 && virtq_pop(&vq, &chain) == 0), "%s",
			"and dead if so");
	}
}

static void round_trip(void)
{
	fresh(0);
	eq_int(virtq_pop(&vq, &chain), 0, "an empty ring has nothing");
	put_desc(2, DATA, 16, VRING_DESC_F_NEXT, 1);
	put_desc(1, DATA + 100, 32, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 3);
	put_desc(3, DATA + 200, 8, VRING_DESC_F_WRITE, 99);
	offer(2);
	eq_int(virtq_pop(&vq, &chain), 1, "a chain is there");
	ok(chain.head == 2 && chain.n_out == 1 && chain.n_in == 2, "one readable, two writable");
	ok(chain.out_bytes == 16 && chain.in_bytes == 40, "of 16 and 40 bytes");
	ok(chain.iov[1].iov_base == mem_at(&mem, DATA + 100, 1), "where the driver said");
	eq_int(virtq_pop(&vq, &chain), 0, "once");
	virtq_push(&vq, 2, 40);
	ok(used->idx == 1 && used->ring[0].id == 2 && used->ring[0].len == 40, "it comes back");
	for (int i = 0; i < 70000; i++) {
		offer(2);
		if (virtq_pop(&vq, &chain) != 1)
			break;
		virtq_push(&vq, chain.head, 0);
	}
	eq_int(used->idx, (uint16_t)70001, "the indices wrap at 65536");
}

/* A 4 GiB chain out of three buffers: each is fine, the sum is not. */
static void length_wrap(void)
{
	fresh(0);
	put_desc(0, 0, 0x60000000, VRING_DESC_F_NEXT, 1);
	put_desc(1, 0, 0x60000000, VRING_DESC_F_NEXT, 2);
	put_desc(2, 0, 0x3fffffff, 0, 0);
	offer(0);
	eq_int(virtq_pop(&vq, &chain), 1, "4 GiB less one byte");
	ok(chain.out_bytes == UINT32_MAX, "are counted right");
	virtq_push(&vq, 0, 0);
	put_desc(2, 0, 0x40000000, VRING_DESC_F_WRITE, 0);
	offer(0);
	eq_int(virtq_pop(&vq, &chain), -VFAULT_DESC_LEN,
		"4 GiB are a fault, also both ways together");
	eq_int(virtq_pop(&vq, &chain), 0, "after a fault the queue is dead");
	virtq_push(&vq, 0, 0);
	eq_int(used->idx, 1, "and takes nothing back");
	ok(!virtq_should_signal(&vq) && !virtq_enable_kicks(&vq), "and wants nothing");
}

/* What is held and what is offered can't be more than there is. */
static void held(void)
{
	fresh(0);
	put_desc(0, DATA, 16, 0, 0);
	for (int i = 0; i < SIZE; i++)
		offer(0);
	for (int i = 0; i < SIZE; i++)
		if (virtq_pop(&vq, &chain) != 1)
			ok(false, "pop %d", i);
	eq_int(virtq_pop(&vq, &chain), 0, "a full ring can be held");
	offer(0);
	eq_int(virtq_pop(&vq, &chain), -VFAULT_AVAIL_IDX, "one more than the size is a fault");
	fresh(0);
	put_desc(0, DATA, 16, 0, 0);
	for (int i = 0; i < 3; i++)
		offer(0);
	virtq_pop(&vq, &chain);
	virtq_pop(&vq, &chain);
	avail->idx = (uint16_t)-1;
	eq_int(virtq_pop(&vq, &chain), -VFAULT_AVAIL_IDX, "an index that wraps the sum is a fault");
}

static void unpop(void)
{
	fresh(EVENT);
	put_desc(0, DATA, 16, 0, 0);
	put_desc(1, DATA, 32, 0, 0);
	offer(1);
	virtq_pop(&vq, &chain);
	virtq_unpop(&vq);
	eq_int(virtq_pop(&vq, &chain), 1, "a chain put back comes again");
	eq_int(chain.head, 1, "the same");
}

static void signals(void)
{
	fresh(0);
	put_desc(0, DATA, 16, 0, 0);
	ok(!virtq_should_signal(&vq), "nothing pushed: no interrupt");
	offer(0);
	virtq_pop(&vq, &chain);
	virtq_push(&vq, 0, 0);
	ok(virtq_should_signal(&vq), "pushed: interrupt");
	ok(!virtq_should_signal(&vq), "once");
	avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	virtq_push(&vq, 0, 0);
	ok(!virtq_should_signal(&vq), "not when the driver said so");

	fresh(EVENT);
	avail->ring[SIZE] = 2; /* used_event: tell me when the third is there */
	virtq_push(&vq, 0, 0);
	ok(!virtq_should_signal(&vq), "event index: not yet");
	virtq_push(&vq, 0, 0);
	virtq_push(&vq, 0, 0);
	ok(virtq_should_signal(&vq), "event index: now");
	virtq_push(&vq, 0, 0);
	ok(!virtq_should_signal(&vq), "event index: not again");
	avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	avail->ring[SIZE] = 4;
	virtq_push(&vq, 0, 0);
	ok(virtq_should_signal(&vq), "with the event index the flag means nothing");
	for (int i = 0; i < 65536; i++)
		virtq_push(&vq, 0, 0);
	avail->ring[SIZE] = 1000;
	ok(virtq_should_signal(&vq), "after 65536 pushes unasked: to be sure, yes");
	ok(!virtq_should_signal(&vq), "once");
}

static void kicks(void)
{
	__virtio16 *avail_event = (__virtio16 *)(void *)&used->ring[SIZE];

	fresh(0);
	put_desc(0, DATA, 16, 0, 0);
	virtq_disable_kicks(&vq);
	eq_int(used->flags, VRING_USED_F_NO_NOTIFY, "without the event index: by the flag");
	ok(!virtq_enable_kicks(&vq) && used->flags == 0, "and back; nothing came meanwhile");
	virtq_disable_kicks(&vq);
	offer(0);
	ok(virtq_enable_kicks(&vq), "something came meanwhile: look again");

	fresh(EVENT);
	put_desc(0, DATA, 16, 0, 0);
	offer(0);
	virtq_disable_kicks(&vq);
	virtq_pop(&vq, &chain);
	virtq_pop(&vq, &chain);
	eq_int(*avail_event, 0, "event index: stays behind while kicks are off");
	ok(!virtq_enable_kicks(&vq), "nothing came meanwhile");
	eq_int(*avail_event, 1, "and asks for the next one");
	offer(0);
	virtq_pop(&vq, &chain);
	eq_int(*avail_event, 1, "not moved while there is work");
	virtq_pop(&vq, &chain);
	eq_int(*avail_event, 2, "but when pop finds the ring empty");
	eq_int(used->flags, 0, "the flag is not used");
}

static void turns(void)
{
	fresh(EVENT);
	put_desc(0, DATA, 16, 0, 0);
	virtq_begin_turn(&vq, 2);
	for (int i = 0; i < SIZE; i++)
		offer(0);
	ok(virtq_pop(&vq, &chain) == 1 && virtq_pop(&vq, &chain) == 1, "a turn of two chains");
	eq_int(virtq_pop(&vq, &chain), 0, "then none");
	ok(virtq_turn_over(&vq), "though there are more");
	ok(!virtq_enable_kicks(&vq), "that the device need not look for");
	virtq_begin_turn(&vq, 2);
	ok(virtq_pop(&vq, &chain) == 1 && virtq_pop(&vq, &chain) == 1,
		"they come in the next turn");
	ok(virtq_pop(&vq, &chain) == 0 && !virtq_turn_over(&vq),
		"and the ring is empty, not the turn over");
}

static void copies(void)
{
	uint8_t buf[64], *g = mem_at(&mem, DATA, 4096);
	struct iovec iov[4];

	fresh(INDIRECT);
	for (int i = 0; i < 256; i++)
		g[i] = (uint8_t)i;
	put_desc(0, DATA, 10, VRING_DESC_F_NEXT, 1);
	put_desc(1, DATA + 20, 10, VRING_DESC_F_NEXT, 2);
	put_desc(2, DATA + 512, 5, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 3);
	put_desc(3, DATA + 600, 5, VRING_DESC_F_WRITE, 0);
	offer(0);
	virtq_pop(&vq, &chain);
	ok(chain_read(&chain, 8, buf, 4) && buf[0] == 8 && buf[1] == 9 && buf[2] == 20 &&
			buf[3] == 21,
		"reads across a border");
	ok(chain_read(&chain, 19, buf, 1) && buf[0] == 29, "reads the last byte");
	ok(chain_read(&chain, 20, buf, 0), "reads nothing at the end");
	ok(!chain_read(&chain, 20, buf, 1) && !chain_read(&chain, 21, buf, 0), "but not beyond");
	ok(!chain_read(&chain, 1, buf, UINT32_MAX), "nor with a length that wraps");
	ok(chain_write(&chain, 3, "abcd", 4) && !memcmp(g + 515, "ab", 2) &&
			!memcmp(g + 600, "cd", 2),
		"writes across a border");
	ok(!chain_write(&chain, 7, "abcd", 4) && g[602] == 0,
		"not beyond, and then nothing at all");
	eq_int(chain_out_iov(&chain, 5, 10, iov, 4), 2, "two pieces of the readable part");
	ok(iov[0].iov_base == g + 5 && iov[0].iov_len == 5 && iov[1].iov_base == g + 20 &&
			iov[1].iov_len == 5,
		"the right ones");
	eq_int(chain_in_iov(&chain, 5, 5, iov, 4), 1, "one piece of the writable part");
	ok(iov[0].iov_base == g + 600, "the right one");
	eq_int(chain_out_iov(&chain, 5, 10, iov, 1), -1, "more pieces than there is room for");
	eq_int(chain_out_iov(&chain, 10, 11, iov, 4), -1, "a range that does not fit");
	eq_int(chain_in_iov(&chain, 10, 0, iov, 0), 0, "an empty range needs no room");
}

static void indirect(void)
{
	/* At an odd address: nothing says that a table is aligned. */
	struct vring_desc t[2] = {{.addr = DATA, .len = 7, .flags = VRING_DESC_F_NEXT, .next = 1},
		{.addr = DATA, .len = 9, .flags = VRING_DESC_F_WRITE}};

	fresh(INDIRECT);
	memcpy(mem_at(&mem, DATA + 101, 32), t, 32);
	put_desc(0, DATA, 16, VRING_DESC_F_NEXT, 1);
	put_desc(1, DATA + 101, 32, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 77);
	offer(0);
	eq_int(virtq_pop(&vq, &chain), 1, "a table at the end of a chain, its own WRITE ignored");
	ok(chain.n_out == 2 && chain.out_bytes == 23 && chain.n_in == 1 && chain.in_bytes == 9,
		"adds its buffers");
}

static void memory(void)
{
	struct guest_mem m2;
	struct err err = ERR_INIT;
	uint64_t off;

	ok(mem_at(&mem, GUEST_LOW_MAX - 1, 1) && !mem_at(&mem, GUEST_LOW_MAX, 1),
		"the hole begins");
	ok(!mem_at(&mem, GUEST_HIGH_BASE - 1, 1) && mem_at(&mem, GUEST_HIGH_BASE, 1), "and ends");
	ok(!mem_at(&mem, GUEST_LOW_MAX - 1, 2), "no range reaches into it");
	ok(!mem_at(&mem, 0, 0), "an empty range has no address");
	ok(mem_at(&mem, 0, GUEST_LOW_MAX) && !mem_at(&mem, 1, GUEST_LOW_MAX), "a whole region");
	ok(!mem_at(&mem, 16, ~0ull) && !mem_at(&mem, ~0ull, 2), "no length wraps");
	ok(mem_fd_offset(&mem, mem_at(&mem, GUEST_HIGH_BASE + 4096, 1), 4096, &off) &&
			off == GUEST_LOW_MAX + 4096,
		"high memory follows low memory in the file");
	ok(!mem_fd_offset(&mem, &off, 8, &off), "the stack is not guest memory");
	ok(!mem_fd_offset(&mem, mem_at(&mem, GUEST_LOW_MAX - 4, 4), 8, &off),
		"nor what lies behind a region");

	eq_int(guest_mem_map(&m2, mem.fd, MEM_BYTES, &err), 0, "a second mapping of the same file");
	*(uint8_t *)mem_at(&mem, GUEST_HIGH_BASE + 5, 1) = 0x42;
	eq_int(*(uint8_t *)mem_at(&m2, GUEST_HIGH_BASE + 5, 1), 0x42, "sees the same memory");
	guest_mem_release(&m2);
	ok(guest_mem_map(&m2, mem.fd, MEM_BYTES - (2 << 20), &err) < 0, "not with another size");
	err = (struct err)ERR_INIT;
	ok(guest_mem_map(&m2, 0, MEM_BYTES, &err) < 0, "not of another file");
	err = (struct err)ERR_INIT;
	ok(guest_mem_init(&m2, 4096, &err) < 0 && guest_mem_init(&m2, 0, NULL) < 0,
		"sizes are checked");
	ok(strstr(err.msg, "not a positive multiple of 2 MiB"), "with the reason");
	guest_mem_release(&m2);
}

int main(void)
{
	struct err err = ERR_INIT;

	if (guest_mem_init(&mem, MEM_BYTES, &err) < 0) {
		ok(false, "%s", err.msg);
		return tap_done();
	}
	memory();
	places();
	round_trip();
	length_wrap();
	held();
	unpop();
	signals();
	kicks();
	turns();
	copies();
	indirect();
	eq_str(vfault_name(VFAULT_DESC_LOOP), "descriptor loop", "faults have names");
	ok(!strcmp(vfault_name(0), "unknown") && !strcmp(vfault_name(VFAULTS), "unknown") &&
			!strcmp(vfault_name((enum vfault) - 1), "unknown"),
		"what is none has not");
	guest_mem_release(&mem);
	return tap_done();
}
