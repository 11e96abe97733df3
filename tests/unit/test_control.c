/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket's server, turn by turn in one thread: the test is main loop and clients. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "tests/tap.h"
#include "vmm/control.h"

#define FIRST_DATA 7
#define TURNS_MAX  1000 /* a server that never comes to rest is a failure */

static struct server {
	struct control c;
	struct sockaddr_un addr;
	struct timeline tl;
	int listen_fd, epoll_fd;
	unsigned requests;
	struct ctl_request last;
	control_token token;
	bool later; /* requests are left waiting */
} srv;

static bool on_request(
	void *opaque, control_token token, const struct ctl_request *req, struct ctl_reply *reply)
{
	struct server *s = opaque;

	s->requests++;
	s->last = *req;
	s->token = token;
	reply->exit_status = req->arg;
	return !s->later;
}

static enum vm_phase on_phase(void *opaque)
{
	return VM_RUNNING;
}

static void begin(void)
{
	static unsigned count;
	struct err err = ERR_INIT;

	memset(&srv, 0, sizeof(srv));
	srv.addr.sun_family = AF_UNIX; /* abstract: nothing to clean up */
	snprintf(srv.addr.sun_path + 1, sizeof(srv.addr.sun_path) - 1, "coracle-control-%d-%u",
		getpid(), count++);
	srv.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	BUG_ON(bind(srv.listen_fd, (struct sockaddr *)&srv.addr, sizeof(srv.addr)) < 0);
	BUG_ON(listen(srv.listen_fd, 64) < 0);
	srv.epoll_fd = epoll_create1(0);
	srv.c.request = on_request;
	srv.c.phase = on_phase;
	srv.c.timeline = &srv.tl;
	srv.c.opaque = &srv;
	BUG_ON(control_init(&srv.c, srv.listen_fd, srv.epoll_fd, FIRST_DATA, &err) < 0);
}

static void end(void)
{
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close_fd(&srv.c.client[i].fd);
	close(srv.listen_fd);
	close(srv.epoll_fd);
}

static unsigned clients(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		n += srv.c.client[i].fd >= 0;
	return n;
}

/* The main loop until nothing is to be done. Returns its turns, TURNS_MAX when it spins. */
static unsigned settle(void)
{
	struct epoll_event ev[4];
	unsigned turns = 0;
	int n;

	while (turns < TURNS_MAX && (n = epoll_wait(srv.epoll_fd, ev, ARRAY_SIZE(ev), 0)) > 0) {
		for (int i = 0; i < n; i++) {
			BUG_ON(ev[i].data.u64 < FIRST_DATA ||
				ev[i].data.u64 > FIRST_DATA + CONTROL_CLIENTS_MAX);
			control_event(&srv.c, ev[i].data.u64);
		}
		turns++;
	}
	return turns;
}

static int connect_client(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);

	BUG_ON(fd < 0 || connect(fd, (struct sockaddr *)&srv.addr, sizeof(srv.addr)) < 0);
	return fd;
}

static void send_request(int fd, uint32_t type, uint32_t arg)
{
	struct ctl_request req = {.version = CTL_VERSION, .type = type, .arg = arg};

	BUG_ON(send(fd, &req, sizeof(req), MSG_NOSIGNAL) != sizeof(req));
}

enum { NOTHING = -1, CLOSED = -2 };

/* The errnum of the answer, NOTHING while there is none, CLOSED. */
static int answered(int fd, struct ctl_reply *ret)
{
	struct ctl_reply r = {.errnum = 0};
	ssize_t n = recv(fd, &r, sizeof(r), 0);

	if (ret)
		*ret = r;
	if (n == sizeof(r))
		return r.errnum;
	return n < 0 && errno == EAGAIN ? NOTHING : CLOSED;
}

static void test_requests(void)
{
	struct ctl_timeline_reply tr;
	struct ctl_reply r;
	int fd;

	begin();
	srv.tl.ns[TL_READY] = 12345;
	fd = connect_client();
	settle();
	eq_int(clients(), 1, "a client is accepted");
	for (uint32_t arg = 1; arg <= 3; arg++) {
		send_request(fd, CTL_SIGNAL, arg);
		settle();
		eq_int(answered(fd, &r), 0, "a request is answered at once");
		ok(r.version == CTL_VERSION && r.phase == VM_RUNNING && r.exit_status == arg,
			"with version, phase and what the callback said");
	}
	send_request(fd, CTL_TIMELINE, 0);
	settle();
	ok(recv(fd, &tr, sizeof(tr), 0) == sizeof(tr) && tr.timeline.ns[TL_READY] == 12345,
		"TIMELINE gets the timeline as well");
	eq_int(srv.requests, 4, "the callback saw each of them once");
	close(fd);
	settle();
	eq_int(clients(), 0, "a client that leaves frees its slot");
	end();
}

static void test_malformed(void)
{
	static const struct {
		const char *what;
		struct ctl_request req;
		size_t len;
	} bad[] = {
		{"an empty message", {.version = CTL_VERSION, .type = CTL_STATE}, 0},
		{"a short one", {.version = CTL_VERSION, .type = CTL_STATE}, 15},
		{"a long one", {.version = CTL_VERSION, .type = CTL_STATE}, 17},
		{"another version", {.version = CTL_VERSION + 1, .type = CTL_STATE}, 16},
		{"type 0", {.version = CTL_VERSION}, 16},
		{"an unknown type", {.version = CTL_VERSION, .type = CTL_TYPES}, 16},
		{"type -1", {.version = CTL_VERSION, .type = UINT32_MAX}, 16},
	};

	begin();
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		char buf[32] = "";
		int fd = connect_client();

		memcpy(buf, &bad[i].req, sizeof(bad[i].req));
		BUG_ON(send(fd, buf, bad[i].len, 0) != (ssize_t)bad[i].len);
		settle();
		/* An empty message cannot be told from the peer's end: no answer to that. */
		if (bad[i].len)
			ok(answered(fd, NULL) == EPROTO, "%s is refused", bad[i].what);
		ok(answered(fd, NULL) == CLOSED, "%s closes the connection", bad[i].what);
		close(fd);
	}
	settle();
	eq_int(srv.requests, 0, "the callback saw none of them");
	eq_int(clients(), 0, "no slot is held");
	end();
}

static void test_slots(void)
{
	int fd[CONTROL_CLIENTS_MAX + 2];
	struct ctl_reply r;

	begin();
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fd[i] = connect_client();
		settle();
	}
	eq_int(clients(), CONTROL_CLIENTS_MAX, "every slot is taken");
	close(fd[0]); /* not the oldest any more: its slot goes to one who comes later */
	settle();
	fd[0] = connect_client();
	settle();
	for (unsigned i = CONTROL_CLIENTS_MAX; i < ARRAY_SIZE(fd); i++) {
		fd[i] = connect_client();
		send_request(fd[i], CTL_STATE, 0);
		settle();
		eq_int(answered(fd[i], NULL), 0, "one more is served");
		eq_int(answered(fd[i - CONTROL_CLIENTS_MAX + 1], &r), EBUSY,
			"the one that came first is told");
		eq_str(r.text, "too many control connections", "why");
		eq_int(answered(fd[i - CONTROL_CLIENTS_MAX + 1], NULL), CLOSED, "and dropped");
	}
	eq_int(clients(), CONTROL_CLIENTS_MAX, "never more than there are slots");
	eq_int(answered(fd[0], NULL), NOTHING, "the others stay");
	for (unsigned i = 0; i < ARRAY_SIZE(fd); i++)
		close(fd[i]);
	end();
}

static void test_late(void)
{
	struct ctl_reply late = {.errnum = ENOENT}, r;
	control_token first, second;
	int a, b;

	begin();
	srv.later = true;
	a = connect_client();
	send_request(a, CTL_START, 0);
	settle();
	first = srv.token;
	send_request(a, CTL_STATE, 0);
	settle();
	eq_int(srv.requests, 1, "one request at a time");
	eq_int(answered(a, NULL), NOTHING, "a request can wait");
	b = connect_client();
	send_request(b, CTL_SIGNAL, 9);
	settle();
	second = srv.token;
	ok(first && second && first != second, "each has a token");
	srv.later = false;
	control_answer(&srv.c, second, &late);
	eq_int(answered(b, &r), ENOENT, "the answer goes to whom the token names");
	eq_int(answered(a, NULL), NOTHING, "not to others");
	control_answer(&srv.c, second, &late);
	eq_int(answered(b, NULL), NOTHING, "nor twice");
	control_answer(&srv.c, first, &late);
	eq_int(answered(a, &r), ENOENT, "then the first");
	settle();
	eq_int(answered(a, NULL), 0, "and its next request is served");

	srv.later = true;
	send_request(a, CTL_START, 0);
	settle();
	first = srv.token;
	close(a);
	settle();
	eq_int(clients(), 1, "a client that hangs up while it waits is dropped");
	a = connect_client();
	settle();
	control_answer(&srv.c, first, &late);
	eq_int(answered(a, NULL), NOTHING, "its answer does not reach the next in its slot");
	control_answer(&srv.c, 0, &late);
	control_answer(&srv.c, UINT64_MAX, &late);
	control_answer(&srv.c, CONTROL_CLIENTS_MAX, &late);
	eq_int(clients(), 2, "tokens that name nobody do nothing");

	send_request(a, CTL_START, 0);
	settle();
	control_end(&srv.c, &late);
	eq_int(answered(a, NULL), ENOENT, "the end answers who waits");
	eq_int(answered(b, NULL), NOTHING, "and nobody else");
	close(a);
	close(b);
	end();
}

/* A client that takes no answers must not hold the server up. */
static void test_deaf(void)
{
	struct ctl_request req = {.version = CTL_VERSION, .type = CTL_TIMELINE};
	int fd;

	begin();
	fd = connect_client();
	for (unsigned i = 0; i < 10000 && (!i || clients()); i++) {
		if (send(fd, &req, sizeof(req), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		settle();
	}
	eq_int(clients(), 0, "a client that does not read is dropped");
	close(fd);
	end();
}

#define FD_LIMIT 64

static struct rlimit old_limit;
static int filler[FD_LIMIT];
static unsigned n_fillers;

/* No descriptor can be opened any more, until relax(). */
static void exhaust(void)
{
	struct rlimit tight;
	int fd;

	BUG_ON(getrlimit(RLIMIT_NOFILE, &old_limit) < 0);
	tight = (struct rlimit){FD_LIMIT, old_limit.rlim_max};
	BUG_ON(setrlimit(RLIMIT_NOFILE, &tight) < 0);
	while ((fd = dup(srv.listen_fd)) >= 0)
		filler[n_fillers++] = fd;
	BUG_ON(errno != EMFILE);
}

static void relax(void)
{
	BUG_ON(setrlimit(RLIMIT_NOFILE, &old_limit) < 0);
	while (n_fillers)
		close(filler[--n_fillers]);
}

static void test_no_descriptors(void)
{
	int a, b, c;

	begin();
	a = connect_client();
	b = connect_client();
	settle();
	c = connect_client();
	exhaust();
	ok(settle() < TURNS_MAX, "no descriptor left: the server comes to rest");
	eq_int(answered(a, NULL), EBUSY, "the client that came first made room");
	send_request(c, CTL_STATE, 0);
	settle();
	eq_int(answered(c, NULL), 0, "the one that knocked is served");
	eq_int(answered(b, NULL), NOTHING, "the others stay");
	ok(control_next_ns(&srv.c) == UINT64_MAX, "there is nothing to come back for");
	relax();
	close(a);
	close(b);
	close(c);
	settle();
	eq_int(clients(), 0, "all have left");

	a = connect_client();
	send_request(a, CTL_STATE, 0);
	exhaust();
	ok(settle() < TURNS_MAX, "nobody to make room: the server comes to rest all the same");
	eq_int(answered(a, NULL), NOTHING, "who knocks waits");
	ok(control_next_ns(&srv.c) != UINT64_MAX, "for the next try");
	control_tick(&srv.c, control_next_ns(&srv.c) - 1);
	eq_int(settle(), 0, "which is not before its time");
	control_tick(&srv.c, control_next_ns(&srv.c));
	ok(settle() < TURNS_MAX && answered(a, NULL) == NOTHING, "a try in vain");
	relax();
	control_tick(&srv.c, control_next_ns(&srv.c));
	settle();
	eq_int(answered(a, NULL), 0, "once there is a descriptor it is served");
	ok(control_next_ns(&srv.c) == UINT64_MAX, "and the listener watched as before");
	close(a);
	end();
}

int main(void)
{
	test_requests();
	test_malformed();
	test_slots();
	test_late();
	test_deaf();
	test_no_descriptors();
	return tap_done();
}
