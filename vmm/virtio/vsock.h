/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the vsock device (devices.h has the outside, docs/vsock.md the whole picture).
 * VIRTIO 1.2, 5.10. Four files share this state, one thread runs them all:
 *
 * vsock.c: the device's operations, turns
 *
 * vsock_cmd.c: the command socket
 *
 * vsock_conn.c: streams; what a packet, a ready descriptor or an end does to one
 *
 * vsock_out.c: packets to the guest; receive buffers, control packets, replies
 *
 * All memory is taken in init(). Nothing the guest does makes any of it grow: a stream has one
 * window of backlog, control packets are flags of their stream, replies to strangers a ring of
 * fixed size.
 */
#ifndef VMM_VIRTIO_VSOCK_H
#define VMM_VIRTIO_VSOCK_H

#include <assert.h>
#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base.h"
#include "lib/proto.h"
#include "vmm/virtio/device.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/vsock_io.h"

#define VSOCK_QUEUE_SIZE   256
#define VSOCK_STREAMS_MAX  1024         /* bound ports, connected or not */
#define VSOCK_WINDOW       (128u << 10) /* bytes the guest may have unwritten on a stream: buf_alloc */
#define VSOCK_CREDIT_LOW   (VSOCK_WINDOW / 2) /* tell the guest of new room when it knows of less */
#define VSOCK_CREDIT_STEP  (VSOCK_WINDOW / 4) /* and this much was written since, or all */
#define VSOCK_TURN_BYTES   (64u << 10)        /* read from one descriptor at a time */
#define VSOCK_HELD_MAX     16                 /* rx buffers in hand */
#define VSOCK_REPLIES_MAX  256 /* resets for streams that are not there, waiting for rx buffers */
#define VSOCK_DRAINS_MAX   256 /* VSOCK_CMD_DRAIN waiting: one of each exec'd process, and the last */
#define VSOCK_DRAIN_PORTS  PROTO_EXEC_PORTS /* at most, in one */
#define VSOCK_HASH_BUCKETS 1024
#define VSOCK_IOV_MAX      (2 * VIRTQ_SEGS_MAX)

enum vsock_queue { VSOCK_Q_RX, VSOCK_Q_TX, VSOCK_Q_EVENT, VSOCK_QUEUES };

#define VSOCK_HDR_BYTES ((uint32_t)sizeof(struct virtio_vsock_hdr))
#define VSOCK_SHUT_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

enum vconn_state {
	VCONN_FREE,
	VCONN_BOUND, /* waits for the guest's REQUEST */
	VCONN_OPEN,
	VCONN_DEAD, /* over, or a RST waits; what the guest sent is still written out */
};

/* vconn.want: control packets to send once there is an rx buffer */
#define VWANT_RESPONSE BIT(0)
#define VWANT_SHUTDOWN BIT(1)
#define VWANT_CREDIT   BIT(2)
#define VWANT_RST      BIT(3)

/* As in devices.h: "rx" takes the guest's bytes, "tx" has bytes for it. */
struct vconn {
	uint8_t state;                /* enum vconn_state */
	uint8_t want;                 /* VWANT_* */
	uint8_t guest_shut, our_shut; /* VIRTIO_VSOCK_SHUTDOWN_*, said by the guest, by us */
	bool rx_watched, tx_watched;
	bool tx_hup; /* a hang-up or error was reported: nothing comes any more once it is empty */
	bool in_ctlq, in_runq; /* belong to the slot, not to the stream: survive a release */
	bool ring_touched;
	bool hashed; /* the port is its own; an unbound one has lost it while its RST waits */
	uint16_t hash_next; /* index + 1; 0: end */
	uint32_t gen;       /* of the slot: events of an earlier stream are told by it */
	uint32_t host_port, guest_port;
	struct vsock_io rx, tx;
	uint32_t rx_cnt;   /* bytes the guest has sent */
	uint32_t fwd_cnt;  /* of them: written out or dropped */
	uint32_t told_fwd; /* fwd_cnt as the guest last heard it */
	uint32_t tx_cnt;   /* bytes sent to the guest */
	/* What the guest says of its buffer; only it suffers from a lie. */
	uint32_t peer_alloc, peer_fwd;
	/* Backlog of the guest's bytes, in the slot's part of vsock.rings. */
	uint32_t ring_head, ring_len;
};

/* A queue of slots in which each is at most once (vconn.in_...): it can't overflow. */
struct vconn_queue {
	uint32_t head, n;
	uint16_t slot[VSOCK_STREAMS_MAX];
};

struct vsock_reply {
	uint32_t guest_port, host_port;
	uint16_t type;
};

/* What the guest had sent on a port when a drain came: written once its slot's stream has fwd_cnt there. */
struct vsock_target {
	uint16_t slot;
	uint32_t gen, rx_cnt;
};

struct vsock_drain {
	uint32_t id;
	uint32_t port, count; /* count 0: every stream */
	uint64_t until;       /* vsock.taken by when all is seen that was in the queue */
	uint32_t n_targets;
	bool reached; /* ... and target[] is set */
	struct vsock_target target[VSOCK_DRAIN_PORTS];
};
static_assert(VSOCK_DRAINS_MAX > PROTO_EXECS_MAX, "each exec'd process may be waiting for one");
static_assert(VSOCK_STREAMS_MAX >= PROTO_EXECS_MAX * PROTO_EXEC_PORTS + 4,
	"beside the control channel and the first process's");

struct vsock {
	struct vdev *dev;
	bool live;      /* between activate() and reset() or a fault: the queues may be used */
	bool tx_paused; /* replies are full: tx waits for rx buffers */
	bool turn_armed;
	int turn_fd; /* eventfd, readable while runq has work that no other event announces */
	uint32_t held_head, n_held;
	uint32_t n_replies, reply_head;
	uint32_t n_backlog; /* streams with bytes of the guest not written yet */
	uint64_t taken;     /* packets of the guest looked at */
	uint32_t n_drains;
	bool cmd_full;   /* the command socket takes no reply now: no command is read meanwhile */
	bool cmd_unsent; /* the one in `unsent` waits for it */
	struct vsock_cmd_reply unsent;
	struct vsock_drain drain[VSOCK_DRAINS_MAX]; /* in the order they came */
	uint32_t n_free;
	uint16_t bucket[VSOCK_HASH_BUCKETS]; /* by host port: index + 1; 0: none */
	uint16_t free_slot[VSOCK_STREAMS_MAX];
	struct vconn_queue ctlq; /* streams with something in want */
	struct vconn_queue runq; /* streams to read without an event, or that wait for buffers */
	struct vsock_reply reply[VSOCK_REPLIES_MAX];
	struct vconn conn[VSOCK_STREAMS_MAX];
	struct virtq_chain held[VSOCK_HELD_MAX]; /* rx buffers popped: a ring */
	struct virtq_chain chain;                /* of tx, being looked at */
	struct iovec iov[VSOCK_IOV_MAX];
	uint8_t *rings; /* VSOCK_STREAMS_MAX times VSOCK_WINDOW, untouched until needed */
};

/* epoll data of a stream's descriptors; the generation keeps an event from the slot's next user. */
enum vsock_dir { VSOCK_DIR_RX, VSOCK_DIR_TX };
#define VSOCK_GEN_MASK  0x0fffffffu
#define VSOCK_DATA_CMD  (VDEV_DATA_MAX - 1)
#define VSOCK_DATA_TURN (VDEV_DATA_MAX - 2)
#define VSOCK_DATA_NONE (VDEV_DATA_MAX - 3) /* of a probe: gone before an event can come */

/* vsock.c */
int vsock_take_packets(struct vsock *v); /* 0 or -VFAULT_* */

/* vsock_cmd.c */
int vsock_cmd_event(struct vsock *v); /* the command socket is ready; 0 or -VFAULT_* */
/* The queue was looked at: are there drains that now know what they wait for? */
void vsock_cmd_taken(struct vsock *v, bool empty);
void vsock_cmd_answer(struct vsock *v); /* answers the drains whose bytes are written */

/* vsock_out.c. Results: 1 done, 0 no rx buffer now, -VFAULT_* */
int vsock_out_ready(struct vsock *v); /* a buffer is in hand, nothing waits before new data */
int vsock_out_flush(struct vsock *v); /* sends the waiting control packets and replies */
/* Reads from c's descriptor straight into rx buffers, at most `max` bytes; vsock_out_ready()
 * said 1. Returns as vsock_io_readv(). */
ssize_t vsock_out_data(struct vsock *v, struct vconn *c, uint32_t max);
void vsock_out_want(struct vsock *v, struct vconn *c, uint8_t want);
/* A RST for a packet of no stream; the caller made sure of room. */
void vsock_out_reply(struct vsock *v, const struct virtio_vsock_hdr *h);
void vsock_out_reset(struct vsock *v);

bool vconn_queue_push(struct vconn_queue *q, uint16_t slot, bool *in_queue); /* false: was in it */
int vconn_queue_pop(struct vconn_queue *q);                                  /* -1: empty */

/* vsock_conn.c */
int vconn_bind_take(
	struct vsock *v, uint32_t port, int *rx_fd, int *tx_fd); /* 0 or -errno; takes on 0 */
void vconn_unbind(struct vsock *v, uint32_t port);
/* What is to be written before everything sent on the port so far is. False: nothing. */
bool vconn_target(struct vsock *v, uint32_t port, struct vsock_target *ret);
bool vconn_reached(const struct vsock *v, const struct vsock_target *t);
void vconn_packet(struct vsock *v, const struct virtq_chain *chain);
int vconn_pull(
	struct vsock *v, struct vconn *c); /* one turn of reading for the guest; 0 or -VFAULT_* */
void vconn_rx_event(struct vsock *v, struct vconn *c, uint32_t events);
int vconn_tx_event(struct vsock *v, struct vconn *c, uint32_t events);
struct vconn *vconn_of_event(
	struct vsock *v, uint64_t data, enum vsock_dir *ret_dir); /* NULL: stale */
void vconn_settle(
	struct vsock *v, struct vconn *c); /* ends or frees c when nothing is left to do */
void vconn_guest_gone(struct vsock *v);    /* the driver reset the device */
void vconn_release_all(struct vsock *v);

#endif
