/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exec'd processes in the life of a container: the test is the guest, the proxies and, in the device's
 * thread, the vsock device, each as slow, gone or hostile as a case wants it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/gspec.h"
#include "tests/tap.h"
#include "tests/unit/life_world.h"

#define PORTS (PROTO_EXECS_MAX * PROTO_EXEC_PORTS)
#define HELD  (PROTO_EXECS_MAX + 1)

/* The vsock device: what is bound, and commands it has not answered yet. */
static struct device {
	pthread_mutex_t lock;
	int fd[PORTS]; /* -1: not bound */
	uint32_t flags[PORTS];
	uint32_t hold; /* type of command that is kept: 1 << enum vsock_cmd_type */
	uint32_t fail; /* port whose BIND fails with ENOSPC */
	struct vsock_cmd held[HELD];
	unsigned n_held, binds, drains, unbinds;
	pthread_cond_t news;
} dev = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

static void dev_answer(struct world *w, const struct vsock_cmd *cmd, int errnum)
{
	struct vsock_cmd_reply reply = {.id = cmd->id, .errnum = errnum};

	send(w->vsock_dev, &reply, sizeof(reply), MSG_NOSIGNAL);
}

static int dev_bind(const struct vsock_cmd *cmd, const int *fds, unsigned n)
{
	uint32_t p = cmd->port - PROTO_PORT_EXEC;

	dev.binds++;
	if (n != 1 || cmd->count != 1 || p >= PORTS || dev.fd[p] >= 0 || cmd->port == dev.fail) {
		for (unsigned i = 0; i < n; i++)
			close(fds[i]);
		return cmd->port == dev.fail ? ENOSPC : EADDRINUSE;
	}
	dev.fd[p] = fds[0];
	dev.flags[p] = cmd->flags;
	return 0;
}

static bool on_command(struct world *w, const struct vsock_cmd *cmd, const int *fds, unsigned n)
{
	int r = 0;

	if (cmd->port < PROTO_PORT_EXEC)
		return false; /* the control channel, the streams, the last drain */
	pthread_mutex_lock(&dev.lock);
	if (cmd->type == VSOCK_CMD_BIND)
		r = dev_bind(cmd, fds, n);
	dev.drains += cmd->type == VSOCK_CMD_DRAIN;
	dev.unbinds += cmd->type == VSOCK_CMD_UNBIND;
	for (uint32_t i = 0; cmd->type == VSOCK_CMD_UNBIND && i < cmd->count; i++)
		close_fd(&dev.fd[cmd->port - PROTO_PORT_EXEC + i]);
	if (dev.hold & 1u << cmd->type)
		dev.held[dev.n_held++ % HELD] = *cmd;
	else
		dev_answer(w, cmd, r);
	pthread_cond_broadcast(&dev.news);
	pthread_mutex_unlock(&dev.lock);
	return true;
}

/* Waits until the device has seen n commands that it keeps, and lets them and all others go. */
static void dev_release(struct world *w, unsigned n)
{
	pthread_mutex_lock(&dev.lock);
	while (dev.n_held < n)
		pthread_cond_wait(&dev.news, &dev.lock);
	dev.hold = 0;
	for (unsigned i = 0; i < dev.n_held; i++)
		dev_answer(w, &dev.held[i], 0);
	dev.n_held = 0;
	pthread_mutex_unlock(&dev.lock);
}

static void dev_hold(uint32_t type)
{
	pthread_mutex_lock(&dev.lock);
	dev.hold = 1u << type;
	pthread_mutex_unlock(&dev.lock);
}

static void dev_wait_unbinds(unsigned n)
{
	pthread_mutex_lock(&dev.lock);
	while (dev.unbinds < n)
		pthread_cond_wait(&dev.news, &dev.lock);
	pthread_mutex_unlock(&dev.lock);
}

static void begin(struct world *w)
{
	for (unsigned i = 0; i < PORTS; i++)
		dev.fd[i] = -1;
	dev.hold = dev.fail = dev.n_held = dev.binds = dev.drains = dev.unbinds = 0;
	world_run_up(w);
	w->life.execs.ports_known = true;
	fcntl(w->guest, F_SETFL, 0); /* what the test says is not lost when the VMM is slow */
	w->command = on_command;
}

static int end(struct world *w)
{
	int status = world_end(w);

	for (unsigned i = 0; i < PORTS; i++)
		close_fd(&dev.fd[i]);
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++) {
		close_fd(&w->life.execs.slot[i].conn_fd);
		for (unsigned p = 0; p < PROTO_EXEC_PORTS; p++)
			close_fd(&w->life.execs.slot[i].fd[p]);
	}
	return status;
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The proxy */

static int spec_memfd(void)
{
	int fd = memfd_with("process", "spec", 4, 1);

	BUG_ON(fd < 0);
	return fd;
}

/* Asks for a process on `conn`; `streams` descriptors of the null device follow the specification. */
static void ask_exec(int conn, uint32_t flags, uint32_t ctl_flags, unsigned streams)
{
	struct ctl_request r = {
		.version = CTL_VERSION, .type = CTL_EXEC, .arg = flags, .flags = ctl_flags};
	autofd int spec = spec_memfd(), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[6] = {spec, null, null, null, null, null};

	BUG_ON(send_fds(conn, &r, sizeof(r), fds, 1 + streams) < 0);
}

static int proxy(struct world *w)
{
	int conn = world_client(w);

	ask_exec(conn, 0, 0, 3);
	return conn;
}

static struct ctl_reply refusal(struct world *w, uint32_t flags, unsigned streams)
{
	autofd int conn = world_client(w);

	ask_exec(conn, flags, 0, streams);
	return ctl_answer(conn);
}

/* Nothing more comes but the end of the connection. */
static bool at_end(int conn)
{
	char c;

	return recv(conn, &c, 1, 0) == 0;
}

/* The guest */

/* The next frame, whose payload goes to buf; its type, 0: none came. The socket does not block. */
static int heard(struct world *w, void *buf, uint32_t max)
{
	struct pollfd p = {.fd = w->guest, .events = POLLIN};
	struct proto_hdr h;

	if (poll(&p, 1, WORLD_WAIT_MS) != 1 || recv(w->guest, &h, sizeof(h), 0) != sizeof(h))
		return 0;
	BUG_ON(h.len > max || (h.len && recv(w->guest, buf, h.len, 0) != (ssize_t)h.len));
	return h.type;
}

static struct proto_exec heard_exec(struct world *w)
{
	struct proto_exec m = {0};

	if (heard(w, &m, sizeof(m)) != PROTO_EXEC)
		m.id = 0;
	return m;
}

static uint32_t heard_kill(struct world *w)
{
	struct proto_signal sig = {0};

	return guest_heard(w, &sig) == PROTO_SIGNAL && sig.signo == SIGKILL ? sig.process : 0;
}

static bool heard_nothing(struct world *w)
{
	char c;

	return recv(w->guest, &c, 1, MSG_DONTWAIT) < 0;
}

static void say_started(struct world *w, uint32_t id)
{
	guest_say(w, PROTO_EXEC_STARTED, &(struct proto_exec_id){.id = id}, 8);
}

static void say_exited(struct world *w, uint32_t id, int32_t status)
{
	guest_say(
		w, PROTO_EXEC_EXITED, &(struct proto_exec_exited){.id = id, .status = status}, 16);
}

static void say_closed(struct world *w, uint32_t id)
{
	guest_say(w, PROTO_EXEC_CLOSED, &(struct proto_exec_id){.id = id}, 8);
}

static void say_failed(
	struct world *w, uint32_t id, int32_t errnum, uint32_t status, const char *text)
{
	struct proto_exec_failed m = {.id = id, .why = {.errnum = errnum, .exit_status = status}};

	snprintf(m.why.text, sizeof(m.why.text), "%s", text);
	guest_say(w, PROTO_EXEC_FAILED, &m, sizeof(m));
}

/* Up to a running process; its id. */
static uint32_t run_one(struct world *w, int *ret_conn)
{
	struct proto_exec m;

	*ret_conn = proxy(w);
	m = heard_exec(w);
	say_started(w, m.id);
	BUG_ON(ctl_answer(*ret_conn).errnum);
	return m.id;
}

/* The rest of its life; true: its port is taken again by the next, so nothing is left of it. */
static bool is_free_again(struct world *w, uint32_t port)
{
	autofd int conn = proxy(w);
	struct proto_exec m = heard_exec(w);

	say_failed(w, m.id, ENOENT, 127, "no");
	BUG_ON(ctl_answer(conn).errnum != ENOENT);
	say_closed(w, m.id);
	return m.port == port;
}

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

	begin(&w);
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
	eq_int(end(&w), 0, "the container ends as ever");
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

	begin(&w);
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
	end(&w);
}

static void test_streams(void)
{
	struct proto_resize size = {0};
	struct proto_exec m;
	struct world w;
	int conn;

	begin(&w);
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
	end(&w);
}

/* Without the tests' help: ports that nobody can guess, each set apart from all others. */
static void test_ports(void)
{
	static uint32_t port[50];
	int conn[ARRAY_SIZE(port)];
	unsigned low = 0, near = 0;
	struct world w;

	begin(&w);
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
	end(&w);
	for (unsigned i = 0; i < ARRAY_SIZE(port); i++)
		close(conn[i]);
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
	w.command = on_command;
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
	end(&w);
	eq_int(open_fds(), before, "no descriptor is kept of any of them");
}

/* A proxy that goes at each possible moment leaves nothing behind. */
static void test_hang_ups(void)
{
	unsigned before = open_fds(), n = 0;
	struct proto_exec m;
	struct world w;
	uint32_t id;
	int conn;

	begin(&w);
	dev_hold(VSOCK_CMD_BIND);
	close(proxy(&w));
	dev_release(&w, 1);
	dev_wait_unbinds(++n);
	ok(heard_nothing(&w), "gone before a port is bound: the guest never hears of it");

	conn = proxy(&w);
	m = heard_exec(&w);
	close(conn);
	eq_int(heard_kill(&w), m.id, "gone before STARTED: killed");
	say_started(&w, m.id);
	eq_int(heard_kill(&w), m.id, "and once more when it is there to be killed");
	say_exited(&w, m.id, 137);
	say_closed(&w, m.id);
	dev_wait_unbinds(++n);
	ok(is_free_again(&w, m.port), "nothing is left of it");
	dev_wait_unbinds(++n);

	conn = proxy(&w);
	m = heard_exec(&w);
	close(conn);
	eq_int(heard_kill(&w), m.id, "gone before FAILED");
	say_failed(&w, m.id, ENOENT, 127, "no");
	say_closed(&w, m.id);
	dev_wait_unbinds(++n);
	ok(is_free_again(&w, m.port), "nothing is left of it");
	dev_wait_unbinds(++n);

	id = run_one(&w, &conn);
	ctl_send(conn, CTL_SIGNAL, SIGTERM);
	close(conn);
	{
		struct proto_signal sig = {0};

		ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.signo == SIGTERM,
			"gone while it runs: what it said last is done");
	}
	eq_int(heard_kill(&w), id, "then it is killed");
	say_exited(&w, id, 137);
	say_closed(&w, id);
	dev_wait_unbinds(++n);

	id = run_one(&w, &conn);
	dev_hold(VSOCK_CMD_DRAIN);
	say_exited(&w, id, 3);
	close(conn);
	say_closed(&w, id);
	dev_release(&w, 1);
	dev_wait_unbinds(++n);
	ok(heard_nothing(&w),
		"gone between EXITED and DRAIN's reply: no signal for what has ended");

	id = run_one(&w, &conn);
	dev_hold(VSOCK_CMD_UNBIND);
	say_exited(&w, id, 3);
	ctl_answer(conn);
	close(conn);
	say_closed(&w, id);
	dev_release(&w, 1);
	for (n++; !is_free_again(&w, PROTO_PORT_EXEC) && n < 50;) /* the answer may be on its way */
		dev_wait_unbinds(++n);
	dev_wait_unbinds(++n);
	ok(n < 50, "all of that left its ports");
	guest_exited(&w, 0);
	end(&w);
	eq_int(w.life.execs.n, 0, "and no slot");
	eq_int(open_fds(), before, "nor a descriptor");
}

static void breaks(const char *what, void (*say)(struct world *w, uint32_t id))
{
	struct vmm_report rep;
	struct ctl_reply r;
	struct world w;
	uint32_t id;
	int conn;

	begin(&w);
	id = run_one(&w, &conn);
	say(&w, id);
	rep = world_report(&w);
	ok(strstr(rep.text, "an exec'd process out of turn") != NULL, "%s is the end", what);
	r = ctl_answer(conn);
	ok(r.errnum == EPROTO && strstr(r.text, "broke the control protocol"),
		"and the proxy is told");
	end(&w);
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

	begin(&w);
	conn = proxy(&w);
	m = heard_exec(&w);
	say_exited(&w, m.id, 0);
	rep = world_report(&w);
	ok(strstr(rep.text, "out of turn") != NULL, "EXITED without STARTED is the end");
	end(&w);
	close(conn);

	begin(&w);
	id = run_one(&w, &conn);
	dev_hold(VSOCK_CMD_DRAIN);
	say_exited(&w, id, 0);
	say_exited(&w, id, 0);
	rep = world_report(&w);
	ok(strstr(rep.text, "out of turn") != NULL, "EXITED twice is the end");
	end(&w);
	close(conn);

	begin(&w);
	id = run_one(&w, &conn);
	dev_hold(VSOCK_CMD_DRAIN);
	say_exited(&w, id, 0);
	say_closed(&w, id);
	say_closed(&w, id);
	rep = world_report(&w);
	ok(strstr(rep.text, "out of turn") != NULL, "CLOSED twice is the end");
	end(&w);
	close(conn);
}

/* Each proxy has its last reply when the VM ends. */
static void test_end(void)
{
	int running, draining, asked;
	struct ctl_reply r;
	struct proto_exec m;
	struct world w;
	uint32_t id;
	uint64_t t;

	begin(&w);
	run_one(&w, &running);
	id = run_one(&w, &draining);
	asked = proxy(&w);
	m = heard_exec(&w);
	dev_hold(VSOCK_CMD_DRAIN);
	say_exited(&w, id, 5);
	t = timeline_now();
	guest_exited(&w, 0);
	end(&w);
	ok(timeline_now() - t >= LIFE_EXECS_MS * 1000000ull && timeline_now() - t < 15000000000ull,
		"a reader of an exec'd process's output that sleeps has a second");
	r = ctl_answer(running);
	ok(!r.errnum && r.exit_status == 137 && r.phase == VM_STOPPED,
		"the container ends: 137 for one that was running");
	r = ctl_answer(draining);
	ok(!r.errnum && r.exit_status == 5, "its own status for one that had ended");
	r = ctl_answer(asked);
	ok(r.errnum == ESRCH && m.id, "an error for one that had not begun");
	has_str(said(r.text), "the container has ended");
	close(running);
	close(draining);
	close(asked);

	begin(&w);
	id = run_one(&w, &draining);
	dev_hold(VSOCK_CMD_DRAIN);
	say_exited(&w, id, 6);
	say_closed(&w, id);
	guest_exited(&w, 0);
	dev_release(&w, 1);
	eq_int(end(&w), 0, "one that reads");
	r = ctl_answer(draining);
	ok(!r.errnum && r.exit_status == 6, "has all of it");
	eq_int(dev.drains, 2, "with what its children wrote");
	close(draining);

	begin(&w);
	run_one(&w, &running);
	dev_hold(VSOCK_CMD_BIND);
	asked = proxy(&w);
	pthread_mutex_lock(&dev.lock);
	while (!dev.n_held)
		pthread_cond_wait(&dev.news, &dev.lock);
	pthread_mutex_unlock(&dev.lock);
	w.vm.vcpus = 1;
	snprintf(w.vcpus.v[0].text, sizeof(w.vcpus.v[0].text), "vCPU 0: triple fault");
	atomic_store(&w.vcpus.v[0].end, VCPU_SHUTDOWN);
	BUG_ON(write(w.vcpu_fd, &(uint64_t){1}, 8) != 8);
	end(&w);
	r = ctl_answer(running);
	ok(r.errnum == EIO && strstr(r.text, "triple fault"), "the VM dies: the reason");
	r = ctl_answer(asked);
	ok(r.errnum == EIO && strstr(r.text, "triple fault"), "to all of them");
	close(running);
	close(asked);
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

	begin(&w);
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
	end(&w);
}

static void test_deadline(void)
{
	struct ctl_reply r;
	struct proto_exec m;
	struct world w;
	int conn;

	begin(&w);
	w.life.start_ms = 50;
	conn = proxy(&w);
	m = heard_exec(&w);
	r = ctl_answer(conn);
	eq_int(r.errnum, ETIMEDOUT, "a guest that never says STARTED");
	ok(at_end(conn), "is not waited for");
	eq_int(heard_kill(&w), m.id, "whatever it does is to end");
	close(conn);
	w.life.start_ms = 600;
	conn = proxy(&w);
	m = heard_exec(&w);
	for (int i = 0; i < 8; i++) { /* 1.2 s and more */
		int other = proxy(&w);
		struct proto_exec o = heard_exec(&w);

		usleep(150000);
		say_failed(&w, o.id, ENOENT, 127, "no");
		BUG_ON(ctl_answer(other).errnum != ENOENT);
		say_closed(&w, o.id);
		close(other);
	}
	eq_int(recv(conn, &r, sizeof(r), MSG_DONTWAIT), -1, "a guest that is busy with others");
	eq_int(ctl_answer(conn).errnum, ETIMEDOUT, "is waited for until it is silent");
	close(conn);
	guest_exited(&w, 0);
	end(&w);
}

/* As many as there can be, over a command socket that holds a few. */
static void test_many(void)
{
	static int conn[PROTO_EXECS_MAX];
	static struct proto_exec m[PROTO_EXECS_MAX];
	unsigned before = open_fds(), good = 0;
	int small = 4096;
	struct world w;

	begin(&w);
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
	end(&w);
	eq_int(open_fds(), before, "nothing is left of them");
}

int main(void)
{
	struct rlimit rl;
	struct err err = ERR_INIT;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < 4096 && rl.rlim_max >= 4096) {
		rl.rlim_cur = 4096;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	eq_int(life_block_signals(&err), 0, "signals are blocked");
	test_normal();
	test_failed();
	test_streams();
	test_ports();
	test_refusals();
	test_hang_ups();
	test_protocol();
	test_end();
	test_deaf_guest();
	test_deadline();
	test_many();
	return tap_done();
}
