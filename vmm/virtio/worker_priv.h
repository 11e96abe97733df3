/* SPDX-License-Identifier: Apache-2.0 */
/* Between worker.c, which serves, and worker_start.c, which starts and ends. */
#ifndef VMM_VIRTIO_WORKER_PRIV_H
#define VMM_VIRTIO_WORKER_PRIV_H

#include <pthread.h>

#include "lib/base.h"
#include "vmm/virtio/worker.h"

/* epoll data of our own descriptors; a device's own is below VDEV_DATA_MAX. */
#define OWN_BIT    BIT64(63)
#define DATA_CTL   (OWN_BIT | 1)
#define DATA_WAKE  (OWN_BIT | 2)
#define DATA_KICK  (OWN_BIT | 0x100) /* + queue */
#define IS_KICK(d) ((d) >= DATA_KICK && (d) < DATA_KICK + VDEV_QUEUES_MAX)

struct worker_thread {
	struct worker *w;
	unsigned index;
	pthread_t pthread;
	bool created;
	int epoll_fd, wake_fd;
	uint32_t own;      /* the queues of this thread, a bit each */
	uint32_t pending;  /* this thread only: queues to kick in this turn, a bit each */
	atomic_bool stale; /* the batch of events at hand may name fds that are gone */
	struct err err;    /* why it did not start; read after the barrier */
};

struct worker {
	struct vdev *dev;
	const struct worker_jail *jail;
	unsigned n;
	struct worker_thread thread[VDEV_THREADS_MAX];
	atomic_bool stop;
	atomic_bool faulted; /* no queue is touched until a reset */

	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t changed;
	unsigned reported,
		ready;   /* start barrier: threads that said how it went; that it went well */
	bool go;         /* all are ready: serve */
	bool held;       /* thread 0 wants the others to stay out of the device */
	unsigned inside; /* threads other than 0 that are in the device */
	unsigned gone;   /* threads other than 0 that have left for good */
	bool over;       /* thread 0 has left, as the last */
	bool freed;      /* worker_free() was called */
};

/* Serves until w->stop. */
void worker_serve(struct worker_thread *t);
int worker_epoll_ctl(int epoll_fd, int op, int fd, uint32_t events, uint64_t data);

#endif
