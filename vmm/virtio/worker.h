/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a device (device.h) in threads of its own: epoll loop, queue ownership, activation and reset, faults.
 * The VMM side owns the other ends.
 */
#ifndef VMM_VIRTIO_WORKER_H
#define VMM_VIRTIO_WORKER_H

#include "lib/err.h"
#include "vmm/virtio/device.h"

struct worker;

/* How a worker thread shuts itself in once enter() has returned; NULL in tests. Returns 0 or -errno. */
typedef int (*worker_jail_fn)(const char *device, unsigned thread, struct err *err);

/* Starts dev's threads and waits until each has entered and jailed itself. dev->ops->init() was called.
 * On failure nothing runs. Borrows dev, which must outlive the worker. */
int worker_start(struct worker **ret_w, struct vdev *dev, worker_jail_fn jail, struct err *err);
/* Asks the threads to end and joins them (tests, orderly teardown). NULL is fine. */
void worker_free(struct worker *w);

#endif
