/* SPDX-License-Identifier: Apache-2.0 */
/* Packets to the guest. Order: replies to strangers, control packets, data; so no data overtakes
 * its RESPONSE. */
#include "vmm/virtio/vsock.h"

#include <endian.h>
#include <linux/vm_sockets.h>

#include "lib/proto.h"

bool vconn_queue_push(struct vconn_queue *q, uint16_t slot, bool *in_queue)
{
	if (*in_queue)
		return false;
	*in_queue = true;
	q->slot[(q->head + q->n++) % VSOCK_STREAMS_MAX] = slot;
	return true;
}

int vconn_queue_pop(struct vconn_queue *q)
{
	int slot;

	if (!q->n)
		return -1;
	slot = q->slot[q->head];
	q->head = (q->head + 1) % VSOCK_STREAMS_MAX;
	q->n--;
	return slot;
}

/* The i-th oldest buffer in hand. */
static struct virtq_chain *held(struct vsock *v, uint32_t i)
{
	return &v->held[(v->held_head + i) % VSOCK_HELD_MAX];
}

/* Fills held[] from the rx queue. Asks for a kick only when nothing is in hand. */
static int hold_buffers(struct vsock *v)
{
	struct virtq *vq = &v->dev->vq[VSOCK_Q_RX];

	while (v->n_held < VSOCK_HELD_MAX) {
		struct virtq_chain *c = held(v, v->n_held);
		int r = virtq_pop(vq, c);

		if (r < 0)
			return r;
		if (r == 0) {
			if (v->n_held || !virtq_enable_kicks(vq))
				break;
			continue;
		}
		/* A buffer without room for a byte of data would never let a stream go on. */
		if (c->in_bytes <= VSOCK_HDR_BYTES)
			return -VFAULT_REQUEST;
		v->n_held++;
	}
	return v->n_held > 0;
}

/* The n oldest buffers were pushed: they are the driver's again. */
static void drop_held(struct vsock *v, uint32_t n)
{
	v->n_held -= n;
	v->held_head = (v->held_head + n) % VSOCK_HELD_MAX;
}

static struct virtio_vsock_hdr header(
	uint32_t guest_port, uint32_t host_port, uint16_t type, uint16_t op)
{
	return (struct virtio_vsock_hdr){
		.src_cid = htole64(VMADDR_CID_HOST),
		.dst_cid = htole64(PROTO_GUEST_CID),
		.src_port = htole32(host_port),
		.dst_port = htole32(guest_port),
		.type = htole16(type),
		.op = htole16(op),
	};
}

/* Every packet of a stream carries the credit (5.10.6.3), so none is owed after it. */
static struct virtio_vsock_hdr conn_header(struct vconn *c, uint16_t op)
{
	struct virtio_vsock_hdr h =
		header(c->guest_port, c->host_port, VIRTIO_VSOCK_TYPE_STREAM, op);

	h.buf_alloc = htole32(VSOCK_WINDOW);
	h.fwd_cnt = htole32(c->fwd_cnt);
	c->told_fwd = c->fwd_cnt;
	c->want &= (uint8_t)~VWANT_CREDIT;
	return h;
}

static void put_packet(struct vsock *v, uint32_t i, const struct virtio_vsock_hdr *h)
{
	struct virtq_chain *chain = held(v, i);

	BUG_ON(!chain_write(chain, 0, h, VSOCK_HDR_BYTES));
	virtq_push(&v->dev->vq[VSOCK_Q_RX], chain->head, VSOCK_HDR_BYTES + le32toh(h->len));
}

static void send_reply(struct vsock *v)
{
	const struct vsock_reply *r = &v->reply[v->reply_head];
	struct virtio_vsock_hdr h =
		header(r->guest_port, r->host_port, r->type, VIRTIO_VSOCK_OP_RST);

	put_packet(v, 0, &h);
	drop_held(v, 1);
	v->reply_head = (v->reply_head + 1) % VSOCK_REPLIES_MAX;
	v->n_replies--;
}

/* Sends the most urgent thing c wants said, if anything. */
static void send_wanted(struct vsock *v, struct vconn *c)
{
	struct virtio_vsock_hdr h;

	if (!c->want)
		return;
	if (c->want & VWANT_RESPONSE) {
		c->want &= (uint8_t)~VWANT_RESPONSE;
		h = conn_header(c, VIRTIO_VSOCK_OP_RESPONSE);
	} else if (c->want & VWANT_RST) {
		h = conn_header(c, VIRTIO_VSOCK_OP_RST);
		c->want = 0;
	} else if (c->want & VWANT_SHUTDOWN) {
		c->want &= (uint8_t)~VWANT_SHUTDOWN;
		h = conn_header(c, VIRTIO_VSOCK_OP_SHUTDOWN);
		h.flags = htole32(c->our_shut);
	} else {
		h = conn_header(c, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	}
	put_packet(v, 0, &h);
	drop_held(v, 1);
	if (c->want)
		vconn_queue_push(&v->ctlq, (uint16_t)(c - v->conn), &c->in_ctlq);
	else
		vconn_settle(v, c);
}

int vsock_out_flush(struct vsock *v)
{
	while (v->live && (v->n_replies || v->ctlq.n)) {
		int r = hold_buffers(v);

		if (r <= 0)
			return r;
		if (v->n_replies) {
			send_reply(v);
		} else {
			struct vconn *c = &v->conn[vconn_queue_pop(&v->ctlq)];

			c->in_ctlq = false;
			send_wanted(v, c);
		}
	}
	return v->live;
}

int vsock_out_ready(struct vsock *v)
{
	int r = vsock_out_flush(v);

	return r <= 0 ? r : hold_buffers(v);
}

/* The vectors of the data parts of the buffers in hand, up to max bytes. */
static int data_iov(struct vsock *v, uint32_t max)
{
	int n = 0;

	for (uint32_t i = 0; i < v->n_held && max; i++) {
		const struct virtq_chain *chain = held(v, i);
		uint32_t len = MIN(chain->in_bytes - VSOCK_HDR_BYTES, max);
		int r = chain_in_iov(chain, VSOCK_HDR_BYTES, len, v->iov + n, VSOCK_IOV_MAX - n);

		if (r < 0)
			break; /* the first one always fits: VSOCK_IOV_MAX >= VIRTQ_SEGS_MAX */
		n += r;
		max -= len;
	}
	return n;
}

ssize_t vsock_out_data(struct vsock *v, struct vconn *c, uint32_t max)
{
	ssize_t got = vsock_io_readv(&c->tx, v->iov, data_iov(v, max));
	uint32_t left, used = 0;

	if (got <= 0)
		return got;
	for (left = (uint32_t)got; left; used++) {
		struct virtio_vsock_hdr h = conn_header(c, VIRTIO_VSOCK_OP_RW);
		uint32_t len = MIN(held(v, used)->in_bytes - VSOCK_HDR_BYTES, left);

		h.len = htole32(len);
		put_packet(v, used, &h);
		left -= len;
	}
	drop_held(v, used);
	c->tx_cnt += (uint32_t)got;
	return got;
}

void vsock_out_want(struct vsock *v, struct vconn *c, uint8_t want)
{
	c->want |= want;
	vconn_queue_push(&v->ctlq, (uint16_t)(c - v->conn), &c->in_ctlq);
}

void vsock_out_reply(struct vsock *v, const struct virtio_vsock_hdr *h)
{
	struct vsock_reply *r = &v->reply[(v->reply_head + v->n_replies) % VSOCK_REPLIES_MAX];

	BUG_ON(v->n_replies == VSOCK_REPLIES_MAX);
	v->n_replies++;
	*r = (struct vsock_reply){
		.guest_port = le32toh(h->src_port),
		.host_port = le32toh(h->dst_port),
		.type = le16toh(h->type),
	};
}

void vsock_out_reset(struct vsock *v)
{
	int slot;

	while ((slot = vconn_queue_pop(&v->ctlq)) >= 0)
		v->conn[slot].in_ctlq = false;
	v->n_replies = 0;
	v->n_held = 0;
}
