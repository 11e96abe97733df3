/* SPDX-License-Identifier: Apache-2.0 */
/* Talking to the vsock device's worker: what is bound before the guest runs, and drained at its end. */
#include "vmm/life_priv.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "vmm/virtio/devices.h"

#define BIND_TIMEOUT_MS 10000

/* The vsock device's worker answers within microseconds; it is running already. */
static int bind_port(
	struct life *l, uint32_t port, uint32_t flags, const int *fds, unsigned n, struct err *err)
{
	struct vsock_cmd cmd = {
		.type = VSOCK_CMD_BIND,
		.port = port,
		.count = 1,
		.flags = flags,
		.id = ++l->next_id,
	};
	struct pollfd p = {.fd = l->vsock_fd, .events = POLLIN};
	struct vsock_cmd_reply reply;
	ssize_t len;
	int r;

	r = send_fds(l->vsock_fd, &cmd, sizeof(cmd), fds, n);
	if (r == -EPIPE || r == -ECONNRESET)
		return life_vsock_lost(l, err);
	if (r < 0)
		return err_set(err, -r, "cannot talk to the vsock device");
	do {
		r = poll(&p, 1, BIND_TIMEOUT_MS);
	} while (r < 0 && errno == EINTR);
	if (r <= 0)
		return err_set(err, r < 0 ? errno : ETIMEDOUT, "the vsock device does not answer");
	len = recv(l->vsock_fd, &reply, sizeof(reply), 0);
	if (len <= 0)
		return life_vsock_lost(l, err);
	if (len != sizeof(reply) || reply.id != cmd.id)
		return err_plain(err, EPROTO, "the vsock device answers nonsense");
	if (reply.errnum)
		return err_set(err, reply.errnum, "cannot open vsock port %u to the guest", port);
	return 0;
}

int life_bind_streams(struct life *l, struct err *err)
{
	static const struct {
		uint32_t port, flags;
	} stdio[] = {
		{PROTO_PORT_STDIN, VSOCK_BIND_TX},
		{PROTO_PORT_STDOUT, VSOCK_BIND_RX},
		{PROTO_PORT_STDERR, VSOCK_BIND_RX},
	};
	autofd int theirs = -1;
	int s[2], both[2], streams = ARRAY_SIZE(stdio), r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s) < 0)
		return err_set(err, errno, "cannot make the control channel");
	l->guest_fd = s[0];
	theirs = s[1];
	both[0] = both[1] = theirs;
	r = bind_port(l, PROTO_PORT_CONTROL, VSOCK_BIND_RX | VSOCK_BIND_TX, both, 2, err);
	if (l->cfg->flags & VM_FLAG_TERMINAL)
		streams = STDERR_FILENO;
	for (int fd = 0; r == 0 && fd < streams; fd++)
		r = bind_port(l, stdio[fd].port, stdio[fd].flags, &fd, 1, err);
	return r;
}

void life_drain_stdio(struct life *l)
{
	struct vsock_cmd cmd = {
		.type = VSOCK_CMD_DRAIN,
		.port = PROTO_PORT_STDIN,
		.count = PROTO_PORT_STDERR - PROTO_PORT_STDIN + 1,
		.id = ++l->next_id,
	};
	int r = send_fds(l->vsock_fd, &cmd, sizeof(cmd), NULL, 0);

	l->drain_id = r < 0 ? 0 : cmd.id;
	l->drain_due = life_vsock_later(l, r);
	if (r < 0 && !l->drain_due)
		life_vsock_failed(l);
}

bool life_passes(int errnum)
{
	return errnum == ENOBUFS || errnum == ENOMEM || errnum == ETOOMANYREFS;
}

static void watch_vsock(struct life *l, bool room)
{
	struct epoll_event ev = {.events = EPOLLIN | (room ? EPOLLOUT : 0), .data.u64 = EV_VSOCK};

	l->vsock_full = room;
	if (l->vsock_gone)
		return;
	/* It was added by life_init(), with the same arguments. */
	BUG_ON(epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, l->vsock_fd, &ev) < 0);
}

bool life_vsock_later(struct life *l, int result)
{
	if (result == -EAGAIN) {
		watch_vsock(l, true);
		return true;
	}
	if (!life_passes(-result))
		return false;
	l->vsock_full = true; /* not EPOLLOUT: it may be writable all the time */
	life_set_deadline(l, DEADLINE_RETRY, LIFE_RETRY_MS);
	return true;
}

void life_vsock_room(struct life *l)
{
	watch_vsock(l, false);
	life_exec_vsock_room(l);
	if (l->drain_due && !l->vsock_full)
		life_drain_stdio(l);
}

/* A reader of the container's output that sleeps keeps the VM, until SIGKILL; one of an exec'd process's must
 * not: it has LIFE_EXECS_MS. */
static void end_if_drained(struct life *l)
{
	if (l->ended || !l->drained)
		return;
	if (life_exec_unwritten(l))
		life_set_deadline(l, DEADLINE_EXECS, LIFE_EXECS_MS);
	else
		life_end(l, l->status);
}

/* The answer to a command that is under way, of which each has one? */
static bool is_answer(struct life *l, const struct vsock_cmd_reply *reply)
{
	if (!reply->id)
		return false;
	if (life_exec_vsock(l, reply))
		return true;
	if (reply->id != l->drain_id)
		return false;
	l->drain_id = 0;
	l->drained = true;
	return true;
}

/* A worker that says anything else is not ours any more: it could keep us busy for ever. */
void life_vsock_read(struct life *l)
{
	struct vsock_cmd_reply reply;
	ssize_t n = recv(l->vsock_fd, &reply, sizeof(reply), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		life_vsock_failed(l);
	else if (n == sizeof(reply) && is_answer(l, &reply))
		end_if_drained(l);
	else
		life_vsock_broken(l);
}
