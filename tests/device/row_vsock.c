/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/proto.h"
#include "tests/device/rows.h"
#include "vmm/virtio/devices.h"

static void setup(struct drv *d)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		drv_die("socketpair: %s", strerror(errno));
	d->dev.env.cmd_fd = pair[0];
	d->cmd_fd = pair[1];
	d->info.config_len = sizeof(uint64_t);
	d->info.config[0] = PROTO_GUEST_CID;
}

/* A reset for a stream that is not there: the packet that asks for no answer, in two unequal
 * pieces. */
static unsigned request(struct drv *d, struct drv_buf bufs[DRV_BUFS_MAX])
{
	struct virtio_vsock_hdr h = {
		.src_cid = htole64(PROTO_GUEST_CID),
		.dst_cid = htole64(VMADDR_CID_HOST),
		.src_port = htole32(4000),
		.dst_port = htole32(5000),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(VIRTIO_VSOCK_OP_RST),
	};
	uint32_t first = 10, second = sizeof(h) - 10;

	bufs[0] = (struct drv_buf){.gpa = drv_alloc(d, first, 1), .len = first};
	bufs[1] = (struct drv_buf){.gpa = drv_alloc(d, second, 1), .len = second};
	memcpy(drv_ptr(d, bufs[0].gpa, first), &h, first);
	memcpy(drv_ptr(d, bufs[1].gpa, second), (char *)&h + first, second);
	return 2;
}

static bool check(struct drv *d, const struct drv_buf *bufs, unsigned n, uint32_t used_len)
{
	return used_len == 0;
}

const struct device_row row_vsock = {
	.ops = &vdev_vsock,
	.queue = 1,
	.mem_bytes = 16u << 20,
	.setup = setup,
	.request = request,
	.check = check,
};
