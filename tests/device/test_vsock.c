/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device and an honest guest: streams over everything a standard stream can be. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "tests/device/vsock_streams.h"
#include "tests/tap.h"

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
 * lost. The buffers are used up before there is input: who finds some first is not a race. */
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
	eq_int(f.got, 1, "a file to a guest with room for a byte");
	use_up_rx(&s);
	f.buf_alloc = 256u << 10;
	peer_send(&p, &f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	ok(write(a[0], pattern, 150000) == 150000 && write(b[0], pattern, 150000) == 150000,
		"input");
	peer_idle(&p);
	before = cpu_seconds();
	usleep(300000);
	ok(cpu_seconds() - before < 0.1, "no spinning without rx buffers");
	ok(s.got + t.got + f.got == 1, "nothing was sent");
	/* A turn takes no more buffers than the device has in hand; one packet of credit may be due. */
	for (unsigned given = 0; given < 3 * VSOCK_HELD_MAX + 1; given++) {
		peer_give_rx(&p, 1);
		peer_recv(&p, DRV_WAIT_MS);
	}
	ok(s.got && t.got && f.got > 1, "each got its share (%u %u %u)", (unsigned)s.got,
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

int main(void)
{
	static void (*const tests[])(void) = {over_pipes, over_socket, over_files, over_pty,
		slow_reader, reader_gone, guest_stalls, no_buffers, resets};

	return streams_run(tests, ARRAY_SIZE(tests));
}
