/* SPDX-License-Identifier: Apache-2.0 */
/* A container's life among peers that break rules, fall silent or insist: the guest on the control
 * channel, clients on the control socket, signals to the VMM's own pid. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "tests/tap.h"
#include "tests/unit/life_world.h"

static void break_protocol(const char *what, void (*up)(struct world *), enum proto_type type,
	const void *p, uint32_t len)
{
	struct vmm_report rep;
	struct world w;

	up(&w);
	if (type)
		guest_say(&w, type, p, len);
	else
		BUG_ON(send(w.guest, p, len, 0) != (ssize_t)len);
	rep = world_report(&w);
	ok(strstr(rep.text, "broke the control protocol") != NULL, "%s is the end", what);
	world_end(&w);
}

static void up_booting(struct world *w)
{
	world_begin(w, 0);
}

static void up_prepared(struct world *w)
{
	world_begin(w, 0);
	guest_hello(w);
}

static void up_running(struct world *w)
{
	world_run_up(w);
}

static void test_protocol(void)
{
	static const struct proto_ready ready_msg;
	static const struct proto_hello hello_msg = {.version = PROTO_VERSION};
	static const struct proto_exited exited_msg, odd = {.status = 256},
						     negative = {.status = -1};
	static const struct proto_failed failed_msg;
	struct vmm_report rep;
	struct world w;

	break_protocol(
		"READY before HELLO", up_booting, PROTO_READY, &ready_msg, sizeof(ready_msg));
	break_protocol(
		"STARTED unasked", up_prepared, PROTO_STARTED, &ready_msg, sizeof(ready_msg));
	break_protocol(
		"EXITED before start", up_prepared, PROTO_EXITED, &exited_msg, sizeof(exited_msg));
	break_protocol("a second HELLO", up_prepared, PROTO_HELLO, &hello_msg, sizeof(hello_msg));
	break_protocol("a second READY", up_running, PROTO_READY, &ready_msg, sizeof(ready_msg));
	break_protocol(
		"FAILED while running", up_running, PROTO_FAILED, &failed_msg, sizeof(failed_msg));
	break_protocol("status 256", up_running, PROTO_EXITED, &odd, sizeof(odd));
	break_protocol("status -1", up_running, PROTO_EXITED, &negative, sizeof(negative));
	break_protocol("a message of the host's", up_running, PROTO_START, NULL, 0);
	break_protocol("garbage", up_running, 0, "not a frame at all", 18);
	world_begin(&w, 0);
	guest_say(
		&w, PROTO_HELLO, &(struct proto_hello){.version = 99}, sizeof(struct proto_hello));
	rep = world_report(&w);
	has_str(said(rep.text), "version 99 of the control protocol, expected");
	eq_int(world_end(&w), 1, "another version's init is refused");
}

static void test_kill(void)
{
	struct proto_signal sig;
	struct vmm_report rep;
	struct ctl_reply r;
	uint64_t t;
	struct world w;

	world_begin(&w, 0);
	guest_hello(&w);
	guest_ready(&w);
	world_report(&w);
	r = world_ask(&w, CTL_SIGNAL, SIGWINCH);
	ok(r.errnum == 0 && r.phase == VM_CREATED, "SIGWINCH leaves a created container alone");
	r = world_ask(&w, CTL_SIGNAL, SIGKILL);
	ok(r.errnum == 0 && r.phase == VM_STOPPED, "SIGKILL does not");
	eq_int(world_end(&w), 137, "created: 137, without the guest's help");

	world_begin(&w, 0);
	r = world_ask(&w, CTL_SIGNAL, SIGTERM);
	rep = world_report(&w);
	ok(rep.type == VMM_FAILED && rep.exit_status == 143,
		"SIGTERM while booting fails the start");
	eq_int(world_end(&w), 143, "booting: 143");

	world_make(&w, 0);
	w.life.kill_ms = WORLD_WAIT_MS;
	world_go(&w);
	world_up(&w);
	t = timeline_now();
	r = world_ask(&w, CTL_SIGNAL, SIGKILL);
	ok(r.errnum == 0 && r.phase == VM_RUNNING, "answered at once");
	guest_heard(&w, &sig);
	eq_int(sig.signo, SIGKILL, "the guest is told");
	guest_exited(&w, 137);
	eq_int(world_end(&w), 137, "a guest that answers ends in order");
	ok(timeline_now() - t < WORLD_WAIT_MS * 1000000ull, "before the grace is over");

	world_run_up(&w);
	t = timeline_now();
	world_ask(&w, CTL_SIGNAL, SIGKILL);
	eq_int(world_end(&w), 137, "a deaf guest ends as well");
	ok(timeline_now() - t >= LIFE_KILL_GRACE_MS * 1000000ull, "after its grace");

	world_run_up(&w);
	kill(getpid(), SIGUSR1);
	guest_heard(&w, &sig);
	eq_int(sig.signo, SIGUSR1, "a signal to the VMM's pid goes to the guest");
	for (int i = 0; i < 3000; i++) { /* far more than a socket takes: the guest reads none */
		struct ctl_reply full = world_ask(&w, CTL_SIGNAL, 0);

		kill(getpid(), SIGUSR2);
		if (full.errnum)
			break;
	}
	world_ask(&w, CTL_SIGNAL, SIGKILL);
	eq_int(world_end(&w), 137, "a guest that reads nothing can still be killed");
}

/* A killed guest that does not end, but writes: what it has mapped and changed is not to be lost. */
static void test_kill_writes(void)
{
	struct world w;
	uint64_t t;

	world_make(&w, 0);
	w.life.kill_max_ms = WORLD_WAIT_MS;
	world_go(&w);
	world_up(&w);
	atomic_store(&w.shared.writes_begun, 7);
	atomic_store(&w.shared.writes_done, 7);
	t = timeline_now();
	world_ask(&w, CTL_SIGNAL, SIGKILL);
	atomic_store(&w.shared.writes_begun, 8);
	usleep(2 * LIFE_KILL_GRACE_MS * 1000 + 200000);
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_RUNNING, "a write under way is waited for");
	atomic_store(&w.shared.writes_done, 8);
	eq_int(world_end(&w), 137, "a guest that no longer writes ends");
	ok(timeline_now() - t < WORLD_WAIT_MS * 1000000ull, "of that, not of the longest time");

	world_make(&w, 0);
	w.life.kill_max_ms = LIFE_KILL_GRACE_MS + 500;
	world_go(&w);
	world_up(&w);
	atomic_store(&w.shared.writes_begun, 1);
	t = timeline_now();
	world_ask(&w, CTL_SIGNAL, SIGKILL);
	eq_int(world_end(&w), 137, "one that never stops to write ends, too");
	ok(timeline_now() - t >= (LIFE_KILL_GRACE_MS + 500) * 1000000ull, "when its time is over");
}

/* The guest has said that the process has ended; what it wrote has still to be read. */
static void test_drain(void)
{
	struct proto_signal sig = {0};
	struct ctl_reply r;
	struct world w;
	uint64_t t, until;
	int conn;

	world_make(&w, 0);
	w.life.kill_ms = WORLD_WAIT_MS;
	w.drain_at_once = false;
	world_go(&w);
	world_up(&w);
	conn = world_client(&w);
	ctl_send(conn, CTL_SIGNAL, SIGUSR1);
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.signo == SIGUSR1, "a signal");
	world_ask(&w, CTL_SIGNAL, SIGKILL);
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.signo == SIGKILL, "and SIGKILL");
	t = timeline_now();
	guest_exited(&w, 137);
	r = ctl_answer(conn);
	ok(r.errnum == ESRCH && r.phase == VM_STOPPED,
		"who waits for the signal's answer does not wait for a reader");
	while (!__atomic_load_n(&w.drain_id, __ATOMIC_SEQ_CST))
		usleep(1000);
	until = __atomic_load_n(&w.life.deadline_ns[DEADLINE_KILL], __ATOMIC_SEQ_CST);
	ok(until >= t + WORLD_WAIT_MS * 1000000ull,
		"the readers of a killed one's output have all their time, not what was left");
	r = world_ask(&w, CTL_START, 0);
	eq_int(r.errnum, ESRCH, "it is not started any more");
	has_str(said(r.text), "cannot start a container that has stopped");
	send(w.vsock_dev, &(struct vsock_cmd_reply){.id = w.drain_id}, 8, 0);
	eq_int(world_end(&w), 137, "read, it ends");
	close(conn);
}

/* Signals that meet a full channel: each kind once, when the guest reads again. */
static void test_full_channel(void)
{
	bool hup = false, term = false, answered = true;
	struct proto_signal sig = {0};
	int small = 4096, conn[64];
	struct world w;
	unsigned n = 0;

	world_make(&w, 0);
	setsockopt(w.life.guest_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	world_go(&w);
	world_up(&w);
	while (n < ARRAY_SIZE(conn) && !__atomic_load_n(&w.life.guest_full, __ATOMIC_SEQ_CST)) {
		conn[n] = world_client(&w);
		ctl_send(conn[n++], CTL_SIGNAL, SIGUSR1);
		answered &= world_ask(&w, CTL_STATE, 0).phase == VM_RUNNING;
	}
	ok(n > 1 && n < ARRAY_SIZE(conn) && answered, "the guest's channel is full (%u)", n);
	eq_int(ctl_answer(conn[n - 1]).errnum, EAGAIN, "a client is told so");
	kill(getpid(), SIGTERM);
	kill(getpid(), SIGHUP);
	world_ask(&w, CTL_STATE, 0); /* by the time it is answered they have been read */
	while (!(hup && term) && guest_heard(&w, &sig) == PROTO_SIGNAL) {
		hup |= sig.signo == SIGHUP && sig.process == PROTO_PROCESS_FIRST;
		term |= sig.signo == SIGTERM;
	}
	ok(hup && term, "signals to the VMM's pid are kept and sent");
	while (n)
		close(conn[--n]);
	guest_exited(&w, 0);
	world_end(&w);
}

static void test_clients(void)
{
	int idle[CONTROL_CLIENTS_MAX + 4];
	struct ctl_timeline_reply tr;
	struct ctl_reply r;
	char big[4096] = "";
	struct world w;
	int s;

	world_run_up(&w);
	for (unsigned i = 0; i < ARRAY_SIZE(idle); i++)
		idle[i] = world_client(&w);
	r = world_ask(&w, CTL_STATE, 0);
	eq_int(r.phase, VM_RUNNING, "idle connections keep nobody out");
	r = ctl_answer(idle[0]);
	eq_int(r.errnum, EBUSY, "the oldest is told why it lost its place");
	for (unsigned i = 0; i < ARRAY_SIZE(idle); i++)
		close(idle[i]);

	s = world_client(&w);
	send(s, big, 15, 0);
	r = ctl_answer(s);
	eq_int(r.errnum, EPROTO, "a short request is refused");
	eq_int(recv(s, big, 1, 0), 0, "and its connection closed");
	close(s);
	s = world_client(&w);
	send(s, big, sizeof(big), 0);
	r = ctl_answer(s);
	eq_int(r.errnum, EPROTO, "a long one too");
	close(s);
	r = world_ask(&w, 77, 0);
	eq_int(r.errnum, EPROTO, "an unknown type too");
	s = world_client(&w);
	send(s, &(struct ctl_request){.version = CTL_VERSION, .type = CTL_STATE, .flags = 1}, 16,
		0);
	r = ctl_answer(s);
	eq_int(r.errnum, EPROTO, "reserved bits too");
	close(s);

	s = world_client(&w);
	ctl_send(s, CTL_SIGNAL, SIGTERM); /* the guest will not answer */
	close(s);
	s = world_client(&w);
	for (int i = 0; i < 2000; i++) /* never reads: dropped when its socket is full */
		if (send(s, &(struct ctl_request){.version = CTL_VERSION, .type = CTL_STATE}, 16,
			    MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	r = world_ask(&w, CTL_STATE, 0);
	eq_int(r.phase, VM_RUNNING, "clients that go away or do not read hold up nobody");
	close(s);

	s = world_client(&w);
	ctl_send(s, CTL_TIMELINE, 0);
	eq_int(recv(s, &tr, sizeof(tr), 0), sizeof(tr), "the timeline");
	ok(tr.timeline.ns[TL_EXEC] > tr.timeline.ns[TL_READY], "up to the running program");
	ctl_send(s, CTL_SIGNAL, SIGUSR1);
	guest_exited(&w, 0);
	r = ctl_answer(s);
	eq_int(r.errnum, ESRCH, "whoever waits when it ends is told");
	close(s);
	eq_int(world_end(&w), 0, "done");
}

int main(void)
{
	struct err err = ERR_INIT;

	eq_int(life_block_signals(&err), 0, "signals are blocked");
	test_protocol();
	test_kill();
	test_kill_writes();
	test_drain();
	test_full_channel();
	test_clients();
	return tap_done();
}
