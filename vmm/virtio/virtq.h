/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The split virtqueue, device side (VIRTIO 1.2, 2.7), with indirect descriptors and event index. The only
 * code that touches rings. The driver is hostile: every index, address, length and flag is copied once and
 * checked; a chain is at most queue-size descriptors, indirect included; a fault is an enum, never an assert.
 *
 * A struct virtq belongs to one thread. Typical use:
 *
 *	while ((r = virtq_pop(vq, &chain)) > 0) {
 *		... chain_read(), chain_write() or the iovecs ...
 *		virtq_push(vq, chain.head, written);
 *	}
 *	if (r < 0) return r;			// the transport sets DEVICE_NEEDS_RESET
 *	if (virtq_should_signal(vq)) vdev_signal(dev);
 */
#ifndef VMM_VIRTIO_VIRTQ_H
#define VMM_VIRTIO_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/mem.h"

#define VIRTQ_SIZE_MAX 256
#define VIRTQ_SEGS_MAX VIRTQ_SIZE_MAX

/* What a driver did wrong. Functions return the negative value. */
enum vfault {
	VFAULT_RING_ADDR = 1, /* ring not in memory, misaligned, or its size not a power of two */
	VFAULT_AVAIL_IDX,     /* avail.idx more than queue-size ahead */
	VFAULT_DESC_INDEX,    /* head or next out of range */
	VFAULT_DESC_LOOP,     /* more descriptors than the queue has */
	VFAULT_DESC_ADDR,     /* buffer not in guest memory */
	VFAULT_DESC_LEN,      /* lengths add up to 4 GiB or more, or a zero-length buffer */
	VFAULT_DESC_ORDER,    /* readable after writable */
	VFAULT_INDIRECT, /* nested, with NEXT, empty, not a multiple of 16, too long, not offered */
	VFAULT_REQUEST,  /* the request itself breaks the device's rules */
	VFAULTS
};

const char *vfault_name(enum vfault f); /* for the log; "unknown" out of range */

/* Where a queue is, as the driver told the transport. Plain data: crosses the control socket. */
struct virtq_config {
	uint32_t size;
	uint32_t enabled;
	uint64_t desc, avail, used; /* guest addresses */
};

struct virtq {
	const struct guest_mem *mem;
	uint16_t size; /* 0: not active */
	bool indirect, event_idx;
	struct vring_desc *desc;   /* guest memory */
	struct vring_avail *avail; /* guest memory */
	struct vring_used *used;   /* guest memory */
	uint16_t next_avail;       /* worker only; never reread from the ring */
	uint16_t next_used;        /* worker only */
	uint16_t signalled_used;   /* next_used when the driver was last interrupted */
	bool signalled_valid;
	bool kicks_off;                 /* between virtq_disable_kicks() and virtq_enable_kicks() */
	bool turn_over;                 /* a pop was refused because of turn_max */
	uint16_t turn_max, turn_popped; /* the worker's fairness limit; max 0: none */
};

struct virtq_chain {
	uint16_t head;
	uint16_t n_out; /* iov[0..n_out): device-readable */
	uint16_t n_in;  /* iov[n_out..n_out+n_in): device-writable */
	uint32_t out_bytes, in_bytes;
	struct iovec iov[VIRTQ_SEGS_MAX]; /* host addresses, checked; contents change under us */
};

/* 0 or -VFAULT_RING_ADDR. features: the negotiated bits. */
int virtq_init(struct virtq *vq, const struct guest_mem *mem, const struct virtq_config *cfg,
	uint64_t features);
void virtq_reset(struct virtq *vq);

/* 1: a chain, 0: none, -VFAULT_*: broken; from then on the queue is dead (pops and pushes nothing). 0 also
 * when the turn is over: the worker then calls kick() again soon, without a kick from the driver. */
int virtq_pop(struct virtq *vq, struct virtq_chain *ret_chain);
/* Hands the chain back with `written` bytes in its writable part. */
void virtq_push(struct virtq *vq, uint16_t head, uint32_t written);
/* Takes the chain popped last back (rx buffers without data yet). Only before any virtq_push. */
void virtq_unpop(struct virtq *vq);
/* True when the driver wants an interrupt for what was pushed since it was last asked. */
bool virtq_should_signal(struct virtq *vq);
/* Asks the driver (not) to kick. enable: returns true when buffers came meanwhile: look again. */
void virtq_disable_kicks(struct virtq *vq);
bool virtq_enable_kicks(struct virtq *vq);

/* For the worker: from here on at most max chains are popped (0: any number), so that a driver that fills
 * the ring as fast as we empty it can't keep a worker from its other duties. _over: it came to that. */
void virtq_begin_turn(struct virtq *vq, uint16_t max);
bool virtq_turn_over(const struct virtq *vq);

/* Copies from the readable part at byte offset off, or into the writable part. False, with nothing copied,
 * when [off, off+len) does not lie within it. */
bool chain_read(const struct virtq_chain *c, uint32_t off, void *buf, uint32_t len);
bool chain_write(const struct virtq_chain *c, uint32_t off, const void *buf, uint32_t len);
/* The iovecs of [off, off+len) of the readable (out) or writable (in) part. Returns their count (at most
 * max), or -1 when the range does not fit the part or max. */
int chain_out_iov(
	const struct virtq_chain *c, uint32_t off, uint32_t len, struct iovec *iov, int max);
int chain_in_iov(
	const struct virtq_chain *c, uint32_t off, uint32_t len, struct iovec *iov, int max);

#endif
