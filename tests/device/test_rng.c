/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>

#include "tests/device/rows.h"
#include "tests/tap.h"

static struct drv d;

static void sizes(void)
{
	struct drv_buf big = {.gpa = drv_alloc(&d, 65536, 16), .len = 65536, .in = true};
	struct drv_buf one = {.gpa = drv_alloc(&d, 1, 1), .len = 1, .in = true};
	uint8_t *p = drv_ptr(&d, big.gpa, big.len);

	eq_int(drv_call(&d, 0, &one, 1), 1, "one byte asked, one byte given");
	eq_int(drv_call(&d, 0, &big, 1), 4096, "64 KiB asked, 4 KiB given");
	ok(p[4096] == 0 && !memcmp(p + 4096, p + 4097, 61000), "nothing behind them is touched");
}

static void rules(void)
{
	struct drv_buf out = {.gpa = drv_alloc(&d, 16, 1), .len = 16};

	drv_put(&d, 0, &out, 1);
	drv_kick(&d, 0);
	ok(drv_wait_needs_reset(&d, DRV_WAIT_MS), "a readable buffer is a fault");
	eq_int(d.shared->failed, VFAULT_REQUEST, "of the request");
	ok(drv_start(&d, ~0ull) && drv_valid(&d), "works again after a reset");
}

int main(void)
{
	drv_open(&d, &row_rng);
	eq_int(drv_rd(&d, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_RNG, "device id");
	ok(drv_start(&d, ~0ull), "starts");
	ok(drv_valid(&d), "random bytes come");
	sizes();
	for (int i = 0; i < 1000; i++)
		if (!drv_valid(&d)) {
			ok(false, "request %d", i);
			break;
		}
	ok(drv_valid(&d), "and after a thousand requests");
	rules();
	drv_close(&d);
	return tap_done();
}
