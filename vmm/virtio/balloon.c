/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon (VIRTIO 1.2, 5.5), for one purpose: pages the guest does not use go back to the host,
 * by punching holes into the memory file. Free page reporting does that all the time, on the
 * guest's own initiative; inflating does it too, though we never ask for it (num_pages stays 0).
 *
 * Queues: 0 inflate, 1 deflate, 2 reporting. 5.5.2 gives reporting the number 4, after statistics
 * and free page hints; but Linux and QEMU number only the queues that exist, and so do we, offering
 * neither of the two (Linux: vm_find_vqs() counts up for queues with a name only).
 *
 * A guest can only hurt itself here: a hole reads as zeros and lies in its own memory. Holes are
 * whole 4 KiB pages inside one buffer or one run of page numbers.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>

#include "lib/base.h"
#include "vmm/virtio/devices.h"

enum { Q_INFLATE, Q_DEFLATE, Q_REPORT, BALLOON_QUEUES };

#define PAGE_BYTES (1ull << VIRTIO_BALLOON_PFN_SHIFT)
#define PFNS_MAX   1024 /* page numbers in one request; Linux sends 256 at most */

struct balloon {
	__le32 pfn[PFNS_MAX];
	struct virtq_chain chain;
};

static int balloon_init(struct vdev *dev, struct err *err)
{
	if (dev->env.fd[BALLOON_FD_MEM] < 0)
		return err_plain(err, EINVAL, "the balloon has no memory file to work on");
	dev->priv = calloc(1, sizeof(struct balloon));
	if (!dev->priv)
		return err_set(err, ENOMEM, "cannot create the balloon");
	dev->n_queues = BALLOON_QUEUES;
	dev->n_threads = 1;
	return 0;
}

static void balloon_release(struct vdev *dev)
{
	free(dev->priv);
	dev->priv = NULL;
}

/* Gives the whole pages within [hva, hva+len) back. False: not guest memory. A host that can't
 * punch holes just keeps the pages: nothing the guest could do about it. */
static bool give_back(struct vdev *dev, const void *hva, uint64_t len)
{
	uint64_t off, from, to;

	if (!mem_fd_offset(dev->env.mem, hva, len, &off))
		return false;
	from = (off + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	to = (off + len) & ~(PAGE_BYTES - 1);
	if (from < to) /* fallocate: the only call by which this device changes anything */
		fallocate(dev->env.fd[BALLOON_FD_MEM], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)from, (off_t)(to - from));
	return true;
}

/* 5.5.6.7: the buffers themselves are the free pages. */
static int report(struct vdev *dev, const struct virtq_chain *c)
{
	if (c->n_out || !c->n_in)
		return -VFAULT_REQUEST;
	for (unsigned i = 0; i < c->n_in; i++)
		if (!give_back(dev, c->iov[i].iov_base, c->iov[i].iov_len))
			return -VFAULT_REQUEST;
	return 0;
}

/* 5.5.6.1: an array of page numbers. One that is not in memory is a fault, like any address that is
 * not. */
static int inflate(struct vdev *dev, const struct virtq_chain *c)
{
	struct balloon *b = dev->priv;
	uint32_t n = c->out_bytes / sizeof(b->pfn[0]), i = 0;

	if (c->n_in || c->out_bytes % sizeof(b->pfn[0]) || n > PFNS_MAX ||
		!chain_read(c, 0, b->pfn, c->out_bytes))
		return -VFAULT_REQUEST;
	while (i < n) {
		uint64_t pfn = le32toh(b->pfn[i]), run = 1;
		const void *hva;

		while (i + run < n && le32toh(b->pfn[i + run]) == pfn + run)
			run++;
		hva = mem_at(dev->env.mem, pfn * PAGE_BYTES, run * PAGE_BYTES);
		if (!hva || !give_back(dev, hva, run * PAGE_BYTES))
			return -VFAULT_REQUEST;
		i += (uint32_t)run;
	}
	return 0;
}

static int balloon_kick(struct vdev *dev, unsigned q)
{
	struct balloon *b = dev->priv;
	struct virtq *vq = &dev->vq[q];
	int r;

	while ((r = virtq_pop(vq, &b->chain)) > 0) {
		int bad = 0;

		/* Deflating asks nothing of us: the pages come back by being touched. */
		if (q == Q_INFLATE)
			bad = inflate(dev, &b->chain);
		else if (q == Q_REPORT)
			bad = report(dev, &b->chain);
		else if (b->chain.n_in)
			bad = -VFAULT_REQUEST;
		if (bad < 0)
			return bad;
		virtq_push(vq, b->chain.head, 0);
	}
	if (virtq_should_signal(vq))
		vdev_signal(dev);
	return r;
}

const struct vdev_ops vdev_balloon = {
	.name = "balloon",
	.device_id = VIRTIO_ID_BALLOON,
	.queue_size = 64,
	.features = BIT64(VIRTIO_BALLOON_F_REPORTING) | BIT64(VIRTIO_BALLOON_F_DEFLATE_ON_OOM),
	.init = balloon_init,
	.release = balloon_release,
	.kick = balloon_kick,
};
