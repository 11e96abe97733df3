/* SPDX-License-Identifier: Apache-2.0 */
/* The file system device through its queues. What FUSE operations do is tests/unit/test_fs*.c's. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>

#include "tests/device/rows.h"
#include "tests/tap.h"
#include "vmm/virtio/devices.h"

static struct drv d;

static struct drv_buf out_buf(const void *p, uint32_t len)
{
	struct drv_buf b = {.gpa = drv_alloc(&d, len, 8), .len = len};

	memcpy(drv_ptr(&d, b.gpa, len), p, len);
	return b;
}

/* One request on queue q: header, arguments, room for `room` bytes of reply in pieces of `piece`.
 * Returns the reply's error (1: none came) and its data. */
static int call(unsigned q, uint32_t op, uint64_t node, const void *arg, uint32_t arg_len,
	void *reply, uint32_t room, uint32_t piece)
{
	struct fuse_in_header h = {
		.len = sizeof(h) + arg_len, .opcode = op, .unique = 9, .nodeid = node};
	struct fuse_out_header out;
	struct drv_buf b[DRV_BUFS_MAX];
	unsigned n = 0, first;
	int64_t used;

	b[n++] = out_buf(&h, sizeof(h));
	if (arg_len)
		b[n++] = out_buf(arg, arg_len);
	first = n;
	b[n++] = (struct drv_buf){
		.gpa = drv_alloc(&d, sizeof(out), 8), .len = sizeof(out), .in = true};
	for (uint32_t pos = 0; pos < room && n < DRV_BUFS_MAX; pos += piece) {
		uint32_t len = piece < room - pos ? piece : room - pos;

		b[n++] = (struct drv_buf){.gpa = drv_alloc(&d, len, 8), .len = len, .in = true};
	}
	used = drv_call(&d, q, b, n);
	if (used < (int64_t)sizeof(out))
		return 1;
	memcpy(&out, drv_ptr(&d, b[first].gpa, sizeof(out)), sizeof(out));
	if (out.len != used || out.unique != 9)
		return 1;
	for (unsigned i = first + 1; i < n; i++)
		memcpy((uint8_t *)reply + (i - first - 1) * piece, drv_ptr(&d, b[i].gpa, b[i].len),
			b[i].len);
	return out.error;
}

static uint64_t lookup(unsigned q, uint64_t dir, const char *name)
{
	struct fuse_entry_out e = {0};

	return call(q, FUSE_LOOKUP, dir, name, (uint32_t)strlen(name) + 1, &e, sizeof(e), 4096)
		       ? 0
		       : e.nodeid;
}

static void read_in_pieces(void)
{
	uint64_t root = lookup(1, FUSE_ROOT_ID, "rootfs"), file = lookup(2, root, "hello");
	struct fuse_open_in oi = {.flags = O_RDONLY};
	struct fuse_open_out oo = {0};
	struct fuse_read_in ri = {.size = 24};
	char data[25] = "";

	ok(root && file, "both request queues look up");
	eq_int(call(2, FUSE_OPEN, file, &oi, sizeof(oi), &oo, sizeof(oo), 64), 0, "OPEN");
	ri.fh = oo.fh;
	eq_int(call(1, FUSE_READ, file, &ri, sizeof(ri), data, 24, 1), 0,
		"READ into buffers of one byte");
	eq_str(data, "hello, guest", "the file's text");
}

static void forgets(void)
{
	struct fuse_forget_in fi = {.nlookup = 1000};
	struct fuse_in_header h = {.len = sizeof(h) + sizeof(fi), .opcode = FUSE_FORGET};
	struct fuse_getattr_in gi = {0};
	struct fuse_attr_out ao;
	struct drv_buf b[2];

	h.nodeid = lookup(1, FUSE_ROOT_ID, "rootfs");
	eq_int(call(1, FUSE_GETATTR, h.nodeid, &gi, sizeof(gi), &ao, sizeof(ao), 4096), 0,
		"GETATTR");
	b[0] = out_buf(&h, sizeof(h));
	b[1] = out_buf(&fi, sizeof(fi));
	eq_int(drv_call(&d, 0, b, 2), 0, "FORGET on the high-priority queue");
	eq_int(call(1, FUSE_GETATTR, h.nodeid, &gi, sizeof(gi), &ao, sizeof(ao), 4096), -ESTALE,
		"is done");
}

static void faults(void)
{
	struct fuse_in_header h = {.len = sizeof(h), .opcode = FUSE_STATFS, .nodeid = 1};
	struct drv_buf b = out_buf(&h, sizeof(h));

	drv_put(&d, 1, &b, 1);
	drv_kick(&d, 1);
	ok(drv_wait_needs_reset(&d, DRV_WAIT_MS),
		"a request without room for its reply is a fault");
	ok(drv_start(&d, ~0ull) && drv_valid(&d), "works again after a reset");
}

static void reset_forgets(void)
{
	uint64_t root = lookup(1, FUSE_ROOT_ID, "rootfs");
	struct fuse_getattr_in gi = {0};
	struct fuse_attr_out ao;

	ok(drv_start(&d, ~0ull), "reset and start");
	eq_int(call(1, FUSE_GETATTR, root, &gi, sizeof(gi), &ao, sizeof(ao), 4096), -ESTALE,
		"what was looked up before is stale");
}

int main(void)
{
	drv_open(&d, &row_fs);
	eq_int(drv_rd(&d, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_FS, "device id");
	ok(drv_start(&d, ~0ull), "starts");
	ok(drv_valid(&d), "looks up");
	read_in_pieces();
	forgets();
	faults();
	reset_forgets();
	drv_close(&d);
	return tap_done();
}
