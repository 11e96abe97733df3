/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device and an honest guest: streams over everything a standard stream can be. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/proto.h"
#include "lib/timeline.h"
#include "tests/device/vsock_peer.h"
#include "tests/tap.h"
#include "vmm/virtio/vsock.h"

#define BIG (4u << 20)

static struct peer p;
static uint8_t *pattern, *sink;
static uint32_t next_port = 1024;

static void make_pipe(int fd[2])
{
	if (pipe2(fd, O_CLOEXEC) < 0)
		drv_die("pipe2");
}

static void make_pair(int fd[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		drv_die("socketpair");
}

static int make_file(const void *data, size_t len)
{
	char path[] = "/tmp/vsock-test-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || unlink(path) < 0 || write(fd, data, len) != (ssize_t)len ||
		lseek(fd, 0, SEEK_SET))
		drv_die("no temporary file");
	return fd;
}

/* Binds (closing our ends: the device has its own) and connects. */
static uint32_t open_stream(struct gstream *s, int *rx_fd, int *tx_fd)
{
	uint32_t port = next_port++;

	if (peer_bind(&p, port, rx_fd ? *rx_fd : -1, tx_fd ? *tx_fd : -1))
		drv_die("bind refused");
	if (rx_fd)
		close_fd(rx_fd);
	if (tx_fd)
		close_fd(tx_fd);
	if (!peer_connect(&p, s, port + 50000, port))
		drv_die("no connection");
	return port;
}

/* Sends up to len bytes as credit allows; returns how many. */
static uint32_t send_some(struct gstream *s, const uint8_t *data, uint32_t len)
{
	uint32_t n = peer_room(s);

	n = MIN(n, MIN(len, 65536u));
	if (n)
		peer_send(&p, s, VIRTIO_VSOCK_OP_RW, 0, data, n);
	return n;
}

static uint32_t read_some(int fd, uint8_t *to, uint32_t len, int ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	ssize_t r;

	if (poll(&pfd, 1, ms) != 1)
		return 0;
	r = read(fd, to, len);
	return r > 0 ? (uint32_t)r : 0;
}

static bool at_eof(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char c;

	return poll(&pfd, 1, DRV_WAIT_MS) == 1 && read(fd, &c, 1) == 0;
}

/* The guest sends BIG bytes, fd yields them, in odd steps. */
static bool guest_to_fd(struct gstream *s, int fd)
{
	uint32_t sent = 0, got = 0;

	memset(sink, 0, BIG);
	while (got < BIG) {
		uint32_t before = sent + got;

		sent += send_some(s, pattern + sent, BIG - sent);
		got += read_some(
			fd, sink + got, MIN(BIG - got, 40001u), sent == BIG ? DRV_WAIT_MS : 1);
		peer_recv(&p, sent + got == before ? 100 : 0);
		if (sent + got == before && sent == BIG)
			break;
	}
	return got == BIG && !memcmp(sink, pattern, BIG);
}

/* fd is fed BIG bytes, the guest reads them. fd may be -1: it is all there already. */
static bool fd_to_guest(struct gstream *s, int fd)
{
	uint32_t fed = fd < 0 ? BIG : 0;

	memset(sink, 0, BIG);
	s->data = sink;
	s->data_max = BIG;
	s->eager = true;
	if (fd >= 0)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	while (s->got < BIG) {
		ssize_t r = fed < BIG ? write(fd, pattern + fed, MIN(BIG - fed, 50001u)) : 0;

		if (r > 0)
			fed += (uint32_t)r;
		if (!peer_recv(&p, r > 0 ? 0 : DRV_WAIT_MS) && r <= 0)
			break;
	}
	return s->got == BIG && !memcmp(sink, pattern, BIG);
}

static void over_pipes(void)
{
	struct gstream s = {0};
	int out[2], in[2];

	make_pipe(out);
	make_pipe(in);
	open_stream(&s, &out[1], &in[0]);
	ok(guest_to_fd(&s, out[0]), "4 MiB from the guest through a pipe");
	ok(s.credit_updates > 0 && s.credit_updates <= BIG / VSOCK_CREDIT_STEP + 32,
		"credit updates come, and not for every packet (%u)", s.credit_updates);
	ok(fd_to_guest(&s, in[1]), "4 MiB to the guest through a pipe");
	close_fd(&in[1]);
	ok(peer_until(&p, s.shut & VIRTIO_VSOCK_SHUTDOWN_SEND, DRV_WAIT_MS),
		"end of file becomes SHUTDOWN(SEND)");
	ok(!(s.shut & VIRTIO_VSOCK_SHUTDOWN_RCV), "and nothing else");
	peer_send(&p, &s, VIRTIO_VSOCK_OP_RW, 0, "tail", 4);
	peer_send(&p, &s, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	eq_int(read_some(out[0], sink, 100, DRV_WAIT_MS), 4, "the guest still sends");
	ok(at_eof(out[0]), "until SHUTDOWN(SEND) becomes end of file");
	ok(!s.rst, "the stream is not gone yet");
	peer_send(&p, &s, VIRTIO_VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
	ok(peer_until(&p, s.rst, DRV_WAIT_MS), "close is confirmed by RST");
	close_fd(&out[0]);
}

static void over_socket(void)
{
	struct gstream s = {0};
	int pair[2], dup_fd;

	make_pair(pair);
	dup_fd = dup(pair[1]);
	open_stream(&s, &pair[1], &dup_fd);
	ok(guest_to_fd(&s, pair[0]), "4 MiB from the guest through a socket");
	ok(fd_to_guest(&s, pair[0]), "4 MiB to the guest through a socket");
	peer_send(&p, &s, VIRTIO_VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
	ok(peer_until(&p, s.rst, DRV_WAIT_MS), "closed");
	fcntl(pair[0], F_SETFL, 0);
	ok(at_eof(pair[0]), "the other end sees the end");
	close_fd(&pair[0]);
}

static void over_files(void)
{
	struct gstream s = {0}, n = {0};
	int in = make_file(pattern, BIG), out = make_file("", 0), keep = dup(out);
	int null_in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int null_out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	uint32_t sent = 0;

	open_stream(&s, &out, &in);
	ok(fd_to_guest(&s, -1), "4 MiB from a regular file");
	ok(peer_until(&p, s.shut & VIRTIO_VSOCK_SHUTDOWN_SEND, DRV_WAIT_MS), "and its end");
	while (sent < BIG && (peer_room(&s) || peer_recv(&p, DRV_WAIT_MS)))
		sent += send_some(&s, pattern + sent, BIG - sent);
	peer_send(&p, &s, VIRTIO_VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
	ok(peer_until(&p, s.rst, DRV_WAIT_MS), "closed");
	memset(sink, 0, BIG);
	ok(pread(keep, sink, BIG, 0) == BIG && !memcmp(sink, pattern, BIG),
		"4 MiB to a regular file");
	close_fd(&keep);

	open_stream(&n, &null_out, &null_in);
	ok(peer_until(&p, n.shut == VIRTIO_VSOCK_SHUTDOWN_SEND, DRV_WAIT_MS), "/dev/null is empty");
	for (sent = 0; sent < BIG && (peer_room(&n) || peer_recv(&p, DRV_WAIT_MS));)
		sent += send_some(&n, pattern + sent, BIG - sent);
	eq_int(sent, BIG, "/dev/null takes 4 MiB");
	peer_send(&p, &n, VIRTIO_VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
	ok(peer_until(&p, n.rst, DRV_WAIT_MS), "closed");
}

static void over_pty(void)
{
	struct gstream s = {0};
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave, dup_fd;
	uint32_t sent = 0, got = 0;
	static char lines[32768];

	if (master < 0 || grantpt(master) || unlockpt(master)) {
		skip("no pseudo terminals here");
		return;
	}
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	dup_fd = dup(slave);
	for (size_t i = 0; i < sizeof(lines); i++)
		lines[i] = i % 16 == 15 ? '\n' : 'a';
	open_stream(&s, &slave, &dup_fd);
	while (got < sizeof(lines) / 16 * 17) {
		uint32_t n;

		sent += send_some(&s, (uint8_t *)lines + sent, (uint32_t)sizeof(lines) - sent);
		n = read_some(master, sink, 1000, 2000);
		got += n;
		while (peer_recv(&p, 0))
			;
		if (!n)
			break;
	}
	eq_int(got, sizeof(lines) / 16 * 17,
		"a terminal takes more than it holds, with returns added");
	s.data = sink;
	s.data_max = BIG;
	s.got = 0;
	ok(write(master, "ls\n", 3) == 3 && peer_until(&p, s.got >= 3, DRV_WAIT_MS),
		"a line typed");
	ok(!memcmp(sink, "ls\n", 3), "arrives");
	ok(write(master, "\4", 1) == 1 && peer_until(&p, s.shut, DRV_WAIT_MS), "Ctrl-D ends it");
	peer_send(&p, &s, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	close_fd(&master);
}

/* A reader that takes nothing blocks its own stream only; what it was sent is not lost. */
static void slow_reader(void)
{
	struct gstream slow = {0}, fast = {0};
	int a[2], b[2];
	uint32_t sent = 0, got = 0, id;

	make_pipe(a);
	make_pipe(b);
	open_stream(&slow, &a[1], NULL);
	open_stream(&fast, &b[1], NULL);
	for (int quiet = 0; quiet < 2;) {
		uint32_t n = send_some(&slow, pattern + sent, 3000);

		sent += n;
		quiet = peer_recv(&p, n ? 0 : 100) || n ? 0 : quiet + 1;
	}
	ok(sent >= VSOCK_WINDOW + 16 * 3000 && sent <= VSOCK_WINDOW + 65536,
		"stops at one window and one pipe (%u)", sent);
	ok(guest_to_fd(&fast, b[0]), "another stream goes on meanwhile");
	id = peer_drain_send(&p);
	ok(!peer_drain_done(&p, id, 100), "drain waits");
	peer_send(&p, &slow, VIRTIO_VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
	peer_idle(&p);
	ok(!slow.rst, "the close is not confirmed before the bytes are written");
	memset(sink, 0, BIG);
	while (got < sent) {
		uint32_t n = read_some(a[0], sink + got, 5000, DRV_WAIT_MS);

		if (!n)
			break;
		got += n;
	}
	ok(got == sent && !memcmp(sink, pattern, sent), "every byte comes");
	ok(at_eof(a[0]), "then the end");
	ok(peer_drain_done(&p, id, DRV_WAIT_MS), "drain is answered");
	ok(peer_until(&p, slow.rst, DRV_WAIT_MS), "and the close is confirmed");
	peer_send(&p, &fast, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	close_fd(&a[0]);
	close_fd(&b[0]);
}

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

/* Sends until nothing more is taken: pipe and window are full. */
static uint32_t fill_up(struct gstream *s)
{
	uint32_t sent = 0;

	for (int quiet = 0; quiet < 2;) {
		uint32_t n = send_some(s, pattern + sent, 3000);

		sent += n;
		quiet = peer_recv(&p, n ? 0 : 100) || n ? 0 : quiet + 1;
	}
	return sent;
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
	p.hold_rx = true; /* no room for a RST */
	for (unsigned i = 0; i < 2 * PEER_RX_BUFS; i++)
		peer_send(&p, &t, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, NULL, 0);
	peer_idle(&p);
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

static void reader_gone(void)
{
	struct gstream s = {0}, t = {0}, u = {0};
	int a[2], b[2], c[2];
	uint32_t sent = 0, id, port;

	make_pipe(a);
	open_stream(&s, &a[1], NULL);
	close_fd(&a[0]);
	peer_send(&p, &s, VIRTIO_VSOCK_OP_RW, 0, "x", 1);
	ok(peer_until(&p, s.shut, DRV_WAIT_MS) && s.shut == VIRTIO_VSOCK_SHUTDOWN_RCV,
		"a reader that is gone becomes SHUTDOWN(RCV)");
	peer_send(&p, &s, VIRTIO_VSOCK_OP_RW, 0, "y", 1);
	peer_idle(&p);
	ok(!s.rst, "bytes that were under way do no harm");
	peer_send(&p, &s, VIRTIO_VSOCK_OP_SHUTDOWN, VSOCK_SHUT_BOTH, NULL, 0);
	ok(peer_until(&p, s.rst, DRV_WAIT_MS), "closed");

	make_pipe(b);
	open_stream(&t, &b[1], NULL);
	while (sent < VSOCK_WINDOW)
		sent += send_some(&t, pattern, VSOCK_WINDOW - sent);
	id = peer_drain_send(&p);
	ok(!peer_drain_done(&p, id, 50), "drain waits for a backlog");
	close_fd(&b[0]);
	ok(peer_drain_done(&p, id, DRV_WAIT_MS), "but not when its reader goes");
	ok(peer_until(&p, t.shut & VIRTIO_VSOCK_SHUTDOWN_RCV, DRV_WAIT_MS),
		"which the guest is told");
	peer_send(&p, &t, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);

	make_pipe(c);
	port = open_stream(&u, NULL, &c[0]);
	peer_send(&p, &u, VIRTIO_VSOCK_OP_RW, 0, "z", 1);
	ok(peer_until(&p, u.shut == VIRTIO_VSOCK_SHUTDOWN_RCV, DRV_WAIT_MS),
		"writing to a stream that never had a reader");
	peer_send(&p, &u, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_RCV, NULL, 0);
	peer_idle(&p);
	signal(SIGPIPE, SIG_IGN);
	ok(write(c[1], "x", 1) < 0 && errno == EPIPE,
		"SHUTDOWN(RCV) of the guest is EPIPE for its writer");
	peer_send(&p, &u, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	ok(peer_until(&p, u.rst, DRV_WAIT_MS), "two halves make a close");
	eq_int(peer_bind(&p, port, c[1], -1), 0, "the port can be bound again");
	close_fd(&c[1]);
}

/* The guest's window holds data for it back, and the host's writer with it. */
static void guest_stalls(void)
{
	struct gstream s = {.buf_alloc = 10000}, t = {0};
	int a[2], b[2];

	make_pair(a);
	make_pair(b);
	open_stream(&s, NULL, &a[1]);
	open_stream(&t, NULL, &b[1]);
	ok(write(a[0], pattern, 60000) == 60000, "60000 bytes for a guest with room for 10000");
	peer_idle(&p);
	eq_int(s.got, 10000, "it gets 10000");
	ok(write(b[0], "hello", 5) == 5 && peer_until(&p, t.got == 5, DRV_WAIT_MS),
		"another stream goes on");
	s.fwd_cnt = 10000;
	peer_send(&p, &s, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	peer_idle(&p);
	eq_int(s.got, 20000, "and as much again for new credit");
	s.buf_alloc = 5000; /* it shrank: 15000 more are in its hands than it has room for */
	peer_send(&p, &s, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	peer_idle(&p);
	eq_int(s.got, 20000, "nothing for a window that shrank");
	s.eager = true;
	s.fwd_cnt = 20000;
	s.buf_alloc = 100000;
	peer_send(&p, &s, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, NULL, 0);
	close_fd(&a[0]);
	ok(peer_until(&p, s.shut, DRV_WAIT_MS) && s.got == 60000, "the rest, then the end");
	eq_int(s.credit_updates, 1, "a credit request is answered");
	peer_send(&p, &s, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	peer_send(&p, &t, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	close_fd(&b[0]);
}

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Streams with bytes to read, and files, while the guest gives no buffers: nobody spins, nothing is
 * lost. */
static void no_buffers(void)
{
	struct gstream s = {.eager = true}, t = {.eager = true},
		       f = {.eager = true, .buf_alloc = 1};
	int a[2], b[2], file = make_file(pattern, 100000);
	double before;

	make_pair(a);
	make_pair(b);
	open_stream(&s, NULL, &a[1]);
	open_stream(&t, NULL, &b[1]);
	open_stream(&f, NULL, &file);
	peer_idle(&p);
	p.hold_rx = true;
	f.buf_alloc = 256u << 10;
	peer_send(&p, &f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	ok(write(a[0], pattern, 150000) == 150000 && write(b[0], pattern, 150000) == 150000,
		"input");
	peer_idle(&p); /* takes the buffers that are out */
	before = cpu_seconds();
	usleep(300000);
	ok(cpu_seconds() - before < 0.1, "no spinning without rx buffers");
	ok(s.got + t.got + f.got < 400000, "not all could be sent");
	ok(s.got && t.got && f.got, "each got its share (%u %u %u)", (unsigned)s.got,
		(unsigned)t.got, (unsigned)f.got);
	for (int i = 0; i < 1000 && s.got + t.got + f.got < 400000; i++) {
		peer_give_rx(&p, 3);
		peer_recv(&p, 100);
	}
	ok(s.got == 150000 && t.got == 150000 && f.got == 100000, "all of it with new buffers");
	p.hold_rx = false;
	peer_give_rx(&p, PEER_RX_BUFS);
	ok(peer_until(&p, f.shut, DRV_WAIT_MS), "and the end of the file");
	peer_send(&p, &s, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	peer_send(&p, &t, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	peer_send(&p, &f, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	close_fd(&a[0]);
	close_fd(&b[0]);
}

static void resets(void)
{
	struct gstream s = {0}, t = {0}, w = {0};
	int a[2], b[2], c[2];
	uint32_t sent = 0, got = 0, port;

	make_pipe(a);
	make_pipe(b);
	make_pipe(c);
	open_stream(&s, &a[1], NULL);
	open_stream(&t, NULL, &b[0]);
	port = next_port++;
	ok(peer_bind(&p, port, c[1], -1) == 0, "a port bound before the reset");
	close_fd(&c[1]);
	while (sent < VSOCK_WINDOW)
		sent += send_some(&s, pattern + sent, VSOCK_WINDOW - sent);
	while (peer_recv(&p, 50))
		;
	peer_restart(&p);
	ok(write(b[1], "x", 1) < 0 && errno == EPIPE, "a reset closes what the guest read from");
	while (got < sent) {
		uint32_t n = read_some(a[0], sink + got, 70000, DRV_WAIT_MS);

		if (!n)
			break;
		got += n;
	}
	ok(got == sent && !memcmp(sink, pattern, sent) && at_eof(a[0]),
		"but what it sent is written");
	ok(peer_connect(&p, &w, 99, port), "the bound port is still there");
	peer_send(&p, &w, VIRTIO_VSOCK_OP_RW, 0, "again", 5);
	eq_int(read_some(c[0], sink, 100, DRV_WAIT_MS), 5, "and works");
	for (int i = 0; i < 20; i++)
		peer_restart(&p);
	ok(at_eof(c[0]), "twenty resets");
	close_fd(&a[0]);
	close_fd(&b[1]);
	close_fd(&c[0]);
}

static void fill(void)
{
	uint32_t x = 12345;

	pattern = malloc(BIG);
	sink = malloc(BIG);
	if (!pattern || !sink)
		drv_die("no memory");
	for (uint32_t i = 0; i < BIG; i++) {
		x = x * 1664525u + 1013904223u;
		pattern[i] = (uint8_t)(x >> 24);
	}
}

int main(void)
{
	static void (*const tests[])(void) = {over_pipes, over_socket, over_files, over_pty,
		slow_reader, last_bytes, drain_queue, drain_ports, many_drains, unbind, reader_gone,
		guest_stalls, no_buffers, resets};

	fill();
	peer_open(&p);
	eq_int(drv_rd(&p.d, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_VSOCK, "device id");
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		printf("# test %zu\n", i);
		p.n_streams = 0; /* they were on the last test's stack */
		peer_idle(&p);
		tests[i]();
	}
	ok(!drv_needs_reset(&p.d), "the device is well to the end");
	peer_close(&p);
	free(pattern);
	free(sink);
	return tap_done();
}
