/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy device (VIRTIO 1.2, 5.4): one queue of device-writable buffers, filled from
 * getrandom(2). Linux asks for 64 bytes at a time. A request of any size gets at least one byte,
 * as 5.4.6.2 demands, and at most RNG_REQUEST_MAX: the host's generator is not for rent.
 */
#include <linux/virtio_ids.h>
#include <sys/random.h>

#include "lib/base.h"
#include "vmm/virtio/devices.h"

#define RNG_REQUEST_MAX 4096
#define RNG_IOV_MAX     16 /* buffers of one request that are looked at */

static int rng_init(struct vdev *dev, struct err *err)
{
	dev->n_queues = 1;
	dev->n_threads = 1;
	return 0;
}

static void rng_release(struct vdev *dev)
{
}

/* Straight into guest memory: nobody reads these bytes but the guest. Returns the bytes written. */
static uint32_t fill(const struct virtq_chain *c)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < MIN(c->n_in, RNG_IOV_MAX) && done < RNG_REQUEST_MAX; i++) {
		const struct iovec *v = &c->iov[c->n_out + i];
		size_t want = MIN(v->iov_len, RNG_REQUEST_MAX - done);
		ssize_t n = getrandom(v->iov_base, want, 0); /* getrandom: entropy for the guest */

		if (n > 0)
			done += (uint32_t)n;
		if (n < 0 || (size_t)n < want)
			break;
	}
	return done;
}

static int rng_kick(struct vdev *dev, unsigned q)
{
	struct virtq *vq = &dev->vq[q];
	struct virtq_chain c;
	int r;

	while ((r = virtq_pop(vq, &c)) > 0) {
		/* 5.4.6.1: a driver must not place device-readable buffers into the queue. */
		if (c.n_out || !c.n_in)
			return -VFAULT_REQUEST;
		virtq_push(vq, c.head, fill(&c));
	}
	if (virtq_should_signal(vq))
		vdev_signal(dev);
	return r;
}

const struct vdev_ops vdev_rng = {
	.name = "rng",
	.device_id = VIRTIO_ID_RNG,
	.queue_size = 8,
	.init = rng_init,
	.release = rng_release,
	.kick = rng_kick,
};
