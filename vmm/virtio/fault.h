/* SPDX-License-Identifier: Apache-2.0 */
/* How a worker or a transport gives a device up until the driver resets it (VIRTIO 1.2, 2.1.2). */
#ifndef VMM_VIRTIO_FAULT_H
#define VMM_VIRTIO_FAULT_H

#include <sys/eventfd.h>

#include "vmm/virtio/device.h"

/* In place of an enum vfault, in vdev_shared.faults[]: the device's worker does not answer. */
#define VDEV_MUTE 0u

/* Counts a failure for the log and tells the main loop. fault_fd -1: nobody is told. syscalls: write */
static inline void vdev_note(struct vdev_shared *s, int fault_fd, uint32_t why)
{
	atomic_fetch_add(&s->faults[why], 1);
	if (fault_fd >= 0)
		eventfd_write(fault_fd, 1); /* EAGAIN: it is to look already */
}

/* The driver broke a rule. From any thread; the caller raises the configuration interrupt. The first fault
 * since a reset is the one that counts. */
static inline void vdev_fail(struct vdev_shared *s, int fault_fd, uint32_t vfault)
{
	uint32_t none = 0;

	if (atomic_compare_exchange_strong(&s->failed, &none, vfault))
		vdev_note(s, fault_fd, vfault);
}

#endif
