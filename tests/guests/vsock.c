/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets. A table of those that must be refused by a reset, those that must be dropped; floods of connections, with
 * receive buffers and without; resets for nobody; streams to the ports that are there, with lies about credit and
 * length. What is to come as an answer is told from nothing at all by a request that is always refused, sent behind:
 * no answer has to be waited for in vain. With `control=N` on the command line the control channel gets the Nth of a
 * table of frames, which ends the VM. Standard input must be endless.
 */
#include <linux/virtio_mmio.h>
#include <linux/virtio_vsock.h>
#include <linux/vm_sockets.h>
#include <string.h>

#include "lib/base.h"
#include "lib/proto.h"
#include "tests/guests/guest.h"

#define Q_RX     0
#define Q_TX     1
#define RX_BYTES 512u
#define RX_BUFS  32u
#define NOBODY   9999u /* a port that nothing is bound to */
#define MARKER   0x4d41u
#define FLOOD    1000u
#define REPLIES  256u /* docs/vsock.md: with so many unanswered no packet is taken */
#define HDR      ((uint32_t)sizeof(struct virtio_vsock_hdr))

static struct drv *d;
static uint64_t tx_gpa, rx_gpa[VIRTQ_SIZE_MAX]; /* a receive buffer by its descriptor */
static uint32_t markers;

static struct virtio_vsock_hdr packet(uint32_t src, uint32_t dst, uint16_t op)
{
	return (struct virtio_vsock_hdr){
		.src_cid = PROTO_GUEST_CID,
		.dst_cid = VMADDR_CID_HOST,
		.src_port = src,
		.dst_port = dst,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = 65536,
	};
}

static void give_buffer(void)
{
	struct drv_buf b = {.gpa = drv_alloc(d, RX_BYTES, 8), .len = RX_BYTES, .in = true};
	int head = drv_put(d, Q_RX, &b, 1);

	if (head < 0)
		guest_wrong("vsock: no place for a receive buffer");
	rx_gpa[head] = b.gpa;
}

static void fresh(bool buffers)
{
	if (!guest_started(d))
		guest_wrong("vsock does not start");
	tx_gpa = drv_alloc(d, 0x20000, 8);
	for (unsigned i = 0; buffers && i < RX_BUFS; i++)
		give_buffer();
	drv_kick_hard(d, Q_RX);
}

static void send_packet(const struct virtio_vsock_hdr *h, uint32_t payload)
{
	struct drv_buf b = {.gpa = tx_gpa, .len = HDR + payload};

	memcpy((void *)tx_gpa, h, HDR);
	if (drv_call(d, Q_TX, &b, 1) != 0)
		guest_wrong("vsock: a packet of op %u does not come back", (unsigned)h->op);
}

/* The next packet from the host; its buffer is given again. */
static struct virtio_vsock_hdr receive(void)
{
	struct virtio_vsock_hdr h;
	struct drv_buf b;
	uint32_t id, len;
	int head;

	if (!drv_wait_used(d, Q_RX, &id, &len, 0))
		guest_wrong("vsock failed where an answer was due");
	if (id >= VIRTQ_SIZE_MAX || len < HDR)
		guest_wrong("vsock: used element %u, %u bytes", id, len);
	b = (struct drv_buf){.gpa = rx_gpa[id], .len = RX_BYTES, .in = true};
	memcpy(&h, (void *)b.gpa, HDR);
	if (len != HDR + h.len)
		guest_wrong("vsock: a packet's length");
	head = drv_put(d, Q_RX, &b, 1);
	rx_gpa[head] = b.gpa;
	drv_kick_hard(d, Q_RX);
	return h;
}

static void want(const char *what, uint16_t op, uint32_t from, uint32_t to)
{
	struct virtio_vsock_hdr h = receive();

	if (h.op != op || h.src_port != from || h.dst_port != to)
		guest_wrong("vsock: %s: op %u from %u to %u, expected %u from %u to %u", what,
			(unsigned)h.op, h.src_port, h.dst_port, (unsigned)op, from, to);
}

/* Nothing but the refusal of this one comes. */
static void want_nothing(const char *what)
{
	struct virtio_vsock_hdr h = packet(MARKER + ++markers, NOBODY, VIRTIO_VSOCK_OP_REQUEST);

	send_packet(&h, 0);
	want(what, VIRTIO_VSOCK_OP_RST, NOBODY, h.src_port);
}

/* Packets of no stream */

enum { CID = 1, TYPE = 2, LENGTH = 4, PAYLOAD = 8 };
static const struct {
	const char *name;
	uint64_t value;
	uint16_t op;
	uint8_t what;
	bool answered;
} strays[] = {
	{"op 0", 0, 0, 0, true},
	{"a request to nobody", 0, VIRTIO_VSOCK_OP_REQUEST, 0, true},
	{"a response to nobody", 0, VIRTIO_VSOCK_OP_RESPONSE, 0, true},
	{"a reset for nobody", 0, VIRTIO_VSOCK_OP_RST, 0, false},
	{"a shutdown of nothing", 0, VIRTIO_VSOCK_OP_SHUTDOWN, 0, true},
	{"data for nobody", 100, VIRTIO_VSOCK_OP_RW, LENGTH | PAYLOAD, true},
	{"credit for nobody", 0, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, true},
	{"a credit request to nobody", 0, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, true},
	{"an op there is none", 0, 8, 0, true},
	{"op 65535", 0, 0xffff, 0, true},
	{"data longer than its packet", 0xffffffff, VIRTIO_VSOCK_OP_RW, LENGTH, true},
	{"a request with data", 65536, VIRTIO_VSOCK_OP_REQUEST, PAYLOAD, true},
	{"a reset with data", 65536, VIRTIO_VSOCK_OP_RST, PAYLOAD, false},
	{"from another guest", 4, VIRTIO_VSOCK_OP_REQUEST, CID, false},
	{"from the host", VMADDR_CID_HOST, VIRTIO_VSOCK_OP_REQUEST, CID, false},
	{"from anybody", 0xffffffffffffffff, VIRTIO_VSOCK_OP_REQUEST, CID, false},
	{"from our cid and 2^32", 0x100000003, VIRTIO_VSOCK_OP_REQUEST, CID, false},
	{"type 0", 0, VIRTIO_VSOCK_OP_REQUEST, TYPE, true},
	{"a seqpacket", 2, VIRTIO_VSOCK_OP_REQUEST, TYPE, true},
	{"a reset of type 65535", 65535, VIRTIO_VSOCK_OP_RST, TYPE, false},
};

static void stray_packets(void)
{
	fresh(true);
	for (unsigned i = 0; i < ARRAY_SIZE(strays); i++) {
		struct virtio_vsock_hdr h = packet(100 + i, NOBODY, strays[i].op);

		if (strays[i].what & CID)
			h.src_cid = strays[i].value;
		if (strays[i].what & TYPE)
			h.type = (uint16_t)strays[i].value;
		if (strays[i].what & LENGTH)
			h.len = (uint32_t)strays[i].value;
		send_packet(&h, strays[i].what & PAYLOAD ? (uint32_t)strays[i].value : 0);
		if (strays[i].answered)
			want(strays[i].name, VIRTIO_VSOCK_OP_RST, NOBODY, 100 + i);
		want_nothing(strays[i].name);
	}
}

/* Floods */

static void floods(void)
{
	struct virtio_vsock_hdr h;

	fresh(true);
	for (unsigned i = 0; i < FLOOD; i++) {
		h = packet(i, NOBODY + i, VIRTIO_VSOCK_OP_REQUEST);
		send_packet(&h, 0);
		want("a flood of requests", VIRTIO_VSOCK_OP_RST, NOBODY + i, i);
	}
	for (unsigned i = 0; i < FLOOD; i++) {
		h = packet(i, NOBODY + i, VIRTIO_VSOCK_OP_RST);
		send_packet(&h, 0);
	}
	want_nothing("a storm of resets");
}

/* Nobody reads the answers: the device keeps REPLIES of them, then takes no more; all come in the end. */
static void unread_flood(void)
{
	unsigned size, sent = 0, done = 0;
	uint32_t id, len;

	fresh(false);
	size = d->q[Q_TX].size;
	for (; sent < REPLIES + size; sent++) {
		struct virtio_vsock_hdr h = packet(sent, NOBODY, VIRTIO_VSOCK_OP_REQUEST);
		struct drv_buf b = {.gpa = tx_gpa + sent * HDR, .len = HDR};

		memcpy((void *)b.gpa, &h, HDR);
		while (drv_put(d, Q_TX, &b, 1) < 0) {
			if (!drv_wait_used(d, Q_TX, &id, &len, 0))
				guest_wrong("vsock failed in a flood");
			done++;
		}
		drv_kick_hard(d, Q_TX);
	}
	while (done < REPLIES && drv_wait_used(d, Q_TX, &id, &len, 0))
		done++;
	if (drv_pop_used(d, Q_TX, &id, &len))
		guest_wrong("vsock: more than %u packets taken with no place for answers", REPLIES);
	for (unsigned i = 0; i < RX_BUFS; i++)
		give_buffer();
	drv_kick_hard(d, Q_RX);
	for (unsigned i = 0; i < sent; i++)
		want("an answer that had to wait", VIRTIO_VSOCK_OP_RST, NOBODY, i);
}

/* Streams */

static void update(uint32_t port, uint32_t alloc, uint32_t fwd)
{
	struct virtio_vsock_hdr h = packet(7, port, VIRTIO_VSOCK_OP_CREDIT_UPDATE);

	h.buf_alloc = alloc;
	h.fwd_cnt = fwd;
	send_packet(&h, 0);
}

static void open_stream(uint32_t port, uint32_t alloc)
{
	struct virtio_vsock_hdr h = packet(7, port, VIRTIO_VSOCK_OP_REQUEST);

	h.buf_alloc = alloc;
	send_packet(&h, 0);
	want("a stream", VIRTIO_VSOCK_OP_RESPONSE, port, 7);
}

static void credit_lies(void)
{
	struct virtio_vsock_hdr h = packet(7, PROTO_PORT_STDIN, VIRTIO_VSOCK_OP_REQUEST);

	fresh(true);
	open_stream(PROTO_PORT_STDIN, 0);
	want_nothing("a stream without room");
	update(PROTO_PORT_STDIN, 65536, 1u << 20);
	want_nothing("more taken than was sent");
	update(PROTO_PORT_STDIN, 100, 0x80000000u);
	want_nothing("half of all numbers taken");
	update(PROTO_PORT_STDIN, 0xffffffffu, 0);
	for (unsigned i = 0; i < 200; i++)
		want("endless room", VIRTIO_VSOCK_OP_RW, PROTO_PORT_STDIN, 7);
	send_packet(&h,
		0); /* once more: a broken rule, so a reset, behind the data that is under way */
	do
		h = receive();
	while (h.op == VIRTIO_VSOCK_OP_RW && h.src_port == PROTO_PORT_STDIN);
	if (h.op != VIRTIO_VSOCK_OP_RST || h.src_port != PROTO_PORT_STDIN)
		guest_wrong("vsock: a second request is answered by op %u", (unsigned)h.op);
	want_nothing("a stream that was reset");
}

static void broken_streams(void)
{
	struct virtio_vsock_hdr h = packet(7, PROTO_PORT_STDOUT, VIRTIO_VSOCK_OP_RW);

	fresh(true);
	open_stream(PROTO_PORT_STDOUT, 65536);
	h.src_port = 8; /* of another stream to the same port */
	send_packet(&h, 0);
	want("data of a stream that is not", VIRTIO_VSOCK_OP_RST, PROTO_PORT_STDOUT, 8);
	h.src_port = 7;
	h.len = 0x7fffffff;
	send_packet(&h, 16);
	want("a length that lies", VIRTIO_VSOCK_OP_RST, PROTO_PORT_STDOUT, 7);
	open_stream(PROTO_PORT_STDERR, 65536);
	h = packet(7, PROTO_PORT_STDERR, VIRTIO_VSOCK_OP_SHUTDOWN);
	h.flags = 0xffffffffu;
	send_packet(&h, 0);
	want("flags of a shutdown", VIRTIO_VSOCK_OP_RST, PROTO_PORT_STDERR, 7);
	want_nothing("streams that were reset");
}

/* What is no packet at all */
static void no_packets(void)
{
	struct virtio_vsock_hdr h = packet(1, NOBODY, VIRTIO_VSOCK_OP_REQUEST);
	struct drv_buf b;

	fresh(true);
	b = (struct drv_buf){.gpa = tx_gpa, .len = HDR - 1};
	drv_put(d, Q_TX, &b, 1);
	drv_kick_hard(d, Q_TX);
	guest_must_fail(d, "a packet shorter than its header");
	fresh(false);
	b = (struct drv_buf){.gpa = tx_gpa + HDR, .len = HDR, .in = true};
	drv_put(d, Q_RX, &b, 1);
	drv_kick_hard(d, Q_RX);
	memcpy((void *)tx_gpa, &h, HDR); /* an answer is due, so the buffer is looked at */
	b = (struct drv_buf){.gpa = tx_gpa, .len = HDR};
	drv_put(d, Q_TX, &b, 1);
	drv_kick_hard(d, Q_TX);
	guest_must_fail(d, "a receive buffer without room");
}

/* The control channel */

static const struct {
	uint32_t len;
	uint16_t type;
	uint32_t payload;
} frames[] = {
	{0xffffffffu, PROTO_HELLO, 0},
	{0, PROTO_TYPES + 1000, 0},
	{sizeof(struct proto_ready), PROTO_READY, sizeof(struct proto_ready)},
	{0, PROTO_START, 0},
	{sizeof(struct proto_exited), PROTO_EXITED, sizeof(struct proto_exited)},
	{sizeof(struct proto_failed), PROTO_FAILED, sizeof(struct proto_failed)},
	{sizeof(struct proto_hello), PROTO_HELLO, sizeof(struct proto_hello)},
};

/* The payload is ones, so that text has no end and numbers are the largest. */
static void control(unsigned n)
{
	struct virtio_vsock_hdr h = packet(7, PROTO_PORT_CONTROL, VIRTIO_VSOCK_OP_RW);
	struct proto_hdr *frame;

	fresh(true);
	open_stream(PROTO_PORT_CONTROL, 65536);
	frame = (void *)(tx_gpa + HDR);
	memset(frame, 0xff, sizeof(*frame) + frames[n].payload);
	*frame = (struct proto_hdr){.len = frames[n].len, .type = frames[n].type};
	h.len = (uint32_t)sizeof(*frame) + frames[n].payload;
	send_packet(&h, h.len);
	guest_halt();
}

void guest_main(const char *word)
{
	d = guest_device("vsock");
	if (!strncmp(word, "control=", 8))
		control((unsigned)(word[8] - '0') % ARRAY_SIZE(frames));
	guest_must_work(d, "nothing");
	stray_packets();
	floods();
	unread_flood();
	credit_lies();
	broken_streams();
	no_packets();
	guest_must_work(d, "all of it");
	guest_pass("vsock: every packet as it must be");
}
