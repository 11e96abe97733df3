/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fake guest driver: guest memory, one device with its worker and transport, and the driver's side of
 * both. It goes through the MMIO registers and the rings in the order Linux does, and can be told to break
 * any rule. Nothing here is shared with the device's code but the memory and the eventfds.
 *
 *	drv_open(&d, &row) -> drv_start(&d, ~0ull) -> drv_call(&d, q, bufs, n) ... -> drv_close(&d)
 *
 * A failure of the harness itself (no memory, no fds) ends the test program: drv_die().
 */
#ifndef TESTS_DEVICE_DRIVER_H
#define TESTS_DEVICE_DRIVER_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/mem.h"
#include "vmm/virtio/device.h"
#include "vmm/virtio/mmio.h"
#include "vmm/virtio/worker.h"

#define DRV_MEM_BYTES (4u << 20) /* unless the row says otherwise */
#define DRV_WAIT_MS \
	5000 /* far above what anything takes, even under sanitizers on a busy machine */
#define DRV_BUFS_MAX 32

struct drv;

struct drv_buf {
	uint64_t gpa;
	uint32_t len;
	bool in; /* device-writable */
};

/* What the tests must know of a device to run it: one row of the table in rows.c. */
struct device_row {
	const struct vdev_ops *ops;
	unsigned queue; /* the one that request() is for: answered at once, with no other input */
	uint64_t mem_bytes; /* 0: DRV_MEM_BYTES */
	/* Fills d->dev.env.fd[], env.cmd_fd and d->info.config; may be NULL. Called once per drv_open(). */
	void (*setup)(struct drv *d);
	void (*teardown)(struct drv *d); /* closes what setup() opened; may be NULL */
	void (*started)(
		struct drv *d); /* after each DRIVER_OK (receive buffers, FUSE_INIT); may be NULL */
	/* Builds a valid request in memory from drv_alloc(): its buffers, readable ones first. */
	unsigned (*request)(struct drv *d, struct drv_buf bufs[DRV_BUFS_MAX]);
	/* True when the device did the right thing with it. */
	bool (*check)(struct drv *d, const struct drv_buf *bufs, unsigned n, uint32_t used_len);
};

struct drv_queue {
	uint16_t size; /* 0: not set up */
	uint64_t desc_gpa, avail_gpa, used_gpa;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_idx; /* ours: chains staged */
	uint16_t published; /* avail.idx as written */
	uint16_t last_used;
	uint16_t kicked;            /* published when needs_kick() was asked last */
	uint16_t free_head, n_free; /* free descriptors are linked through next[] */
	uint16_t next[VIRTQ_SIZE_MAX];
	uint16_t chain_len[VIRTQ_SIZE_MAX]; /* by head */
};

struct drv {
	const struct device_row *row;
	struct guest_mem mem;
	struct vdev dev;
	struct vdev_shared *shared;
	pid_t child; /* with drv_process */
	struct vmmio_info info;
	struct vmmio mmio;
	struct worker *worker;
	int ctl_fd;        /* the transport's end */
	int cmd_fd;        /* the VMM's end of the command socket, when setup() made one */
	uint64_t features; /* negotiated */
	uint64_t alloc_base, alloc_at;
	bool kick_by_register; /* QueueNotify instead of the ioeventfd */
	struct drv_queue q[VDEV_QUEUES_MAX];
	void *priv; /* the row's */
};

__attribute__((noreturn, format(printf, 1, 2))) void drv_die(const char *fmt, ...);

/* The jail of the workers to come; NULL, unless tests/jail/jail_on.c is linked in. */
extern const struct worker_jail *drv_jail;
/* The worker is a child, with nothing but its descriptors, guest memory and the shared page in common (process_on.c). */
extern bool drv_process;

/* Everything up to a running worker and a transport nobody has touched yet. */
void drv_open(struct drv *d, const struct device_row *row);
void drv_close(struct drv *d);

/* Guest memory from a bump allocator, zeroed; drv_reset() takes all of it back. */
uint64_t drv_alloc(struct drv *d, uint64_t bytes, uint64_t align);
void *drv_ptr(struct drv *d, uint64_t gpa, uint64_t len); /* dies when out of memory's bounds */

/* Registers */
uint32_t drv_rd(struct drv *d, uint32_t reg);
void drv_wr(struct drv *d, uint32_t reg, uint32_t v);
uint64_t drv_offered(struct drv *d);
void drv_reset(struct drv *d);
/* Reset, ACKNOWLEDGE, DRIVER, features (offered & want), FEATURES_OK. False when it did not stick. */
bool drv_negotiate(struct drv *d, uint64_t want);
/* size 0: the device's maximum. False when there is no such queue. _at: with the addresses in d->q[q]. */
bool drv_queue_setup(struct drv *d, unsigned q, uint16_t size);
void drv_queue_write(
	struct drv *d, unsigned q, uint32_t size, uint64_t desc, uint64_t avail, uint64_t used);
void drv_driver_ok(struct drv *d);
/* All of these, every queue at its maximum, row->started(). False when the device refused or failed. */
bool drv_start(struct drv *d, uint64_t want);

/* Rings. Stage: descriptors and avail.ring written, avail.idx not yet. Return the head, or -1: no room. */
int drv_stage(struct drv *d, unsigned q, const struct drv_buf *bufs, unsigned n);
int drv_stage_indirect(struct drv *d, unsigned q, const struct drv_buf *bufs, unsigned n);
void drv_publish(struct drv *d, unsigned q);
int drv_put(
	struct drv *d, unsigned q, const struct drv_buf *bufs, unsigned n); /* stage + publish */
bool drv_needs_kick(struct drv *d, unsigned q); /* as Linux decides it */
void drv_kick(struct drv *d, unsigned q);       /* when needed */
void drv_kick_hard(struct drv *d, unsigned q);  /* always */
bool drv_pop_used(struct drv *d, unsigned q, uint32_t *ret_id, uint32_t *ret_len);
bool drv_wait_used(struct drv *d, unsigned q, uint32_t *ret_id, uint32_t *ret_len, int ms);
/* Waits for an interrupt, acknowledges and returns its bits; 0: none came. */
uint32_t drv_wait_irq(struct drv *d, int ms);
bool drv_needs_reset(struct drv *d);
/* How often the VMM's main loop was told of a failure since the last call. */
uint32_t drv_failures(struct drv *d);
bool drv_wait_needs_reset(struct drv *d, int ms);

/* Put, kick, wait: the used length, or -1 when it did not come back in DRV_WAIT_MS or with a wrong id. */
int64_t drv_call(struct drv *d, unsigned q, const struct drv_buf *bufs, unsigned n);
/* The row's request from start to end, checked. */
bool drv_valid(struct drv *d);

/* rows.c: every device there is, NULL-terminated. */
extern const struct device_row *const device_rows[];

#endif
