/* SPDX-License-Identifier: Apache-2.0 */
/* Exec'd processes in the life of a container: what is asked for, answered and refused. */
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

static void test_normal(void)
{
	struct ctl_request req = {.version = CTL_VERSION, .type = CTL_EXEC};
	int in[2], out[2], errs[2], conn;
	struct proto_signal sig = {0};
	struct proto_exec m, again;
	struct ctl_reply r;
	struct world w;
	char buf[16];
	int fds[4];

	exec_begin(&w);
	BUG_ON(pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(errs, O_CLOEXEC));
	conn = world_client(&w);
	fds[0] = spec_memfd();
	fds[1] = in[0];
	fds[2] = out[1];
	fds[3] = errs[1];
	BUG_ON(send_fds(conn, &req, sizeof(req), fds, 4) < 0);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	m = heard_exec(&w);
	ok(m.id && m.id != PROTO_PROCESS_ALL && m.port == PROTO_PORT_EXEC && !m.flags,
		"the guest is asked, with an id and the first ports");
	eq_int(dev.binds, 4, "once four streams are bound");
	ok(dev.flags[0] == VSOCK_BIND_TX && dev.flags[1] == VSOCK_BIND_TX &&
			dev.flags[2] == VSOCK_BIND_RX && dev.flags[3] == VSOCK_BIND_RX,
		"each in its direction");
	ok(read(dev.fd[0], buf, sizeof(buf)) == 4 && !memcmp(buf, "spec", 4),
		"the specification is the first");
	BUG_ON(write(in[1], "i", 1) != 1 || write(dev.fd[2], "o", 1) != 1 ||
		write(dev.fd[3], "e", 1) != 1);
	ok(read(dev.fd[1], buf, 1) == 1 && buf[0] == 'i' && read(out[0], buf, 1) == 1 &&
			buf[0] == 'o' && read(errs[0], buf, 1) == 1 && buf[0] == 'e',
		"the caller's streams are the others");
	say_started(&w, m.id);
	r = ctl_answer(conn);
	ok(r.errnum == 0 && r.version == CTL_VERSION && r.phase == VM_RUNNING, "the first reply");
	ctl_send(conn, CTL_SIGNAL, SIGHUP);
	eq_int(guest_heard(&w, &sig), PROTO_SIGNAL, "a signal of the proxy goes to the guest");
	ok(sig.signo == SIGHUP && sig.process == m.id && !sig.id, "for that process, unanswered");
	dev_hold(VSOCK_CMD_DRAIN);
	say_exited(&w, m.id, 7);
	dev_release(&w, 1);
	r = ctl_answer(conn);
	ok(r.errnum == 0 && r.exit_status == 7, "the second has the status, once all is written");
	ok(at_end(conn), "and is the last");
	close(conn);
	ok(dev.fd[2] >= 0, "the streams go on: it may have children");
	say_closed(&w, m.id);
	dev_wait_unbinds(1);
	eq_int(dev.drains, 2, "what they wrote is written too");
	ok(read(out[0], buf, 1) == 0 && read(errs[0], buf, 1) == 0, "until the guest closes them");
	conn = proxy(&w);
	again = heard_exec(&w);
	ok(again.port == m.port && again.id != m.id, "the ports are used again, the id is not");
	close(conn);
	guest_exited(&w, 0);
	eq_int(exec_end(&w), 0, "the container ends as ever");
	close(in[1]);
	close(out[0]);
	close(errs[0]);
}

static void test_failed(void)
{
	struct ctl_reply r;
	struct proto_exec m;
	struct world w;
	int conn;

	exec_begin(&w);
	conn = proxy(&w);
	m = heard_exec(&w);
	say_failed(&w, m.id, ENOENT, 127, "exec \"nope\": not\033 found");
	r = ctl_answer(conn);
	ok(r.errnum == ENOENT && r.exit_status == 127, "a program that is not there");
	eq_str(r.text, "exec \"nope\": not? found", "in the guest's words, cleaned");
	ok(at_end(conn), "is one reply");
	close(conn);
	say_closed(&w, m.id);
	dev_wait_unbinds(1);
	ok(is_free_again(&w, m.port), "and no slot");
	dev_wait_unbinds(2);

	dev.fail = PROTO_PORT_EXEC + PROTO_EXEC_STDOUT;
	conn = proxy(&w);
	r = ctl_answer(conn);
	eq_int(r.errnum, ENOSPC, "a port that cannot be bound");
	has_str(said(r.text), "cannot open vsock port 2050 to the guest");
	close(conn);
	dev_wait_unbinds(3);
	dev.fail = 0;
	ok(heard_nothing(&w), "the guest never hears of it");
	ok(is_free_again(&w, m.port), "nothing is left of it");
	guest_exited(&w, 0);
	exec_end(&w);
}

static void test_streams(void)
{
	struct proto_resize size = {0};
	struct proto_exec m;
	struct world w;
	int conn;

	exec_begin(&w);
	conn = world_client(&w);
	ask_exec(conn, GPROC_STDIN_NULL | GPROC_STDERR_NULL, 0, 1);
	m = heard_exec(&w);
	eq_int(m.flags, GPROC_STDIN_NULL | GPROC_STDERR_NULL, "null streams are the guest's");
	ok(dev.fd[0] >= 0 && dev.fd[1] < 0 && dev.fd[2] >= 0 && dev.fd[3] < 0, "not bound");
	close(conn);
	conn = world_client(&w);
	ask_exec(conn, GPROC_TERMINAL, 0, 2);
	heard_kill(&w); /* for the first */
	m = heard_exec(&w);
	eq_int(m.flags, GPROC_TERMINAL, "a terminal");
	ok(m.port == PROTO_PORT_EXEC + 4 && dev.fd[6] >= 0 && dev.fd[7] < 0, "has no stderr");
	say_started(&w, m.id);
	ctl_answer(conn);
	ctl_send(conn, CTL_RESIZE, 50u << 16 | 132);
	ok(heard(&w, &size, sizeof(size)) == PROTO_RESIZE && size.process == m.id &&
			size.rows == 50 && size.cols == 132,
		"and gets its size");
	ctl_send(conn, CTL_STATE, 0);
	eq_int(ctl_answer(conn).errnum, EPROTO, "but nothing else is asked there");
	eq_int(heard_kill(&w), m.id, "or it is killed");
	close(conn);
	guest_exited(&w, 0);
	exec_end(&w);
}

/* Without the tests' help: ports that nobody can guess, each set apart from all others. */
static void test_ports(void)
{
	static uint32_t port[50];
	int conn[ARRAY_SIZE(port)];
	unsigned low = 0, near = 0;
	struct world w;

	exec_begin(&w);
	w.command = NULL; /* the harness says yes to every port */
	w.life.execs.ports_known = false;
	for (unsigned i = 0; i < ARRAY_SIZE(port); i++) {
		conn[i] = proxy(&w);
		port[i] = heard_exec(&w).port;
		low += port[i] < PROTO_PORT_EXEC || port[i] > UINT32_MAX - PROTO_EXEC_PORTS;
		near += i &&
			port[i] - port[i - 1] + 1000 <= 2000; /* by chance: once in 40000 runs */
	}
	eq_int(low, 0, "random ports are among those that may be");
	eq_int(near, 0, "and tell nothing of the next");
	guest_exited(&w, 0);
	exec_end(&w);
	for (unsigned i = 0; i < ARRAY_SIZE(port); i++)
		close(conn[i]);
}

static struct ctl_reply refusal(struct world *w, uint32_t flags, unsigned streams)
{
	autofd int conn = world_client(w);

	ask_exec(conn, flags, 0, streams);
	return ctl_answer(conn);
}

static void test_refusals(void)
{
	struct ctl_request req = {.version = CTL_VERSION, .type = CTL_EXEC};
	unsigned before = open_fds();
	struct world w;
	int fds[4], conn;

	world_begin(&w, 0);
	eq_int(refusal(&w, 0, 3).errnum, EAGAIN, "not before the container is created");
	guest_hello(&w);
	guest_ready(&w);
	world_report(&w);
	w.command = exec_command;
	eq_int(refusal(&w, GPROC_NO_NEW_PRIVS, 3).errnum, EINVAL, "flags of something else");
	eq_int(refusal(&w, GPROC_TERMINAL | GPROC_STDIN_NULL, 1).errnum, EINVAL,
		"a terminal without an end");
	eq_int(refusal(&w, 0, 2).errnum, EINVAL, "a stream too few");
	eq_int(refusal(&w, GPROC_STDIN_NULL, 3).errnum, EINVAL, "a stream too many");
	eq_int(refusal(&w, 0, 4).errnum, EPROTO, "more descriptors than may come");
	conn = world_client(&w);
	BUG_ON(send(conn, &req, sizeof(req), 0) < 0);
	eq_int(ctl_answer(conn).errnum, EINVAL, "none");
	for (int i = 0; i < 4; i++)
		fds[i] = i ? dup(fds[0]) : open("/dev/null", O_RDWR | O_CLOEXEC);
	BUG_ON(send_fds(conn, &req, sizeof(req), fds, 4) < 0);
	eq_int(ctl_answer(conn).errnum, EINVAL, "a file in place of the memfd");
	close_fd(&fds[0]);
	fds[0] = memfd_with("process", "spec", 4, 0);
	BUG_ON(send_fds(conn, &req, sizeof(req), fds, 4) < 0);
	eq_int(ctl_answer(conn).errnum, EINVAL, "a memfd that can still change");
	req.type = CTL_STATE;
	BUG_ON(send_fds(conn, &req, sizeof(req), fds, 1) < 0);
	eq_int(ctl_answer(conn).errnum, EPROTO, "descriptors with another request");
	close(conn);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	w.drain_at_once = false;
	guest_exited(&w, 0);
	for (int i = 0; i < WORLD_WAIT_MS && !__atomic_load_n(&w.drain_id, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	has_str(said(refusal(&w, 0, 3).text), "cannot exec in a stopped container");
	send(w.vsock_dev, &(struct vsock_cmd_reply){.id = w.drain_id}, 8, 0);
	exec_end(&w);
	eq_int(open_fds(), before, "no descriptor is kept of any of them");
}

/* As many as there can be, over a command socket that holds a few. */
static void test_many(void)
{
	static int conn[PROTO_EXECS_MAX];
	static struct proto_exec m[PROTO_EXECS_MAX];
	unsigned before = open_fds(), good = 0;
	int small = 4096;
	struct world w;

	exec_begin(&w);
	setsockopt(w.vsock_main, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	pthread_mutex_lock(&dev.lock); /* the device sleeps */
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++)
		conn[i] = proxy(&w);
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_RUNNING, "250 proxies keep nobody out");
	pthread_mutex_unlock(&dev.lock);
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++) {
		m[i] = heard_exec(&w);
		say_started(&w, m[i].id);
	}
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++)
		good += ctl_answer(conn[i]).errnum == 0;
	eq_int(good, PROTO_EXECS_MAX, "all are started");
	eq_int(refusal(&w, 0, 3).errnum, EAGAIN, "one more is refused");
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++) {
		say_exited(&w, m[i].id, (int)(m[i].port - PROTO_PORT_EXEC) / 4);
		say_closed(&w, m[i].id);
	}
	good = 0;
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++) {
		good += ctl_answer(conn[i]).exit_status == i;
		close(conn[i]);
	}
	eq_int(good, PROTO_EXECS_MAX, "each has its own status");
	dev_wait_unbinds(PROTO_EXECS_MAX);
	close(proxy(&w));
	guest_exited(&w, 0);
	exec_end(&w);
	eq_int(open_fds(), before, "nothing is left of them");
}

int main(void)
{
	exec_start();
	test_normal();
	test_failed();
	test_streams();
	test_ports();
	test_refusals();
	test_many();
	return tap_done();
}
