/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells in the log which devices had to be given up, and why: the guest's driver broke a rule of
 * VIRTIO. Workers and transports count (vmm/virtio/fault.h) and signal one eventfd; the main loop
 * writes a line per device and reason with how often it happened since the last line. A guest that
 * resets and breaks the rule again, for ever, is told of once at first, then after 1 s, 2 s, 4 s...
 * and at last every minute: nothing is left out, and the log does not fill.
 */
#ifndef VMM_FAULTLOG_H
#define VMM_FAULTLOG_H

#include <stdint.h>

#include "vmm/layout.h"
#include "vmm/log.h"
#include "vmm/virtio/device.h"

#define FAULTLOG_PAUSE_MS     1000
#define FAULTLOG_PAUSE_MAX_MS 60000

struct faultlog_device {
	const char *name;
	struct vdev_shared *shared; /* borrowed; the counters are the workers' */
	uint32_t told[VFAULTS];
};

struct faultlog {
	int fd; /* eventfd, borrowed; -1: none */
	unsigned n;
	uint32_t pause_ms; /* after the next lines */
	struct faultlog_device device[LAYOUT_DEVICES_MAX];
};

void faultlog_init(struct faultlog *f, int fd);
void faultlog_add(struct faultlog *f, const char *name, struct vdev_shared *shared);
/* Logs what is new. Returns for how many milliseconds it is not to be called again, 0: nothing was new. */
uint32_t faultlog_tell(struct faultlog *f, struct log *log);

#endif
