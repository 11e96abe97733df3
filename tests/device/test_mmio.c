/* SPDX-License-Identifier: Apache-2.0 */
/* The transport's registers, against a worker that this program plays itself. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "vmm/virtio/fault.h"
#include "vmm/virtio/mmio.h"

#define FEATURES (BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_EVENT_IDX) | BIT64(3))
#define NEEDS    VIRTIO_CONFIG_S_NEEDS_RESET

static struct vmmio t;
static struct vdev_shared shared;
static int ctl[2], irq_fd, fault_fd, kick_fd[VDEV_QUEUES_MAX];
static pthread_t peer;
static struct vdev_ctl
	seen; /* the last message; valid once the write that caused it has returned */
static int n_seen;
static int32_t answer;
static bool slow;              /* answers a reset late, */
static atomic_int driver_back, /* the driver's write of the register has returned, */
	back_early;            /* and had before the answer */

/* The worker: answers each message with `answer`. Ends when the socket closes. */
static void *peer_main(void *arg)
{
	struct vdev_ctl msg;

	while (recv(ctl[1], &msg, sizeof(msg), 0) == (ssize_t)sizeof(msg)) {
		struct vdev_ctl_reply reply = {
			.result = msg.type == VDEV_CTL_ACTIVATE ? answer : 0};

		seen = msg;
		n_seen++;
		if (slow && msg.type == VDEV_CTL_RESET) {
			nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
			atomic_store(&back_early, atomic_load(&driver_back));
		}
		send(ctl[1], &reply, sizeof(reply), MSG_NOSIGNAL);
	}
	return NULL;
}

static void open_all(void)
{
	struct vmmio_info info = {
		.device_id = 42,
		.n_queues = 2,
		.queue_size_max = 64,
		.features = FEATURES,
		.config_len = 10,
		.config = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
		.config_writable = {[4] = 0xff, [5] = 0x0f},
	};

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl) < 0)
		exit(2);
	irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fault_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (int i = 0; i < VDEV_QUEUES_MAX; i++)
		kick_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vmmio_init(&t, &info, &shared, ctl[0], irq_fd, fault_fd, kick_fd);
}

static uint32_t rd(uint32_t reg)
{
	uint32_t v = 0xdeadbeef;

	vmmio_read(&t, reg, &v, 4);
	return v;
}

static void wr(uint32_t reg, uint32_t v)
{
	vmmio_write(&t, reg, &v, 4);
}

static bool irq_came(void)
{
	eventfd_t v;

	return eventfd_read(irq_fd, &v) == 0;
}

static uint32_t status(void)
{
	return rd(VIRTIO_MMIO_STATUS);
}

static void set_features(uint64_t f)
{
	wr(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)f);
	wr(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(f >> 32));
}

/* To FEATURES_OK, as a good driver does it. */
static void begin(void)
{
	wr(VIRTIO_MMIO_STATUS, 0);
	wr(VIRTIO_MMIO_STATUS, 1);
	wr(VIRTIO_MMIO_STATUS, 3);
	set_features(FEATURES);
	wr(VIRTIO_MMIO_STATUS, 0xb);
}

static void identity(void)
{
	eq_int(rd(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976, "magic");
	eq_int(rd(VIRTIO_MMIO_VERSION), 2, "version");
	eq_int(rd(VIRTIO_MMIO_DEVICE_ID), 42, "device id");
	wr(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	eq_int(rd(VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)FEATURES, "features, low half");
	wr(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	eq_int(rd(VIRTIO_MMIO_DEVICE_FEATURES), FEATURES >> 32, "features, high half");
	wr(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	eq_int(rd(VIRTIO_MMIO_DEVICE_FEATURES), 0, "no third half");
	wr(VIRTIO_MMIO_DEVICE_FEATURES_SEL, ~0u);
	eq_int(rd(VIRTIO_MMIO_DEVICE_FEATURES), 0, "nor a last one");
	for (uint32_t i = 0; i < 3; i++) {
		wr(VIRTIO_MMIO_SHM_SEL, i);
		ok(rd(VIRTIO_MMIO_SHM_LEN_LOW) == ~0u && rd(VIRTIO_MMIO_SHM_LEN_HIGH) == ~0u,
			"no shared memory region %u", i);
	}
	eq_int(rd(0xc0), 0, "no queue reset");
	eq_int(rd(VIRTIO_MMIO_QUEUE_NOTIFY), 0, "a register for writing reads as 0");
}

static void steps(void)
{
	wr(VIRTIO_MMIO_STATUS, 0);
	wr(VIRTIO_MMIO_STATUS, 2);
	eq_int(status(), 0, "no DRIVER before ACKNOWLEDGE");
	wr(VIRTIO_MMIO_STATUS, 8);
	eq_int(status(), 0, "no FEATURES_OK");
	wr(VIRTIO_MMIO_STATUS, 4);
	eq_int(status(), 0, "no DRIVER_OK");
	wr(VIRTIO_MMIO_STATUS, 1);
	wr(VIRTIO_MMIO_STATUS, 3);
	eq_int(status(), 3, "ACKNOWLEDGE, DRIVER");
	wr(VIRTIO_MMIO_STATUS, 0xf);
	eq_int(status(), 3, "features without VERSION_1 are refused");
	set_features(FEATURES | BIT64(5));
	wr(VIRTIO_MMIO_STATUS, 0xb);
	eq_int(status(), 3, "features that were not offered too");
	set_features(BIT64(VIRTIO_F_VERSION_1));
	wr(VIRTIO_MMIO_STATUS, 0xf);
	eq_int(status(), 0xb, "FEATURES_OK, but not DRIVER_OK in the same write");
	set_features(FEATURES);
	eq_int(t.driver_features, BIT64(VIRTIO_F_VERSION_1), "features are settled then");
	wr(VIRTIO_MMIO_STATUS, 1);
	eq_int(status(), 0xb, "bits can't be cleared");
	wr(VIRTIO_MMIO_STATUS, 0xffffff00 | NEEDS);
	eq_int(status(), 0xb, "nor can the device's and unknown ones be set");
	eq_int(n_seen, 0, "the worker has heard of none of this");
	wr(VIRTIO_MMIO_STATUS, 0x8b);
	eq_int(status(), 0x8b, "FAILED can always be set");
	wr(VIRTIO_MMIO_STATUS, 0);
	eq_int(status(), 0, "and a reset clears everything");
	eq_int(n_seen, 0, "without asking a worker that does not run");
}

static void queue_registers(void)
{
	wr(VIRTIO_MMIO_STATUS, 0);
	wr(VIRTIO_MMIO_QUEUE_SEL, 0);
	wr(VIRTIO_MMIO_QUEUE_NUM, 8);
	wr(VIRTIO_MMIO_QUEUE_READY, 1);
	ok(t.queue[0].size == 0 && !t.queue[0].enabled, "closed before FEATURES_OK");
	begin();
	wr(VIRTIO_MMIO_QUEUE_SEL, 2);
	ok(rd(VIRTIO_MMIO_QUEUE_NUM_MAX) == 0 && rd(VIRTIO_MMIO_QUEUE_READY) == 0,
		"there is no queue 2");
	wr(VIRTIO_MMIO_QUEUE_SEL, 0x80000000u);
	wr(VIRTIO_MMIO_QUEUE_NUM, 8);
	wr(VIRTIO_MMIO_QUEUE_READY, 1);
	eq_int(rd(VIRTIO_MMIO_QUEUE_READY), 0, "nor one far out");
	wr(VIRTIO_MMIO_QUEUE_SEL, 1);
	eq_int(rd(VIRTIO_MMIO_QUEUE_NUM_MAX), 64, "queue 1 has up to 64 entries");
	wr(VIRTIO_MMIO_QUEUE_NUM, 128);
	eq_int(t.queue[1].size, 0, "and no more");
	wr(VIRTIO_MMIO_QUEUE_NUM, 32);
	wr(VIRTIO_MMIO_QUEUE_DESC_LOW, 0x11111110);
	wr(VIRTIO_MMIO_QUEUE_DESC_HIGH, 1);
	wr(VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x22222220);
	wr(VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 2);
	wr(VIRTIO_MMIO_QUEUE_USED_HIGH, 3);
	wr(VIRTIO_MMIO_QUEUE_USED_LOW, 0x33333330);
	wr(VIRTIO_MMIO_QUEUE_READY, 1);
	eq_int(rd(VIRTIO_MMIO_QUEUE_READY), 1, "ready");
	wr(VIRTIO_MMIO_QUEUE_DESC_LOW, 0);
	wr(VIRTIO_MMIO_QUEUE_NUM, 4);
	ok(t.queue[1].desc == 0x111111110 && t.queue[1].size == 32, "a ready queue is fixed");
}

static void activation(void)
{
	queue_registers();
	wr(VIRTIO_MMIO_STATUS, 0xf);
	eq_int(status(), 0xf, "DRIVER_OK");
	eq_int(seen.type, VDEV_CTL_ACTIVATE, "activates the worker");
	ok(seen.n_queues == 2 && seen.features == FEATURES, "with the features");
	ok(seen.queue[1].enabled && seen.queue[1].size == 32 && seen.queue[1].desc == 0x111111110 &&
			seen.queue[1].avail == 0x222222220 && seen.queue[1].used == 0x333333330,
		"with queue 1 where it is");
	ok(!seen.queue[0].enabled, "without queue 0");
	wr(VIRTIO_MMIO_STATUS, 0xf);
	eq_int(n_seen, 1, "once");
	wr(VIRTIO_MMIO_QUEUE_SEL, 1);
	wr(VIRTIO_MMIO_QUEUE_READY, 0);
	eq_int(rd(VIRTIO_MMIO_QUEUE_READY), 1, "a queue can't be stopped by itself");
	wr(VIRTIO_MMIO_QUEUE_SEL, 0);
	wr(VIRTIO_MMIO_QUEUE_READY, 1);
	eq_int(rd(VIRTIO_MMIO_QUEUE_READY), 0, "nor started");
}

static void running(void)
{
	eventfd_t v = 0;

	wr(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	ok(eventfd_read(kick_fd[1], &v) == 0 && v == 1, "a notify that comes as an exit kicks");
	wr(VIRTIO_MMIO_QUEUE_NOTIFY, 2);
	wr(VIRTIO_MMIO_QUEUE_NOTIFY, ~0u);
	ok(eventfd_read(kick_fd[2], &v) < 0, "only queues that exist");
	atomic_store(&shared.isr, 0xfffffff1);
	eq_int(rd(VIRTIO_MMIO_INTERRUPT_STATUS), 1, "interrupt status, defined bits");
	wr(VIRTIO_MMIO_INTERRUPT_ACK, 2);
	eq_int(rd(VIRTIO_MMIO_INTERRUPT_STATUS), 1, "acknowledging the other bit changes nothing");
	wr(VIRTIO_MMIO_INTERRUPT_ACK, 3);
	eq_int(rd(VIRTIO_MMIO_INTERRUPT_STATUS), 0, "acknowledged");
	atomic_store(&shared.failed, VFAULT_DESC_LOOP);
	eq_int(status(), 0xf | NEEDS, "a fault of the worker shows as NEEDS_RESET");
	wr(VIRTIO_MMIO_STATUS, 0);
	eq_int(seen.type, VDEV_CTL_RESET, "the reset reaches the worker");
	ok(status() == 0 && shared.failed == 0 && shared.isr == 0, "and clears the fault");
	ok(t.queue[1].size == 0 && t.driver_features == 0, "the queues and the features");
	wr(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	ok(eventfd_read(kick_fd[1], &v) < 0, "no notify without DRIVER_OK");
}

/* Until the worker has answered it may write to the driver's memory. */
static void slow_reset(void)
{
	begin();
	wr(VIRTIO_MMIO_STATUS, 0xf);
	atomic_store(&back_early, -1);
	slow = true;
	wr(VIRTIO_MMIO_STATUS, 0);
	atomic_store(&driver_back, 1);
	eq_int(atomic_load(&back_early), 0, "a reset returns once the worker has answered it");
	eq_int(status(), 0, "and is done then");
	slow = false;
}

static void refused(void)
{
	answer = -VFAULT_RING_ADDR;
	begin();
	irq_came();
	wr(VIRTIO_MMIO_STATUS, 0xf);
	eq_int(status(), 0xf | NEEDS, "an activation that fails: NEEDS_RESET");
	ok(irq_came() && rd(VIRTIO_MMIO_INTERRUPT_STATUS) == 2, "and a configuration interrupt");
	eq_int(shared.failed, VFAULT_RING_ADDR, "the reason is kept");
	answer = 0;
	begin();
	wr(VIRTIO_MMIO_STATUS, 0xf);
	eq_int(status(), 0xf, "works after a reset");
	answer = INT32_MIN;
	begin();
	wr(VIRTIO_MMIO_STATUS, 0xf);
	ok(status() == (0xf | NEEDS) && shared.failed == VFAULT_REQUEST,
		"a reason of no kind is a fault too");
	answer = 0;
}

static void config_space(void)
{
	uint8_t b[8];
	uint16_t h;
	uint32_t gen;

	vmmio_read(&t, 0x100, b, 8);
	ok(b[0] == 1 && b[7] == 8, "eight bytes at once");
	vmmio_read(&t, 0x103, &h, 2);
	eq_int(h, 0x0504, "two, not aligned");
	vmmio_read(&t, 0x108, b, 4);
	ok(b[0] == 9 && b[1] == 10 && b[2] == 0 && b[3] == 0, "zeros behind the end");
	memset(b, 0xff, 8);
	vmmio_write(&t, 0x103, b, 8);
	vmmio_read(&t, 0x100, b, 8);
	ok(b[3] == 4 && b[4] == 0xff && b[5] == 0x0f && b[6] == 7,
		"only bits the driver may change");
	gen = rd(VIRTIO_MMIO_CONFIG_GENERATION);
	wr(VIRTIO_MMIO_STATUS, 0);
	irq_came();
	vmmio_set_config(&t, 8, "\x55\x66", 2);
	ok(rd(VIRTIO_MMIO_CONFIG_GENERATION) != gen, "a change bumps the generation");
	ok(!irq_came(), "interrupts nobody before DRIVER_OK");
	begin();
	wr(VIRTIO_MMIO_STATUS, 0xf);
	vmmio_set_config(&t, 8, "\x77", 1);
	ok(irq_came() && rd(VIRTIO_MMIO_INTERRUPT_STATUS) == 2, "and the driver after it");
	vmmio_read(&t, 0x108, b, 2);
	ok(b[0] == 0x77 && b[1] == 0x66, "and is there");
}

/* Every offset with every size: nothing happens that should not, and reads of no register give
 * zeros. */
static void odd_accesses(void)
{
	static const uint32_t lens[] = {0, 1, 2, 3, 4, 5, 7, 8};
	bool zeros = true, intact = true;
	uint32_t before;

	begin();
	wr(VIRTIO_MMIO_STATUS, 0xf);
	before = status();
	for (uint64_t off = 0; off < 0x1010; off++)
		for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
			uint8_t b[16], none[8] = {0}, all[8];

			memset(b, 0xaa, sizeof(b));
			memset(all, 0xff, sizeof(all));
			vmmio_read(&t, off, b, lens[i]);
			if (off < 0x100 && (lens[i] != 4 || off % 4) && memcmp(b, none, lens[i]))
				zeros = false;
			for (uint32_t k = lens[i]; k < sizeof(b); k++)
				if (b[k] != 0xaa)
					intact = false;
			if (off < 0x100 && lens[i] == 4 && off % 4 == 0)
				continue; /* a register: not an odd access */
			vmmio_write(&t, off, all, lens[i]);
		}
	ok(zeros, "odd reads of registers give zeros");
	ok(intact, "no read writes more than it was asked for");
	eq_int(status(), before, "odd writes change no register");
	vmmio_read(&t, ~0ull, &before, 4);
	vmmio_read(&t, ~0ull - 2, &before, 4);
	vmmio_write(&t, ~0ull, &before, 4);
	vmmio_write(&t, ~0ull - 2, &before, 4);
	vmmio_write(&t, 0x70, &before, 0xffffffff);
	ok(true, "no offset or size wraps");
}

/* The worker dies, under a device that has failed. A driver that resets must not be told that its memory is its own again. */
static void worker_gone(void)
{
	eventfd_t told;

	eventfd_read(fault_fd, &told); /* what refused() has left */
	begin();
	wr(VIRTIO_MMIO_STATUS, 0xf);
	vdev_fail(&shared, -1, VFAULT_DESC_LOOP);
	shutdown(ctl[1], SHUT_RDWR);
	pthread_join(peer, NULL);
	wr(VIRTIO_MMIO_STATUS, 0);
	ok(status() & NEEDS, "a reset that the worker does not answer is not done");
	begin();
	ok(status() & NEEDS, "now or later");
	ok(eventfd_read(fault_fd, &told) == 0 && told == 1 &&
			atomic_load(&shared.faults[VDEV_MUTE]) == 1,
		"the main loop is told, once");
}

static void close_all(void)
{
	vmmio_release(&t);
	close(ctl[0]);
	close(ctl[1]);
	close(irq_fd);
	close(fault_fd);
	for (int i = 0; i < VDEV_QUEUES_MAX; i++)
		close(kick_fd[i]);
}

/*
 * A worker that answers what it never reads, until its socket is full: here only a socket, with answers in it. The driver, which
 * starts and resets the device for as long as it works, gets to needs-reset, and its vCPU is not held.
 */
static void worker_deaf(void)
{
	const struct vdev_ctl_reply yes = {.result = 0};
	int rounds = 0;

	memset(&shared, 0, sizeof(shared));
	open_all();
	while (rounds++ < 10000 && !(status() & NEEDS)) {
		while (send(ctl[1], &yes, sizeof(yes), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
			;
		begin();
		wr(VIRTIO_MMIO_STATUS, 0xf);
	}
	ok(rounds > 2 && rounds < 10000, "a worker that answers but never reads: needs reset");
	wr(VIRTIO_MMIO_STATUS, 0);
	ok(status() & NEEDS, "for good");
	eq_int(atomic_load(&shared.faults[VDEV_MUTE]), 1, "and the main loop is told, once");
	close_all();
}

int main(void)
{
	open_all();
	if (pthread_create(&peer, NULL, peer_main, NULL))
		exit(2);
	identity();
	steps();
	activation();
	running();
	slow_reset();
	refused();
	config_space();
	odd_accesses();
	worker_gone();
	close_all();
	worker_deaf();
	return tap_done();
}
