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

/* How a worker's threads shut themselves in, in this order. 0 or -errno. */
struct worker_jail {
	/* In thread 0, before there are others, which inherit what it does: the worker's descriptors become
	 * keep[0..n), and no more; -1: none. */
	int (*own)(const char *device, const int *keep, unsigned n, struct err *err);
	/* In thread 0, behind the device's open() and before there are others, which inherit it: root, working directory
	 * and mount namespace. What of env->fd[] is a directory may lead to another copy of its mount afterwards. */
	int (*root)(const char *device, const struct vdev_env *env, struct err *err);
	/* In each thread, once enter() has returned. */
	int (*close)(const char *device, unsigned thread, struct err *err);
};

/* Starts dev's threads and waits until each has entered and jailed itself. dev->ops->init() was called.
 * jail: NULL in tests.
 * On failure nothing runs. Borrows dev, which must outlive the worker. */
int worker_start(
	struct worker **ret_w, struct vdev *dev, const struct worker_jail *jail, struct err *err);
/* A jailed worker has a table of its own: closes in the caller's what only the worker needs: its ends of the sockets, what
 * the device works on, what its threads wait for. The queues' and the interrupt's eventfds are the transport's, too. The
 * worker then ends with the process, not by worker_free(). */
void worker_leave_fds(struct worker *w);
/* Waits until all threads have ended by themselves: the other end of the control socket was closed. Before
 * worker_free(), if that is called at all. */
void worker_wait(struct worker *w);
/* Asks the threads to end and joins them (tests, orderly teardown). NULL is fine. */
void worker_free(struct worker *w);

#endif
