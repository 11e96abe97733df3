/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/exec_world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

struct exec_device dev = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

static void dev_answer(struct world *w, const struct vsock_cmd *cmd, int errnum)
{
	struct vsock_cmd_reply reply = {.id = cmd->id, .errnum = errnum};

	send(w->vsock_dev, &reply, sizeof(reply), MSG_NOSIGNAL);
}

static int dev_bind(const struct vsock_cmd *cmd, const int *fds, unsigned n)
{
	uint32_t p = cmd->port - PROTO_PORT_EXEC;

	dev.binds++;
	if (n != 1 || cmd->count != 1 || p >= EXEC_PORTS || dev.fd[p] >= 0 ||
		cmd->port == dev.fail) {
		for (unsigned i = 0; i < n; i++)
			close(fds[i]);
		return cmd->port == dev.fail ? ENOSPC : EADDRINUSE;
	}
	dev.fd[p] = fds[0];
	dev.flags[p] = cmd->flags;
	return 0;
}

bool exec_command(struct world *w, const struct vsock_cmd *cmd, const int *fds, unsigned n)
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
		dev.held[dev.n_held++ % EXEC_HELD] = *cmd;
	else
		dev_answer(w, cmd, r);
	pthread_cond_broadcast(&dev.news);
	pthread_mutex_unlock(&dev.lock);
	return true;
}

void dev_release(struct world *w, unsigned n)
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

void dev_hold(uint32_t type)
{
	pthread_mutex_lock(&dev.lock);
	dev.hold = 1u << type;
	pthread_mutex_unlock(&dev.lock);
}

void dev_wait_unbinds(unsigned n)
{
	pthread_mutex_lock(&dev.lock);
	while (dev.unbinds < n)
		pthread_cond_wait(&dev.news, &dev.lock);
	pthread_mutex_unlock(&dev.lock);
}

void exec_begin(struct world *w)
{
	for (unsigned i = 0; i < EXEC_PORTS; i++)
		dev.fd[i] = -1;
	dev.hold = dev.fail = dev.n_held = dev.binds = dev.drains = dev.unbinds = 0;
	world_run_up(w);
	w->life.execs.ports_known = true;
	fcntl(w->guest, F_SETFL, 0); /* what the test says is not lost when the VMM is slow */
	w->command = exec_command;
}

int exec_end(struct world *w)
{
	int status = world_end(w);

	for (unsigned i = 0; i < EXEC_PORTS; i++)
		close_fd(&dev.fd[i]);
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++) {
		close_fd(&w->life.execs.slot[i].conn_fd);
		for (unsigned p = 0; p < PROTO_EXEC_PORTS; p++)
			close_fd(&w->life.execs.slot[i].fd[p]);
	}
	return status;
}

unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

int spec_memfd(void)
{
	int fd = memfd_with("process", "spec", 4, 1);

	BUG_ON(fd < 0);
	return fd;
}

void ask_exec(int conn, uint32_t flags, uint32_t ctl_flags, unsigned streams)
{
	struct ctl_request r = {
		.version = CTL_VERSION, .type = CTL_EXEC, .arg = flags, .flags = ctl_flags};
	autofd int spec = spec_memfd(), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[6] = {spec, null, null, null, null, null};

	BUG_ON(send_fds(conn, &r, sizeof(r), fds, 1 + streams) < 0);
}

int proxy(struct world *w)
{
	int conn = world_client(w);

	ask_exec(conn, 0, 0, 3);
	return conn;
}

bool at_end(int conn)
{
	char c;

	return recv(conn, &c, 1, 0) == 0;
}

int heard(struct world *w, void *buf, uint32_t max)
{
	struct pollfd p = {.fd = w->guest, .events = POLLIN};
	struct proto_hdr h;

	if (poll(&p, 1, WORLD_WAIT_MS) != 1 || recv(w->guest, &h, sizeof(h), 0) != sizeof(h))
		return 0;
	BUG_ON(h.len > max || (h.len && recv(w->guest, buf, h.len, 0) != (ssize_t)h.len));
	return h.type;
}

struct proto_exec heard_exec(struct world *w)
{
	struct proto_exec m = {0};

	if (heard(w, &m, sizeof(m)) != PROTO_EXEC)
		m.id = 0;
	return m;
}

uint32_t heard_kill(struct world *w)
{
	struct proto_signal sig = {0};

	return guest_heard(w, &sig) == PROTO_SIGNAL && sig.signo == SIGKILL ? sig.process : 0;
}

bool heard_nothing(struct world *w)
{
	char c;

	return recv(w->guest, &c, 1, MSG_DONTWAIT) < 0;
}

void say_started(struct world *w, uint32_t id)
{
	guest_say(w, PROTO_EXEC_STARTED, &(struct proto_exec_id){.id = id}, 8);
}

void say_exited(struct world *w, uint32_t id, int32_t status)
{
	guest_say(
		w, PROTO_EXEC_EXITED, &(struct proto_exec_exited){.id = id, .status = status}, 16);
}

void say_closed(struct world *w, uint32_t id)
{
	guest_say(w, PROTO_EXEC_CLOSED, &(struct proto_exec_id){.id = id}, 8);
}

void say_failed(struct world *w, uint32_t id, int32_t errnum, uint32_t status, const char *text)
{
	struct proto_exec_failed m = {.id = id, .why = {.errnum = errnum, .exit_status = status}};

	snprintf(m.why.text, sizeof(m.why.text), "%s", text);
	guest_say(w, PROTO_EXEC_FAILED, &m, sizeof(m));
}

uint32_t run_one(struct world *w, int *ret_conn)
{
	struct proto_exec m;

	*ret_conn = proxy(w);
	m = heard_exec(w);
	say_started(w, m.id);
	BUG_ON(ctl_answer(*ret_conn).errnum);
	return m.id;
}

bool is_free_again(struct world *w, uint32_t port)
{
	autofd int conn = proxy(w);
	struct proto_exec m = heard_exec(w);

	say_failed(w, m.id, ENOENT, 127, "no");
	BUG_ON(ctl_answer(conn).errnum != ENOENT);
	say_closed(w, m.id);
	return m.port == port;
}

void exec_start(void)
{
	struct err err = ERR_INIT;
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < 4096 && rl.rlim_max >= 4096) {
		rl.rlim_cur = 4096;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	BUG_ON(life_block_signals(&err));
}
