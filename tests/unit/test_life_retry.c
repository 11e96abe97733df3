/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's life while the kernel has no memory, no room or no random numbers for a moment: nothing is
 * lost by it but, where it lasts, the process that was asked for. The calls of this program stand before libc's.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "tests/tap.h"
#include "tests/unit/exec_world.h"

/* One kind of failure at a time: the next `times` messages on `fd`. */
static struct {
	atomic_int fd, errnum, times;
} failing = {.fd = -1};

static void fail_sends(int fd, int errnum, int times)
{
	failing.errnum = errnum;
	failing.times = times;
	failing.fd = fd;
}

static bool fails(int fd)
{
	if (fd != failing.fd || failing.times <= 0)
		return false;
	failing.times--;
	errno = failing.errnum;
	return true;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	return fails(fd) ? -1 : syscall(SYS_sendmsg, fd, m, flags);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	return fails(fd) ? -1 : syscall(SYS_sendto, fd, buf, len, flags, NULL, 0);
}

static atomic_bool no_random;

ssize_t getrandom(void *buf, size_t len, unsigned flags)
{
	if (!no_random)
		return syscall(SYS_getrandom, buf, len, flags);
	errno = EAGAIN;
	return -1;
}

static void test_commands(void)
{
	static const int errnums[] = {ENOBUFS, ENOMEM, ETOOMANYREFS};
	struct world w;
	uint32_t id;
	int conn;

	exec_begin(&w);
	for (size_t i = 0; i < ARRAY_SIZE(errnums); i++) {
		fail_sends(w.vsock_main, errnums[i], 3);
		id = run_one(&w, &conn);
		ok(id && failing.times == 0, "a process is executed though BIND met error %d",
			errnums[i]);
		fail_sends(w.vsock_main, errnums[i], 2);
		say_exited(&w, id, 3);
		eq_int(ctl_answer(conn).exit_status, 3, "and ends though DRAIN did");
		fail_sends(w.vsock_main, errnums[i], 3); /* what follows is two commands */
		say_closed(&w, id);
		dev_wait_unbinds((unsigned)i + 1);
		ok(failing.times == 0, "and leaves its ports");
		close(conn);
	}
	guest_exited(&w, 0);
	eq_int(exec_end(&w), 0, "the container does not mind");
}

/* It does not pass: only the one that was asked for has an end. */
static void test_bounded(void)
{
	unsigned before = open_fds();
	struct ctl_reply r;
	struct world w;
	uint32_t port;
	int conn;

	exec_begin(&w);
	w.life.start_ms = 50;
	fail_sends(w.vsock_main, ETOOMANYREFS, 1 << 30);
	conn = proxy(&w);
	r = ctl_answer(conn);
	eq_int(r.errnum, ETIMEDOUT, "a BIND that cannot be sent is given up");
	has_str(said(r.text), "did not take the process's streams within 50 ms");
	ok(at_end(conn), "with one reply");
	close(conn);
	w.life.start_ms = LIFE_START_MS;
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_RUNNING, "the container runs on");
	failing.times = 0;
	dev_wait_unbinds(1);
	port = PROTO_PORT_EXEC;
	for (unsigned n = 1; !is_free_again(&w, port) && n < 50;) /* the answer may be on its way */
		dev_wait_unbinds(++n);
	ok(heard_nothing(&w), "the guest has not heard of it");
	guest_exited(&w, 0);
	exec_end(&w);
	eq_int(open_fds(), before, "no descriptor of it is left");
}

static void test_guest(void)
{
	struct proto_signal sig = {0};
	struct proto_exec m;
	struct world w;
	int conn;

	exec_begin(&w);
	fail_sends(w.life.guest_fd, ENOMEM, 2);
	conn = proxy(&w);
	m = heard_exec(&w);
	ok(m.id && failing.times == 0, "EXEC comes though there was no memory for it");
	say_started(&w, m.id);
	eq_int(ctl_answer(conn).errnum, 0, "and is answered");
	fail_sends(w.life.guest_fd, ENOBUFS, 1);
	ctl_send(conn, CTL_SIGNAL, SIGTERM);
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.signo == SIGTERM && sig.process == m.id,
		"so does a signal");
	fail_sends(w.life.guest_fd, ENOBUFS, 1);
	kill(getpid(), SIGHUP);
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.signo == SIGHUP && !sig.process,
		"and one to the container");
	fail_sends(w.life.guest_fd, ENOBUFS, 1);
	eq_int(world_ask(&w, CTL_SIGNAL, SIGKILL).errnum, 0, "SIGKILL is answered at once");
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.signo == SIGKILL, "and comes, too");
	guest_exited(&w, 137);
	eq_int(exec_end(&w), 137, "to end the container in order");
	close(conn);
}

static void test_last_drain(void)
{
	struct world w;
	int i;

	exec_begin(&w);
	w.drain_at_once = false;
	fail_sends(w.vsock_main, ENOBUFS, 2);
	guest_exited(&w, 4);
	for (i = 0; i < WORLD_WAIT_MS && !__atomic_load_n(&w.drain_id, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	ok(w.drain_id && failing.times == 0, "the last output is waited for all the same");
	send(w.vsock_dev, &(struct vsock_cmd_reply){.id = w.drain_id}, 8, 0);
	eq_int(exec_end(&w), 4, "then the container ends");
}

static void test_ports(void)
{
	unsigned before = open_fds();
	struct exec_slot *e;
	struct world w;
	int conn;

	exec_begin(&w);
	w.life.execs.ports_known = false;
	no_random = true;
	conn = proxy(&w);
	eq_int(ctl_answer(conn).errnum, EAGAIN, "without random numbers there are no ports");
	no_random = false;
	close(conn);
	guest_exited(&w, 0);
	world_report(&w); /* it has ended: its slots are nobody's */
	e = &w.life.execs.slot[0];
	ok(e->state == EXEC_FREE && e->conn_fd == -1, "the slot is as it was");
	for (unsigned p = 0; p < PROTO_EXEC_PORTS; p++)
		eq_int(e->fd[p], -1, "and names no descriptor of others");
	exec_end(&w);
	eq_int(open_fds(), before, "none is left open");
}

int main(void)
{
	exec_start();
	test_commands();
	test_bounded();
	test_guest();
	test_last_drain();
	test_ports();
	return tap_done();
}
