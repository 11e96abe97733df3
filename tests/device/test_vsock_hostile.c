/* SPDX-License-Identifier: Apache-2.0 */
/* The vsock device and a guest that breaks the rules, and commands that do. */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proto.h"
#include "tests/device/vsock_peer.h"
#include "tests/tap.h"
#include "vmm/virtio/vsock.h"

static struct peer p;
static uint8_t bytes[65536];
static uint32_t next_port = 1024;

static void open_stream(struct gstream *s, int fd[2])
{
	uint32_t port = next_port++;
	int dup_fd;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		drv_die("socketpair");
	dup_fd = dup(fd[1]);
	if (peer_bind(&p, port, fd[1], dup_fd) || !peer_connect(&p, s, 70000, port))
		drv_die("no stream");
	close_fd(&fd[1]);
	close_fd(&dup_fd);
}

static bool at_eof(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char c;

	while (poll(&pfd, 1, DRV_WAIT_MS) == 1) {
		if (read(fd, &c, 1) <= 0)
			return true;
	}
	return false;
}

/* One wrong packet on an open stream each. */
struct bad {
	const char *what;
	uint64_t src_cid, dst_cid;
	uint16_t type, op;
	uint32_t flags, len, real_len;
	enum {
		RESET,
		IGNORED,
		STRANGER
	} want; /* stream reset, nothing, a reset beside the stream */
};

static const struct bad bads[] = {
	{"another source CID", 4, 2, 1, VIRTIO_VSOCK_OP_RW, 0, 1, 1, IGNORED},
	{"the host as source", 2, 2, 1, VIRTIO_VSOCK_OP_RW, 0, 1, 1, IGNORED},
	{"a 64-bit source CID", 3 | 1ull << 32, 2, 1, VIRTIO_VSOCK_OP_RW, 0, 1, 1, IGNORED},
	{"another destination CID", 3, 1, 1, VIRTIO_VSOCK_OP_RW, 0, 1, 1, IGNORED},
	{"itself as destination", 3, 3, 1, VIRTIO_VSOCK_OP_RST, 0, 0, 0, IGNORED},
	{"type 0", 3, 2, 0, VIRTIO_VSOCK_OP_RW, 0, 1, 1, STRANGER},
	{"seqpacket", 3, 2, 2, VIRTIO_VSOCK_OP_RW, 0, 1, 1, STRANGER},
	{"type 65535", 3, 2, 65535, VIRTIO_VSOCK_OP_RW, 0, 1, 1, STRANGER},
	{"op 0", 3, 2, 1, 0, 0, 0, 0, RESET},
	{"op 8", 3, 2, 1, 8, 0, 0, 0, RESET},
	{"op 65535", 3, 2, 1, 65535, 0, 0, 0, RESET},
	{"a second REQUEST", 3, 2, 1, VIRTIO_VSOCK_OP_REQUEST, 0, 0, 0, RESET},
	{"a RESPONSE", 3, 2, 1, VIRTIO_VSOCK_OP_RESPONSE, 0, 0, 0, RESET},
	{"a length beyond the payload", 3, 2, 1, VIRTIO_VSOCK_OP_RW, 0, 2, 1, RESET},
	{"a length of 4 GiB", 3, 2, 1, VIRTIO_VSOCK_OP_RW, 0, 0xffffffff, 1, RESET},
	{"a length short of the payload", 3, 2, 1, VIRTIO_VSOCK_OP_RW, 0, 1, 2, RESET},
	{"payload with SHUTDOWN", 3, 2, 1, VIRTIO_VSOCK_OP_SHUTDOWN, 3, 1, 1, RESET},
	{"payload with CREDIT_UPDATE", 3, 2, 1, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 9, 9, RESET},
	{"flags on RW", 3, 2, 1, VIRTIO_VSOCK_OP_RW, 1, 1, 1, RESET},
	{"unknown SHUTDOWN flags", 3, 2, 1, VIRTIO_VSOCK_OP_SHUTDOWN, 4, 0, 0, RESET},
	{"SHUTDOWN of nothing", 3, 2, 1, VIRTIO_VSOCK_OP_SHUTDOWN, 0, 0, 0, IGNORED},
	{"RW of nothing", 3, 2, 1, VIRTIO_VSOCK_OP_RW, 0, 0, 0, IGNORED},
};

static void malformed(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(bads); i++) {
		const struct bad *b = &bads[i];
		struct gstream s = {0};
		struct virtio_vsock_hdr h;
		int fd[2];
		char c = 0;

		p.n_streams = 0;
		open_stream(&s, fd);
		h = peer_hdr(s.gport, s.hport, b->op);
		h.src_cid = htole64(b->src_cid);
		h.dst_cid = htole64(b->dst_cid);
		h.type = htole16(b->type);
		h.flags = htole32(b->flags);
		h.len = htole32(b->len);
		s.packets = 0;
		peer_raw(&p, &h, bytes, b->real_len);
		if (b->want == RESET) {
			ok(peer_until(&p, s.rst, DRV_WAIT_MS) && at_eof(fd[0]), "%s: reset",
				b->what);
		} else {
			if (b->want ==
				STRANGER) /* goes to the same ports, with the type it came with */
				ok(peer_until(&p, s.rst, DRV_WAIT_MS) && p.last.type == h.type,
					"%s: refused", b->what);
			peer_idle(&p);
			ok(s.packets == (b->want == STRANGER), "%s: no more is said", b->what);
			peer_send(&p, &s, VIRTIO_VSOCK_OP_RW, 0, "k", 1);
			ok(read(fd[0], &c, 1) == 1 && c == 'k', "%s: the stream goes on", b->what);
			peer_send(&p, &s, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
			ok(at_eof(fd[0]), "%s: until it is reset", b->what);
		}
		close_fd(&fd[0]);
	}
	ok(!drv_needs_reset(&p.d), "none of it harms the device");
}

/* What no driver of the device's may do at all ends in needs-reset, and a reset mends it. */
static void broken(void)
{
	struct drv_buf b = {.gpa = 0, .len = 43};

	b.gpa = drv_alloc(&p.d, 64, 16);
	drv_put(&p.d, VSOCK_Q_TX, &b, 1);
	drv_kick(&p.d, VSOCK_Q_TX);
	ok(drv_wait_needs_reset(&p.d, DRV_WAIT_MS), "a packet shorter than its header");
	p.hold_rx = true;
	peer_restart(&p);
	b = (struct drv_buf){.gpa = drv_alloc(&p.d, 64, 16), .len = 44, .in = true};
	drv_put(&p.d, VSOCK_Q_RX, &b, 1);
	drv_kick(&p.d, VSOCK_Q_RX);
	ok(drv_wait_needs_reset(&p.d, DRV_WAIT_MS), "a receive buffer without room for data");
	p.hold_rx = false;
	peer_restart(&p);
	ok(!drv_needs_reset(&p.d), "well after a reset");
}

static void credit_lies(void)
{
	struct gstream s = {0}, t = {0}, u = {0}, other = {0};
	int a[2], b[2], c[2], o[2];
	uint32_t sent = 0;

	open_stream(&other, o);
	open_stream(&s, a);
	for (int i = 0; i < 16 && !s.rst; i++) {
		peer_send(&p, &s, VIRTIO_VSOCK_OP_RW, 0, bytes, sizeof(bytes));
		sent += sizeof(bytes);
		while (peer_recv(&p, 50) && !s.rst)
			;
	}
	ok(s.rst, "more than the window is a reset (after %u)", sent);
	ok(sent > VSOCK_WINDOW, "not less");
	open_stream(&t, b);
	t.fwd_cnt = 0x80000000; /* read what was never sent */
	peer_send(&p, &t, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, NULL, 0);
	ok(peer_until(&p, t.credit_updates, DRV_WAIT_MS), "the lie is told");
	ok(write(b[0], "abc", 3) == 3, "input");
	peer_idle(&p);
	eq_int(t.got, 0, "a fwd_cnt ahead of us is no credit at all");
	t.fwd_cnt = 0;
	peer_send(&p, &t, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	ok(peer_until(&p, t.got == 3, DRV_WAIT_MS), "until it is true");
	u.buf_alloc = 0xffffffff;
	open_stream(&u, c);
	for (int i = 0; i < 20; i++) {
		ok(write(c[0], bytes, 50000) == 50000, "input for an endless window");
		peer_until(&p, u.got == (i + 1) * 50000u, DRV_WAIT_MS);
	}
	eq_int(u.got, 1000000, "is sent");
	peer_send(&p, &u, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	peer_send(&p, &u, VIRTIO_VSOCK_OP_RW, 0, "x", 1);
	ok(peer_until(&p, u.rst, DRV_WAIT_MS), "data after SHUTDOWN(SEND) is a reset");
	peer_send(&p, &other, VIRTIO_VSOCK_OP_RW, 0, "x", 1);
	eq_int(read(o[0], bytes, 10), 1, "the others go on");
	peer_send(&p, &other, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	peer_send(&p, &t, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	ok(at_eof(a[0]) && at_eof(b[0]) && at_eof(c[0]) && at_eof(o[0]), "all closed");
	close_fd(&a[0]);
	close_fd(&b[0]);
	close_fd(&c[0]);
	close_fd(&o[0]);
}

/* Thousands of packets for nobody, while no buffer is there to answer: the device stops taking
 * them. */
static void reset_storm(void)
{
	struct virtio_vsock_hdr h = peer_hdr(1, 9, VIRTIO_VSOCK_OP_REQUEST);
	unsigned sent = 0, heads[PEER_TX_SLOTS];
	uint32_t id, len;

	p.hold_rx = true;
	peer_restart(&p);
	memset(heads, 0, sizeof(heads));
	for (; sent < 2000; sent++) {
		struct drv_buf b = {.gpa = p.tx_gpa[sent % PEER_TX_SLOTS], .len = sizeof(h)};

		while (drv_pop_used(&p.d, VSOCK_Q_TX, &id, &len))
			;
		memcpy(drv_ptr(&p.d, b.gpa, b.len), &h, sizeof(h));
		while (drv_put(&p.d, VSOCK_Q_TX, &b, 1) < 0) {
			if (!drv_wait_used(&p.d, VSOCK_Q_TX, &id, &len, 200))
				goto full;
		}
		drv_kick(&p.d, VSOCK_Q_TX);
	}
full:
	ok(sent >= VSOCK_REPLIES_MAX && sent <= VSOCK_REPLIES_MAX + 256 + 1,
		"takes no more than it can answer (%u)", sent);
	p.strangers = 0;
	while (p.strangers < sent) {
		peer_give_rx(&p, 16);
		if (!peer_recv(&p, 1000))
			break;
	}
	eq_int(p.strangers, sent, "answers each, with buffers");
	p.hold_rx = false;
	peer_restart(&p);
}

static void flood(void)
{
	struct gstream s = {0};
	int fd[2];

	open_stream(&s, fd);
	p.strangers = 0;
	for (uint32_t i = 0; i < 5000; i++) {
		struct virtio_vsock_hdr h =
			peer_hdr(i, i % 2 ? s.hport : i, VIRTIO_VSOCK_OP_REQUEST);

		peer_raw(&p, &h, NULL, 0);
		while (peer_recv(&p, 0))
			;
	}
	peer_until(&p, p.strangers == 5000, 1000);
	eq_int(p.strangers, 5000, "5000 connections refused: ports unbound, or taken");
	for (int i = 0; i < 5000; i++) {
		peer_send(&p, &s, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, NULL, 0);
		while (peer_recv(&p, 0))
			;
	}
	peer_idle(&p);
	ok(s.credit_updates > 0 && s.credit_updates <= 5000, "credit requests (%u answers)",
		s.credit_updates);
	for (uint32_t i = 0; i < 1000; i++) {
		struct virtio_vsock_hdr h = peer_hdr(i, i, VIRTIO_VSOCK_OP_RST);

		peer_raw(&p, &h, NULL, 0);
	}
	peer_idle(&p);
	eq_int(p.strangers, 5000, "a RST is never answered");
	peer_send(&p, &s, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	ok(at_eof(fd[0]), "closed");
	close_fd(&fd[0]);
}

static int raw_command(const void *cmd, size_t len, const int *fds, unsigned n)
{
	struct pollfd pfd = {.fd = p.d.cmd_fd, .events = POLLIN};
	struct vsock_cmd_reply r;

	if (send_fds(p.d.cmd_fd, cmd, len, fds, n) < 0 || poll(&pfd, 1, DRV_WAIT_MS) != 1 ||
		recv(p.d.cmd_fd, &r, sizeof(r), 0) != sizeof(r))
		return -1;
	return r.errnum;
}

/* The entries of a directory. */
static unsigned entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* Of the worker, whose table may be its own. */
static unsigned open_fds(void)
{
	DIR *tasks = opendir("/proc/self/task");
	char path[300], name[16] = "";
	struct dirent *e;
	unsigned n = 0;

	while (tasks && (e = readdir(tasks))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "re");
		if (f && fgets(name, sizeof(name), f) && !strcmp(name, "cor-vsock.0\n")) {
			snprintf(path, sizeof(path), "/proc/self/task/%s/fd", e->d_name);
			n = entries(path);
		}
		if (f)
			fclose(f);
	}
	if (tasks)
		closedir(tasks);
	ok(n > 5, "the worker has its descriptors");
	return n;
}

static void commands(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), three[3] = {null, null, null};
	struct vsock_cmd bind = {
		.type = VSOCK_CMD_BIND, .port = 7, .count = 1, .flags = VSOCK_BIND_RX};
	struct vsock_cmd unbind = {.type = VSOCK_CMD_UNBIND, .port = 7, .count = 1};
	struct vsock_cmd drain = {.type = VSOCK_CMD_DRAIN}, other = {.type = 99};
	unsigned before = open_fds();

	eq_int(raw_command(&bind, sizeof(bind) - 1, NULL, 0), EPROTO, "a short command");
	eq_int(raw_command(three, sizeof(three), NULL, 0), EPROTO, "another size");
	eq_int(raw_command(bytes, 4096, three, 3), EPROTO, "a long command");
	eq_int(raw_command(&other, sizeof(other), three, 3), EINVAL, "an unknown command");
	eq_int(raw_command(&drain, sizeof(drain), three, 1), EINVAL, "a drain with a descriptor");
	eq_int(raw_command(&bind, sizeof(bind), NULL, 0), EINVAL, "a bind without its descriptor");
	eq_int(raw_command(&bind, sizeof(bind), three, 2), EINVAL, "a bind with one too many");
	bind.flags = VSOCK_BIND_RX | VSOCK_BIND_TX | 4;
	eq_int(raw_command(&bind, sizeof(bind), three, 2), EINVAL, "a bind with unknown flags");
	bind.flags = 0;
	eq_int(raw_command(&bind, sizeof(bind), NULL, 0), EINVAL, "a bind of nothing");
	eq_int(peer_bind(&p, 0, null, null), EINVAL, "port 0");
	eq_int(peer_bind(&p, VMADDR_PORT_ANY, null, null), EINVAL, "any port");
	eq_int(open_fds(), before, "no descriptor is kept");
	eq_int(peer_bind(&p, 7, null, null), 0, "a good one");
	eq_int(peer_bind(&p, 7, null, null), EADDRINUSE, "a port twice");
	eq_int(open_fds(), before + 2, "two descriptors are");
	eq_int(raw_command(&drain, sizeof(drain), NULL, 0), 0, "a drain of nothing");
	drain.port = 7;
	eq_int(raw_command(&drain, sizeof(drain), NULL, 0), EINVAL, "a drain of no ports");
	drain.count = 5;
	eq_int(raw_command(&drain, sizeof(drain), NULL, 0), EINVAL, "a drain of too many");
	drain.port = UINT32_MAX - 1;
	drain.count = 2;
	eq_int(raw_command(&drain, sizeof(drain), NULL, 0), EINVAL, "a drain beyond the last port");
	bind.flags = VSOCK_BIND_RX;
	bind.count = 2;
	bind.port = 8;
	eq_int(raw_command(&bind, sizeof(bind), three, 1), EINVAL, "a bind of two ports");
	eq_int(raw_command(&unbind, sizeof(unbind), three, 1), EINVAL,
		"an unbind with a descriptor");
	unbind.flags = 1;
	eq_int(raw_command(&unbind, sizeof(unbind), NULL, 0), EINVAL, "an unbind with flags");
	unbind.flags = 0;
	unbind.count = 0;
	eq_int(raw_command(&unbind, sizeof(unbind), NULL, 0), EINVAL, "an unbind of no ports");
	unbind.count = 4;
	eq_int(open_fds(), before + 2, "nothing of that was taken");
	eq_int(raw_command(&unbind, sizeof(unbind), NULL, 0), 0, "an unbind of one bound of four");
	eq_int(open_fds(), before, "gives the descriptors back");
	eq_int(raw_command(&unbind, sizeof(unbind), NULL, 0), 0, "an unbind of nothing");
	eq_int(peer_bind(&p, 7, null, null), 0, "and the port");
	close_fd(&null);
}

static void limits(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), r = 0, full[2];
	unsigned n = 0;
	struct vsock_cmd drain = {.type = VSOCK_CMD_DRAIN};
	struct gstream s = {0};

	open_stream(&s, full);
	do {
		if (peer_room(&s))
			peer_send(&p, &s, VIRTIO_VSOCK_OP_RW, 0, bytes, MIN(peer_room(&s), 65536u));
	} while (peer_recv(&p, 200) || peer_room(&s));
	for (int i = 0; i < VSOCK_DRAINS_MAX; i++)
		peer_drain_send(&p);
	eq_int(raw_command(&drain, sizeof(drain), NULL, 0), EBUSY, "too many drains at once");
	close_fd(&full[0]);
	for (int i = 0; i < VSOCK_DRAINS_MAX; i++) {
		struct vsock_cmd_reply reply;

		n += recv(p.d.cmd_fd, &reply, sizeof(reply), 0) == sizeof(reply) && !reply.errnum;
	}
	eq_int(n, VSOCK_DRAINS_MAX, "all are answered");
	peer_send(&p, &s, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	peer_idle(&p);
	for (n = 0; n <= VSOCK_STREAMS_MAX && r == 0; n++)
		r = peer_bind(&p, 100000 + n, null, -1);
	eq_int(r, ENOSPC, "a limit on bound ports");
	ok(n == VSOCK_STREAMS_MAX, "after %u and one of an earlier test", n - 1);
	close_fd(&null);
}

int main(void)
{
	static void (*const tests[])(void) = {
		malformed, broken, credit_lies, reset_storm, flood, commands, limits};

	peer_open(&p);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		printf("# test %zu\n", i);
		p.n_streams = 0; /* they were on the last test's stack */
		peer_idle(&p);
		tests[i]();
	}
	ok(!drv_needs_reset(&p.d), "the device is well to the end");
	peer_close(&p);
	return tap_done();
}
