/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

static control_token token_of(const struct control *c, const struct control_client *cl)
{
	return (uint64_t)cl->generation << 32 | (uint64_t)(cl - c->client);
}

static int watch(struct control *c, int op, struct control_client *cl, uint32_t events)
{
	struct epoll_event ev = {
		.events = events, .data.u64 = c->first_data + 1 + (uint64_t)(cl - c->client)};

	return epoll_ctl(c->epoll_fd, op, cl->fd, &ev) < 0 ? -errno : 0;
}

static void drop(struct control_client *cl)
{
	close_fd(&cl->fd);
	cl->generation++;
	cl->waiting = cl->subscribed = false;
}

int control_init(
	struct control *c, int listen_fd, int epoll_fd, uint64_t first_data, struct err *err)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = first_data};

	c->listen_fd = listen_fd;
	c->epoll_fd = epoll_fd;
	c->first_data = first_data;
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		c->client[i] = (struct control_client){.fd = -1, .generation = 1};
	if (listen(listen_fd, CONTROL_BACKLOG) < 0)
		return err_set(err, errno, "cannot listen on the control socket");
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) < 0)
		return err_set(err, errno, "cannot watch the control socket");
	return 0;
}

/* Never waits: a client that does not take its answer is dropped. */
static void send_reply(
	struct control *c, struct control_client *cl, uint32_t type, struct ctl_reply *reply)
{
	struct ctl_timeline_reply r = {.timeline = *c->timeline};
	size_t len = type == CTL_TIMELINE ? sizeof(r) : sizeof(r.reply);

	reply->version = CTL_VERSION;
	reply->phase = c->phase(c->opaque);
	r.reply = *reply;
	cl->waiting = false;
	if (send(cl->fd, &r, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len)
		drop(cl);
}

static void refuse(struct control *c, struct control_client *cl, int errnum, const char *text)
{
	struct ctl_reply reply = {.errnum = errnum};

	snprintf(reply.text, sizeof(reply.text), "%s", text);
	send_reply(c, cl, CTL_STATE, &reply);
	drop(cl);
}

/* Only root and whoever the VMM runs as. */
static bool peer_allowed(int fd)
{
	socklen_t len = sizeof(struct ucred);
	struct ucred cred;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	return cred.uid == 0 || cred.uid == geteuid();
}

/* The client that came first loses its place: nobody who holds connections open can keep `kill` out. NULL:
 * there is no client. */
static struct control_client *evict_oldest(struct control *c)
{
	struct control_client *oldest = NULL;

	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *cl = &c->client[i];

		if (cl->fd >= 0 && (!oldest || cl->since < oldest->since))
			oldest = cl;
	}
	if (oldest)
		refuse(c, oldest, EBUSY, "too many control connections");
	return oldest;
}

static struct control_client *take_slot(struct control *c)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->client[i].fd < 0)
			return &c->client[i];
	return evict_oldest(c);
}

static void listen_for(struct control *c, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u64 = c->first_data};

	/* It was added by control_init(), with the same arguments. */
	BUG_ON(epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, c->listen_fd, &ev) < 0);
}

/* Descriptors or memory have run out; whoever knocks stays in the backlog, and the listener readable. The
 * oldest client makes room. When there is none, nothing of ours does: the listener is left alone for a
 * while, or the main loop would spin on it. */
static void make_room(struct control *c)
{
	if (evict_oldest(c))
		return;
	listen_for(c, 0);
	c->resume_ns = timeline_now() + CONTROL_PAUSE_MS * 1000000ull;
}

uint64_t control_next_ns(const struct control *c)
{
	return c->resume_ns ? c->resume_ns : UINT64_MAX;
}

void control_tick(struct control *c, uint64_t now_ns)
{
	if (!c->resume_ns || now_ns < c->resume_ns)
		return;
	c->resume_ns = 0;
	listen_for(c, EPOLLIN);
}

static void accept_client(struct control *c)
{
	autofd int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct control_client *cl;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
		make_room(c);
	if (fd < 0 || !peer_allowed(fd))
		return;
	cl = take_slot(c);
	cl->fd = take_fd(&fd);
	cl->since = ++c->arrivals;
	if (watch(c, EPOLL_CTL_ADD, cl, EPOLLIN) < 0)
		drop(cl);
}

/* What a type may carry. */
static bool well_formed(const struct control *c, const struct ctl_request *req)
{
	static const struct {
		uint32_t flags;
		unsigned fds;
	} may[CTL_TYPES] = {
		[CTL_SIGNAL] = {CTL_SIGNAL_ALL, 0},
		[CTL_EXEC] = {CTL_EXEC_IGNORE_PAUSED, CTL_FDS_MAX},
		[CTL_ASK] = {0, 1},
	};

	return req->version == CTL_VERSION && req->type >= CTL_STATE && req->type < CTL_TYPES &&
	       !(req->flags & ~may[req->type].flags) && c->n_fds <= may[req->type].fds;
}

static void dispatch(struct control *c, struct control_client *cl, const struct ctl_request *req)
{
	struct ctl_reply reply = {0};
	bool answered;

	if (req->type == CTL_EXEC || req->type == CTL_ASK)
		answered = c->take(c->opaque, &cl->fd, req, &reply);
	else
		answered = c->request(c->opaque, token_of(c, cl), req, &reply);
	if (answered) {
		send_reply(c, cl, req->type, &reply);
	} else if (cl->fd < 0) { /* it is in the hands of take() */
		drop(cl);
	} else {
		cl->waiting = true;
		if (watch(c, EPOLL_CTL_MOD, cl, 0) < 0) /* hang-up only: one request at a time */
			drop(cl);
	}
}

static void serve(struct control *c, struct control_client *cl)
{
	uint8_t buf[sizeof(struct ctl_request) + 1] = {0}; /* one more: a longer one is malformed */
	struct ctl_request req;
	ssize_t n;

	c->n_fds = 0;
	n = recv_fds(cl->fd, buf, sizeof(buf), c->fd, CTL_FDS_MAX + 1, &c->n_fds);
	if (n == -EAGAIN)
		return;
	if (n <= 0 && n != -EMSGSIZE && n != -EMFILE) {
		drop(cl);
		return;
	}
	memcpy(&req, buf, sizeof(req));
	if (n == -EMSGSIZE)
		refuse(c, cl, EPROTO, "a control request is too long");
	else if (n == -EMFILE)
		refuse(c, cl, EMFILE,
			"the descriptors of a control request were lost: too many, or none is "
			"left");
	else if (n == sizeof(req) && well_formed(c, &req))
		dispatch(c, cl, &req);
	else
		refuse(c, cl, EPROTO,
			"malformed control request: coracle and coracle-vmm are not of "
			"the same build");
	for (unsigned i = 0; i < c->n_fds; i++)
		close_fd(&c->fd[i]);
}

void control_event(struct control *c, uint64_t data)
{
	struct control_client *cl;

	if (data == c->first_data) {
		accept_client(c);
		return;
	}
	cl = &c->client[data - c->first_data - 1];
	if (cl->fd < 0)
		return;
	if (cl->waiting) /* it hung up: nothing else is watched meanwhile */
		drop(cl);
	else
		serve(c, cl);
}

void control_answer(struct control *c, control_token token, struct ctl_reply *reply)
{
	uint64_t slot = token & UINT32_MAX;
	struct control_client *cl;

	if (!token || slot >= CONTROL_CLIENTS_MAX)
		return;
	cl = &c->client[slot];
	if (cl->fd < 0 || !cl->waiting || token_of(c, cl) != token)
		return;
	send_reply(c, cl, CTL_STATE, reply);
	if (cl->fd >= 0 && watch(c, EPOLL_CTL_MOD, cl, EPOLLIN) < 0)
		drop(cl);
}

void control_give_back(struct control *c, int *conn_fd)
{
	struct control_client *cl = take_slot(c);

	cl->fd = take_fd(conn_fd);
	cl->since = ++c->arrivals;
	if (watch(c, EPOLL_CTL_MOD, cl, EPOLLIN) < 0)
		drop(cl);
}

void control_subscribe(struct control *c, control_token token)
{
	struct control_client *cl = &c->client[token & UINT32_MAX];

	BUG_ON(token_of(c, cl) != token);
	cl->subscribed = true;
}

void control_publish(struct control *c, const struct ctl_reply *reply)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct control_client *cl = &c->client[i];
		struct ctl_reply r = *reply;

		r.version = CTL_VERSION;
		r.phase = c->phase(c->opaque);
		/* One that does not read them is dropped, and so sees that it has missed some. */
		if (cl->subscribed &&
			send(cl->fd, &r, sizeof(r), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(r))
			drop(cl);
	}
}

void control_end(struct control *c, const struct ctl_reply *reply)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->client[i].fd >= 0 && c->client[i].waiting) {
			struct ctl_reply r = *reply;

			send_reply(c, &c->client[i], CTL_STATE, &r);
		}
}
