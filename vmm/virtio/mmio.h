/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-mmio transport, version 2 (VIRTIO 1.2, 4.2), VMM side: the registers of one device, read and
 * written by vCPU threads on MMIO exits. It knows the device only by struct vmmio_info and talks to its
 * worker over the control socket. Queue notifications normally never come here (ioeventfd).
 */
#ifndef VMM_VIRTIO_MMIO_H
#define VMM_VIRTIO_MMIO_H

#include <pthread.h>
#include <stdint.h>

#include "vmm/virtio/device.h"

#define VMMIO_WINDOW_BYTES 0x1000

struct vmmio_info {
	uint32_t device_id;
	uint32_t n_queues;
	uint16_t queue_size_max;
	uint64_t features; /* all that are offered */
	uint32_t config_len;
	uint8_t config[VDEV_CONFIG_MAX];
	uint8_t config_writable[VDEV_CONFIG_MAX]; /* mask: bits the driver may change */
};

struct vmmio {
	struct vmmio_info info;
	struct vdev_shared *shared;
	int ctl_fd, irq_fd, fault_fd; /* borrowed */
	int kick_fd[VDEV_QUEUES_MAX]; /* borrowed: for a notify that comes as an exit */
	pthread_mutex_t lock;         /* vCPUs race on the registers; protects all below */
	uint32_t status, device_features_sel, driver_features_sel, queue_sel, shm_sel, generation;
	uint64_t driver_features;
	struct virtq_config queue[VDEV_QUEUES_MAX];
	bool worker_active;
};

void vmmio_init(struct vmmio *t, const struct vmmio_info *info, struct vdev_shared *shared,
	int ctl_fd, int irq_fd, int fault_fd, const int *kick_fd);
void vmmio_release(struct vmmio *t);

/* One access of len bytes (1, 2, 4 or 8; any other value is ignored / reads as zeros) at offset off of the
 * window. Bad accesses never fail: reads give 0, writes do nothing. */
void vmmio_read(struct vmmio *t, uint64_t off, void *data, uint32_t len);
void vmmio_write(struct vmmio *t, uint64_t off, const void *data, uint32_t len);
/* Changes config bytes (host side), bumps the generation, raises the config interrupt. */
void vmmio_set_config(struct vmmio *t, uint32_t off, const void *data, uint32_t len);

#endif
