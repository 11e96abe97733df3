/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every shape of the fake driver's table (tests/device/shapes.c, the same object code but for the registers)
 * against every device of the VM. What each must have come to by the end is printed per device and fault, for
 * boot_test.sh to compare with the VMM's log.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "tests/device/shapes.h"
#include "tests/guests/guest.h"

#define LOOKS 50 /* reads of the status that a harmless shape must survive */

static void run_shape(struct drv *d, const struct shape *s)
{
	if (!guest_started(d))
		guest_wrong("%s: does not start before '%s'", d->row->ops->name, s->name);
	s->attack(d, s->arg);
	if (s->expect > 0)
		guest_must_fail(d, s->name);
	for (unsigned i = 0; s->expect <= 0 && s->expect != ANY && i < LOOKS; i++)
		if (drv_needs_reset(d))
			guest_wrong("%s: '%s' is a fault", d->row->ops->name, s->name);
	if (s->expect == NO_START &&
		(drv_rd(d, VIRTIO_MMIO_STATUS) &
			(VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)))
		guest_wrong("%s: '%s' starts", d->row->ops->name, s->name);
	guest_must_work(d, s->name);
}

void guest_main(const char *word)
{
	unsigned cases = 0;

	for (unsigned r = 0; guest_rows[r]; r++) {
		struct drv *d = guest_device(guest_rows[r]->ops->name);
		unsigned want[VFAULTS] = {0};

		guest_must_work(d, "nothing");
		for (unsigned i = 0; i < n_ring_shapes; i++, cases++) {
			run_shape(d, &ring_shapes[i]);
			if (ring_shapes[i].expect > 0)
				want[ring_shapes[i].expect]++;
		}
		drv_reset(d);
		for (unsigned f = 1; f < VFAULTS; f++)
			if (want[f])
				guest_say("at least %u: device %s failed (%s)", want[f],
					d->row->ops->name, vfault_name(f));
	}
	guest_pass("rings: %u cases", cases);
}
