/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command socket (devices.h). Each command has one reply and none is lost: while the socket takes
 * no reply, no command is read. Only the VMM's main loop is at the other end; it never waits for us,
 * nor we for it.
 */
#include "vmm/virtio/vsock.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/fd.h"

/* syscalls: sendto, epoll_ctl. False: it is full. */
static bool send_reply(struct vsock *v, const struct vsock_cmd_reply *reply)
{
	int fd = v->dev->env.cmd_fd;

	if (v->cmd_full)
		return false;
	if (send(fd, reply, sizeof(*reply), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	/* Any other error: nobody is there to read it. */
	if ((errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM) ||
		vdev_rewatch(v->dev, 0, fd, EPOLLOUT, VSOCK_DATA_CMD) < 0)
		return true;
	v->cmd_full = true;
	return false;
}

static void reply_cmd(struct vsock *v, uint32_t id, int errnum)
{
	struct vsock_cmd_reply reply = {.id = id, .errnum = errnum};

	if (send_reply(v, &reply))
		return;
	v->unsent = reply;
	v->cmd_unsent = true;
}

/* There is room again. What the drains have to say follows in vsock_cmd_answer(). */
static void on_room(struct vsock *v)
{
	v->cmd_full = false;
	if (v->cmd_unsent && !send_reply(v, &v->unsent))
		return;
	v->cmd_unsent = false;
	if (vdev_rewatch(v->dev, 0, v->dev->env.cmd_fd, EPOLLIN, VSOCK_DATA_CMD) < 0)
		vdev_unwatch(v->dev, 0, v->dev->env.cmd_fd);
}

static void reached(struct vsock *v, struct vsock_drain *d)
{
	d->reached = true;
	for (uint32_t i = 0; i < d->count; i++)
		d->n_targets += vconn_target(v, d->port + i, &d->target[d->n_targets]);
}

void vsock_cmd_taken(struct vsock *v, bool empty)
{
	for (uint32_t i = 0; i < v->n_drains; i++) {
		struct vsock_drain *d = &v->drain[i];

		if (!d->reached && (empty || v->taken >= d->until))
			reached(v, d);
	}
}

static bool written(const struct vsock *v, const struct vsock_drain *d)
{
	if (!d->reached)
		return false;
	if (!d->count)
		return !v->n_backlog;
	for (uint32_t i = 0; i < d->n_targets; i++)
		if (!vconn_reached(v, &d->target[i]))
			return false;
	return true;
}

/* In the order they came: who waits for the last drain has heard of all others. */
void vsock_cmd_answer(struct vsock *v)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < v->n_drains; i++) {
		struct vsock_cmd_reply reply = {.id = v->drain[i].id};

		if (written(v, &v->drain[i]) && send_reply(v, &reply))
			continue;
		if (left != i)
			v->drain[left] = v->drain[i];
		left++;
	}
	v->n_drains = left;
}

static int cmd_bind(struct vsock *v, const struct vsock_cmd *cmd, int *fds, unsigned n)
{
	int *rx = fds + FD_PASS_MAX, *tx = rx; /* fds[FD_PASS_MAX] is -1: none */
	unsigned used = 0;

	if (!cmd->flags || (cmd->flags & ~(VSOCK_BIND_RX | VSOCK_BIND_TX)) || cmd->count != 1)
		return -EINVAL;
	if (cmd->flags & VSOCK_BIND_RX)
		rx = &fds[used++];
	if (cmd->flags & VSOCK_BIND_TX)
		tx = &fds[used++];
	return used == n ? vconn_bind_take(v, cmd->port, rx, tx) : -EINVAL;
}

static bool ports_ok(const struct vsock_cmd *cmd)
{
	uint32_t end;

	return cmd->port && cmd->count && cmd->count <= VSOCK_DRAIN_PORTS &&
	       !__builtin_add_overflow(cmd->port, cmd->count, &end);
}

/* Returns 0: it will be answered; -errno. */
static int cmd_drain(struct vsock *v, const struct vsock_cmd *cmd)
{
	if (cmd->flags || ((cmd->port || cmd->count) && !ports_ok(cmd)))
		return -EINVAL;
	if (v->n_drains == VSOCK_DRAINS_MAX)
		return -EBUSY;
	v->drain[v->n_drains++] = (struct vsock_drain){
		.id = cmd->id,
		.port = cmd->port,
		.count = cmd->count,
		/* What the guest has put into the queue counts as sent; no more fits in than this. */
		.until = v->taken + VSOCK_QUEUE_SIZE,
	};
	return 0;
}

static int cmd_unbind(struct vsock *v, const struct vsock_cmd *cmd)
{
	if (cmd->flags || !ports_ok(cmd))
		return -EINVAL;
	for (uint32_t i = 0; i < cmd->count; i++)
		vconn_unbind(v, cmd->port + i);
	return 0;
}

/* The queue is looked at for a drain, kicked for or not. */
static int look_at_queue(struct vsock *v)
{
	if (v->live)
		return vsock_take_packets(v);
	vsock_cmd_taken(v, true);
	return 0;
}

int vsock_cmd_event(struct vsock *v)
{
	struct vsock_cmd cmd = {0};
	int fds[FD_PASS_MAX + 1];
	unsigned n = 0;
	ssize_t len;
	int r = -EINVAL;

	if (v->cmd_full) {
		on_room(v);
		return 0;
	}
	len = recv_fds(v->dev->env.cmd_fd, &cmd, sizeof(cmd), fds, FD_PASS_MAX, &n);
	if (len == -EAGAIN)
		return 0;
	if (len <= 0 && len != -EMSGSIZE &&
		len != -EMFILE) { /* the VMM closed it: no more commands */
		vdev_unwatch(v->dev, 0, v->dev->env.cmd_fd);
		return 0;
	}
	fds[FD_PASS_MAX] = -1;
	if (len == -EMFILE) /* all of it came but its descriptors: it can be tried again */
		r = -EMFILE;
	else if (len != sizeof(cmd))
		r = -EPROTO;
	else if (cmd.type == VSOCK_CMD_BIND)
		r = cmd_bind(v, &cmd, fds, n);
	else if (cmd.type == VSOCK_CMD_UNBIND && !n)
		r = cmd_unbind(v, &cmd);
	else if (cmd.type == VSOCK_CMD_DRAIN && !n && (r = cmd_drain(v, &cmd)) == 0)
		return look_at_queue(v);
	for (unsigned i = 0; i < n; i++) /* what was not taken, before the answer says so */
		close_fd(&fds[i]);
	reply_cmd(v, len == sizeof(cmd) || len == -EMFILE ? cmd.id : 0, -r);
	return 0;
}
