/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sequence of accesses to the transport's registers, and a worker whose answers the input
 * chooses. After each access the state machine's promises are looked at. Input: struct access,
 * again and again.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "lib/base.h"
#include "vmm/virtio/mmio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ACCESSES_MAX 2000
#define QUEUE_SIZE   64
#define FEATURES     (BIT64(VIRTIO_F_VERSION_1) | BIT64(29) | BIT64(28) | BIT64(5))

struct access {
	uint8_t kind;   /* bits 0-1: write, read, worker's fault, host's config change; bits 4-7:
			   length */
	uint8_t answer; /* the worker's, to a message that this access may cause */
	uint16_t off;
	uint32_t value;
} __attribute__((packed));

static int ctl[2], irq_fd, kick_fd[VDEV_QUEUES_MAX];

static void open_once(void)
{
	if (irq_fd)
		return;
	BUG_ON(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl) < 0);
	irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		kick_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* The answer lies ready before the question is asked, and is taken back if it was not: one thread
 * is enough. */
static void lay_answer(uint8_t answer)
{
	struct vdev_ctl_reply reply = {.result = -(int32_t)(answer % (VFAULTS + 2))};

	BUG_ON(send(ctl[1], &reply, sizeof(reply), MSG_DONTWAIT) != (ssize_t)sizeof(reply));
}

static void check_message(const struct vmmio *t, bool was_running)
{
	struct vdev_ctl m;
	struct vdev_ctl_reply reply;
	ssize_t n = recv(ctl[1], &m, sizeof(m), MSG_DONTWAIT);

	if (n < 0) {
		BUG_ON(recv(ctl[0], &reply, sizeof(reply), MSG_DONTWAIT) != (ssize_t)sizeof(reply));
		return;
	}
	BUG_ON(n != (ssize_t)sizeof(m) || recv(ctl[1], &m, sizeof(m), MSG_DONTWAIT) >= 0);
	if (m.type == VDEV_CTL_RESET) {
		BUG_ON(!was_running || t->status);
		return;
	}
	BUG_ON(m.type != VDEV_CTL_ACTIVATE || was_running || m.n_queues != t->info.n_queues);
	BUG_ON((m.features & ~FEATURES) || !(m.features & BIT64(VIRTIO_F_VERSION_1)));
	for (unsigned q = 0; q < VDEV_QUEUES_MAX; q++)
		BUG_ON(m.queue[q].size > QUEUE_SIZE || m.queue[q].enabled > 1 ||
			(q >= t->info.n_queues && m.queue[q].enabled));
}

static void check_state(const struct vmmio *t)
{
	uint32_t s = t->status;

	BUG_ON(s & ~0x8fu);
	BUG_ON((s & VIRTIO_CONFIG_S_DRIVER_OK) && !(s & VIRTIO_CONFIG_S_FEATURES_OK));
	BUG_ON((s & VIRTIO_CONFIG_S_FEATURES_OK) && !(s & VIRTIO_CONFIG_S_DRIVER));
	BUG_ON((s & VIRTIO_CONFIG_S_DRIVER) && !(s & VIRTIO_CONFIG_S_ACKNOWLEDGE));
	BUG_ON(!(s & VIRTIO_CONFIG_S_DRIVER_OK) != !t->worker_active);
	BUG_ON(t->info.config[0] != 0x11); /* not writable */
}

static void apply(struct vmmio *t, const struct access *a)
{
	uint8_t data[16] = {0};
	uint32_t len = a->kind >> 4, off = a->off % (VMMIO_WINDOW_BYTES + 16);

	switch (a->kind & 3) {
	case 0:
		memcpy(data, &a->value, sizeof(a->value));
		vmmio_write(t, off, data, len);
		break;
	case 1:
		vmmio_read(t, off, data, len);
		for (uint32_t i = len; i < sizeof(data); i++)
			BUG_ON(data[i]);
		break;
	case 2:
		atomic_store(&t->shared->failed, a->value);
		atomic_fetch_or(&t->shared->isr, a->value);
		break;
	case 3: vmmio_set_config(t, 4 + a->off % 4, &a->value, a->off % 4 ? 1 : 4); break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vmmio_info info = {
		.device_id = 1,
		.n_queues = 3,
		.queue_size_max = QUEUE_SIZE,
		.features = FEATURES,
		.config_len = 20,
		.config = {0x11},
		.config_writable = {[1] = 0xff, [19] = 0x0f},
	};
	struct vdev_shared shared = {0};
	struct vmmio t;
	struct access a;

	open_once();
	vmmio_init(&t, &info, &shared, ctl[0], irq_fd, -1, kick_fd);
	for (size_t i = 0; i < ACCESSES_MAX && size >= sizeof(a); i++) {
		bool was_running = t.worker_active;

		memcpy(&a, data, sizeof(a));
		data += sizeof(a);
		size -= sizeof(a);
		lay_answer(a.answer);
		apply(&t, &a);
		check_message(&t, was_running);
		check_state(&t);
	}
	vmmio_release(&t);
	return 0;
}
