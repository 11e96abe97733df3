/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device and its command socket: what a drain waits for, an unbind leaves, a BIND may come without. */
#include <endian.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proto.h"
#include "tests/device/vsock_streams.h"
#include "tests/tap.h"

/* A guest that has gone right after its last bytes, with a RST, loses none of them. */
static void last_bytes(void)
{
	struct gstream s = {0};
	int a[2];
	uint32_t sent = 0, got = 0, id;

	make_pipe(a);
	open_stream(&s, &a[1], NULL);
	while (sent < VSOCK_WINDOW)
		sent += send_some(&s, pattern + sent, VSOCK_WINDOW - sent);
	peer_send(&p, &s, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	id = peer_drain_send(&p);
	ok(!peer_drain_done(&p, id, 100), "drain waits for a stream that was reset");
	while (got < sent) {
		uint32_t n = read_some(a[0], sink + got, 70000, DRV_WAIT_MS);

		if (!n)
			break;
		got += n;
	}
	ok(got == sent && !memcmp(sink, pattern, sent), "bytes sent before a RST come");
	ok(at_eof(a[0]), "and the end");
	ok(peer_drain_done(&p, id, DRV_WAIT_MS), "and drain is answered");
	close_fd(&a[0]);
}

/* What lies in the queue when a drain comes was sent, though nobody has kicked for it yet. */
static void drain_queue(void)
{
	struct gstream s = {0};
	struct virtio_vsock_hdr h;
	uint32_t id, used, len, n = 0;
	uint64_t at;
	int a[2];

	make_pipe(a);
	open_stream(&s, &a[1], NULL);
	while (drv_wait_used(&p.d, VSOCK_Q_TX, &used, &len, 50))
		;
	h = peer_hdr(s.gport, s.hport, VIRTIO_VSOCK_OP_RW);
	h.len = htole32(10);
	at = drv_alloc(&p.d, sizeof(h) + 10, 16);
	memcpy(drv_ptr(&p.d, at, sizeof(h)), &h, sizeof(h));
	for (; n < 200; n++) {
		struct drv_buf b = {.gpa = at, .len = sizeof(h) + 10};

		if (drv_stage(&p.d, VSOCK_Q_TX, &b, 1) < 0)
			drv_die("no room in the tx queue");
	}
	drv_publish(&p.d, VSOCK_Q_TX);
	id = peer_drain_send(&p);
	ok(peer_drain_done(&p, id, DRV_WAIT_MS), "drain is answered");
	eq_int(read_some(a[0], sink, 4096, 0), 2000, "after all 200 packets of the queue");
	drv_kick(&p.d, VSOCK_Q_TX);
	while (drv_wait_used(&p.d, VSOCK_Q_TX, &used, &len, 50))
		;
	peer_send(&p, &s, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	close_fd(&a[0]);
}

/* A drain of some ports waits for what was sent on them before it, and for nothing else. */
static void drain_ports(void)
{
	struct gstream s = {0}, t = {0};
	uint32_t id, sent, got = 0, port;
	int a[2], b[2];

	make_pipe(a);
	make_pipe(b);
	port = open_stream(&s, &a[1], NULL);
	open_stream(&t, &b[1], NULL);
	id = peer_drain_ports(&p, port, 4);
	ok(peer_drain_done(&p, id, DRV_WAIT_MS), "nothing sent: nothing to wait for");
	fill_up(&t);
	id = peer_drain_ports(&p, port, 1);
	ok(peer_drain_done(&p, id, DRV_WAIT_MS), "another stream's backlog holds up no drain");
	sent = fill_up(&s);
	id = peer_drain_ports(&p, port, 2); /* both have a backlog */
	ok(!peer_drain_done(&p, id, 100), "its own does");
	while (got < sent) {
		got += read_some(a[0], sink + got, 4096, DRV_WAIT_MS);
		if (sent - got > 65536) /* as much again behind it, all the time */
			peer_send(
				&p, &s, VIRTIO_VSOCK_OP_RW, 0, pattern, MIN(4096u, peer_room(&s)));
		while (peer_recv(&p, 0))
			;
	}
	ok(!peer_drain_done(&p, id, 100), "until the other is written too");
	close_fd(&b[0]);
	ok(peer_drain_done(&p, id, DRV_WAIT_MS), "what was sent after it is not waited for");
	peer_send(&p, &s, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	peer_send(&p, &t, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	close_fd(&a[0]);
}

/* As many drains as there can be exec'd processes, answered while nobody reads the replies. */
static void many_drains(void)
{
	struct gstream s = {0};
	uint32_t first = 0, port, n;
	int a[2], room = 4096;

	make_pipe(a);
	port = open_stream(&s, &a[1], NULL);
	fill_up(&s);
	/* The reply socket holds some ten. */
	setsockopt(p.d.dev.env.cmd_fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	for (n = 0; n < PROTO_EXECS_MAX; n++) {
		uint32_t id = peer_drain_ports(&p, port, 4);

		first = first ? first : id;
	}
	close_fd(&a[0]);
	peer_idle(&p);
	for (n = 0; n < PROTO_EXECS_MAX && peer_drain_done(&p, first + n, DRV_WAIT_MS); n++)
		;
	eq_int(n, PROTO_EXECS_MAX, "250 drains are all answered, in order");
	room = 212992;
	setsockopt(p.d.dev.env.cmd_fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	eq_int(peer_unbind(&p, port, 1), 0, "and commands are taken again");
	peer_until(&p, s.rst, DRV_WAIT_MS);
}

static void unbind(void)
{
	struct gstream s = {0}, t = {0}, u = {0};
	uint32_t port, got = 0, id;
	int a[2], b[2], c[2];

	make_pair(a);
	b[0] = dup(a[1]);
	port = open_stream(&s, &a[1], &b[0]);
	eq_int(peer_unbind(&p, port, 1), 0, "an open stream is unbound");
	ok(peer_until(&p, s.rst, DRV_WAIT_MS), "the guest gets a RST");
	ok(at_eof(a[0]), "the descriptors are closed");
	close_fd(&a[0]);

	make_pipe(a);
	make_pipe(b);
	port = open_stream(&t, &a[1], NULL);
	fill_up(&t);
	id = peer_drain_ports(&p, port, 1);
	use_up_rx(&t); /* no room for a RST */
	ok(!peer_drain_done(&p, id, 50), "a drain waits for a stream that nobody reads");
	{
		struct vsock_cmd cmd = {
			.type = VSOCK_CMD_UNBIND, .port = port, .count = 1, .id = ++p.next_id};

		send(p.d.cmd_fd, &cmd, sizeof(cmd), 0);
		ok(peer_drain_done(&p, cmd.id, DRV_WAIT_MS), "unbind is answered at once");
	}
	ok(peer_drain_done(&p, id, DRV_WAIT_MS), "and the drain that waited");
	while (got < 65536 && read_some(a[0], sink, 4096, DRV_WAIT_MS))
		got += 4096;
	ok(at_eof(a[0]), "what was not written is lost, then the end");
	eq_int(peer_bind(&p, port, b[1], -1), 0, "the port is free before the RST is out");
	close_fd(&b[1]);
	p.hold_rx = false;
	peer_give_rx(&p, PEER_RX_BUFS);
	ok(peer_until(&p, t.rst, DRV_WAIT_MS), "which follows");
	peer_send(&p, &t, VIRTIO_VSOCK_OP_RW, 0, "old", 3);
	p.n_streams = 0;
	p.strangers = 0;
	ok(peer_until(&p, p.strangers, DRV_WAIT_MS) && le16toh(p.last.op) == VIRTIO_VSOCK_OP_RST,
		"a packet of the old stream does not reach the new one");
	ok(peer_connect(&p, &u, 4711, port), "that is to be had");
	peer_send(&p, &u, VIRTIO_VSOCK_OP_RW, 0, "new", 3);
	eq_int(read_some(b[0], sink, 100, DRV_WAIT_MS), 3, "and works");
	peer_send(&p, &u, VIRTIO_VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
	peer_until(&p, u.rst, DRV_WAIT_MS);

	make_pipe(c);
	eq_int(peer_bind(&p, port + 1000, c[1], -1), 0, "a port bound and not connected");
	close_fd(&c[1]);
	eq_int(peer_unbind(&p, port + 999, 4), 0, "is unbound");
	ok(at_eof(c[0]), "and its descriptor closed");
	close_fd(&a[0]);
	close_fd(&b[0]);
	close_fd(&c[0]);
}

/* A BIND whose descriptors could not be received is answered like any other, and can be tried again. */
static void bind_without(void)
{
	uint32_t port = next_port++;
	struct rlimit rl, none;
	struct gstream s = {0};
	int a[2], r;

	make_pipe(a);
	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		drv_die("getrlimit");
	none = rl;
	none.rlim_cur = 3; /* what is open stays open; the worker is a thread of this process */
	setrlimit(RLIMIT_NOFILE, &none);
	r = peer_bind(&p, port, a[1], -1); /* dies of a reply with another id */
	setrlimit(RLIMIT_NOFILE, &rl);
	eq_int(r, EMFILE, "no descriptor left for what comes with a BIND");
	eq_int(peer_bind(&p, port, a[1], -1), 0, "the port is not taken");
	close_fd(&a[1]);
	ok(peer_connect(&p, &s, 4712, port), "and serves");
	peer_send(&p, &s, VIRTIO_VSOCK_OP_RW, 0, "now", 3);
	eq_int(read_some(a[0], sink, 100, DRV_WAIT_MS), 3, "the stream");
	eq_int(peer_unbind(&p, port, 1), 0, "which ends");
	ok(at_eof(a[0]), "and leaves no copy of its descriptor");
	peer_until(&p, s.rst, DRV_WAIT_MS);
	close_fd(&a[0]);
}

int main(void)
{
	static void (*const tests[])(void) = {
		last_bytes, drain_queue, drain_ports, many_drains, unbind, bind_without};

	return streams_run(tests, ARRAY_SIZE(tests));
}
