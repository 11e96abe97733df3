/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock device against any sequence of guest packets, receive buffers, ready descriptors and
 * resets. The input is a list of steps, one byte each with what it needs behind it. No worker: the
 * vdev_* helpers below stand in for it, so everything happens in this thread and in the input's
 * order.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proto.h"
#include "vmm/virtio/vsock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEM_BYTES  (1u << 20)
#define QSIZE      64
#define BUF_BYTES  2048
#define STEPS_MAX  400
#define PORTS      4 /* 100: pipes, 101: a socket, 102: /dev/null, 103: takes bytes only */
#define WATCH_MAX  16
#define RING_AT(q) (0x1000u + (q)*0x2000u)
#define BUF_AT(q)  (0x10000u + (q)*0x40000u)

enum step {
	STEP_PACKET,
	STEP_RX,
	STEP_HOST_IN,
	STEP_HOST_OUT,
	STEP_EVENTS,
	STEP_KICK,
	STEP_RESET,
	STEP_TURN,
	STEP_CLOSE,
	STEP_BIND,
	STEPS
};

struct watch {
	int fd;
	uint32_t events;
	uint64_t data;
};

static struct watch watches[WATCH_MAX];
static uint8_t mem_bytes[MEM_BYTES] __attribute__((aligned(4096)));
static struct guest_mem mem = {
	.region = {{.gpa = 0, .bytes = MEM_BYTES, .hva = mem_bytes}}, .n = 1, .fd = -1};
static struct vdev dev;
static int host_in[PORTS], host_out[PORTS]; /* our ends; -1: none */
static int cmd_fd; /* our end of the command socket; replies are not read */
static uint16_t avail_idx[VSOCK_QUEUES], used_seen[VSOCK_QUEUES];

#define CHECK(cond) BUG_ON(!(cond))

void vdev_signal(struct vdev *d)
{
}

int vdev_watch(struct vdev *d, unsigned thread, int fd, uint32_t events, uint64_t data)
{
	struct stat st;

	CHECK(data < VDEV_DATA_MAX);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) || (S_ISCHR(st.st_mode)))
		return -EPERM;
	for (unsigned i = 0; i < WATCH_MAX; i++) {
		CHECK(watches[i].fd != fd);
		if (watches[i].fd < 0) {
			watches[i] = (struct watch){fd, events, data};
			return 0;
		}
	}
	return -ENOSPC;
}

int vdev_rewatch(struct vdev *d, unsigned thread, int fd, uint32_t events, uint64_t data)
{
	vdev_unwatch(d, thread, fd);
	return vdev_watch(d, thread, fd, events, data);
}

void vdev_unwatch(struct vdev *d, unsigned thread, int fd)
{
	for (unsigned i = 0; i < WATCH_MAX; i++) {
		if (watches[i].fd == fd) {
			watches[i].fd = -1;
			return;
		}
	}
	BUG_ON(true); /* the device must not unwatch what it does not watch */
}

static struct vring_used *used_of(unsigned q)
{
	return (void *)(mem_bytes + RING_AT(q) + 0x1800);
}

static void activate(void)
{
	for (unsigned q = 0; q < VSOCK_QUEUES; q++) {
		struct virtq_config c = {.size = QSIZE,
			.enabled = 1,
			.desc = RING_AT(q),
			.avail = RING_AT(q) + 0x1000,
			.used = RING_AT(q) + 0x1800};

		memset(mem_bytes + RING_AT(q), 0, 0x2000);
		avail_idx[q] = used_seen[q] = 0;
		CHECK(virtq_init(&dev.vq[q], &mem, &c, 0) == 0);
	}
	dev.active = true;
	CHECK(vdev_vsock.activate(&dev) == 0);
}

static void fault(int r)
{
	if (r >= 0)
		return;
	for (unsigned q = 0; q < VSOCK_QUEUES; q++)
		virtq_reset(&dev.vq[q]);
	vdev_vsock.reset(&dev);
	activate();
}

static bool put(unsigned q, uint32_t len, uint16_t flags)
{
	struct vring_desc *desc = (void *)(mem_bytes + RING_AT(q));
	struct vring_avail *avail = (void *)(mem_bytes + RING_AT(q) + 0x1000);
	uint16_t slot = avail_idx[q] % QSIZE;

	if ((uint16_t)(avail_idx[q] - used_of(q)->idx) >= QSIZE)
		return false;
	desc[slot] = (struct vring_desc){BUF_AT(q) + slot * BUF_BYTES, len, flags, 0};
	avail->ring[slot] = slot;
	avail->idx = ++avail_idx[q];
	return true;
}

/* What the device says must be well-formed, whatever it was told. */
static void check_rx(void)
{
	for (; used_seen[VSOCK_Q_RX] != used_of(VSOCK_Q_RX)->idx; used_seen[VSOCK_Q_RX]++) {
		struct vring_used_elem *e =
			&used_of(VSOCK_Q_RX)->ring[used_seen[VSOCK_Q_RX] % QSIZE];
		struct virtio_vsock_hdr h;

		memcpy(&h, mem_bytes + BUF_AT(VSOCK_Q_RX) + e->id * BUF_BYTES, sizeof(h));
		CHECK(e->len >= sizeof(h) && le32toh(h.len) == e->len - sizeof(h));
		CHECK(le64toh(h.src_cid) == VMADDR_CID_HOST &&
			le64toh(h.dst_cid) == PROTO_GUEST_CID);
		CHECK(!h.len || le16toh(h.op) == VIRTIO_VSOCK_OP_RW);
	}
}

static void check_state(void)
{
	struct vsock *v = dev.priv;
	uint32_t backlog = 0, used = 0;

	for (unsigned i = 0; i < VSOCK_STREAMS_MAX; i++) {
		const struct vconn *c = &v->conn[i];

		used += c->state != VCONN_FREE;
		backlog += c->ring_len > 0;
		CHECK(c->ring_len <= VSOCK_WINDOW && (c->state != VCONN_FREE || !c->ring_len));
		CHECK(c->rx_cnt - c->fwd_cnt == c->ring_len || c->state == VCONN_FREE);
		CHECK(!c->want || c->in_ctlq);
		CHECK((c->rx.fd >= 0) == (c->rx.kind != VSOCK_IO_NONE) || c->state == VCONN_FREE);
	}
	CHECK(backlog == v->n_backlog && used + v->n_free == VSOCK_STREAMS_MAX);
	CHECK(v->n_held <= VSOCK_HELD_MAX && v->n_replies <= VSOCK_REPLIES_MAX);
	CHECK(v->n_drains <= VSOCK_DRAINS_MAX && (v->cmd_full || !v->cmd_unsent));
	check_rx();
}

/* Binds what is bound to port 100 + i; the device owns the ends it takes. */
static void bind_port(unsigned i)
{
	struct vsock *v = dev.priv;
	int rx[2] = {-1, -1}, tx[2] = {-1, -1};

	close_fd(&host_in[i]);
	close_fd(&host_out[i]);
	if (i == 0 && (pipe2(rx, O_CLOEXEC) || pipe2(tx, O_CLOEXEC)))
		return;
	if (i == 1) {
		CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, rx) == 0);
		tx[1] = fcntl(rx[0], F_DUPFD_CLOEXEC, 0);
		tx[0] = fcntl(rx[1], F_DUPFD_CLOEXEC, 0);
	}
	if (i == 2) {
		rx[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		tx[0] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	}
	if (i == 3 && pipe2(rx, O_CLOEXEC))
		return;
	host_out[i] = rx[0];
	host_in[i] = tx[1];
	vconn_bind_take(v, 100 + i, &rx[1], &tx[0]);
	close_fd(&rx[1]); /* refused: still ours */
	close_fd(&tx[0]);
}

static void unbind_or_drain(uint8_t arg)
{
	struct vsock_cmd cmd = {
		.type = arg & 64 ? VSOCK_CMD_UNBIND : VSOCK_CMD_DRAIN,
		.port = 100 + arg % PORTS,
		.count = 1 + (arg >> 2) % PROTO_EXEC_PORTS,
	};

	if (send(cmd_fd, &cmd, sizeof(cmd), MSG_DONTWAIT) < 0)
		CHECK(errno == EAGAIN);
}

static void step_packet(struct rbuf *in)
{
	uint8_t how = rbuf_u8(in);
	uint16_t fill = rbuf_u8(in) * 8;
	struct virtio_vsock_hdr h = {
		.src_cid = htole64(PROTO_GUEST_CID),
		.dst_cid = htole64(VMADDR_CID_HOST),
		.src_port = htole32(how & 0x10 ? 7 : 5),
		.dst_port = htole32(100 + (how & 7)),
		.type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
		.op = htole16(rbuf_u8(in)),
		.buf_alloc = htole32(65536),
	};
	uint32_t len;

	if (le16toh(h.op) == VIRTIO_VSOCK_OP_RW)
		h.len = htole32(fill);
	if (how & 0x08) {
		h.flags = htole32(rbuf_u8(in));
		h.buf_alloc = htole32(rbuf_u32(in));
		h.fwd_cnt = htole32(rbuf_u32(in));
	}
	if (how & 0x20) {
		h.src_cid ^= htole64(rbuf_u8(in));
		h.type ^= htole16(rbuf_u8(in));
		h.len ^= htole32(rbuf_u32(in));
	}
	len = (how & 0x40) ? rbuf_u8(in) + 1u : (uint32_t)sizeof(h) + le32toh(h.len);
	len = MIN(len, BUF_BYTES);
	memcpy(mem_bytes + BUF_AT(VSOCK_Q_TX) + (avail_idx[VSOCK_Q_TX] % QSIZE) * BUF_BYTES, &h,
		sizeof(h));
	if (put(VSOCK_Q_TX, len, 0) && !(how & 0x80))
		fault(vdev_vsock.kick(&dev, VSOCK_Q_TX));
}

static void step_events(void)
{
	for (unsigned i = 0; i < WATCH_MAX; i++) {
		struct pollfd p = {.fd = watches[i].fd, .events = (short)watches[i].events};

		if (watches[i].fd >= 0 && poll(&p, 1, 0) == 1)
			fault(vdev_vsock.event(&dev, 0, watches[i].data, (uint32_t)p.revents));
	}
}

static void do_step(uint8_t step, struct rbuf *in)
{
	static char junk[70000];
	struct vsock *v = dev.priv;
	uint8_t arg = 0;

	if (step != STEP_PACKET && step != STEP_EVENTS)
		arg = rbuf_u8(in);
	switch (step) {
	case STEP_PACKET: step_packet(in); break;
	case STEP_RX:
		for (int i = 0; i < (arg & 31); i++)
			put(VSOCK_Q_RX,
				arg & 32   ? 60
				: arg & 64 ? 44
					   : BUF_BYTES,
				VRING_DESC_F_WRITE);
		fault(vdev_vsock.kick(&dev, VSOCK_Q_RX));
		break;
	case STEP_HOST_IN:
		if (host_in[arg % PORTS] >= 0 &&
			write(host_in[arg % PORTS], junk, arg * 17u + 1) < 0)
			return;
		break;
	case STEP_HOST_OUT:
		if (host_out[arg % PORTS] >= 0 &&
			read(host_out[arg % PORTS], junk, arg * 255u + 1) < 0)
			return;
		break;
	case STEP_EVENTS: step_events(); break;
	case STEP_KICK: fault(vdev_vsock.kick(&dev, arg % VSOCK_QUEUES)); break;
	case STEP_RESET: fault(-1); break;
	case STEP_TURN: fault(vdev_vsock.event(&dev, 0, VSOCK_DATA_TURN, 0)); break;
	case STEP_CLOSE: close_fd(arg & 16 ? &host_in[arg % PORTS] : &host_out[arg % PORTS]); break;
	case STEP_BIND:
		if (arg & (64 | 128))
			unbind_or_drain(arg);
		else
			bind_port(arg % PORTS);
		break;
	default: BUG_ON(v == NULL);
	}
}

static void unblock_host(void)
{
	for (unsigned i = 0; i < PORTS; i++) {
		/* Ours, each with a description of its own: not the device's ends. */
		if (host_in[i] >= 0)
			fcntl(host_in[i], F_SETFL, O_NONBLOCK);
		if (host_out[i] >= 0)
			fcntl(host_out[i], F_SETFL, O_NONBLOCK);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rbuf in = rbuf_of(data, size);
	struct err err = ERR_INIT;
	int pair[2];

	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < WATCH_MAX; i++)
		watches[i].fd = -1;
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	cmd_fd = pair[1];
	dev = (struct vdev){.ops = &vdev_vsock, .env = {.mem = &mem, .cmd_fd = pair[0]}};
	CHECK(vdev_vsock.init(&dev, &err) == 0 && vdev_vsock.enter(&dev, 0, &err) == 0);
	for (unsigned i = 0; i < PORTS; i++) {
		host_in[i] = host_out[i] = -1;
		bind_port(i);
	}
	activate();
	for (int i = 0; i < STEPS_MAX && rbuf_left(&in); i++) {
		unblock_host();
		do_step(rbuf_u8(&in) % STEPS, &in);
		check_state();
	}
	for (unsigned i = 0; i < PORTS; i++) {
		close_fd(&host_in[i]);
		close_fd(&host_out[i]);
	}
	for (unsigned q = 0; q < VSOCK_QUEUES; q++)
		virtq_reset(&dev.vq[q]);
	vdev_vsock.reset(&dev);
	vdev_vsock.leave(&dev, 0);
	vdev_vsock.release(&dev);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
