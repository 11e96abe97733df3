/* SPDX-License-Identifier: Apache-2.0 */
/* What exec'd processes want of the vsock device: ports, commands about them, its word. */
#include "vmm/life_exec_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

#define ERRNUM_MAX 4095 /* the kernel's */

/* The first of its ports. What runs in the container may open vsock streams too: it cannot be first where
 * it does not know the port, and EXEC goes to init alone. syscalls: getrandom */
int life_exec_pick_ports(struct life *l, struct exec_slot *e)
{
	uint32_t port = PROTO_PORT_EXEC + life_exec_slot(l, e) * PROTO_EXEC_PORTS;
	bool taken = !l->execs.ports_known;

	while (taken) {
		if (getrandom(&port, sizeof(port), 0) != sizeof(port))
			return -errno;
		port &= ~(PROTO_EXEC_PORTS - 1u);
		taken = port < PROTO_PORT_EXEC || port > UINT32_MAX - 2 * PROTO_EXEC_PORTS;
		for (unsigned i = 0; i < PROTO_EXECS_MAX && !taken; i++)
			taken = l->execs.slot[i].state != EXEC_FREE &&
				l->execs.slot[i].first_port == port;
	}
	e->first_port = port;
	return 0;
}
static_assert(
	(PROTO_EXEC_PORTS & (PROTO_EXEC_PORTS - 1)) == 0, "ports of two slots do not overlap");

/* Commands to the vsock device. A slot has at most one under way: their number is bounded. */

static int send_cmd(struct life *l, struct exec_slot *e, struct vsock_cmd *cmd, int fd)
{
	int r;

	if (!++l->next_id)
		l->next_id = 1;
	cmd->id = l->next_id;
	r = send_fds(l->vsock_fd, cmd, sizeof(*cmd), &fd, fd >= 0);
	e->cmd_due = r < 0;
	e->cmd_id = r < 0 ? 0 : cmd->id;
	return life_vsock_later(l, r) ? 0 : r;
}

static int cmd_bind(struct life *l, struct exec_slot *e)
{
	bool rx = e->port == PROTO_EXEC_STDOUT || e->port == PROTO_EXEC_STDERR;
	struct vsock_cmd cmd = {
		.type = VSOCK_CMD_BIND,
		.port = e->first_port + e->port,
		.count = 1,
		.flags = rx ? VSOCK_BIND_RX : VSOCK_BIND_TX,
	};
	int r = send_cmd(l, e, &cmd, e->fd[e->port]);

	if (!e->cmd_due)
		close_fd(&e->fd[e->port]);
	return r;
}

static int cmd_ports(struct life *l, struct exec_slot *e, uint32_t type)
{
	struct vsock_cmd cmd = {.type = type, .port = e->first_port, .count = PROTO_EXEC_PORTS};

	return send_cmd(l, e, &cmd, -1);
}

/* The command that belongs to the state e is in. */
static void send_cmd_of_state(struct life *l, struct exec_slot *e)
{
	int r;

	switch ((enum exec_state)e->state) {
	case EXEC_BINDING: r = cmd_bind(l, e); break;
	case EXEC_DRAINING:
	case EXEC_FLUSHING: r = cmd_ports(l, e, VSOCK_CMD_DRAIN); break;
	case EXEC_UNBINDING: r = cmd_ports(l, e, VSOCK_CMD_UNBIND); break;
	default: BUG_ON(true);
	}
	if (r == 0)
		return;
	life_vsock_failed(l);
}

void life_exec_enter(struct life *l, struct exec_slot *e, enum exec_state state)
{
	e->state = (uint8_t)state;
	send_cmd_of_state(l, e);
}

static void set_free(struct life *l, struct exec_slot *e)
{
	e->state = EXEC_FREE;
	l->execs.n--;
}

void life_exec_unbind(struct life *l, struct exec_slot *e)
{
	for (unsigned p = 0; p < PROTO_EXEC_PORTS; p++)
		close_fd(&e->fd[p]);
	life_exec_enter(l, e, EXEC_UNBINDING);
}

/* The vsock device's word */

/* The number is a worker's word. */
static void bound(struct life *l, struct exec_slot *e, int errnum)
{
	struct ctl_reply reply = {0};

	if (errnum < 0 || errnum > ERRNUM_MAX)
		errnum = EIO;
	if (!errnum && e->conn_fd >= 0) {
		life_exec_bind_next(l, e);
		return;
	}
	life_answer(&reply, errnum, "cannot open vsock port %u to the guest: %s",
		e->first_port + e->port, strerror(errnum));
	life_exec_tell_last(l, e, &reply);
	life_exec_unbind(l, e);
}

static void drained(struct life *l, struct exec_slot *e)
{
	struct ctl_reply reply = {.exit_status = e->status};

	life_exec_tell_last(l, e, &reply);
	if (e->closed)
		life_exec_enter(l, e, EXEC_FLUSHING);
	else
		e->state = EXEC_OVER;
}

bool life_exec_vsock(struct life *l, const struct vsock_cmd_reply *r)
{
	struct exec_slot *e = NULL;

	for (unsigned i = 0; l->execs.n && i < PROTO_EXECS_MAX && !e; i++)
		if (l->execs.slot[i].cmd_id && l->execs.slot[i].cmd_id == r->id)
			e = &l->execs.slot[i];
	if (!e)
		return false;
	e->cmd_id = 0;
	switch ((enum exec_state)e->state) {
	case EXEC_BINDING: bound(l, e, r->errnum); break;
	case EXEC_DRAINING: drained(l, e); break;
	case EXEC_FLUSHING: life_exec_enter(l, e, EXEC_UNBINDING); break;
	case EXEC_UNBINDING: set_free(l, e); break;
	default: BUG_ON(true); /* no command is under way in the others */
	}
	return true;
}

bool life_exec_unwritten(const struct life *l)
{
	for (unsigned i = 0; l->execs.n && i < PROTO_EXECS_MAX; i++)
		if (l->execs.slot[i].state == EXEC_DRAINING ||
			l->execs.slot[i].state == EXEC_FLUSHING)
			return true;
	return false;
}

void life_exec_vsock_room(struct life *l)
{
	for (unsigned i = 0; l->execs.n && i < PROTO_EXECS_MAX && !l->vsock_full; i++)
		if (l->execs.slot[i].cmd_due)
			send_cmd_of_state(l, &l->execs.slot[i]);
}
