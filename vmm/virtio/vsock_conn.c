/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream. The two directions end on their own. The guest's bytes:
 *
 *  - its SHUTDOWN(SEND), once the backlog is written: rx is closed, a pipe's reader sees EOF
 *  - a write fails (reader gone): rx is closed, SHUTDOWN(RCV) gives the guest's writer EPIPE
 *
 * Bytes for the guest:
 *
 *  - end of file of tx: it is closed, SHUTDOWN(SEND) gives the guest's reader EOF
 *  - the guest's SHUTDOWN(RCV): tx is closed, its writer gets EPIPE
 *
 * Once the guest has shut both, the backlog is written out and a RST confirms it (5.10.6.5). A RST
 * of the guest, an error of its own making or a reset of the device ends the dialog at once, but
 * never throws away bytes that were taken: the slot stays, DEAD, until they are written.
 */
#include "vmm/virtio/vsock.h"

#include <endian.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "lib/cleanup.h"
#include "lib/proto.h"

static uint16_t slot_of(const struct vsock *v, const struct vconn *c)
{
	return (uint16_t)(c - v->conn);
}

static uint64_t event_data(const struct vsock *v, const struct vconn *c, enum vsock_dir dir)
{
	return (uint64_t)c->gen << 32 | (uint64_t)slot_of(v, c) << 1 | dir;
}

struct vconn *vconn_of_event(struct vsock *v, uint64_t data, enum vsock_dir *ret_dir)
{
	uint32_t slot = (uint32_t)data >> 1;
	struct vconn *c;

	if (slot >= VSOCK_STREAMS_MAX)
		return NULL;
	c = &v->conn[slot];
	*ret_dir = data & 1 ? VSOCK_DIR_TX : VSOCK_DIR_RX;
	return c->gen == (uint32_t)(data >> 32) && c->state != VCONN_FREE ? c : NULL;
}

/* By host port: a port has one stream in its life. */

static uint16_t *bucket_of(struct vsock *v, uint32_t port)
{
	return &v->bucket[port % VSOCK_HASH_BUCKETS];
}

static struct vconn *find(struct vsock *v, uint32_t port)
{
	for (uint16_t i = *bucket_of(v, port); i; i = v->conn[i - 1].hash_next) {
		if (v->conn[i - 1].host_port == port)
			return &v->conn[i - 1];
	}
	return NULL;
}

static void unhash(struct vsock *v, struct vconn *c)
{
	uint16_t *p = bucket_of(v, c->host_port);

	if (!c->hashed)
		return;
	while (*p != slot_of(v, c) + 1)
		p = &v->conn[*p - 1].hash_next;
	*p = c->hash_next;
	c->hashed = false;
}

/* Watches. A descriptor is watched only while an event would lead to something: epoll reports
 * hang-ups always, and the events are level-triggered. */

static void unwatch_rx(struct vsock *v, struct vconn *c)
{
	if (c->rx_watched)
		vdev_unwatch(v->dev, 0, c->rx.fd);
	c->rx_watched = false;
}

static void unwatch_tx(struct vsock *v, struct vconn *c)
{
	if (c->tx_watched)
		vdev_unwatch(v->dev, 0, c->tx.fd);
	c->tx_watched = false;
}

static void close_tx(struct vsock *v, struct vconn *c)
{
	unwatch_tx(v, c);
	vsock_io_close(&c->tx);
}

static void run_later(struct vsock *v, struct vconn *c)
{
	unwatch_tx(v, c);
	vconn_queue_push(&v->runq, slot_of(v, c), &c->in_runq);
}

/* Tells the two kinds apart that only epoll can tell apart. 0 or -errno. */
static int probe(struct vsock *v, struct vsock_io *io, uint32_t events)
{
	int r;

	if (io->kind != VSOCK_IO_POLLED)
		return 0;
	r = vdev_watch(v->dev, 0, io->fd, events, VSOCK_DATA_NONE);
	if (r == -EPERM)
		io->kind = VSOCK_IO_FILE;
	else if (r < 0)
		return r;
	else
		vdev_unwatch(v->dev, 0, io->fd);
	return 0;
}

int vconn_bind_take(struct vsock *v, uint32_t port, int *rx_fd, int *tx_fd)
{
	struct vsock_io rx, tx;
	struct vconn *c;
	int r;

	if (!port || port == VMADDR_PORT_ANY)
		return -EINVAL;
	if (find(v, port))
		return -EADDRINUSE;
	if (!v->n_free)
		return -ENOSPC;
	vsock_io_init_take(&rx, *rx_fd); /* the caller's until the end */
	vsock_io_init_take(&tx, *tx_fd);
	r = probe(v, &rx, EPOLLOUT);
	if (r == 0)
		r = probe(v, &tx, EPOLLIN);
	if (r < 0)
		return r;
	c = &v->conn[v->free_slot[--v->n_free]];
	*c = (struct vconn){
		.state = VCONN_BOUND,
		.gen = c->gen,
		.in_ctlq = c->in_ctlq,
		.in_runq = c->in_runq,
		.hashed = true,
		.hash_next = *bucket_of(v, port),
		.host_port = port,
		.rx = rx,
		.tx = tx,
	};
	*rx_fd = *tx_fd = -1;
	*bucket_of(v, port) = slot_of(v, c) + 1;
	return 0;
}

/* The backlog: a ring in the slot's part of v->rings. */

static uint8_t *ring_of(struct vsock *v, struct vconn *c)
{
	return v->rings + (size_t)slot_of(v, c) * VSOCK_WINDOW;
}

/* Copies the len bytes at off of the packet in; the window was checked, so they fit. */
static void ring_put(struct vsock *v, struct vconn *c, const struct virtq_chain *chain,
	uint32_t off, uint32_t len)
{
	uint32_t at = (c->ring_head + c->ring_len) % VSOCK_WINDOW;
	uint32_t first = MIN(len, VSOCK_WINDOW - at);

	BUG_ON(len > VSOCK_WINDOW - c->ring_len);
	BUG_ON(!chain_read(chain, off, ring_of(v, c) + at, first));
	BUG_ON(!chain_read(chain, off + first, ring_of(v, c), len - first));
	if (!c->ring_len && len)
		v->n_backlog++;
	c->ring_len += len;
	c->ring_touched = true;
}

static void ring_drop(struct vsock *v, struct vconn *c, uint32_t len)
{
	if (c->ring_len && c->ring_len == len)
		v->n_backlog--;
	c->ring_len -= len;
	/* Beginning anew when empty touches as few pages as a stream needs. */
	c->ring_head = c->ring_len ? (c->ring_head + len) % VSOCK_WINDOW : 0;
	c->fwd_cnt += len;
}

static void release(struct vsock *v, struct vconn *c)
{
	unwatch_rx(v, c);
	close_tx(v, c);
	vsock_io_close(&c->rx);
	ring_drop(v, c, c->ring_len);
	if (c->ring_touched) /* what a burst needed is not kept */
		madvise(ring_of(v, c), VSOCK_WINDOW, MADV_DONTNEED);
	unhash(v, c);
	c->gen = (c->gen + 1) & VSOCK_GEN_MASK;
	c->want = 0;
	c->state = VCONN_FREE;
	v->free_slot[v->n_free++] = slot_of(v, c);
}

/* No more is said on this stream, but for a RST where one is given. */
static void die(struct vsock *v, struct vconn *c, uint8_t want)
{
	close_tx(v, c);
	c->state = VCONN_DEAD;
	c->want = 0;
	c->guest_shut = VSOCK_SHUT_BOTH;
	if (want)
		vsock_out_want(v, c, want);
	vconn_settle(v, c);
}

void vconn_settle(struct vsock *v, struct vconn *c)
{
	if (c->state == VCONN_FREE || c->state == VCONN_BOUND || c->ring_len)
		return;
	if (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) {
		unwatch_rx(v, c);
		vsock_io_close(&c->rx);
	}
	if (c->state == VCONN_OPEN && c->guest_shut == VSOCK_SHUT_BOTH)
		die(v, c, VWANT_RST); /* comes back here */
	else if (c->state == VCONN_DEAD && !c->want)
		release(v, c);
}

void vconn_unbind(struct vsock *v, uint32_t port)
{
	struct vconn *c = find(v, port);

	if (!c)
		return;
	if (c->state == VCONN_BOUND) {
		release(v, c);
		return;
	}
	unhash(v, c);
	unwatch_rx(v, c);
	vsock_io_close(&c->rx);
	ring_drop(v, c, c->ring_len);
	/* The slot stays taken until the guest has room for the RST. */
	if (c->state == VCONN_OPEN)
		die(v, c, VWANT_RST);
	else
		vconn_settle(v, c);
}

bool vconn_target(struct vsock *v, uint32_t port, struct vsock_target *ret)
{
	struct vconn *c = find(v, port);

	if (!c || !c->ring_len)
		return false;
	*ret = (struct vsock_target){slot_of(v, c), c->gen, c->rx_cnt};
	return true;
}

bool vconn_reached(const struct vsock *v, const struct vsock_target *t)
{
	const struct vconn *c = &v->conn[t->slot];

	/* The counters wrap; what lies between them is a window at most. */
	return c->state == VCONN_FREE || c->gen != t->gen || (int32_t)(c->fwd_cnt - t->rx_cnt) >= 0;
}

static void shut(struct vsock *v, struct vconn *c, uint8_t half)
{
	if (c->state != VCONN_OPEN || (c->our_shut & half))
		return;
	c->our_shut |= half;
	vsock_out_want(v, c, VWANT_SHUTDOWN);
}

/* Nobody takes the guest's bytes any more (or nobody ever did). */
static void rx_gone(struct vsock *v, struct vconn *c)
{
	unwatch_rx(v, c);
	vsock_io_close(&c->rx);
	ring_drop(v, c, c->ring_len);
	shut(v, c, VIRTIO_VSOCK_SHUTDOWN_RCV);
}

/* Tells the guest of new room when it may be waiting for it, but not for every byte a slow reader
 * takes. (A guest that sends more than it was told of makes `known` wrap, and goes without.) */
static void credit(struct vsock *v, struct vconn *c)
{
	uint32_t known = VSOCK_WINDOW - (c->rx_cnt - c->told_fwd), more = c->fwd_cnt - c->told_fwd;

	if (c->state == VCONN_OPEN && more && known < VSOCK_CREDIT_LOW &&
		(more >= VSOCK_CREDIT_STEP || !c->ring_len))
		vsock_out_want(v, c, VWANT_CREDIT);
}

/* Writes what the descriptor takes now; watches it while something is left. */
static void flush_backlog(struct vsock *v, struct vconn *c, bool hup)
{
	uint32_t first = MIN(c->ring_len, VSOCK_WINDOW - c->ring_head);
	struct iovec iov[2] = {
		{.iov_base = ring_of(v, c) + c->ring_head, .iov_len = first},
		{.iov_base = ring_of(v, c), .iov_len = c->ring_len - first},
	};
	ssize_t r;

	if (!c->ring_len)
		return;
	r = vsock_io_writev(&c->rx, iov, c->ring_len > first ? 2 : 1);
	if (r > 0)
		ring_drop(v, c, (uint32_t)r);
	else if (r != -EAGAIN || hup)
		rx_gone(v, c);
	if (!c->ring_len)
		unwatch_rx(v, c);
	credit(v, c);
}

static void watch_rx(struct vsock *v, struct vconn *c)
{
	if (c->rx_watched)
		return;
	if (vdev_watch(v->dev, 0, c->rx.fd, EPOLLOUT, event_data(v, c, VSOCK_DIR_RX)) < 0)
		rx_gone(v, c);
	else
		c->rx_watched = true;
}

static void on_data(struct vsock *v, struct vconn *c, const struct virtq_chain *chain, uint32_t len)
{
	ssize_t done = 0;

	if (len > VSOCK_WINDOW - (c->rx_cnt - c->fwd_cnt) ||
		(c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND)) {
		die(v, c, VWANT_RST); /* more than it was allowed, or after its own end */
		return;
	}
	if (!len)
		return;
	c->rx_cnt += len;
	if (c->rx.kind != VSOCK_IO_NONE && !c->ring_len) {
		int n = chain_out_iov(chain, VSOCK_HDR_BYTES, len, v->iov, VSOCK_IOV_MAX);

		done = vsock_io_writev(&c->rx, v->iov, n);
		if (done == -EAGAIN)
			done = 0;
		else if (done < 0)
			rx_gone(v, c);
	}
	if (c->rx.kind == VSOCK_IO_NONE) {
		c->fwd_cnt += len;
		shut(v, c, VIRTIO_VSOCK_SHUTDOWN_RCV); /* a stream that never had a reader, at its
							  first byte */
		return;
	}
	c->fwd_cnt += (uint32_t)done;
	if ((uint32_t)done < len) {
		ring_put(v, c, chain, VSOCK_HDR_BYTES + (uint32_t)done, len - (uint32_t)done);
		watch_rx(v, c);
	}
	credit(v, c);
}

void vconn_rx_event(struct vsock *v, struct vconn *c, uint32_t events)
{
	if (!c->rx_watched)
		return;
	flush_backlog(v, c, (events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLOUT));
	vconn_settle(v, c);
}

/* Bytes for the guest. */

static uint32_t peer_credit(const struct vconn *c)
{
	uint32_t used = c->tx_cnt - c->peer_fwd;

	return used >= c->peer_alloc ? 0 : c->peer_alloc - used;
}

static bool tx_open(const struct vconn *c)
{
	return c->state == VCONN_OPEN && c->tx.kind != VSOCK_IO_NONE;
}

static void tx_ended(struct vsock *v, struct vconn *c)
{
	close_tx(v, c);
	shut(v, c, VIRTIO_VSOCK_SHUTDOWN_SEND);
}

/* Waits for bytes: by epoll where that is possible, else (a file) by its next turn. */
static void await_bytes(struct vsock *v, struct vconn *c)
{
	if (c->tx.kind == VSOCK_IO_FILE) {
		run_later(v, c);
		return;
	}
	if (c->tx_watched)
		return;
	if (vdev_watch(v->dev, 0, c->tx.fd, EPOLLIN, event_data(v, c, VSOCK_DIR_TX)) < 0)
		tx_ended(v, c);
	else
		c->tx_watched = true;
}

int vconn_pull(struct vsock *v, struct vconn *c)
{
	uint32_t room = peer_credit(c);
	ssize_t got;
	int r;

	if (!tx_open(c) || !v->live)
		return 0;
	if (!room) {
		unwatch_tx(v, c); /* goes on in set_credit() */
		return 0;
	}
	r = vsock_out_ready(v);
	if (r <= 0) {
		run_later(v, c); /* goes on when the guest gives rx buffers */
		return r;
	}
	if (!tx_open(c)) /* the flush before new data may have settled it */
		return 0;
	got = vsock_out_data(v, c, MIN(room, VSOCK_TURN_BYTES));
	if (got > 0 || (got == -EAGAIN && !c->tx_hup))
		await_bytes(v, c);
	else
		tx_ended(v, c);
	return 0;
}

int vconn_tx_event(struct vsock *v, struct vconn *c, uint32_t events)
{
	if (!c->tx_watched)
		return 0;
	c->tx_hup = (events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLIN);
	return vconn_pull(v, c);
}

/* Packets of the guest. */

static void set_credit(struct vsock *v, struct vconn *c, const struct virtio_vsock_hdr *h)
{
	bool stalled = !peer_credit(c);

	c->peer_alloc = le32toh(h->buf_alloc);
	c->peer_fwd = le32toh(h->fwd_cnt);
	if (stalled && peer_credit(c) && tx_open(c) && !c->tx_watched)
		run_later(v, c);
}

static void on_request(struct vsock *v, struct vconn *c, const struct virtio_vsock_hdr *h)
{
	c->state = VCONN_OPEN;
	c->guest_port = le32toh(h->src_port);
	vsock_out_want(v, c, VWANT_RESPONSE);
	set_credit(v, c, h);
	if (tx_open(c) && peer_credit(c))
		run_later(v, c);
}

static void on_shutdown(struct vsock *v, struct vconn *c, uint32_t flags)
{
	if (flags & ~(uint32_t)VSOCK_SHUT_BOTH) {
		die(v, c, VWANT_RST);
		return;
	}
	c->guest_shut |= (uint8_t)flags;
	if (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV)
		close_tx(v, c);
	vconn_settle(v, c);
}

static void on_packet(struct vsock *v, struct vconn *c, const struct virtio_vsock_hdr *h,
	const struct virtq_chain *chain)
{
	uint32_t len = le32toh(h->len), flags = le32toh(h->flags);
	uint16_t op = le16toh(h->op);

	/* 5.10.6.2: len is the payload's; only RW has one, and flags belong to SHUTDOWN on a
	 * stream. */
	if (len != chain->out_bytes - VSOCK_HDR_BYTES || (len && op != VIRTIO_VSOCK_OP_RW) ||
		(flags && op != VIRTIO_VSOCK_OP_SHUTDOWN)) {
		die(v, c, op == VIRTIO_VSOCK_OP_RST ? 0 : VWANT_RST);
		return;
	}
	if (op != VIRTIO_VSOCK_OP_RST)
		set_credit(v, c, h);
	switch (op) {
	case VIRTIO_VSOCK_OP_RW: on_data(v, c, chain, len); break;
	case VIRTIO_VSOCK_OP_SHUTDOWN: on_shutdown(v, c, flags); break;
	case VIRTIO_VSOCK_OP_RST: die(v, c, 0); break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE: break; /* all packets carry it */
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST: vsock_out_want(v, c, VWANT_CREDIT); break;
	default: die(v, c, VWANT_RST); break; /* REQUEST again, RESPONSE, unknown */
	}
}

/* Anything we have no stream for. A RST is not answered, or two peers could go on for ever. */
static void refuse(struct vsock *v, const struct virtio_vsock_hdr *h)
{
	if (le16toh(h->op) != VIRTIO_VSOCK_OP_RST)
		vsock_out_reply(v, h);
}

static bool plain_request(const struct virtio_vsock_hdr *h, const struct virtq_chain *chain)
{
	return le16toh(h->op) == VIRTIO_VSOCK_OP_REQUEST && !h->len && !h->flags &&
	       chain->out_bytes == VSOCK_HDR_BYTES;
}

void vconn_packet(struct vsock *v, const struct virtq_chain *chain)
{
	struct virtio_vsock_hdr h; /* the one copy: checked and used */
	struct vconn *c;

	BUG_ON(!chain_read(chain, 0, &h, sizeof(h)));
	/* 5.10.6.4.2: packets of or for somebody else are dropped; a RST would go to a CID that
	 * isn't there. */
	if (le64toh(h.src_cid) != PROTO_GUEST_CID || le64toh(h.dst_cid) != VMADDR_CID_HOST)
		return;
	c = find(v, le32toh(h.dst_port));
	if (!c || le16toh(h.type) != VIRTIO_VSOCK_TYPE_STREAM)
		refuse(v, &h);
	else if (c->state == VCONN_BOUND && plain_request(&h, chain))
		on_request(v, c, &h);
	else if (c->state == VCONN_OPEN && c->guest_port == le32toh(h.src_port))
		on_packet(v, c, &h, chain);
	else if (c->state == VCONN_DEAD && c->guest_port == le32toh(h.src_port) &&
		 le16toh(h.op) == VIRTIO_VSOCK_OP_RST)
		die(v, c, 0); /* our RST crossed with its own: no need to send it any more */
	else
		refuse(v, &h);
}

void vconn_guest_gone(struct vsock *v)
{
	int slot;

	while ((slot = vconn_queue_pop(&v->runq)) >= 0)
		v->conn[slot].in_runq = false;
	for (unsigned i = 0; i < VSOCK_STREAMS_MAX; i++) {
		if (v->conn[i].state == VCONN_OPEN || v->conn[i].state == VCONN_DEAD)
			die(v, &v->conn[i], 0);
	}
}

void vconn_release_all(struct vsock *v)
{
	for (unsigned i = 0; i < VSOCK_STREAMS_MAX; i++) {
		struct vconn *c = &v->conn[i];

		c->rx_watched = c->tx_watched = false; /* nobody waits any more */
		if (c->state != VCONN_FREE)
			release(v, c);
	}
}
