/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker contract. A device is a set of operations run by a worker that sees only its vdev_env: guest
 * memory, its queues, its descriptors, one control socket. It never sees struct vm, and device files
 * include this header, virtq.h and lib/ only. So a worker can be a thread (default) or a process.
 *
 * Life: init() in the VMM's main thread (allocate everything: nothing is allocated later) -> the worker
 * starts -> open() (what has a path) -> its root is taken away -> enter() in each thread (what must be
 * done from inside) -> jail -> ready. Then, driven by the transport's control messages: activate() when the driver sets DRIVER_OK,
 * kick(q) when a queue was kicked, event() when a watched fd is ready, reset() when the driver resets.
 *
 * Descriptors: a jailed worker has a table of its own, which holds env's and what it opens itself from open() on;
 * what init() opened it has not. leave() closes what the worker opened; release() touches no descriptor.
 *
 * A worker has one thread per ops->n_threads. Thread 0 serves the control socket; queue q belongs to thread
 * q % n_threads. activate() and reset() run in thread 0 while all others are held: no kick() runs meanwhile.
 * kick() and event() of different threads run at the same time.
 */
#ifndef VMM_VIRTIO_DEVICE_H
#define VMM_VIRTIO_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "vmm/mem.h"
#include "vmm/virtio/virtq.h"

#define VDEV_QUEUES_MAX  8
#define VDEV_THREADS_MAX 8
#define VDEV_FDS_MAX     8
#define VDEV_CONFIG_MAX  64

/* One page shared by the transport and the worker. Neither trusts the other's words beyond these bits. */
struct vdev_shared {
	_Atomic uint32_t
		isr; /* VIRTIO_MMIO_INT_*: worker sets, transport clears on the driver's ack */
	_Atomic uint32_t
		failed; /* enum vfault: the device wants DEVICE_NEEDS_RESET; 0 after a reset */
	_Atomic uint32_t
		faults[VFAULTS]; /* how often it failed so (fault.h): only ever counts up */
	/* fs: writes of file data to the host. Only ever count up; unequal: some are under way. */
	_Atomic uint32_t writes_begun, writes_done;
};

struct vdev_env {
	const struct guest_mem *mem;
	struct vdev_shared *shared;
	/* All eventfds are EFD_NONBLOCK: a full counter must not block a vCPU or a worker. */
	int ctl_fd; /* SOCK_SEQPACKET to the transport: struct vdev_ctl */
	int cmd_fd; /* SOCK_SEQPACKET to the VMM's main loop, device-specific messages; -1: none */
	int irq_fd; /* eventfd: irqfd of the device's interrupt */
	int fault_fd; /* eventfd to the VMM's main loop, one for all devices: look at shared->faults; -1:
			 nobody looks */
	int kick_fd[VDEV_QUEUES_MAX]; /* eventfds: ioeventfd of each queue */
	int fd[VDEV_FDS_MAX];         /* what the device works on; meaning per device, -1: none */
};

struct vdev {
	const struct vdev_ops *ops;
	struct vdev_env env;
	unsigned n_queues, n_threads;
	struct virtq vq[VDEV_QUEUES_MAX];
	uint64_t features; /* negotiated; valid while active */
	bool active;
	void *priv;            /* the device's own state */
	struct worker *worker; /* opaque: for the vdev_* helpers below */
};

struct vdev_ops {
	const char *name;    /* also thread name and policy name */
	uint32_t device_id;  /* VIRTIO_ID_* */
	uint16_t queue_size; /* power of two, at most VIRTQ_SIZE_MAX */
	uint64_t
		features; /* device-specific bits offered; the transport adds VERSION_1, INDIRECT, EVENT_IDX */

	/* Allocates dev->priv and sets n_queues, n_threads (>= 1). env is filled in. */
	int (*init)(struct vdev *dev, struct err *err);
	void (*release)(struct vdev *dev); /* also after a failed or missing init */
	/* In thread 0 of the worker, before its root is taken away and before enter(): what must be opened by a
	 * path. leave() closes it. May be NULL. */
	int (*open)(struct vdev *dev, struct err *err);
	/* In each worker thread, before its jail closes. May be NULL. */
	int (*enter)(struct vdev *dev, unsigned thread, struct err *err);
	/* At the end of each, thread 0's being the last, and also after a failed open() or enter(): closes what was
	 * opened in the worker, whose table of descriptors is its own. May be NULL. */
	void (*leave)(struct vdev *dev, unsigned thread);
	int (*activate)(struct vdev *dev); /* 0 or -VFAULT_*; may be NULL */
	/* 0 or -VFAULT_*. Also once, unasked, after activate(). A virtq_pop() that finds buffers gives 0 after
	 * some tens of chains (a turn); kick(q) then comes again by itself. */
	int (*kick)(struct vdev *dev, unsigned q);
	int (*event)(struct vdev *dev, unsigned thread, uint64_t data, uint32_t epoll_events);
	void (*reset)(struct vdev *dev); /* drop everything in flight; may be NULL */
};

/* For devices, from kick(), event(), activate() and enter(): */
void vdev_signal(struct vdev *dev); /* used-buffer interrupt */
/* Watch an fd in thread `thread`; event() gets `data`. Level-triggered EPOLL* events only, data below
 * VDEV_DATA_MAX. event() comes whether the device is active or not. 0 or -errno; -EPERM: a file that is
 * always ready (regular files, directories) can't be watched. Unwatch in the thread itself, or in activate()
 * or reset(): then no event of an unwatched fd comes any more. */
#define VDEV_DATA_MAX (1ull << 62)
int vdev_watch(struct vdev *dev, unsigned thread, int fd, uint32_t events, uint64_t data);
int vdev_rewatch(struct vdev *dev, unsigned thread, int fd, uint32_t events, uint64_t data);
void vdev_unwatch(struct vdev *dev, unsigned thread, int fd);

/* Transport -> worker, one at a time; the worker answers every message with a vdev_ctl_reply. */
enum vdev_ctl_type { VDEV_CTL_ACTIVATE = 1, VDEV_CTL_RESET };

struct vdev_ctl {
	uint32_t type; /* enum vdev_ctl_type */
	uint32_t n_queues;
	uint64_t features;
	struct virtq_config queue[VDEV_QUEUES_MAX];
};

struct vdev_ctl_reply {
	int32_t result; /* 0 or -VFAULT_* */
};

#endif
