/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE requests from a driver that knows no rules: every opcode there is and many there are not, with garbage behind
 * the header, with lengths that lie in each direction, with no place or too little for the answer; before FUSE_INIT and
 * after. Each must come back, or the device must fail; the server must work afterwards.
 */
#include <linux/fuse.h>
#include <string.h>

#include "lib/base.h"
#include "tests/guests/guest.h"

#define Q_REQUEST 1
#define BODY      256u
#define ROOM      4096u

static struct drv *d;
static uint64_t in_gpa, out_gpa;
static unsigned answered, failed;
static uint32_t seed = 0x2545f491;

static uint32_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

static void fresh(bool init)
{
	if (init && !guest_started(d))
		guest_wrong("fs does not start");
	if (!init) {
		drv_negotiate(d, ~0ull);
		for (unsigned q = 0; q < d->dev.n_queues; q++)
			drv_queue_setup(d, q, 0);
		drv_driver_ok(d);
	}
	in_gpa = drv_alloc(d, sizeof(struct fuse_in_header) + BODY, 8);
	out_gpa = drv_alloc(d, ROOM, 8);
}

/* `said` is what the header tells, `sent` what is behind it in truth; `room` 0: no buffer for an answer. */
static void request(uint32_t opcode, uint32_t said, uint32_t sent, uint32_t room, bool init)
{
	struct fuse_in_header *h = drv_ptr(d, in_gpa, sizeof(*h) + BODY);
	uint32_t *body = (uint32_t *)(h + 1);
	struct drv_buf bufs[2] = {
		{.gpa = in_gpa, .len = (uint32_t)sizeof(*h) + sent},
		{.gpa = out_gpa, .len = room, .in = true},
	};

	for (unsigned i = 0; i < sent / 4; i++)
		body[i] = rnd() & (rnd() & 1 ? 0xffffffff : 0x3f);
	*h = (struct fuse_in_header){.len = said,
		.opcode = opcode,
		.unique = 1000 + opcode,
		.nodeid = rnd() & 1 ? FUSE_ROOT_ID : rnd(),
		.uid = rnd(),
		.gid = rnd(),
		.pid = rnd()};
	if (drv_call(d, Q_REQUEST, bufs, room ? 2 : 1) >= 0) {
		answered++;
		return;
	}
	if (!drv_needs_reset(d))
		guest_wrong("fs: opcode %u: a request is lost", opcode);
	failed++;
	fresh(init);
}

/* FUSE_DESTROY and FUSE_INIT are no different: whoever sends them out of turn gets an error. */
static void sweep(bool init)
{
	static const uint32_t wild[] = {4096, 0xffff, 0x10000, 0x7fffffff, 0xffffffff};
	const uint32_t h = sizeof(struct fuse_in_header);

	fresh(init);
	for (uint32_t i = 0; i < 64 + ARRAY_SIZE(wild); i++) {
		uint32_t op = i < 64 ? i : wild[i - 64];

		request(op, h + 128, 128, ROOM, init);
		request(op, h, 0, ROOM, init);         /* nothing behind the header */
		request(op, h + 129, 128, ROOM, init); /* says more than it sends */
		request(op, h + 8, 64, ROOM, init);    /* sends more than it says */
		request(op, 0xffffffff, 16, ROOM, init);
		request(op, 0, 64, ROOM, init);
		request(op, h + 64, 64, 0, init);  /* no room for an answer */
		request(op, h + 64, 64, 15, init); /* less than its header */
		request(op, h + 64, 64, 16, init);
	}
}

/* What is shorter than a header. */
static void stubs(void)
{
	for (uint32_t len = 1; len < sizeof(struct fuse_in_header); len += 13) {
		struct drv_buf b[2] = {
			{.gpa = in_gpa, .len = len}, {.gpa = out_gpa, .len = ROOM, .in = true}};

		if (drv_call(d, Q_REQUEST, b, 2) >= 0)
			continue;
		if (!drv_needs_reset(d))
			guest_wrong("fs: a stub of %u bytes is lost", len);
		fresh(true);
	}
}

void guest_main(const char *word)
{
	d = guest_device("fs");
	guest_must_work(d, "nothing");
	sweep(false);
	sweep(true);
	stubs();
	guest_must_work(d, "garbage");
	guest_pass("requests: %u answered, %u failures", answered, failed);
}
