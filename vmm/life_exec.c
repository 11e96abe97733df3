/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/life_exec_priv.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/gspec.h"

#define STATUS_MAX    255
#define STREAMS_NULL  (GPROC_STDIN_NULL | GPROC_STDOUT_NULL | GPROC_STDERR_NULL)
#define SEALS_NEEDED  (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define STATUS_KILLED (128 + SIGKILL)

/* ids are not 0 and not PROTO_PROCESS_ALL: the low byte is a slot's number. */
#define ID_SLOT_BITS 8
static_assert(PROTO_EXECS_MAX <= 255, "a slot's number fits, and is not 255");

uint32_t life_exec_slot(const struct life *l, const struct exec_slot *e)
{
	return (uint32_t)(e - l->execs.slot);
}

static uint32_t id_of(const struct life *l, const struct exec_slot *e)
{
	return e->generation << ID_SLOT_BITS | life_exec_slot(l, e);
}

static struct exec_slot *find(struct life *l, uint32_t id)
{
	uint32_t slot = id & ((1u << ID_SLOT_BITS) - 1);
	struct exec_slot *e;

	if (slot >= PROTO_EXECS_MAX)
		return NULL;
	e = &l->execs.slot[slot];
	return e->state != EXEC_FREE && id_of(l, e) == id ? e : NULL;
}

/* But for its number of uses. */
static void clear(struct exec_slot *e)
{
	*e = (struct exec_slot){.generation = e->generation, .conn_fd = -1};
	for (unsigned p = 0; p < PROTO_EXEC_PORTS; p++)
		e->fd[p] = -1;
}

void life_exec_init(struct life *l)
{
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++)
		clear(&l->execs.slot[i]);
}

/* The proxy's connection */

static int watch_conn(struct life *l, struct exec_slot *e, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u64 = EV_EXEC + life_exec_slot(l, e)};

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, e->conn_fd, &ev) < 0 ? -errno : 0;
}

/* A proxy gets two replies in its life: a socket has room for them. False: it has gone. */
static bool tell(struct life *l, struct exec_slot *e, struct ctl_reply *reply)
{
	reply->version = CTL_VERSION;
	reply->phase = life_phase(l);
	return send(e->conn_fd, reply, sizeof(*reply), MSG_DONTWAIT | MSG_NOSIGNAL) ==
	       sizeof(*reply);
}

void life_exec_tell_last(struct life *l, struct exec_slot *e, struct ctl_reply *reply)
{
	if (e->conn_fd < 0)
		return;
	(void)tell(l, e, reply);
	close_fd(&e->conn_fd);
}

/* Frames to the guest: what is due, as far as the guest takes it. EPIPE: its channel has ended, and with
 * it all of this in a moment. */

static bool send_due(struct life *l, bool *due, enum proto_type type, const void *p, uint32_t len)
{
	if (*due && life_send(l, type, p, len) != -EAGAIN)
		*due = false;
	return !*due;
}

static void push(struct life *l, struct exec_slot *e)
{
	uint32_t id = htole32(id_of(l, e));
	struct proto_exec exec = {
		.id = id, .port = htole32(e->first_port), .flags = htole32(e->flags)};
	struct proto_signal kill = {.signo = htole32(SIGKILL), .process = id};
	struct proto_resize size = {
		.process = id, .rows = htole16(e->rows), .cols = htole16(e->cols)};

	if (send_due(l, &e->exec_due, PROTO_EXEC, &exec, sizeof(exec)) &&
		life_push_signals(l, &e->signals_due, id_of(l, e)) &&
		send_due(l, &e->kill_due, PROTO_SIGNAL, &kill, sizeof(kill)))
		send_due(l, &e->resize_due, PROTO_RESIZE, &size, sizeof(size));
}

/* All streams are the device's. */
static void ask_guest(struct life *l, struct exec_slot *e)
{
	if (e->conn_fd < 0) {
		life_exec_enter(l, e, EXEC_UNBINDING);
		return;
	}
	e->state = EXEC_ASKED;
	e->exec_due = true;
	e->until_ns = timeline_now() + l->start_ms * 1000000ull;
	push(l, e);
}

void life_exec_bind_next(struct life *l, struct exec_slot *e)
{
	while (++e->port < PROTO_EXEC_PORTS)
		if (e->fd[e->port] >= 0) {
			life_exec_enter(l, e, EXEC_BINDING);
			return;
		}
	ask_guest(l, e);
}

/* Nobody waits for it any more: it is to end. What the guest does not know of needs no killing. */
static void proxy_gone(struct life *l, struct exec_slot *e)
{
	close_fd(&e->conn_fd);
	if (e->state == EXEC_BINDING && e->cmd_due) {
		life_exec_unbind(l, e);
	} else if (e->state == EXEC_ASKED && e->exec_due) {
		e->exec_due = false;
		life_exec_enter(l, e, EXEC_UNBINDING);
	} else if (e->state == EXEC_ASKED || e->state == EXEC_RUNNING) {
		e->kill_due = true;
		push(l, e);
	}
}

/* Requests */

static bool wants_stream(uint32_t flags, unsigned port)
{
	static const uint32_t null[PROTO_EXEC_PORTS] = {
		[PROTO_EXEC_STDIN] = GPROC_STDIN_NULL,
		[PROTO_EXEC_STDOUT] = GPROC_STDOUT_NULL,
		[PROTO_EXEC_STDERR] = GPROC_STDERR_NULL | GPROC_TERMINAL,
	};

	return !(flags & null[port]);
}

static bool refused(const struct life *l, const struct ctl_request *req, struct ctl_reply *reply)
{
	if (req->arg & ~(uint32_t)(GPROC_TERMINAL | STREAMS_NULL) ||
		(req->arg & GPROC_TERMINAL && req->arg & STREAMS_NULL))
		return life_answer(reply, EINVAL, "exec: unknown flags 0x%x", req->arg);
	if (l->ended || l->state == LIFE_DRAINING)
		return life_answer(reply, ESRCH, "cannot exec in a stopped container");
	if (l->state < LIFE_CREATED)
		return life_answer(reply, EAGAIN, "the container is not created yet");
	if ((l->paused || l->pause_token) && !(req->flags & CTL_EXEC_IGNORE_PAUSED))
		return life_answer(reply, EBUSY,
			"cannot exec in a paused container (use --ignore-paused to override)");
	if (l->execs.n == PROTO_EXECS_MAX)
		return life_answer(reply, EAGAIN,
			"cannot exec: the container has %u such processes already",
			PROTO_EXECS_MAX);
	return false;
}

bool life_is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS_NEEDED) == SEALS_NEEDED;
}

static bool streams_ok(uint32_t flags, const int *fds, unsigned n)
{
	unsigned want = 0;

	for (unsigned p = 0; p < PROTO_EXEC_PORTS; p++)
		want += wants_stream(flags, p);
	return n == want && life_is_sealed(fds[PROTO_EXEC_SPEC]);
}

static struct exec_slot *free_slot(struct life *l)
{
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++)
		if (l->execs.slot[i].state == EXEC_FREE)
			return &l->execs.slot[i];
	BUG_ON(true); /* execs.n says there is one */
}

bool life_exec_request(struct life *l, int *conn_fd, const struct ctl_request *req, int *fds,
	unsigned n, struct ctl_reply *reply)
{
	struct exec_slot *e;
	unsigned taken = 0;

	if (refused(l, req, reply))
		return true;
	if (!streams_ok(req->arg, fds, n))
		return life_answer(reply, EINVAL,
			"exec: expected a sealed memfd and the streams that are not null");
	e = free_slot(l);
	clear(e);
	e->flags = req->arg;
	e->conn_fd = *conn_fd;
	e->until_ns = timeline_now() + l->start_ms * 1000000ull;
	e->generation = (e->generation + 1) & (UINT32_MAX >> ID_SLOT_BITS);
	if (!e->generation)
		e->generation = 1;
	if (life_exec_pick_ports(l, e) < 0 || watch_conn(l, e, 0) < 0) { /* hang-up only */
		e->conn_fd = -1;
		return life_answer(reply, errno, "cannot prepare for another process");
	}
	*conn_fd = -1;
	for (unsigned p = 0; p < PROTO_EXEC_PORTS; p++)
		if (wants_stream(e->flags, p))
			e->fd[p] = take_fd(&fds[taken++]);
	l->execs.n++;
	life_exec_enter(l, e, EXEC_BINDING); /* PROTO_EXEC_SPEC is the first */
	return false;
}

/* What the proxy says: a signal, or a size. False: neither. */
static bool serve(struct life *l, struct exec_slot *e, const struct ctl_request *req)
{
	if (req->version != CTL_VERSION || req->flags)
		return false;
	if (req->type == CTL_RESIZE && e->flags & GPROC_TERMINAL) {
		e->rows = (uint16_t)(req->arg >> 16);
		e->cols = (uint16_t)req->arg;
		e->resize_due = true;
		push(l, e);
		return true;
	}
	if (req->type != CTL_SIGNAL || !req->arg || req->arg > SIGNAL_MAX)
		return false;
	e->signals_due |= life_signal_bit(req->arg);
	push(l, e);
	return true;
}

void life_exec_conn(struct life *l, uint32_t slot, uint32_t events)
{
	struct exec_slot *e = &l->execs.slot[slot];
	struct ctl_reply reply = {0};
	uint8_t buf[sizeof(struct ctl_request) + 1] = {0};
	struct ctl_request req;
	ssize_t n;

	if (e->conn_fd < 0)
		return;
	if (e->state != EXEC_RUNNING || l->guest_full) {
		if (events & (EPOLLHUP | EPOLLERR))
			proxy_gone(l, e);
		else /* read once it runs, or the guest takes more: life_exec_guest_room() */
			(void)watch_conn(l, e, 0);
		return;
	}
	n = recv(e->conn_fd, buf, sizeof(buf), MSG_DONTWAIT); /* descriptors are dropped */
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	memcpy(&req, buf, sizeof(req));
	if (n > 0 && (n != sizeof(req) || !serve(l, e, &req))) {
		life_answer(&reply, EPROTO, "malformed request to an exec'd process");
		(void)tell(l, e, &reply);
		n = 0;
	}
	if (n <= 0)
		proxy_gone(l, e);
}

/* The guest's word */

static bool on_started(struct life *l, struct exec_slot *e)
{
	struct ctl_reply reply = {0};

	if (e->state != EXEC_ASKED || e->exec_due)
		return false;
	e->state = EXEC_RUNNING;
	if (e->conn_fd < 0) { /* it was killed before it was there to be killed */
		e->kill_due = true;
		push(l, e);
	} else if (!tell(l, e, &reply) || watch_conn(l, e, EPOLLIN) < 0) {
		proxy_gone(l, e);
	}
	return true;
}

static bool on_failed(struct life *l, struct exec_slot *e, const void *payload)
{
	struct ctl_reply reply = {0};
	struct proto_failed why;

	if (e->state != EXEC_ASKED || e->exec_due)
		return false;
	life_read_failed((const uint8_t *)payload + offsetof(struct proto_exec_failed, why), &why);
	life_answer(&reply, why.errnum, "%.*s", CTL_TEXT_MAX - 1, why.text);
	reply.exit_status = why.exit_status;
	e->state = EXEC_OVER;
	life_exec_tell_last(l, e, &reply);
	return true;
}

static bool on_exited(struct life *l, struct exec_slot *e, const void *payload)
{
	struct proto_exec_exited m;

	memcpy(&m, payload, sizeof(m));
	e->status = le32toh((uint32_t)m.status);
	if (e->state != EXEC_RUNNING || e->status > STATUS_MAX)
		return false;
	if (e->conn_fd >= 0 && watch_conn(l, e, 0) < 0)
		proxy_gone(l, e);
	life_exec_enter(l, e, EXEC_DRAINING);
	return true;
}

static bool on_closed(struct life *l, struct exec_slot *e)
{
	if (e->closed || (e->state != EXEC_DRAINING && e->state != EXEC_OVER))
		return false;
	e->closed = true;
	if (e->state == EXEC_OVER)
		life_exec_enter(l, e, EXEC_FLUSHING);
	return true;
}

bool life_exec_frame(struct life *l, const struct proto_frame *f)
{
	struct exec_slot *e;
	uint32_t id;

	memcpy(&id, f->payload, sizeof(id)); /* the first member of all of them */
	e = find(l, le32toh(id));
	if (!e)
		return false;
	l->execs.heard_ns = timeline_now();
	switch (f->type) {
	case PROTO_EXEC_STARTED: return on_started(l, e);
	case PROTO_EXEC_FAILED: return on_failed(l, e, f->payload);
	case PROTO_EXEC_EXITED: return on_exited(l, e, f->payload);
	case PROTO_EXEC_CLOSED: return on_closed(l, e);
	default: BUG_ON(true);
	}
}

void life_exec_guest_room(struct life *l)
{
	for (unsigned i = 0; l->execs.n && i < PROTO_EXECS_MAX && !l->guest_full; i++) {
		struct exec_slot *e = &l->execs.slot[i];

		if (e->state != EXEC_ASKED && e->state != EXEC_RUNNING)
			continue;
		push(l, e);
		if (e->state == EXEC_RUNNING && e->conn_fd >= 0 && watch_conn(l, e, EPOLLIN) < 0)
			proxy_gone(l, e);
	}
}

/* Deadlines, and the end */

/* The guest takes its time for many at once: it is silent only when it says nothing about any of them. */
static uint64_t deadline_of(const struct life *l, const struct exec_slot *e)
{
	if (e->conn_fd < 0 || (e->state != EXEC_BINDING && e->state != EXEC_ASKED))
		return UINT64_MAX;
	if (e->state == EXEC_BINDING)
		return e->until_ns;
	return MAX(e->until_ns, l->execs.heard_ns + l->start_ms * 1000000ull);
}

uint64_t life_exec_next_ns(const struct life *l)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; l->execs.n && i < PROTO_EXECS_MAX; i++)
		next = MIN(next, deadline_of(l, &l->execs.slot[i]));
	return next;
}

void life_exec_expire(struct life *l, uint64_t now_ns)
{
	for (unsigned i = 0; l->execs.n && i < PROTO_EXECS_MAX; i++) {
		struct exec_slot *e = &l->execs.slot[i];
		struct ctl_reply reply = {0};

		if (deadline_of(l, e) > now_ns)
			continue;
		life_answer(&reply, ETIMEDOUT,
			e->state == EXEC_BINDING
				? "the vsock device did not take the process's streams within %u ms"
				: "the guest did not say within %u ms whether the program was "
				  "executed",
			l->start_ms);
		(void)tell(l, e, &reply);
		proxy_gone(l, e);
	}
}

void life_exec_postpone(struct life *l, uint64_t ns)
{
	l->execs.heard_ns += ns;
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++)
		l->execs.slot[i].until_ns += ns;
}

static void end_one(struct life *l, struct exec_slot *e, const struct ctl_reply *failed)
{
	struct ctl_reply reply = {0};

	if (failed)
		reply = *failed;
	else if (e->state == EXEC_RUNNING)
		reply.exit_status = STATUS_KILLED;
	else if (e->state == EXEC_DRAINING)
		reply.exit_status = e->status;
	else
		life_answer(&reply, ESRCH, "the container has ended");
	life_exec_tell_last(l, e, &reply);
}

void life_exec_end(struct life *l, const struct ctl_reply *failed)
{
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++)
		end_one(l, &l->execs.slot[i], failed);
}
