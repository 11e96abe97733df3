/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floods the log: lines through the console device, the largest messages it takes, long lines without an end, control
 * characters, and the early serial port. Much of it is lost, as it must be, and so might be a panic's line: the end is
 * told on the control channel.
 */
#include <linux/virtio_vsock.h>
#include <linux/vm_sockets.h>
#include <string.h>

#include "lib/base.h"
#include "lib/proto.h"
#include "tests/guests/guest.h"

#define MESSAGES 200u
#define LINES    1000u
#define BIG      0x80000u /* more than the device takes of a message */
#define BYTES    5000u

static void console_flood(void)
{
	struct drv *d = guest_device("console");
	struct drv_buf big = {.gpa = GUEST_DMA + 0x400000, .len = BIG}, line;
	char *p = (void *)big.gpa;

	if (!guest_started(d))
		guest_wrong("console does not start");
	for (unsigned i = 0; i < MESSAGES; i++) {
		memset(p, i % 4 == 0 ? '\n' : i % 4 == 1 ? 'x' : (int)i, 0x10000);
		if (drv_call(d, d->row->queue, &big, 1) != 0)
			guest_wrong("console: message %u", i);
	}
	line = (struct drv_buf){.gpa = big.gpa, .len = 40};
	memset(p, 'y', 39);
	p[39] = '\n';
	for (unsigned i = 0; i < LINES; i++)
		if (drv_call(d, d->row->queue, &line, 1) != 0)
			guest_wrong("console: line %u", i);
	for (unsigned i = 0; i < BYTES / 40; i++)
		guest_say("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz");
}

/* REQUEST, then FAILED with a text: each packet as soon as the one before came back. */
static void end(const char *text)
{
	struct drv *d = guest_device("vsock");
	struct {
		struct virtio_vsock_hdr h;
		struct proto_hdr frame;
		struct proto_failed failed;
	} __attribute__((packed)) * m;
	struct drv_buf b;

	if (!guest_started(d))
		guest_wrong("vsock does not start");
	b = (struct drv_buf){.gpa = drv_alloc(d, sizeof(*m), 8), .len = sizeof(m->h)};
	m = drv_ptr(d, b.gpa, sizeof(*m));
	m->h = (struct virtio_vsock_hdr){.src_cid = PROTO_GUEST_CID,
		.dst_cid = VMADDR_CID_HOST,
		.src_port = 7,
		.dst_port = PROTO_PORT_CONTROL,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = VIRTIO_VSOCK_OP_REQUEST,
		.buf_alloc = 65536};
	if (drv_call(d, 1, &b, 1) != 0)
		guest_wrong("vsock: no stream");
	m->h.op = VIRTIO_VSOCK_OP_RW;
	m->h.len = sizeof(m->frame) + sizeof(m->failed);
	m->frame.type = PROTO_FAILED;
	m->frame.len = sizeof(m->failed);
	m->failed.errnum = 5;
	m->failed.exit_status = 1;
	memcpy(m->failed.text, text, strlen(text));
	b.len = sizeof(*m);
	if (drv_call(d, 1, &b, 1) != 0)
		guest_wrong("vsock: no frame");
	guest_halt();
}

void guest_main(const char *word)
{
	console_flood();
	end("flood: all of it was taken");
}
