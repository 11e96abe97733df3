/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <linux/virtio_balloon.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/device/rows.h"
#include "vmm/virtio/devices.h"

#define PAGES_GPA (1u << 20) /* above what the bump allocator reaches here */

static void setup(struct drv *d)
{
	d->dev.env.fd[BALLOON_FD_MEM] = d->mem.fd;
	d->info.config_len = sizeof(struct virtio_balloon_config);
	memset(&d->info.config_writable[offsetof(struct virtio_balloon_config, actual)], 0xff, 4);
}

/* Inflates two pages that hold something. */
static unsigned request(struct drv *d, struct drv_buf bufs[DRV_BUFS_MAX])
{
	static const uint32_t pfn[2] = {PAGES_GPA >> 12, (PAGES_GPA >> 12) + 1};

	memset(drv_ptr(d, PAGES_GPA, 8192), 0xaa, 8192);
	for (unsigned i = 0; i < 2; i++) {
		bufs[i] = (struct drv_buf){.gpa = drv_alloc(d, 4, 4), .len = 4};
		memcpy(drv_ptr(d, bufs[i].gpa, 4), &pfn[i], 4);
	}
	return 2;
}

static bool check(struct drv *d, const struct drv_buf *bufs, unsigned n, uint32_t used_len)
{
	static const uint8_t zeros[8192];

	return used_len == 0 && !memcmp(drv_ptr(d, PAGES_GPA, 8192), zeros, 8192);
}

const struct device_row row_balloon = {
	.ops = &vdev_balloon,
	.queue = 0,
	.setup = setup,
	.request = request,
	.check = check,
};
