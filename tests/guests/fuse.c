/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/guests/fuse.h"

#include <string.h>

#include "lib/base.h"

static uint64_t unique;
uint64_t fuse_in_gpa, fuse_out_gpa;

void fuse_start(struct drv *d)
{
	if (!guest_started(d))
		guest_wrong("fs does not start");
	fuse_in_gpa = drv_alloc(d, FUSE_HEADER + FUSE_ROOM, 4096);
	fuse_out_gpa = drv_alloc(d, FUSE_OUT_HEADER + FUSE_ROOM, 4096);
}

uint32_t fuse_put(uint32_t opcode, uint64_t node, const struct fuse_arg args[FUSE_ARGS_MAX])
{
	uint8_t *at = (uint8_t *)fuse_in_gpa + FUSE_HEADER;
	struct fuse_in_header h = {.opcode = opcode, .unique = ++unique, .nodeid = node, .pid = 1};

	for (unsigned i = 0; args && i < FUSE_ARGS_MAX && args[i].n; i++) {
		memcpy(at, args[i].p, args[i].n);
		at += args[i].n;
	}
	h.len = (uint32_t)((uint64_t)at - fuse_in_gpa);
	memcpy((void *)fuse_in_gpa, &h, sizeof(h));
	return h.len;
}

static bool has_no_reply(uint32_t opcode)
{
	return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT;
}

int fuse_send(struct drv *d, const struct drv_buf *bufs, unsigned n, uint64_t reply_gpa)
{
	uint32_t opcode = ((struct fuse_in_header *)fuse_in_gpa)->opcode;
	uint64_t asked = unique;
	int64_t used = drv_call(d, FUSE_QUEUE, bufs, n);
	struct fuse_out_header out;

	if (used < 0) {
		if (!drv_needs_reset(d))
			guest_wrong("fs: opcode %u: a request is lost", opcode);
		fuse_start(d);
		return FUSE_LOST;
	}
	if (has_no_reply(opcode)) {
		if (used)
			guest_wrong("fs: opcode %u has a reply", opcode);
		return 0;
	}
	memcpy(&out, (void *)reply_gpa, sizeof(out));
	if (out.len != used || out.unique != asked || out.error > 0 ||
		(out.error && out.len != sizeof(out)))
		guest_wrong("fs: opcode %u: a reply of length %u that says %u, error %u", opcode,
			(unsigned)used, out.len, (unsigned)-out.error);
	return -out.error;
}

int fuse_ask(struct drv *d, uint32_t opcode, uint64_t node,
	const struct fuse_arg args[FUSE_ARGS_MAX], uint32_t room)
{
	struct drv_buf bufs[2] = {
		{.gpa = fuse_in_gpa, .len = fuse_put(opcode, node, args)},
		{.gpa = fuse_out_gpa, .len = FUSE_OUT_HEADER + room, .in = true},
	};

	memset((void *)fuse_out_gpa, 0xa5, FUSE_OUT_HEADER);
	return fuse_send(d, bufs, 2, fuse_out_gpa);
}

const void *fuse_reply(void)
{
	return (void *)(fuse_out_gpa + FUSE_OUT_HEADER);
}

uint32_t fuse_reply_len(void)
{
	return ((struct fuse_out_header *)fuse_out_gpa)->len - FUSE_OUT_HEADER;
}

uint64_t fuse_lookup(struct drv *d, uint64_t dir, const char *name)
{
	int e = fuse_ask(d, FUSE_LOOKUP, dir, FUSE_ARGS(FUSE_STRING(name)), 256);
	uint64_t id = e ? 0 : ((const struct fuse_entry_out *)fuse_reply())->nodeid;

	if (!id)
		guest_wrong("fs: LOOKUP of '%s': error %u: was it made?", name, (unsigned)e);
	return id;
}

uint64_t fuse_open(struct drv *d, uint32_t opcode, uint64_t node, uint32_t flags)
{
	struct fuse_open_in in = {.flags = flags};
	int e = fuse_ask(d, opcode, node, FUSE_ARGS(FUSE_STRUCT(in)), 256);

	if (e)
		guest_wrong("fs: opcode %u with flags %x: error %u", opcode, flags, (unsigned)e);
	return ((const struct fuse_open_out *)fuse_reply())->fh;
}
