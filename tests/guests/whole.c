/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver's whole round, again and again, by two processors: each device is started, used, reset and started again,
 * one half of them by the one while the other has the other half; in the next round they change. `once` on the command
 * line: two rounds only. What the VMM holds at the end must be the same then.
 */
#include <string.h>

#include "lib/base.h"
#include "tests/guests/guest.h"

#define ROUNDS     60
#define REQUESTS   4
#define PART_BYTES 0x400000ull /* of memory, for each device */

#define FIRST  0
#define SECOND 1

static struct drv *dev[VDEV_QUEUES_MAX];
static unsigned n_devs;
static volatile unsigned round_no, second_done; /* the second has finished its part of that round */

static void part_of(unsigned who)
{
	for (unsigned i = 0; i < n_devs; i++) {
		struct drv *d = dev[i];

		if ((i + round_no) % 2 != who)
			continue;
		guest_must_work(d, "a whole round");
		for (unsigned k = 0; k < REQUESTS; k++)
			if (!drv_valid(d))
				guest_wrong("whole: %s: request %u", d->row->ops->name, k);
		drv_reset(d);
		guest_must_work(d, "a reset");
		drv_reset(d);
	}
}

static bool has_round(void)
{
	return second_done != round_no;
}

static bool is_done(void)
{
	return second_done == round_no;
}

static void second(void *arg)
{
	guest_wait_for(SECOND, has_round);
	part_of(SECOND);
	__atomic_store_n(&second_done, round_no, __ATOMIC_RELEASE);
	guest_wake(FIRST);
}

void guest_main(const char *word)
{
	unsigned rounds = strcmp(word, "once") ? ROUNDS : 2;

	for (; guest_rows[n_devs]; n_devs++) {
		dev[n_devs] = guest_device(guest_rows[n_devs]->ops->name);
		dev[n_devs]->alloc_base = GUEST_DMA + n_devs * PART_BYTES;
		drv_reset(dev[n_devs]);
	}
	if (!guest_second(second, NULL))
		guest_wrong("whole: this KVM starts no second processor");
	for (unsigned i = 0; i < rounds; i++) {
		__atomic_store_n(&round_no, i + 1, __ATOMIC_RELEASE);
		guest_wake(SECOND);
		part_of(FIRST);
		guest_wait_for(FIRST, is_done);
	}
	guest_pass("whole: %u rounds", rounds);
}
