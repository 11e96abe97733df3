/* SPDX-License-Identifier: Apache-2.0 */
#include "init/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "init/cgroup.h"
#include "init/child.h"
#include "init/log.h"
#include "init/relay.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

enum phase {
	PREPARING, /* the child works on the container */
	CREATED,   /* READY sent; waiting for START */
	STARTING,  /* told to execute */
	RUNNING,   /* STARTED sent */
	OVER,      /* EXITED or FAILED sent; only the control channel's end is awaited */
};

enum { POLL_CONTROL, POLL_SIGNAL, POLL_CHILD, POLL_RELAYS, POLL_FDS = POLL_RELAYS + 2 * 3 };

static struct agent {
	const struct init_env *env;
	const struct gspec *spec;
	struct container c;
	enum phase phase;
	bool reaped; /* the first process has ended, with wait_status */
	int wait_status;
	int sigfd;
	uint64_t rootfs_ns;
	struct relay relays[3]; /* by stream */
	struct proto_rx rx;
} agent;

int exit_status_of(int wait_status, uint32_t *ret_signo)
{
	*ret_signo = WIFSIGNALED(wait_status) ? (uint32_t)WTERMSIG(wait_status) : 0;
	return *ret_signo ? 128 + (int)*ret_signo : WEXITSTATUS(wait_status);
}

/* A peer that does not listen any more is noticed by the event loop; there is no other to tell. */
static void say(int control, enum proto_type type, const void *payload, uint32_t len)
{
	int r = proto_send(control, type, payload, len);

	if (r < 0)
		log_msg("cannot send message %d: %s", type, strerror(-r));
}

void agent_fail(int control, const struct err *err)
{
	struct proto_failed m = {
		.errnum = err->errnum,
		.exit_status = err->exit_status > 0 ? (uint32_t)err->exit_status : 1,
	};

	text_copy(m.text, err->msg);
	log_msg("%s", m.text);
	say(control, PROTO_FAILED, &m, sizeof(m));
}

static void say_times(struct agent *a, enum proto_type type)
{
	struct proto_ready m = {.rootfs_ns = a->rootfs_ns, .now_ns = boot_ns()};

	say(a->env->control, type, &m, sizeof(m));
}

static void stop_streams(struct agent *a)
{
	for (int i = 0; i < 3; i++)
		relay_stop(&a->relays[i]);
}

static void over(struct agent *a, const struct err *err)
{
	a->phase = OVER;
	stop_streams(a);
	agent_fail(a->env->control, err);
}

/* --- the child ----------------------------------------------------------------------------------
 */

static void start_relay(struct agent *a, int i, int inner)
{
	int outer = a->env->streams[i];

	if (outer < 0 || inner < 0)
		return;
	if (i == 0)
		relay_start_take(&a->relays[i], outer, inner, false);
	else
		relay_start_take(&a->relays[i], inner, outer, true);
}

static void child_ready(struct agent *a, const struct child_msg *m)
{
	struct err err = ERR_INIT;

	a->rootfs_ns = m->rootfs_ns;
	if (cgroup_attach_devices(a->c.group, a->spec, &err) < 0) {
		over(a, &err);
		return;
	}
	a->phase = CREATED;
	say_times(a, PROTO_READY);
}

static void child_said(struct agent *a, const struct child_msg *m, int fd)
{
	struct err err = ERR_INIT;

	if (m->kind == CHILD_TERMINAL && fd >= 0) {
		start_relay(a, 0, fcntl(fd, F_DUPFD_CLOEXEC, 0));
		start_relay(a, 1, take_fd(&fd));
	} else if (m->kind == CHILD_READY && a->phase == PREPARING) {
		child_ready(a, m);
	} else if (m->kind == CHILD_FAILED && a->phase != OVER) {
		err_plain(&err, m->errnum, "%.*s", (int)sizeof(m->text) - 1, m->text);
		err.exit_status = (int)m->exit_status;
		over(a, &err);
	}
	if (fd >= 0)
		close(fd);
}

/* The report socket's end: execve(2) closed it, or the child died; reap() finds out which. */
static void child_closed(struct agent *a)
{
	close_fd(&a->c.sock);
	if (a->phase != STARTING)
		return;
	a->phase = RUNNING;
	say_times(a, PROTO_STARTED);
}

static void child_readable(struct agent *a)
{
	while (a->c.sock >= 0) {
		struct child_msg m;
		unsigned n_fds = 0;
		struct pollfd pf = {.fd = a->c.sock, .events = POLLIN};
		int fd = -1;
		ssize_t n;

		if (poll(&pf, 1, 0) != 1)
			return;
		n = recv_fds(a->c.sock, &m, sizeof(m), &fd, 1, &n_fds);
		if (n == sizeof(m))
			child_said(a, &m, n_fds ? fd : -1);
		else
			child_closed(a);
	}
}

static void first_process_ended(struct agent *a)
{
	struct err err = ERR_INIT;
	uint32_t signo;
	int status;

	child_readable(a); /* what it said last comes before its end */
	a->reaped = true;
	relay_stop(&a->relays[0]);
	if (!(a->spec->namespaces & GNS_PID)) {
		int r = cgroup_kill(a->c.group);

		if (r < 0)
			log_msg("cannot kill the container's cgroup: %s", strerror(-r));
	}
	status = exit_status_of(a->wait_status, &signo);
	if (a->phase != PREPARING)
		return;
	err_plain(&err, ESRCH,
		"the container's first process ended while it was being prepared (%s %d)",
		signo ? "signal" : "status", signo ? (int)signo : status);
	over(a, &err);
}

static void reap(struct agent *a)
{
	struct signalfd_siginfo si;
	int status;
	pid_t pid;

	while (read(a->sigfd, &si, sizeof(si)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != a->c.pid)
			continue; /* an orphan */
		a->wait_status = status;
		first_process_ended(a);
	}
}

/* --- the host -----------------------------------------------------------------------------------
 */

static void on_start(struct agent *a)
{
	if (a->phase != CREATED || a->reaped) {
		log_msg("START ignored: nothing waits for it");
		return;
	}
	a->phase = STARTING;
	if (send(a->c.sock, "", 1, MSG_NOSIGNAL) < 0)
		log_msg("the first process is gone: %s", strerror(errno)); /* reap() reports it */
}

static void on_signal(struct agent *a, const void *payload)
{
	struct proto_signaled reply = {0};
	struct proto_signal m;

	memcpy(&m, payload, sizeof(m));
	reply.id = m.id;
	if (m.signo < 1 || m.signo > 64)
		reply.errnum = EINVAL;
	else if (a->reaped || a->c.pid <= 0)
		reply.errnum = ESRCH;
	else if (kill(a->c.pid, (int)m.signo) < 0)
		reply.errnum = errno;
	say(a->env->control, PROTO_SIGNALED, &reply, sizeof(reply));
}

/* False when the channel has ended or speaks nonsense. */
static bool control_readable(struct agent *a)
{
	static uint8_t buf[4096];
	struct proto_frame f;
	ssize_t n;
	int r;

	n = recv(a->env->control, buf, MIN(sizeof(buf), (size_t)proto_room(&a->rx)), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	proto_feed(&a->rx, buf, (uint32_t)n);
	while ((r = proto_next(&a->rx, &f)) == 1) {
		if (f.type == PROTO_START)
			on_start(a);
		else if (f.type == PROTO_SIGNAL)
			on_signal(a, f.payload);
		else
			r = -EPROTO; /* ours to say, not the host's */
		if (r < 0)
			break;
	}
	if (r < 0)
		log_msg("the host does not keep to the protocol");
	return r >= 0;
}

/* --- the loop -----------------------------------------------------------------------------------
 */

static void flush_files(struct agent *a)
{
	autofd int share = -1;

	sync();
	/* Once more: what sync() made loop-mounted file systems write lands in files of the share.
	 */
	share = openat(a->env->share, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (share < 0 || syncfs(share) < 0)
		log_msg("cannot sync the share: %s", strerror(errno));
}

/* EXITED is the last thing the host waits for: not before every byte is out and every file is
 * written. */
static void finish_if_done(struct agent *a)
{
	struct proto_exited m = {0};

	if (!a->reaped || a->phase == OVER || a->relays[1].open || a->relays[2].open)
		return;
	flush_files(a);
	m.status = exit_status_of(a->wait_status, &m.signo);
	m.now_ns = boot_ns();
	a->phase = OVER;
	say(a->env->control, PROTO_EXITED, &m, sizeof(m));
}

static void loop(struct agent *a)
{
	struct pollfd pf[POLL_FDS];

	for (;;) {
		pf[POLL_CONTROL] = (struct pollfd){.fd = a->env->control, .events = POLLIN};
		pf[POLL_SIGNAL] = (struct pollfd){.fd = a->sigfd, .events = POLLIN};
		pf[POLL_CHILD] = (struct pollfd){.fd = a->c.sock, .events = POLLIN};
		for (int i = 0; i < 3; i++)
			relay_want(&a->relays[i], &pf[POLL_RELAYS + 2 * i]);
		if (poll(pf, POLL_FDS, -1) < 0) {
			if (errno == EINTR)
				continue;
			log_msg("poll: %s", strerror(errno));
			return;
		}
		for (int i = 0; i < 3; i++)
			relay_run(&a->relays[i], &pf[POLL_RELAYS + 2 * i]);
		if (pf[POLL_CHILD].revents)
			child_readable(a);
		if (pf[POLL_SIGNAL].revents)
			reap(a);
		if (pf[POLL_CONTROL].revents && !control_readable(a))
			return;
		finish_if_done(a);
	}
}

void agent_wait(int control)
{
	char buf[256];
	ssize_t n;

	do {
		n = read(control, buf, sizeof(buf));
	} while (n > 0 || (n < 0 && errno == EINTR));
}

void agent_run(const struct init_env *env, const struct gspec *spec)
{
	struct agent *a = &agent;
	struct err err = ERR_INIT;
	sigset_t set;

	a->env = env;
	a->spec = spec;
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL); /* SIGPIPE too: errors are errors */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	a->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (a->sigfd < 0) {
		err_set(&err, errno, "signalfd");
		over(a, &err);
	} else if (container_spawn(env, spec, &a->c, &err) < 0) {
		over(a, &err);
	}
	for (int i = 0; i < 3 && a->phase != OVER; i++)
		start_relay(a, i, a->c.stdio[i]);
	loop(a);
}
