/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "tests/device/rows.h"
#include "vmm/virtio/devices.h"

static unsigned request(struct drv *d, struct drv_buf bufs[DRV_BUFS_MAX])
{
	bufs[0] = (struct drv_buf){.gpa = drv_alloc(d, 48, 1), .len = 48, .in = true};
	bufs[1] = (struct drv_buf){.gpa = drv_alloc(d, 16, 1), .len = 16, .in = true};
	return 2;
}

/* 64 random bytes: a zero octet in every place of either buffer happens once in 2^128 runs. */
static bool check(struct drv *d, const struct drv_buf *bufs, unsigned n, uint32_t used_len)
{
	static const uint8_t zeros[64];

	for (unsigned i = 0; i < n; i++)
		if (!memcmp(drv_ptr(d, bufs[i].gpa, bufs[i].len), zeros, bufs[i].len))
			return false;
	return used_len == 64;
}

const struct device_row row_rng = {
	.ops = &vdev_rng,
	.queue = 0,
	.request = request,
	.check = check,
};
