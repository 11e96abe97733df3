/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of each device in each state a driver can bring it to: every offset at every width but the one that is
 * right, then every register with every nasty value. Odd accesses must read as zeros below the configuration space
 * and change nothing; after each state the device must work as if nothing had been.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "lib/base.h"
#include "tests/device/shapes.h"
#include "tests/guests/guest.h"

#define SWEEP_END  0x180u /* registers and the configuration space with some more */
#define SWEEP_TAIL 0xff0u /* then the end of the window, and over it */

static void to_reset(struct drv *d)
{
	drv_reset(d);
}

static void to_acknowledge(struct drv *d)
{
	drv_reset(d);
	drv_wr(d, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
}

static void to_driver(struct drv *d)
{
	to_acknowledge(d);
	drv_wr(d, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
}

static void to_features_ok(struct drv *d)
{
	if (!drv_negotiate(d, ~0ull))
		guest_wrong("%s does not negotiate", d->row->ops->name);
}

static void to_driver_ok(struct drv *d)
{
	if (!guest_started(d))
		guest_wrong("%s does not start", d->row->ops->name);
}

static void to_needs_reset(struct drv *d)
{
	to_driver_ok(d);
	shape_submit(d, 0xffff);
	guest_must_fail(d, "a head out of range");
}

static void to_failed(struct drv *d)
{
	to_driver(d);
	drv_wr(d, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FAILED);
}

static const struct {
	const char *name;
	void (*enter)(struct drv *d);
} states[] = {
	{"reset", to_reset},
	{"ACKNOWLEDGE", to_acknowledge},
	{"DRIVER", to_driver},
	{"FEATURES_OK", to_features_ok},
	{"DRIVER_OK", to_driver_ok},
	{"NEEDS_RESET", to_needs_reset},
	{"FAILED", to_failed},
};

static const uint32_t nasty[] = {0, 1, 2, 3, 0x40, 0xff, 0x100, 0xffff, 0x10001, 0x7fffffff,
	0x80000000u, 0xdeadbeefu, 0xffffffffu};

static void odd(struct drv *d, uint32_t off, unsigned width)
{
	uint64_t at = guest_window(d) + off, v;

	if (off < VIRTIO_MMIO_CONFIG && width == 4 && off % 4 == 0)
		return;
	v = guest_load(at, width);
	if (v && off + width <= VIRTIO_MMIO_CONFIG)
		guest_wrong("%s: %u bytes at %x read as %lx", d->row->ops->name, width, off, v);
	guest_store(at, width, ~0ull);
}

static void sweep(struct drv *d, const char *state)
{
	uint32_t status = drv_rd(d, VIRTIO_MMIO_STATUS);

	for (uint32_t off = 0; off < VMMIO_WINDOW_BYTES; off++) {
		if (off == SWEEP_END)
			off = SWEEP_TAIL;
		for (unsigned width = 1; width <= 8; width *= 2)
			odd(d, off, width);
	}
	if (drv_rd(d, VIRTIO_MMIO_STATUS) != status)
		guest_wrong("%s: odd accesses changed the status in state %s", d->row->ops->name,
			state);
}

static void nasty_values(struct drv *d, void (*enter)(struct drv *d))
{
	uint32_t status = drv_rd(d, VIRTIO_MMIO_STATUS);

	for (uint32_t reg = 0; reg < VIRTIO_MMIO_CONFIG; reg += 4) {
		for (unsigned i = 0; i < ARRAY_SIZE(nasty); i++)
			drv_wr(d, reg, nasty[i]);
		drv_rd(d, reg);
		if (drv_rd(d, VIRTIO_MMIO_STATUS) != status)
			enter(d);
	}
}

void guest_main(const char *word)
{
	for (unsigned r = 0; guest_rows[r]; r++) {
		struct drv *d = guest_device(guest_rows[r]->ops->name);

		for (unsigned i = 0; i < ARRAY_SIZE(states); i++) {
			states[i].enter(d);
			sweep(d, states[i].name);
			nasty_values(d, states[i].enter);
			guest_must_work(d, states[i].name);
		}
		drv_reset(d);
	}
	guest_pass("regs: every register in %u states", (unsigned)ARRAY_SIZE(states));
}
