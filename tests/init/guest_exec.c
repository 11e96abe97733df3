/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/init/guest_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/init/harness.h"

#define SPEC_MAX (1u << 20)

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

/* An abstract name: it is found from any root directory. */
static socklen_t address(struct sockaddr_un *a)
{
	static pid_t pid;
	int n;

	if (!pid)
		pid = getpid(); /* the test's, in the agent as well */
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "coracle-init-test-%d", pid);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

int texec_listen(void)
{
	struct sockaddr_un a;
	socklen_t len = address(&a);
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (sock < 0 || bind(sock, (void *)&a, len) < 0 || listen(sock, 4096) < 0)
		die("cannot listen");
	return sock;
}

/* The port goes ahead of the stream, as a Unix socket has none. */
int texec_connect(uint32_t port, struct err *err)
{
	struct sockaddr_un a;
	socklen_t len = address(&a);
	autofd int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (sock < 0 || connect(sock, (void *)&a, len) < 0 || write_full(sock, &port, 4) < 0)
		return err_set(err, errno, "cannot connect");
	return take_fd(&sock);
}

void texec_init(struct texec *e, const char *script)
{
	static const char *env[] = {"PATH=/bin:/usr/bin", NULL};
	const struct gproc p = {
		.env = {1, env},
		.cwd = "/",
		.flags = GPROC_HAS_CAPS,
	};
	uint64_t all = harness_caps();

	*e = (struct texec){
		.proc = p, .args = {"sh", "-c", script, NULL}, .stream = {-1, -1, -1, -1}};
	e->proc.args = (struct gstrv){3, e->args};
	e->proc.caps[GCAP_BOUNDING] = e->proc.caps[GCAP_EFFECTIVE] = all;
	e->proc.caps[GCAP_PERMITTED] = all;
}

void texec_start(struct guest *g, struct texec *e)
{
	struct proto_exec m = {.flags = e->flags};

	for (unsigned i = 0; i < g->n_execs; i++)
		if (g->execs[i] == e) /* used again */
			g->execs[i] = NULL;
	if (g->n_execs == ARRAY_SIZE(g->execs))
		die("too many execs in this test");
	g->execs[g->n_execs++] = e;
	if (!e->id)
		e->id = 1000 + g->n_execs;
	m.id = e->id;
	m.port = PROTO_PORT_EXEC + PROTO_EXEC_PORTS * (g->n_execs - 1);
	if (proto_send(g->control, PROTO_EXEC, &m, sizeof(m)) < 0)
		printf("# cannot send EXEC\n");
}

void texec_run(struct guest *g, struct texec *e)
{
	texec_start(g, e);
	guest_until(g, &e->closed);
	if (e->failed)
		printf("# exec failed: %s\n", e->fail.why.text);
}

static void send_spec(struct texec *e)
{
	static uint8_t wire[SPEC_MAX];
	struct wbuf w = wbuf_of(wire, sizeof(wire));
	int *spec = &e->stream[PROTO_EXEC_SPEC];

	if (e->hold_spec)
		return;
	gproc_encode(&w, &e->proc);
	/* A few kilobytes: taken whole or not at all. */
	if (!wbuf_ok(&w) || send(*spec, wire, w.len, MSG_NOSIGNAL) != (ssize_t)w.len)
		printf("# cannot send the specification\n");
	close_fd(spec);
}

static void accept_stream(struct guest *g)
{
	int sock = accept4(g->listener, NULL, NULL, SOCK_CLOEXEC), which;
	struct texec *e;
	uint32_t port = 0;

	if (sock < 0 || read_full(sock, &port, 4) < 0)
		die("accept");
	port -= PROTO_PORT_EXEC;
	which = (int)(port % PROTO_EXEC_PORTS);
	if (port / PROTO_EXEC_PORTS >= g->n_execs || !g->execs[port / PROTO_EXEC_PORTS])
		die("a connection to a port that nobody gave");
	e = g->execs[port / PROTO_EXEC_PORTS];
	if (e->stream[which] >= 0)
		die("a second connection to a port");
	e->stream[which] = sock;
	if (which == PROTO_EXEC_SPEC)
		send_spec(e);
	if (which == PROTO_EXEC_STDIN && e->input) {
		if (write_full(sock, e->input, strlen(e->input)) < 0)
			printf("# cannot write the input\n");
		shutdown(sock, SHUT_WR);
	}
}

static void collect(int *sock, char *buf, size_t *bytes)
{
	char more[65536];
	ssize_t n = read(*sock, more, sizeof(more));

	if (n <= 0) {
		close_fd(sock);
		return;
	}
	if (*bytes < EXEC_OUT_MAX - 1)
		memcpy(buf + *bytes, more, MIN((size_t)n, EXEC_OUT_MAX - 1 - *bytes));
	*bytes += (size_t)n;
}

unsigned texec_want(struct guest *g, struct pollfd *pf)
{
	unsigned n = 0;

	pf[n++] = (struct pollfd){.fd = g->listener, .events = POLLIN};
	for (unsigned i = 0; i < g->n_execs; i++) {
		const struct texec *e = g->execs[i];

		pf[n++] =
			(struct pollfd){.fd = !e || e->hold_out ? -1 : e->stream[PROTO_EXEC_STDOUT],
				.events = POLLIN};
		pf[n++] = (struct pollfd){
			.fd = e ? e->stream[PROTO_EXEC_STDERR] : -1, .events = POLLIN};
	}
	return n;
}

/* True when it took something. */
bool texec_take(struct guest *g, const struct pollfd *pf, unsigned n)
{
	bool took = false;

	if (pf[0].revents) {
		accept_stream(g);
		return true;
	}
	for (unsigned i = 1; i < n; i++) {
		struct texec *e = g->execs[(i - 1) / 2];

		if (!pf[i].revents)
			continue;
		if (i & 1)
			collect(&e->stream[PROTO_EXEC_STDOUT], e->out, &e->out_bytes);
		else
			collect(&e->stream[PROTO_EXEC_STDERR], e->errout, &e->err_bytes);
		e->wrote |= e->out_bytes > 0;
		took = true;
	}
	return took;
}

static struct texec *find(struct guest *g, uint32_t id)
{
	for (unsigned i = 0; i < g->n_execs; i++)
		if (g->execs[i] && g->execs[i]->id == id && !g->execs[i]->closed)
			return g->execs[i];
	printf("Bail out! a message about process %u, which is none\n", id);
	exit(1);
}

void ask_send(struct guest *g, uint32_t what, const void *payload, uint32_t len)
{
	uint8_t buf[sizeof(struct proto_ask) + PROTO_ASK_MAX];
	struct proto_ask m = {.id = 71, .what = what};

	g->answer = (struct answer){.id = m.id};
	memcpy(buf, &m, sizeof(m));
	if (len)
		memcpy(buf + sizeof(m), payload, len);
	if (proto_send(g->control, PROTO_ASK, buf, (uint32_t)sizeof(m) + len) < 0)
		printf("# cannot send ASK\n");
}

bool ask(struct guest *g, uint32_t what, const void *payload, uint32_t len)
{
	ask_send(g, what, payload, len);
	return guest_until(g, &g->answer.done);
}

static void take_answer(struct answer *a, const struct proto_frame *f)
{
	struct proto_answer m;
	uint32_t len = f->len - (uint32_t)sizeof(m);

	memcpy(&m, f->payload, sizeof(m));
	if (m.id != a->id || (a->done && !a->several) || m.more > 1 || m.reserved ||
		a->len + len > ANSWERS_MAX) {
		printf("Bail out! an answer to what was not asked\n");
		exit(1);
	}
	memcpy(a->data + a->len, (const uint8_t *)f->payload + sizeof(m), len);
	a->len += len;
	a->data[a->len] = '\0';
	a->errnum = m.errnum;
	a->messages++;
	a->done = !m.more;
}

static void take_event(struct guest *g, const struct proto_frame *f)
{
	struct proto_event m;

	memcpy(&m, f->payload, sizeof(m));
	if (m.kind != PROTO_EVENT_OOM || !m.count || g->exited)
		printf("Bail out! an event of kind %u, count %u\n", m.kind, m.count);
	g->ooms += m.count;
	g->oomed = true;
}

bool texec_frame(struct guest *g, const struct proto_frame *f)
{
	struct texec *e;
	uint32_t id;

	if (f->type == PROTO_ANSWER) {
		take_answer(&g->answer, f);
		return true;
	}
	if (f->type == PROTO_EVENT) {
		take_event(g, f);
		return true;
	}
	if (f->type < PROTO_EXEC_STARTED || f->type > PROTO_EXEC_CLOSED)
		return false;
	memcpy(&id, f->payload, sizeof(id));
	e = find(g, id);
	if (f->type == PROTO_EXEC_STARTED) {
		e->started = true;
	} else if (f->type == PROTO_EXEC_FAILED) {
		memcpy(&e->fail, f->payload, sizeof(e->fail));
		e->failed = true;
	} else if (f->type == PROTO_EXEC_EXITED) {
		memcpy(&e->exit, f->payload, sizeof(e->exit));
		e->exited = true;
		e->out_at_exit = e->out_bytes;
	} else {
		e->closed = true;
	}
	if ((e->failed && e->exited) || (e->exited && !e->started) ||
		(e->closed && !e->exited && !e->failed))
		printf("Bail out! process %u: messages in the wrong order\n", id);
	return true;
}

void texec_forget(struct guest *g)
{
	close_fd(&g->listener);
	for (unsigned i = 0; i < g->n_execs; i++)
		for (int s = 0; g->execs[i] && s < PROTO_EXEC_PORTS; s++)
			close_fd(&g->execs[i]->stream[s]);
	g->n_execs = 0;
}
