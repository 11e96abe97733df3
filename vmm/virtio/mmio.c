/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/virtio/mmio.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lib/base.h"
#include "vmm/virtio/fault.h"

#define MAGIC     0x74726976u /* "virt" */
#define VERSION   2
#define VENDOR_ID 0x4c43524fu /* "ORCL" */

/* What a driver may set in the status register; FAILED never hinders anything. */
#define STATUS_START (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)
#define INT_ALL      (VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG)

/* How long a worker may take to answer before the device is given up: a request on a host file
 * system that hangs must not hold a vCPU, which waits for a reset, for ever. */
#define CTL_TIMEOUT_S 30

void vmmio_init(struct vmmio *t, const struct vmmio_info *info, struct vdev_shared *shared,
	int ctl_fd, int irq_fd, int fault_fd, const int *kick_fd)
{
	struct timeval limit = {.tv_sec = CTL_TIMEOUT_S};

	BUG_ON(info->n_queues > VDEV_QUEUES_MAX || info->config_len > VDEV_CONFIG_MAX);
	*t = (struct vmmio){.info = *info,
		.shared = shared,
		.ctl_fd = ctl_fd,
		.irq_fd = irq_fd,
		.fault_fd = fault_fd};
	for (unsigned q = 0; q < info->n_queues; q++)
		t->kick_fd[q] = kick_fd[q];
	pthread_mutex_init(&t->lock, NULL);
	BUG_ON(setsockopt(ctl_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0);
}

void vmmio_release(struct vmmio *t)
{
	pthread_mutex_destroy(&t->lock);
}

/* eventfds: a full counter means that the event is pending already. */
static void interrupt(struct vmmio *t, uint32_t bit)
{
	atomic_fetch_or(&t->shared->isr, bit);
	eventfd_write(t->irq_fd, 1);
}

/* VIRTIO 1.2, 2.1.2: the driver sees DEVICE_NEEDS_RESET and is told by a configuration interrupt.
 */
static void needs_reset(struct vmmio *t, uint32_t vfault)
{
	vdev_fail(t->shared, t->fault_fd, vfault);
	interrupt(t, VIRTIO_MMIO_INT_CONFIG);
}

/* The worker does not answer, and is never spoken to again: DEVICE_NEEDS_RESET for good. */
static void give_up(struct vmmio *t)
{
	if (t->ctl_fd >= 0)
		vdev_note(t->shared, t->fault_fd, VDEV_MUTE);
	t->ctl_fd = -1;
	atomic_store(&t->shared->failed, VFAULT_REQUEST);
	interrupt(t, VIRTIO_MMIO_INT_CONFIG);
}

/* Talking to the worker (syscalls of a vCPU thread here: sendto, recvfrom, write) */

/*
 * One message, one answer: 0 or a VFAULT_*. -EIO: there was none. The worker may be the guest's: one that answers what
 * it has not read fills its socket, and must not hold the vCPU there either (MSG_DONTWAIT).
 */
static int ask_worker(struct vmmio *t, const struct vdev_ctl *msg, uint32_t *ret_vfault)
{
	struct vdev_ctl_reply reply;
	ssize_t n = -1;

	if (t->ctl_fd >= 0 && send(t->ctl_fd, msg, sizeof(*msg), MSG_NOSIGNAL | MSG_DONTWAIT) ==
				      (ssize_t)sizeof(*msg))
		do
			n = recv(t->ctl_fd, &reply, sizeof(reply), 0);
		while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(reply))
		return -EIO;
	*ret_vfault = 0;
	if (reply.result < 0)
		*ret_vfault = reply.result > -VFAULTS ? (uint32_t)-reply.result : VFAULT_REQUEST;
	return 0;
}

static void activate(struct vmmio *t)
{
	struct vdev_ctl msg = {
		.type = VDEV_CTL_ACTIVATE,
		.n_queues = t->info.n_queues,
		.features = t->driver_features,
	};
	uint32_t vfault;

	memcpy(msg.queue, t->queue, sizeof(msg.queue));
	t->worker_active = true;
	if (ask_worker(t, &msg, &vfault) < 0)
		give_up(t);
	else if (vfault)
		needs_reset(t, vfault);
}

/* 2.4: everything back to the start, once the worker has let go of guest memory. Config space
 * stays. */
static void reset(struct vmmio *t)
{
	struct vdev_ctl msg = {.type = VDEV_CTL_RESET};
	uint32_t vfault = 0;

	if (t->worker_active && ask_worker(t, &msg, &vfault) < 0) {
		/* It may still write there: the driver must never see this reset as done. */
		give_up(t);
		return;
	}
	t->worker_active = false;
	atomic_store(&t->shared->failed, 0);
	atomic_store(&t->shared->isr, 0);
	t->status = 0;
	t->driver_features = 0;
	t->device_features_sel = t->driver_features_sel = t->queue_sel = t->shm_sel = 0;
	memset(t->queue, 0, sizeof(t->queue));
}

/* Status (2.1, 3.1.1) */

static bool features_agree(const struct vmmio *t)
{
	return !(t->driver_features & ~t->info.features) &&
	       (t->driver_features & BIT64(VIRTIO_F_VERSION_1));
}

/*
 * Bits only ever come, in the order of 3.1.1; one that comes too early, or that can't be agreed to,
 * does not stick, and the driver sees that when it reads the register back. Clearing takes a reset.
 */
static void write_status(struct vmmio *t, uint32_t v)
{
	if (v == 0) {
		reset(t);
		return;
	}
	t->status |= v & (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_FAILED);
	if ((v & VIRTIO_CONFIG_S_DRIVER) && (t->status & VIRTIO_CONFIG_S_ACKNOWLEDGE))
		t->status |= VIRTIO_CONFIG_S_DRIVER;
	if (!(v & VIRTIO_CONFIG_S_FEATURES_OK) || (t->status & STATUS_START) != STATUS_START)
		return;
	if (!(t->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		/* DRIVER_OK in the same write is too early: the driver has not seen our answer. */
		if (features_agree(t))
			t->status |= VIRTIO_CONFIG_S_FEATURES_OK;
		return;
	}
	if ((v & VIRTIO_CONFIG_S_DRIVER_OK) && !(t->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
		t->status |= VIRTIO_CONFIG_S_DRIVER_OK;
		activate(t);
	}
}

static uint32_t read_status(const struct vmmio *t)
{
	return t->status | (atomic_load(&t->shared->failed) ? VIRTIO_CONFIG_S_NEEDS_RESET : 0);
}

/* Queues (4.2.2) */

static const struct virtq_config *queue_of(const struct vmmio *t)
{
	return t->queue_sel < t->info.n_queues ? &t->queue[t->queue_sel] : NULL;
}

/* The selected queue when its registers are open: features are agreed, the device does not run. */
static struct virtq_config *queue_to_set(struct vmmio *t)
{
	if (!(t->status & VIRTIO_CONFIG_S_FEATURES_OK) || (t->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return NULL;
	return (struct virtq_config *)queue_of(t);
}

static void set_half(uint64_t *v, uint32_t half, bool high)
{
	if (high)
		*v = (*v & UINT32_MAX) | (uint64_t)half << 32;
	else
		*v = (*v & ~(uint64_t)UINT32_MAX) | half;
}

/* True when off was a queue register. Size and addresses are fixed while the queue is ready; what
 * they hold is judged by virtq_init() when the device starts. */
static bool write_queue(struct vmmio *t, uint32_t off, uint32_t v)
{
	struct virtq_config *q = queue_to_set(t), none = {.size = 0};

	if (off == VIRTIO_MMIO_QUEUE_READY) {
		if (q)
			q->enabled = v == 1;
		return true;
	}
	if (!q || q->enabled)
		q = &none;
	switch (off) {
	case VIRTIO_MMIO_QUEUE_NUM: q->size = v <= t->info.queue_size_max ? v : 0; return true;
	case VIRTIO_MMIO_QUEUE_DESC_LOW: set_half(&q->desc, v, false); return true;
	case VIRTIO_MMIO_QUEUE_DESC_HIGH: set_half(&q->desc, v, true); return true;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW: set_half(&q->avail, v, false); return true;
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH: set_half(&q->avail, v, true); return true;
	case VIRTIO_MMIO_QUEUE_USED_LOW: set_half(&q->used, v, false); return true;
	case VIRTIO_MMIO_QUEUE_USED_HIGH: set_half(&q->used, v, true); return true;
	default: return false;
	}
}

static void notify(struct vmmio *t, uint32_t q)
{
	if (q < t->info.n_queues && (t->status & VIRTIO_CONFIG_S_DRIVER_OK))
		eventfd_write(t->kick_fd[q], 1);
}

/* Registers */

static uint32_t read_register(struct vmmio *t, uint32_t off)
{
	const struct virtq_config *q = queue_of(t);

	switch (off) {
	case VIRTIO_MMIO_MAGIC_VALUE: return MAGIC;
	case VIRTIO_MMIO_VERSION: return VERSION;
	case VIRTIO_MMIO_DEVICE_ID: return t->info.device_id;
	case VIRTIO_MMIO_VENDOR_ID: return VENDOR_ID;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return t->device_features_sel < 2
			       ? (uint32_t)(t->info.features >> 32 * t->device_features_sel)
			       : 0;
	case VIRTIO_MMIO_QUEUE_NUM_MAX: return q ? t->info.queue_size_max : 0;
	case VIRTIO_MMIO_QUEUE_READY: return q && q->enabled;
	case VIRTIO_MMIO_INTERRUPT_STATUS: return atomic_load(&t->shared->isr) & INT_ALL;
	case VIRTIO_MMIO_STATUS: return read_status(t);
	/* 4.2.2: a region that does not exist, as none does here, has the length ~0 */
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH: return UINT32_MAX;
	case VIRTIO_MMIO_CONFIG_GENERATION: return t->generation;
	default: return 0; /* unknown, or only for writing */
	}
}

static void write_register(struct vmmio *t, uint32_t off, uint32_t v)
{
	if (write_queue(t, off, v))
		return;
	switch (off) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL: t->device_features_sel = v; break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL: t->driver_features_sel = v; break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		/* 3.1.1: settled once FEATURES_OK is. Bits from 64 up do not exist. */
		if (!(t->status & VIRTIO_CONFIG_S_FEATURES_OK) && t->driver_features_sel < 2)
			set_half(&t->driver_features, v, t->driver_features_sel == 1);
		break;
	case VIRTIO_MMIO_QUEUE_SEL: t->queue_sel = v; break;
	case VIRTIO_MMIO_QUEUE_NOTIFY: notify(t, v); break;
	case VIRTIO_MMIO_INTERRUPT_ACK: atomic_fetch_and(&t->shared->isr, ~(v & INT_ALL)); break;
	case VIRTIO_MMIO_STATUS: write_status(t, v); break;
	case VIRTIO_MMIO_SHM_SEL: t->shm_sel = v; break;
	default: break; /* unknown, or only for reading */
	}
}

/* Configuration space: any width, byte by byte; zeros behind its end. */
static void read_config(const struct vmmio *t, uint32_t off, uint8_t *data, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		data[i] = off + i < t->info.config_len ? t->info.config[off + i] : 0;
}

static void write_config(struct vmmio *t, uint32_t off, const uint8_t *data, uint32_t len)
{
	for (uint32_t i = 0; i < len && off + i < t->info.config_len; i++) {
		uint8_t mask = t->info.config_writable[off + i], *at = &t->info.config[off + i];

		*at = (uint8_t)((*at & ~mask) | (data[i] & mask));
	}
}

static bool good_access(uint64_t off, uint32_t len)
{
	return (len == 1 || len == 2 || len == 4 || len == 8) && off < VMMIO_WINDOW_BYTES &&
	       len <= VMMIO_WINDOW_BYTES - off;
}

/* 4.2.2.2: the registers are 32 bits wide and want to be read and written as such. */
static bool is_register(uint64_t off, uint32_t len)
{
	return off < VIRTIO_MMIO_CONFIG && len == 4 && off % 4 == 0;
}

void vmmio_read(struct vmmio *t, uint64_t off, void *data, uint32_t len)
{
	if (len > 8)
		return; /* not even zeros: KVM's buffer has 8 bytes, any other caller's is unknown
			 */
	memset(data, 0, len);
	if (!good_access(off, len))
		return;
	pthread_mutex_lock(&t->lock);
	if (off >= VIRTIO_MMIO_CONFIG) {
		read_config(t, (uint32_t)off - VIRTIO_MMIO_CONFIG, data, len);
	} else if (is_register(off, len)) {
		uint32_t v = htole32(read_register(t, (uint32_t)off));

		memcpy(data, &v, sizeof(v));
	}
	pthread_mutex_unlock(&t->lock);
}

void vmmio_write(struct vmmio *t, uint64_t off, const void *data, uint32_t len)
{
	if (!good_access(off, len))
		return;
	pthread_mutex_lock(&t->lock);
	if (off >= VIRTIO_MMIO_CONFIG) {
		write_config(t, (uint32_t)off - VIRTIO_MMIO_CONFIG, data, len);
	} else if (is_register(off, len)) {
		uint32_t v;

		memcpy(&v, data, sizeof(v));
		write_register(t, (uint32_t)off, le32toh(v));
	}
	pthread_mutex_unlock(&t->lock);
}

void vmmio_set_config(struct vmmio *t, uint32_t off, const void *data, uint32_t len)
{
	pthread_mutex_lock(&t->lock);
	BUG_ON(off > t->info.config_len || len > t->info.config_len - off);
	memcpy(&t->info.config[off], data, len);
	t->generation++;
	/* 4.2.2.2: a driver that reads a field in halves compares generations. Before DRIVER_OK
	 * there is nobody to interrupt. */
	if (t->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(t, VIRTIO_MMIO_INT_CONFIG);
	pthread_mutex_unlock(&t->lock);
}
