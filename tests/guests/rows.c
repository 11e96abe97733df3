/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of a VM as a guest sees them, with one valid request each: what tests/device/row_*.c are to the fake
 * driver, without the host's side. */
#include <linux/errno.h>
#include <linux/fuse.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <linux/vm_sockets.h>
#include <string.h>

#include "lib/base.h"
#include "lib/proto.h"
#include "tests/guests/guest.h"

static struct drv_buf copy_out(struct drv *d, const void *p, uint32_t len)
{
	struct drv_buf b = {.gpa = drv_alloc(d, len, 8), .len = len};

	memcpy(drv_ptr(d, b.gpa, len), p, len);
	return b;
}

static struct drv_buf room(struct drv *d, uint32_t len)
{
	return (struct drv_buf){.gpa = drv_alloc(d, len, 8), .len = len, .in = true};
}

static bool all_zero(const uint8_t *p, size_t n)
{
	while (n && !p[n - 1])
		n--;
	return !n;
}

static bool nothing_used(struct drv *d, const struct drv_buf *bufs, unsigned n, uint32_t used)
{
	return used == 0;
}

/* Two pages that hold something become zeros. */
static unsigned balloon_request(struct drv *d, struct drv_buf bufs[DRV_BUFS_MAX])
{
	static const uint32_t pfn[2] = {GUEST_PAGES >> 12, (GUEST_PAGES >> 12) + 1};

	memset((void *)GUEST_PAGES, 0xaa, 8192);
	bufs[0] = copy_out(d, pfn, sizeof(pfn));
	return 1;
}

static bool balloon_check(struct drv *d, const struct drv_buf *bufs, unsigned n, uint32_t used)
{
	const volatile uint64_t *p = (const uint64_t *)GUEST_PAGES;

	return used == 0 && !p[0] && !p[511] && !p[512] && !p[1023];
}

static unsigned console_request(struct drv *d, struct drv_buf bufs[DRV_BUFS_MAX])
{
	bufs[0] = copy_out(d, ".", 1);
	return 1;
}

static unsigned rng_request(struct drv *d, struct drv_buf bufs[DRV_BUFS_MAX])
{
	bufs[0] = room(d, 48);
	bufs[1] = room(d, 16);
	return 2;
}

static bool rng_check(struct drv *d, const struct drv_buf *bufs, unsigned n, uint32_t used)
{
	return used == 64 && !all_zero(drv_ptr(d, bufs[0].gpa, 48), 48) &&
	       !all_zero(drv_ptr(d, bufs[1].gpa, 16), 16);
}

/* A reset for a stream that is not there asks for no answer. */
static unsigned vsock_request(struct drv *d, struct drv_buf bufs[DRV_BUFS_MAX])
{
	struct virtio_vsock_hdr h = {
		.src_cid = PROTO_GUEST_CID,
		.dst_cid = VMADDR_CID_HOST,
		.src_port = 4000,
		.dst_port = 5000,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = VIRTIO_VSOCK_OP_RST,
	};

	bufs[0] = copy_out(d, &h, sizeof(h));
	return 1;
}

static void fs_started(struct drv *d)
{
	struct {
		struct fuse_in_header h;
		struct fuse_init_in in;
	} m = {.h = {.len = sizeof(m), .opcode = FUSE_INIT, .unique = 1},
		.in = {.major = 7, .minor = 41, .flags = ~0u}};
	struct drv_buf bufs[2];

	bufs[0] = copy_out(d, &m, sizeof(m));
	bufs[1] = room(d, 80);
	if (drv_call(d, 1, bufs, 2) != 80)
		guest_wrong("fs: FUSE_INIT is not answered");
}

static unsigned fs_request(struct drv *d, struct drv_buf bufs[DRV_BUFS_MAX])
{
	struct fuse_in_header h = {
		.len = sizeof(h) + 7, .opcode = FUSE_LOOKUP, .unique = 77, .nodeid = FUSE_ROOT_ID};

	bufs[0] = copy_out(d, &h, sizeof(h));
	bufs[1] = copy_out(d, "rootfs", 7);
	bufs[2] = room(d, 144);
	return 3;
}

static bool fs_check(struct drv *d, const struct drv_buf *bufs, unsigned n, uint32_t used)
{
	const struct fuse_out_header *out = drv_ptr(d, bufs[2].gpa, 144);

	if (out->error == -ENOENT)
		guest_wrong("fs: finds no 'rootfs' in the share: was it made?");
	return used == 144 && out->len == 144 && !out->error && out->unique == 77;
}

static const struct vdev_ops console = {.name = "console", .device_id = VIRTIO_ID_CONSOLE},
			     vsock = {.name = "vsock", .device_id = VIRTIO_ID_VSOCK},
			     fs = {.name = "fs", .device_id = VIRTIO_ID_FS},
			     rng = {.name = "rng", .device_id = VIRTIO_ID_RNG},
			     balloon = {.name = "balloon", .device_id = VIRTIO_ID_BALLOON};

/* mem_bytes is filled in by the guest: the shapes want to know where memory ends. */
static struct device_row row[] = {
	{.ops = &console, .queue = 1, .request = console_request, .check = nothing_used},
	{.ops = &vsock, .queue = 1, .request = vsock_request, .check = nothing_used},
	{.ops = &fs, .queue = 1, .started = fs_started, .request = fs_request, .check = fs_check},
	{.ops = &rng, .queue = 0, .request = rng_request, .check = rng_check},
	{.ops = &balloon, .queue = 0, .request = balloon_request, .check = balloon_check},
};

const struct device_row *const guest_rows[] = {&row[0], &row[1], &row[2], &row[3], &row[4], NULL};

void guest_rows_init(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(row); i++)
		row[i].mem_bytes = guest_low_end;
}
