/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/vsock_peer.h"

#include <endian.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/fd.h"
#include "lib/proto.h"
#include "tests/device/rows.h"
#include "vmm/virtio/devices.h"

enum { Q_RX, Q_TX, Q_EVENT };

static void start(struct peer *p)
{
	if (!drv_start(&p->d, ~0ull))
		drv_die("the vsock device does not start");
	for (unsigned i = 0; i < PEER_RX_BUFS; i++) {
		p->rx_gpa[i] = drv_alloc(&p->d, PEER_RX_BYTES, 16);
		p->rx_head[i] = -1;
	}
	for (unsigned i = 0; i < PEER_TX_SLOTS; i++) {
		p->tx_gpa[i] = drv_alloc(&p->d, PEER_TX_BYTES, 16);
		p->tx_head[i] = -1;
	}
	p->n_streams = 0;
	p->strangers = 0;
	if (!p->hold_rx)
		peer_give_rx(p, PEER_RX_BUFS);
}

void peer_open(struct peer *p)
{
	memset(p, 0, sizeof(*p));
	drv_open(&p->d, &row_vsock);
	start(p);
}

void peer_restart(struct peer *p)
{
	drv_reset(&p->d);
	start(p);
}

void peer_close(struct peer *p)
{
	drv_close(&p->d);
}

void peer_give_rx(struct peer *p, unsigned n)
{
	for (unsigned i = 0; i < PEER_RX_BUFS && n; i++) {
		struct drv_buf b = {.gpa = p->rx_gpa[i], .len = PEER_RX_BYTES, .in = true};

		if (p->rx_head[i] >= 0)
			continue;
		p->rx_head[i] = drv_put(&p->d, Q_RX, &b, 1);
		n--;
	}
	drv_kick(&p->d, Q_RX);
}

static int command(struct peer *p, const struct vsock_cmd *cmd, const int *fds, unsigned n)
{
	struct vsock_cmd_reply reply;
	struct pollfd pfd = {.fd = p->d.cmd_fd, .events = POLLIN};

	if (send_fds(p->d.cmd_fd, cmd, sizeof(*cmd), fds, n) < 0)
		drv_die("cannot send a command");
	if (poll(&pfd, 1, DRV_WAIT_MS) != 1 ||
		recv(p->d.cmd_fd, &reply, sizeof(reply), 0) != sizeof(reply) || reply.id != cmd->id)
		drv_die("no reply to a command");
	return reply.errnum;
}

int peer_bind(struct peer *p, uint32_t port, int rx_fd, int tx_fd)
{
	struct vsock_cmd cmd = {
		.type = VSOCK_CMD_BIND, .port = port, .count = 1, .id = ++p->next_id};
	int fds[2];
	unsigned n = 0;

	if (rx_fd >= 0) {
		fds[n++] = rx_fd;
		cmd.flags |= VSOCK_BIND_RX;
	}
	if (tx_fd >= 0) {
		fds[n++] = tx_fd;
		cmd.flags |= VSOCK_BIND_TX;
	}
	return command(p, &cmd, fds, n);
}

int peer_unbind(struct peer *p, uint32_t port, uint32_t count)
{
	struct vsock_cmd cmd = {
		.type = VSOCK_CMD_UNBIND, .port = port, .count = count, .id = ++p->next_id};

	return command(p, &cmd, NULL, 0);
}

uint32_t peer_drain_send(struct peer *p)
{
	return peer_drain_ports(p, 0, 0);
}

uint32_t peer_drain_ports(struct peer *p, uint32_t port, uint32_t count)
{
	struct vsock_cmd cmd = {
		.type = VSOCK_CMD_DRAIN, .port = port, .count = count, .id = ++p->next_id};

	if (send_fds(p->d.cmd_fd, &cmd, sizeof(cmd), NULL, 0) < 0)
		drv_die("cannot send a command");
	return cmd.id;
}

bool peer_drain_done(struct peer *p, uint32_t id, int ms)
{
	struct pollfd pfd = {.fd = p->d.cmd_fd, .events = POLLIN};
	struct vsock_cmd_reply reply;

	return poll(&pfd, 1, ms) == 1 &&
	       recv(p->d.cmd_fd, &reply, sizeof(reply), 0) == sizeof(reply) && reply.id == id &&
	       !reply.errnum;
}

struct virtio_vsock_hdr peer_hdr(uint32_t gport, uint32_t hport, uint16_t op)
{
	return (struct virtio_vsock_hdr){
		.src_cid = htole64(PROTO_GUEST_CID),
		.dst_cid = htole64(VMADDR_CID_HOST),
		.src_port = htole32(gport),
		.dst_port = htole32(hport),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(op),
		.buf_alloc = htole32(65536),
	};
}

static void reap_tx(struct peer *p, int ms)
{
	uint32_t id, len;
	bool got = ms ? drv_wait_used(&p->d, Q_TX, &id, &len, ms)
		      : drv_pop_used(&p->d, Q_TX, &id, &len);

	if (!got)
		return;
	for (unsigned i = 0; i < PEER_TX_SLOTS; i++) {
		if (p->tx_head[i] == (int)id)
			p->tx_head[i] = -1;
	}
}

static unsigned tx_slot(struct peer *p)
{
	for (unsigned tries = 0; tries < PEER_TX_SLOTS; tries++) {
		for (unsigned i = 0; i < PEER_TX_SLOTS; i++) {
			if (p->tx_head[i] < 0)
				return i;
		}
		reap_tx(p, DRV_WAIT_MS);
	}
	drv_die("the tx queue does not move");
}

void peer_raw(struct peer *p, const struct virtio_vsock_hdr *h, const void *data, uint32_t len)
{
	unsigned i;
	uint8_t *at;
	struct drv_buf b[2];

	for (unsigned n = 0; n < PEER_TX_SLOTS; n++)
		reap_tx(p, 0);
	i = tx_slot(p);
	at = drv_ptr(&p->d, p->tx_gpa[i], PEER_TX_BYTES);
	memcpy(at, h, sizeof(*h));
	if (len)
		memcpy(at + sizeof(*h), data, len);
	/* Linux sends header and payload as two buffers. */
	b[0] = (struct drv_buf){.gpa = p->tx_gpa[i], .len = sizeof(*h)};
	b[1] = (struct drv_buf){.gpa = p->tx_gpa[i] + sizeof(*h), .len = len};
	p->tx_head[i] = drv_put(&p->d, Q_TX, b, len ? 2 : 1);
	drv_kick(&p->d, Q_TX);
}

static void on_packet(struct peer *p, const struct virtio_vsock_hdr *h, const uint8_t *data)
{
	struct gstream *s = NULL;
	uint32_t len = le32toh(h->len);

	p->last = *h;
	for (unsigned i = 0; i < p->n_streams; i++) {
		if (p->stream[i]->gport == le32toh(h->dst_port) &&
			p->stream[i]->hport == le32toh(h->src_port))
			s = p->stream[i];
	}
	if (!s) {
		p->strangers++;
		return;
	}
	s->packets++;
	s->peer_alloc = le32toh(h->buf_alloc);
	s->peer_fwd = le32toh(h->fwd_cnt);
	switch (le16toh(h->op)) {
	case VIRTIO_VSOCK_OP_RESPONSE: s->response = true; break;
	case VIRTIO_VSOCK_OP_RST: s->rst = true; break;
	case VIRTIO_VSOCK_OP_SHUTDOWN: s->shut |= (uint8_t)le32toh(h->flags); break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE: s->credit_updates++; break;
	case VIRTIO_VSOCK_OP_RW:
		for (uint32_t i = 0; i < len && s->data && s->got + i < s->data_max; i++)
			s->data[s->got + i] = data[i];
		s->got += len;
		if (s->eager) {
			uint32_t before = s->fwd_cnt;

			s->fwd_cnt += len;
			if (before / 32768 != s->fwd_cnt / 32768)
				peer_send(p, s, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
		}
		break;
	default: drv_die("the device sent op %u", le16toh(h->op));
	}
}

bool peer_recv(struct peer *p, int ms)
{
	uint32_t id, len;
	unsigned i;

	if (!drv_wait_used(&p->d, Q_RX, &id, &len, ms))
		return false;
	for (i = 0; i < PEER_RX_BUFS; i++) {
		if (p->rx_head[i] == (int)id)
			break;
	}
	if (i == PEER_RX_BUFS || len < sizeof(struct virtio_vsock_hdr) || len > PEER_RX_BYTES)
		drv_die("the device used a buffer it does not have, or too much of it");
	p->rx_head[i] = -1;
	on_packet(p, drv_ptr(&p->d, p->rx_gpa[i], PEER_RX_BYTES),
		drv_ptr(&p->d, p->rx_gpa[i] + sizeof(struct virtio_vsock_hdr), PEER_RX_BYTES - 64));
	if (!p->hold_rx)
		peer_give_rx(p, 1);
	return true;
}

void peer_stream(struct peer *p, struct gstream *s, uint32_t gport, uint32_t hport)
{
	if (p->n_streams == PEER_STREAMS_MAX)
		drv_die("too many streams");
	s->gport = gport;
	s->hport = hport;
	if (!s->buf_alloc)
		s->buf_alloc = 256u << 10;
	p->stream[p->n_streams++] = s;
}

void peer_send(struct peer *p, struct gstream *s, uint16_t op, uint32_t flags, const void *data,
	uint32_t len)
{
	struct virtio_vsock_hdr h = peer_hdr(s->gport, s->hport, op);

	h.flags = htole32(flags);
	h.len = htole32(len);
	h.buf_alloc = htole32(s->buf_alloc);
	h.fwd_cnt = htole32(s->fwd_cnt);
	if (op == VIRTIO_VSOCK_OP_RW)
		s->tx_cnt += len;
	peer_raw(p, &h, data, len);
}

bool peer_connect(struct peer *p, struct gstream *s, uint32_t gport, uint32_t hport)
{
	peer_stream(p, s, gport, hport);
	peer_send(p, s, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	return peer_until(p, s->response || s->rst, DRV_WAIT_MS) && s->response;
}

uint32_t peer_room(const struct gstream *s)
{
	return s->peer_alloc - (s->tx_cnt - s->peer_fwd);
}
