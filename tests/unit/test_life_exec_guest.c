/* SPDX-License-Identifier: Apache-2.0 */
/* Exec'd processes and a guest that breaks rules, does not read or falls silent. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "tests/unit/exec_world.h"

static void breaks(const char *what, void (*say)(struct world *w, uint32_t id))
{
	struct vmm_report rep;
	struct ctl_reply r;
	struct world w;
	uint32_t id;
	int conn;

	exec_begin(&w);
	id = run_one(&w, &conn);
	say(&w, id);
	rep = world_report(&w);
	ok(strstr(rep.text, "an exec'd process out of turn") != NULL, "%s is the end", what);
	r = ctl_answer(conn);
	ok(r.errnum == EPROTO && strstr(r.text, "broke the control protocol"),
		"and the proxy is told");
	exec_end(&w);
	close(conn);
}

static void unknown_id(struct world *w, uint32_t id)
{
	say_exited(w, id + 256, 0);
}

static void unknown_slot(struct world *w, uint32_t id)
{
	say_closed(w, 255);
}

static void started_twice(struct world *w, uint32_t id)
{
	say_started(w, id);
}

static void failed_running(struct world *w, uint32_t id)
{
	say_failed(w, id, ENOENT, 127, "no");
}

static void closed_running(struct world *w, uint32_t id)
{
	say_closed(w, id);
}

static void exited_256(struct world *w, uint32_t id)
{
	say_exited(w, id, 256);
}

static void test_protocol(void)
{
	struct vmm_report rep;
	struct proto_exec m;
	struct world w;
	uint32_t id;
	int conn;

	breaks("a process that is not", unknown_id);
	breaks("a slot that is not", unknown_slot);
	breaks("a second STARTED", started_twice);
	breaks("FAILED after STARTED", failed_running);
	breaks("CLOSED before EXITED", closed_running);
	breaks("status 256", exited_256);

	exec_begin(&w);
	conn = proxy(&w);
	m = heard_exec(&w);
	say_exited(&w, m.id, 0);
	rep = world_report(&w);
	ok(strstr(rep.text, "out of turn") != NULL, "EXITED without STARTED is the end");
	exec_end(&w);
	close(conn);

	exec_begin(&w);
	id = run_one(&w, &conn);
	dev_hold(VSOCK_CMD_DRAIN);
	say_exited(&w, id, 0);
	say_exited(&w, id, 0);
	rep = world_report(&w);
	ok(strstr(rep.text, "out of turn") != NULL, "EXITED twice is the end");
	exec_end(&w);
	close(conn);

	exec_begin(&w);
	id = run_one(&w, &conn);
	dev_hold(VSOCK_CMD_DRAIN);
	say_exited(&w, id, 0);
	say_closed(&w, id);
	say_closed(&w, id);
	rep = world_report(&w);
	ok(strstr(rep.text, "out of turn") != NULL, "CLOSED twice is the end");
	exec_end(&w);
	close(conn);
}

/* A proxy sends signals until nobody takes any more; their number. */
static unsigned fill_up(int conn)
{
	struct ctl_request r = {.version = CTL_VERSION, .type = CTL_SIGNAL, .arg = SIGUSR1};
	struct pollfd p = {.fd = conn, .events = POLLOUT};
	unsigned n = 0;

	for (;;) {
		if (send(conn, &r, sizeof(r), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(r))
			n++;
		else if (poll(&p, 1, 1000) == 0)
			return n;
	}
}

/* The guest does not read: nothing that it must hear is lost, nobody else waits. */
static void test_deaf_guest(void)
{
	union {
		struct proto_signal sig;
		struct proto_exec exec;
	} frame = {.sig = {0}};
	unsigned sent, got = 0, execs = 0;
	struct ctl_reply r;
	struct world w;
	uint32_t id, port = 0;
	int a, b, c, type;

	exec_begin(&w);
	id = run_one(&w, &a);
	sent = fill_up(a);
	ok(sent > 100 && w.life.guest_full, "the guest's socket and a proxy's are full (%u)", sent);
	b = proxy(&w); /* EXEC has to wait */
	c = proxy(&w); /* and this one will go before it is asked for */
	close(c);
	dev_wait_unbinds(1);
	r = world_ask(&w, CTL_STATE, 0);
	eq_int(r.phase, VM_RUNNING, "others are served");
	while ((got < sent || !execs) && (type = heard(&w, &frame, sizeof(frame))) != 0) {
		if (type == PROTO_EXEC) {
			execs++;
			port = frame.exec.port;
		}
		got += type == PROTO_SIGNAL && frame.sig.signo == SIGUSR1 &&
		       frame.sig.process == id;
	}
	eq_int(got, sent, "once it reads, it has every signal");
	ok(execs == 1 && port == PROTO_PORT_EXEC + 4, "and is asked for a process");
	ok(heard_nothing(&w), "the one that had gone is no news to it");
	close(a);
	eq_int(heard_kill(&w), id, "a hang-up is heard again");
	close(b);
	guest_exited(&w, 0);
	exec_end(&w);
}

static void test_deadline(void)
{
	struct ctl_reply r;
	struct proto_exec m;
	struct world w;
	int conn;

	exec_begin(&w);
	w.life.start_ms = 50;
	conn = proxy(&w);
	m = heard_exec(&w);
	r = ctl_answer(conn);
	eq_int(r.errnum, ETIMEDOUT, "a guest that never says STARTED");
	ok(at_end(conn), "is not waited for");
	eq_int(heard_kill(&w), m.id, "whatever it does is to end");
	close(conn);
	w.life.start_ms = 2000;
	conn = proxy(&w);
	m = heard_exec(&w);
	for (int i = 0; i < 8; i++) { /* 2.4 s and more */
		int other = proxy(&w);
		struct proto_exec o = heard_exec(&w);

		usleep(300000);
		say_failed(&w, o.id, ENOENT, 127, "no");
		BUG_ON(ctl_answer(other).errnum != ENOENT);
		say_closed(&w, o.id);
		close(other);
	}
	eq_int(recv(conn, &r, sizeof(r), MSG_DONTWAIT), -1, "a guest that is busy with others");
	eq_int(ctl_answer(conn).errnum, ETIMEDOUT, "is waited for until it is silent");
	close(conn);
	guest_exited(&w, 0);
	exec_end(&w);
}

int main(void)
{
	exec_start();
	test_protocol();
	test_deaf_guest();
	test_deadline();
	return tap_done();
}
