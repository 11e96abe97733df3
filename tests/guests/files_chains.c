/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths that lie, buffers in pieces and over each other, FORGETs, sessions, and as many requests as the rings hold. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/guests/files.h"

#define BIG_BYTES 65536u
#define PIECES    256u
#define NAME      FUSE_STRING("plain")
#define REPLY     (FUSE_OUT_HEADER + (uint32_t)sizeof(struct fuse_entry_out))

static struct fuse_in_header *header(void)
{
	return (void *)fuse_in_gpa;
}

/* A LOOKUP that is right but for its length. */
static int length_says(uint32_t len)
{
	uint32_t sent = fuse_put(FUSE_LOOKUP, files_rootfs, FUSE_ARGS(NAME));
	struct drv_buf bufs[2] = {
		{.gpa = fuse_in_gpa, .len = sent}, {.gpa = fuse_out_gpa, .len = REPLY, .in = true}};

	header()->len = len;
	return fuse_send(files_dev, bufs, 2, fuse_out_gpa);
}

static void header_lengths(void)
{
	const uint32_t right = FUSE_HEADER + 6;
	static const uint32_t lens[] = {0, 1, FUSE_HEADER - 1, FUSE_HEADER, FUSE_HEADER + 5,
		FUSE_HEADER + 7, 4096, 0x7fffffff, 0x80000000, 0xffffffff};
	int e;

	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++)
		files_want("a header's length", "wrong", length_says(lens[i]), EINVAL);
	files_want("a header's length", "right", length_says(right), 0);
	fuse_put(FUSE_LOOKUP, files_rootfs, FUSE_ARGS(NAME));
	header()->total_extlen = 8;
	e = fuse_send(files_dev,
		(struct drv_buf[]){{.gpa = fuse_in_gpa, .len = right},
			{.gpa = fuse_out_gpa, .len = REPLY, .in = true}},
		2, fuse_out_gpa);
	files_want("extensions", "that are not there", e, EINVAL);
}

static void io_sizes(void)
{
	static const uint32_t sizes[] = {0, 3, 5, 4096, 0x7fffffff, 0xffffffff};
	static const uint64_t offsets[] = {1ull << 63, ~0ull, ~0ull - 3};
	struct fuse_read_in rd = {.fh = fuse_open(files_dev, FUSE_OPEN, files_plain, O_RDWR)};
	struct fuse_write_in wr = {.fh = rd.fh, .size = 4};
	struct fuse_fallocate_in fa = {.fh = rd.fh, .length = 1};
	struct fuse_lseek_in ls = {.fh = rd.fh, .whence = SEEK_DATA};

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		wr.size = sizes[i];
		files_want("WRITE", "of another size than it has",
			files_ask(FUSE_WRITE, files_plain, FUSE_ARGS(FUSE_STRUCT(wr), {"abcd", 4})),
			EINVAL);
		rd.size = sizes[i];
		files_want("READ", "of more than there is room for",
			fuse_ask(files_dev, FUSE_READ, files_plain, FUSE_ARGS(FUSE_STRUCT(rd)), 4),
			sizes[i] <= 4 ? 0 : EINVAL);
	}
	wr.size = rd.size = 4;
	for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++) {
		wr.offset = rd.offset = fa.offset = ls.offset = offsets[i];
		files_want("WRITE", "at a negative offset",
			files_ask(FUSE_WRITE, files_plain, FUSE_ARGS(FUSE_STRUCT(wr), {"abcd", 4})),
			EINVAL);
		files_want("READ", "at a negative offset",
			files_ask(FUSE_READ, files_plain, FUSE_ARGS(FUSE_STRUCT(rd))), EINVAL);
		files_want("FALLOCATE", "at a negative offset",
			files_ask(FUSE_FALLOCATE, files_plain, FUSE_ARGS(FUSE_STRUCT(fa))), EINVAL);
		files_want("LSEEK", "to a negative offset",
			files_ask(FUSE_LSEEK, files_plain, FUSE_ARGS(FUSE_STRUCT(ls))), EINVAL);
	}
}

static void value_sizes(void)
{
	static const uint32_t sizes[] = {0, 3, 5, 65537, 0xffffffff};
	struct fuse_setxattr_in set = {0};
	struct fuse_getxattr_in list = {.size = 0xffffffff};
	struct fuse_read_in rd = {
		.fh = fuse_open(files_dev, FUSE_OPENDIR, files_rootfs, 0), .size = 16};

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		set.size = sizes[i];
		files_want("SETXATTR", "of another size than it has",
			files_ask(FUSE_SETXATTR, files_plain,
				FUSE_ARGS(FUSE_STRUCT(set), FUSE_STRING("user.a"), {"abcd", 4})),
			EINVAL);
	}
	files_want("LISTXATTR", "into all memory",
		files_ask(FUSE_LISTXATTR, files_plain, FUSE_ARGS(FUSE_STRUCT(list))), 0);
	files_want("READDIR", "into less than a name",
		files_ask(FUSE_READDIR, files_rootfs, FUSE_ARGS(FUSE_STRUCT(rd))), EINVAL);
	files_want("READDIRPLUS", "into less than a name",
		files_ask(FUSE_READDIRPLUS, files_rootfs, FUSE_ARGS(FUSE_STRUCT(rd))), EINVAL);
	rd.size = 0xffffffff;
	files_want("READDIR", "into all memory",
		files_ask(FUSE_READDIR, files_rootfs, FUSE_ARGS(FUSE_STRUCT(rd))), EINVAL);
	rd.size = 512;
	rd.offset = ~0ull;
	files_want("READDIR", "from a negative place",
		files_ask(FUSE_READDIR, files_rootfs, FUSE_ARGS(FUSE_STRUCT(rd))), EINVAL);
}

void files_sizes(void)
{
	header_lengths();
	io_sizes();
	value_sizes();
}

/* Pieces of one byte, or as many as there are. */
static unsigned cut(struct drv_buf *bufs, uint64_t gpa, uint32_t len, unsigned pieces, bool in)
{
	for (unsigned i = 0; i < pieces; i++)
		bufs[i] = (struct drv_buf){
			.gpa = gpa + i, .len = i + 1 < pieces ? 1 : len - i, .in = in};
	return pieces;
}

static bool is_plain(uint64_t reply_gpa)
{
	const struct fuse_entry_out *e = (const void *)(reply_gpa + FUSE_OUT_HEADER);

	return e->attr.size == strlen(FILES_TEXT) && e->nodeid == files_plain;
}

static void in_pieces(void)
{
	static struct drv_buf bufs[PIECES];
	uint32_t len = fuse_put(FUSE_LOOKUP, files_rootfs, FUSE_ARGS(NAME));
	unsigned n = cut(bufs, fuse_in_gpa, len, len, false);

	n += cut(bufs + n, fuse_out_gpa, REPLY, REPLY, true);
	files_want(
		"a LOOKUP", "in pieces of a byte", fuse_send(files_dev, bufs, n, fuse_out_gpa), 0);
	files_want("its reply", "in pieces of a byte", is_plain(fuse_out_gpa), true);
	/* every descriptor of the ring, and one of all in the end */
	len = fuse_put(FUSE_LOOKUP, files_rootfs, FUSE_ARGS(NAME));
	n = cut(bufs, fuse_in_gpa, len, len, false);
	n += cut(bufs + n, fuse_out_gpa, 4096, PIECES - n, true);
	files_want(
		"a LOOKUP", "in all descriptors", fuse_send(files_dev, bufs, n, fuse_out_gpa), 0);
	files_want("its reply", "in all descriptors", is_plain(fuse_out_gpa), true);
}

/* With room for `room` bytes in all. */
static int lookup_with_room(uint32_t room)
{
	struct drv_buf bufs[2] = {
		{.gpa = fuse_in_gpa, .len = fuse_put(FUSE_LOOKUP, files_rootfs, FUSE_ARGS(NAME))},
		{.gpa = fuse_out_gpa, .len = room, .in = true},
	};

	return fuse_send(files_dev, bufs, room ? 2 : 1, fuse_out_gpa);
}

/* The device fails and is started anew: that the nodes are gone then is a case as well. */
static void fails(const char *how, int got)
{
	uint64_t old = files_rootfs;

	if (got != FUSE_LOST)
		guest_wrong("files: a request with %s: error %u, but the device has to fail", how,
			(unsigned)got);
	files_want("after a reset", how, files_ask(FUSE_LOOKUP, old, FUSE_ARGS(NAME)), ESTALE);
	files_fresh();
}

void files_buffers(void)
{
	struct drv_buf half = {.gpa = fuse_in_gpa, .len = FUSE_HEADER / 2};

	in_pieces();
	files_want(
		"LOOKUP", "with room for a header only", lookup_with_room(FUSE_OUT_HEADER), EINVAL);
	files_want("LOOKUP", "with a byte too little room", lookup_with_room(REPLY - 1), EINVAL);
	files_want("LOOKUP", "with room enough", lookup_with_room(REPLY), 0);
	fails("no room for a reply", lookup_with_room(0));
	fails("one byte of room", lookup_with_room(1));
	fails("half of a header's room", lookup_with_room(FUSE_OUT_HEADER - 1));
	fuse_put(FUSE_STATFS, files_rootfs, NULL);
	fails("half a header", fuse_send(files_dev, &half, 1, fuse_out_gpa));
	/* where a reply is not owed, the room for it does no harm */
	fuse_put(FUSE_INTERRUPT, 0, FUSE_ARGS({&(struct fuse_interrupt_in){.unique = 1}, 8}));
	half.len = FUSE_HEADER + 8;
	files_want("INTERRUPT", "without room", fuse_send(files_dev, &half, 1, fuse_out_gpa), 0);
}

/* Overlaps */

/* The reply at `at` bytes from the request's begin: what was sent is what counts. */
static void over_request(const char *how, uint32_t at)
{
	struct drv_buf bufs[2] = {
		{.gpa = fuse_in_gpa, .len = fuse_put(FUSE_LOOKUP, files_rootfs, FUSE_ARGS(NAME))},
		{.gpa = fuse_in_gpa + at, .len = REPLY, .in = true},
	};

	files_want("a reply", how, fuse_send(files_dev, bufs, 2, fuse_in_gpa + at), 0);
	files_want("a reply is right", how, is_plain(fuse_in_gpa + at), true);
}

/* A reply into the rings. What becomes of the queue is the driver's fault: the device fails or not, but works
 * after a reset. READ puts file text there, LOOKUP what looks like lengths and flags. */
static void over_ring(const char *how, uint64_t gpa)
{
	struct drv_buf bufs[2] = {{.gpa = fuse_in_gpa}, {.gpa = gpa, .len = REPLY, .in = true}};

	for (unsigned i = 0; i < 4; i++) {
		bufs[0].len = fuse_put(FUSE_LOOKUP, files_rootfs, FUSE_ARGS(NAME));
		drv_put(files_dev, FUSE_QUEUE, bufs, 2);
		drv_kick_hard(files_dev, FUSE_QUEUE);
	}
	drv_reset(files_dev); /* waits for the worker */
	files_fresh();
	files_want("after a reply", how, files_ask(FUSE_LOOKUP, files_rootfs, FUSE_ARGS(NAME)), 0);
}

/* The file's text over the request that asks for it, its own length and place included. */
static void read_over_request(void)
{
	struct fuse_read_in rd = {.size = BIG_BYTES};
	uint64_t big = fuse_lookup(files_dev, files_rootfs, "big");
	struct drv_buf bufs[3];
	const char *p;

	rd.fh = fuse_open(files_dev, FUSE_OPEN, big, 0);
	bufs[0] = (struct drv_buf){
		.gpa = fuse_in_gpa, .len = fuse_put(FUSE_READ, big, FUSE_ARGS(FUSE_STRUCT(rd)))};
	bufs[1] = (struct drv_buf){.gpa = fuse_out_gpa, .len = FUSE_OUT_HEADER, .in = true};
	bufs[2] = (struct drv_buf){.gpa = fuse_in_gpa, .len = BIG_BYTES, .in = true};
	/* fuse_send() looks at the opcode, which is text now */
	if (drv_call(files_dev, FUSE_QUEUE, bufs, 3) != FUSE_OUT_HEADER + BIG_BYTES)
		guest_wrong("files: READ over its own request is not answered");
	p = (const char *)fuse_in_gpa;
	files_want("READ", "over its own request",
		!memcmp(p, "0123456789abcdef", 16) && !memcmp(p + BIG_BYTES - 16, p, 16), true);
}

/* All pieces of the reply at one place: the last byte wins, and nothing else is touched. */
static void all_at_one_place(void)
{
	static struct drv_buf bufs[1 + REPLY];
	uint8_t *p = (uint8_t *)fuse_out_gpa;
	unsigned n = 1;

	memset(p, 0xa5, 64);
	bufs[0] = (struct drv_buf){
		.gpa = fuse_in_gpa, .len = fuse_put(FUSE_LOOKUP, files_rootfs, FUSE_ARGS(NAME))};
	for (unsigned i = 0; i < REPLY; i++)
		bufs[n++] = (struct drv_buf){.gpa = fuse_out_gpa + 8, .len = 1, .in = true};
	files_want("a reply", "in one byte",
		drv_call(files_dev, FUSE_QUEUE, bufs, n) == REPLY && p[7] == 0xa5 && p[9] == 0xa5,
		true);
}

void files_overlaps(void)
{
	struct drv_queue *q = &files_dev->q[FUSE_QUEUE];

	over_request("in its request's place", 0);
	over_request("over its request's end", 8);
	over_request("over its request's name", FUSE_HEADER);
	over_request("behind its request in the same page", FUSE_HEADER + 6);
	read_over_request();
	all_at_one_place();
	over_ring("over the descriptors", q->desc_gpa);
	over_ring("over the available ring", q->avail_gpa);
	over_ring("over the used ring", q->used_gpa);
	over_ring("over another queue", files_dev->q[0].desc_gpa);
	over_ring("over the next queue's used ring",
		files_dev->q[files_dev->dev.n_queues - 1].used_gpa);
}

/* FORGET */

static void forget_one(uint64_t node, uint64_t n)
{
	struct fuse_forget_in in = {.nlookup = n};

	files_ask(FUSE_FORGET, node, FUSE_ARGS(FUSE_STRUCT(in)));
}

static int getattr(uint64_t node)
{
	struct fuse_getattr_in in = {0};

	return files_ask(FUSE_GETATTR, node, FUSE_ARGS(FUSE_STRUCT(in)));
}

static void batch_forget(const char *how, uint32_t count, uint32_t sent)
{
	static struct fuse_forget_one one[4096];
	struct fuse_batch_forget_in in = {.count = count};
	uint64_t dir = fuse_lookup(files_dev, files_rootfs, "dir");

	for (unsigned i = 0; i < ARRAY_SIZE(one); i++)
		one[i] = (struct fuse_forget_one){
			.nodeid = i ? i * 0x10001ull : dir, .nlookup = ~0ull};
	files_ask(FUSE_BATCH_FORGET, 0, FUSE_ARGS(FUSE_STRUCT(in), {one, sent}));
	files_want("BATCH_FORGET", how, getattr(dir), count && sent >= sizeof(one[0]) ? ESTALE : 0);
	files_want("BATCH_FORGET leaves the root", how, getattr(FUSE_ROOT_ID), 0);
}

void files_forgets(void)
{
	static const uint64_t counts[] = {0, 1, 2, 0xffffffff, 1ull << 63, ~0ull};
	struct fuse_read_in rd = {.size = 64};
	struct fuse_forget_in cut_short = {.nlookup = 1};

	for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
		uint64_t dir = fuse_lookup(files_dev, files_rootfs, "dir");

		forget_one(dir, counts[i]);
		files_want("FORGET", "of a node", getattr(dir), counts[i] ? ESTALE : 0);
		forget_one(dir, ~0ull); /* stale by now, but for the first */
		forget_one(FUSE_ROOT_ID, counts[i]);
		files_want("FORGET", "of the root", getattr(FUSE_ROOT_ID), 0);
		forget_one(0, counts[i]);
		forget_one(~0ull, counts[i]);
		forget_one(files_plain + (1ull << 32), counts[i]);
		files_want("FORGET", "of what is no node", getattr(files_plain), 0);
	}
	files_ask(FUSE_FORGET, files_plain, FUSE_ARGS({&cut_short, 4}));
	files_want("FORGET", "cut short", getattr(files_plain), 0);
	batch_forget("of more than it has", 0xffffffff, 64);
	batch_forget("of a thousandth of what it says", 4096, 4 * 16);
	batch_forget("of half a node", 1, 8);
	batch_forget("of none", 0, 64);
	batch_forget("of nothing", 5, 0);
	batch_forget("of as many as fit", 4096, sizeof(struct fuse_forget_one) * 4095);
	rd.fh = fuse_open(files_dev, FUSE_OPEN, files_plain, 0);
	forget_one(files_plain, ~0ull);
	files_want("GETATTR", "of what is forgotten and open", getattr(files_plain), ESTALE);
	files_want("READ", "of what is forgotten and open",
		files_ask(FUSE_READ, files_plain, FUSE_ARGS(FUSE_STRUCT(rd))), 0);
}

/* Sessions */

static int init(uint32_t major, uint32_t minor)
{
	struct fuse_init_in in = {.major = major, .minor = minor, .flags = ~0u, .flags2 = ~0u};

	return files_ask(FUSE_INIT, 0, FUSE_ARGS(FUSE_STRUCT(in)));
}

void files_sessions(void)
{
	struct fuse_read_in rd = {.size = 64};

	files_want("INIT", "of version 6", init(6, 0), EPROTO);
	files_want("INIT", "of version 7.1", init(7, 1), EPROTO);
	files_want("INIT", "of version 8", init(8, 0), 0);
	files_want("its session", "goes on", getattr(files_plain), 0);
	rd.fh = fuse_open(files_dev, FUSE_OPEN, files_plain, 0);
	files_want("INIT", "a second time", init(7, 41), 0);
	files_want("a node", "of the session before", getattr(files_plain), ESTALE);
	files_want("a handle", "of the session before",
		files_ask(FUSE_READ, files_plain, FUSE_ARGS(FUSE_STRUCT(rd))), EBADF);
	files_want("DESTROY", "by a guest that goes on", files_ask(FUSE_DESTROY, 0, NULL), 0);
	files_want("LOOKUP", "after DESTROY", files_ask(FUSE_LOOKUP, FUSE_ROOT_ID, FUSE_ARGS(NAME)),
		EIO);
	files_want("READ", "after DESTROY",
		files_ask(FUSE_READ, files_plain, FUSE_ARGS(FUSE_STRUCT(rd))), EIO);
	files_want("STATFS", "after DESTROY", files_ask(FUSE_STATFS, FUSE_ROOT_ID, NULL), EIO);
	files_want("DESTROY", "twice", files_ask(FUSE_DESTROY, 0, NULL), 0);
	files_fresh();
}

/* In flight: every queue holds as many requests as it has descriptors, each by an indirect table. */

#define READ_BYTES 4096u

static void fill(unsigned q, uint64_t node, uint64_t fh, uint64_t *ret_out)
{
	struct {
		struct fuse_in_header h;
		struct fuse_read_in in;
	} m = {.h = {.len = sizeof(m), .opcode = FUSE_READ, .nodeid = node},
		.in = {.fh = fh, .size = READ_BYTES}};
	uint16_t size = files_dev->q[q].size;
	uint64_t in_gpa = drv_alloc(files_dev, sizeof(m) * size, 8);

	*ret_out = drv_alloc(files_dev, (FUSE_OUT_HEADER + READ_BYTES) * (uint64_t)size, 8);
	for (unsigned i = 0; i < size; i++) {
		struct drv_buf bufs[2] = {
			{.gpa = in_gpa + i * sizeof(m), .len = sizeof(m)},
			{.gpa = *ret_out + i * (uint64_t)(FUSE_OUT_HEADER + READ_BYTES),
				.len = FUSE_OUT_HEADER + READ_BYTES,
				.in = true},
		};

		m.h.unique = i;
		m.in.offset = i % 16 * READ_BYTES;
		memcpy((void *)bufs[0].gpa, &m, sizeof(m));
		if (drv_stage_indirect(files_dev, q, bufs, 2) < 0)
			guest_wrong("files: a queue takes fewer requests than it has descriptors");
	}
}

static unsigned answered_right(unsigned q, uint64_t out_gpa)
{
	unsigned right = 0, size = files_dev->q[q].size;
	uint32_t id, len;

	for (unsigned i = 0; i < size; i++)
		if (!drv_wait_used(files_dev, q, &id, &len, DRV_WAIT_MS))
			guest_wrong("files: the device fails at %u requests in flight", size);
	for (unsigned i = 0; i < size; i++) {
		const uint8_t *p =
			(const uint8_t *)(out_gpa + i * (uint64_t)(FUSE_OUT_HEADER + READ_BYTES));
		const struct fuse_out_header *h = (const void *)p;

		right += h->unique == i && !h->error && h->len == FUSE_OUT_HEADER + READ_BYTES &&
			 !memcmp(p + h->len - 16, "0123456789abcdef", 16);
	}
	return right;
}

void files_crowd(void)
{
	uint64_t big = fuse_lookup(files_dev, files_rootfs, "big"), out[VDEV_QUEUES_MAX];
	uint64_t fh = fuse_open(files_dev, FUSE_OPEN, big, 0);
	unsigned n = files_dev->dev.n_queues;
	struct drv_queue *q = &files_dev->q[FUSE_QUEUE];

	for (unsigned i = 0; i < n; i++)
		fill(i, big, fh, &out[i]);
	for (unsigned i = 0; i < n; i++) {
		drv_publish(files_dev, i);
		drv_kick_hard(files_dev, i);
	}
	for (unsigned i = 0; i < n; i++)
		files_want("as many READs as descriptors", "at once",
			(int)answered_right(i, out[i]), files_dev->q[i].size);
	/* more than the ring can hold */
	__atomic_store_n(&q->avail->idx, (uint16_t)(q->published + q->size + 1), __ATOMIC_RELEASE);
	drv_kick_hard(files_dev, FUSE_QUEUE);
	guest_must_fail(files_dev, "more requests than the ring holds");
	files_fresh();
	files_want("more requests than the ring holds", "and a reset", getattr(files_plain), 0);
}
