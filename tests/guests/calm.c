/* SPDX-License-Identifier: Apache-2.0 */
/* A well-behaved guest: starts every device again and again and wants every request answered. It is the neighbour of
 * a hostile one. */
#include "tests/guests/guest.h"

#define ROUNDS 20

void guest_main(const char *word)
{
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned r = 0; guest_rows[r]; r++) {
			struct drv *d = guest_device(guest_rows[r]->ops->name);

			guest_must_work(d, "nothing");
			for (unsigned i = 0; i < 5; i++)
				if (!drv_valid(d))
					guest_wrong("%s: request %u", d->row->ops->name, i);
			drv_reset(d);
		}
	guest_pass("calm: all answered");
}
