/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/faultlog.h"

#include <stdio.h>

#include "lib/base.h"
#include "vmm/virtio/fault.h"

void faultlog_init(struct faultlog *f, int fd)
{
	*f = (struct faultlog){.fd = fd, .pause_ms = FAULTLOG_PAUSE_MS};
}

void faultlog_add(struct faultlog *f, const char *name, struct vdev_shared *shared)
{
	BUG_ON(f->n == ARRAY_SIZE(f->device));
	f->device[f->n++] = (struct faultlog_device){.name = name, .shared = shared};
}

static void tell(struct log *log, const char *name, uint32_t why, uint32_t times)
{
	char often[32] = "";

	if (times > 1)
		snprintf(often, sizeof(often), ", %u times", times);
	if (why == VDEV_MUTE)
		log_write(log, LOG_LEVEL_WARNING,
			"device %s failed: its worker does not answer: it is lost to the guest%s",
			name, often);
	else
		log_write(log, LOG_LEVEL_WARNING,
			"device %s failed: the guest's driver broke the rules and has to reset it "
			"(%s)%s",
			name, vfault_name(why), often);
}

uint32_t faultlog_tell(struct faultlog *f, struct log *log)
{
	uint32_t pause = 0;

	for (unsigned i = 0; i < f->n; i++) {
		struct faultlog_device *d = &f->device[i];

		for (uint32_t why = 0; why < VFAULTS; why++) {
			uint32_t count = atomic_load(&d->shared->faults[why]);

			if (count == d->told[why])
				continue;
			tell(log, d->name, why, count - d->told[why]);
			d->told[why] = count;
			pause = f->pause_ms;
		}
	}
	if (pause)
		f->pause_ms = MIN(2 * f->pause_ms, (uint32_t)FAULTLOG_PAUSE_MAX_MS);
	return pause;
}
