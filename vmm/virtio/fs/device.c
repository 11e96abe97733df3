/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-fs device (VIRTIO 1.2, 5.11): queue 0 is the high-priority one (FORGETs), the others
 * carry requests, one worker thread each. What the requests mean is server.c's.
 *
 * The worker runs as the host's root with these capabilities, and no other (thread.c drops the rest):
 *	CHOWN, FOWNER		SETATTR, and giving new files to the guest's users
 *	DAC_OVERRIDE		the guest kernel has checked permissions; the host's view of them is root's
 *	DAC_READ_SEARCH		open_by_handle_at(2): nodes whose descriptor was closed
 *	FSETID			keeps set-id bits where the guest's caller may keep them
 *	MKNOD			device nodes and whiteouts
 *	SETFCAP			security.capability
 * System calls: docs/fs.md.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "vmm/virtio/devices.h"
#include "vmm/virtio/fs/server.h"

#define NOFILE_WANTED \
	(1u << 19)     /* descriptors: overlayfs needs one for every file the guest knows */
#define SIGNAL_BATCH 8 /* replies that may wait for others before the driver is told */

struct fs_device {
	struct fs_server server;
	struct fs_thread thread[FS_REQUEST_THREADS];
};

/* As many descriptors as we may have. Best effort: with fewer the guest meets ENFILE earlier, and
 * fs_server_init() divides what there is. setrlimit(2): in init(), before any jail. */
static void raise_nofile(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return;
	if (rl.rlim_max < NOFILE_WANTED) {
		struct rlimit more = {NOFILE_WANTED, NOFILE_WANTED};

		if (setrlimit(RLIMIT_NOFILE, &more) == 0) /* CAP_SYS_RESOURCE */
			return;
	}
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

static int fs_init(struct vdev *dev, struct err *err)
{
	struct fs_device *d = calloc(1, sizeof(*d));
	int r;

	dev->n_queues = 1 + FS_REQUEST_THREADS;
	dev->n_threads = FS_REQUEST_THREADS;
	if (!d)
		return err_set(err, ENOMEM, "cannot allocate the file server");
	dev->priv = d;
	raise_nofile();
	r = fs_server_init(&d->server, -1, err);
	d->server.shared = dev->env.shared;
	for (unsigned i = 0; i < FS_REQUEST_THREADS && r == 0; i++)
		r = fs_thread_init(&d->thread[i], &d->server, err);
	return r;
}

static void fs_release(struct vdev *dev)
{
	struct fs_device *d = dev->priv;

	if (!d)
		return;
	for (unsigned i = 0; i < FS_REQUEST_THREADS; i++)
		fs_thread_release(&d->thread[i]);
	if (d->server.nodes.slot)
		fs_server_release(&d->server);
	free(d);
	dev->priv = NULL;
}

/* /proc is no part of the share. */
static int fs_open(struct vdev *dev, struct err *err)
{
	struct fs_device *d = dev->priv;
	int r = 0;

	for (unsigned i = 0; i < FS_REQUEST_THREADS && r == 0; i++)
		r = fs_thread_open(&d->thread[i], true, err);
	return r;
}

static int fs_enter(struct vdev *dev, unsigned thread, struct err *err)
{
	struct fs_device *d = dev->priv;
	int root = dev->env.fd[FS_FD_ROOT], r = 0;

	if (thread == 0)
		r = fs_server_open(&d->server, root, err);
	return r < 0 ? r : fs_thread_enter(&d->thread[thread], root, err);
}

static void fs_leave(struct vdev *dev, unsigned thread)
{
	struct fs_device *d = dev->priv;

	fs_thread_leave(&d->thread[thread]);
	if (thread == 0)
		fs_server_close(&d->server);
}

static int fs_kick(struct vdev *dev, unsigned q)
{
	struct fs_device *d = dev->priv;
	struct fs_thread *t = &d->thread[q % FS_REQUEST_THREADS];
	struct virtq *vq = &dev->vq[q];
	struct virtq_chain chain;
	unsigned waiting = 0;
	uint32_t written;
	int r;

	while ((r = virtq_pop(vq, &chain)) > 0) {
		r = fs_serve(t, &chain, &written);
		if (r < 0)
			return r;
		virtq_push(vq, chain.head, written);
		if (++waiting % SIGNAL_BATCH == 0 && virtq_should_signal(vq))
			vdev_signal(dev);
	}
	if (virtq_should_signal(vq))
		vdev_signal(dev);
	return r;
}

static void fs_reset(struct vdev *dev)
{
	struct fs_device *d = dev->priv;

	fs_server_reset(&d->server);
}

const struct vdev_ops vdev_fs = {
	.name = "fs",
	.device_id = VIRTIO_ID_FS,
	.queue_size = VIRTQ_SIZE_MAX,
	.init = fs_init,
	.release = fs_release,
	.open = fs_open,
	.enter = fs_enter,
	.leave = fs_leave,
	.kick = fs_kick,
	.reset = fs_reset,
};
