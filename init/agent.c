/* SPDX-License-Identifier: Apache-2.0 */
#include "init/agent.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init/ask.h"
#include "init/execs.h"
#include "init/first.h"
#include "init/log.h"
#include "init/process.h"
#include "init/loop.h"
#include "init/oom.h"
#include "init/say.h"
#include "lib/base.h"

/* Bounds of one turn, so that neither a host nor a container that is busy holds up the other. */
#define FRAMES_MAX 16
#define REAPED_MAX 256

/* How long the streams of exec'd processes may hold up the end of a container that has ended: a
 * reader that has gone to sleep must not keep the VM. */
#define LINGER_NS 5000000000ull
/* How long after that those may take to die that the end of the container has not reached. */
#define DIE_NS 2000000000ull

static struct agent {
	struct first first;
	struct watch w_control, w_signal;
	int control, sigfd;
	struct proto_rx rx;
	bool more_frames; /* in rx */
	bool more_dead;
	bool control_ended;
	uint64_t
		linger_end; /* boot_ns(); 0: the container has not ended. Then for the next step: */
	enum { LINGER, LINGER_KILLED, LINGER_OVER } linger;
} agent;

void agent_fail(int control, const struct err *err)
{
	struct proto_failed m = say_why(err);

	say_to(control);
	log_msg("%s", m.text);
	say(PROTO_FAILED, &m, sizeof(m));
}

/* --- the dead -----------------------------------------------------------------------------------
 */

static void reap(struct agent *a)
{
	int status;
	pid_t pid;

	a->more_dead = false;
	for (int i = 0; i < REAPED_MAX; i++) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid <= 0)
			return;
		if (pid == a->first.p.pid) {
			first_ended(&a->first, status);
			a->linger_end = boot_ns() + LINGER_NS;
		} else if (!execs_ended(pid, status) && !ask_reaped(pid)) {
			log_step("an orphan has ended: %d", pid);
		}
	}
	a->more_dead = true;
}

static void signal_ready(struct watch *w, uint32_t events)
{
	struct agent *a = container_of(w, struct agent, w_signal);
	struct signalfd_siginfo si;

	while (read(a->sigfd, &si, sizeof(si)) > 0)
		;
	reap(a);
}

/* --- the host -----------------------------------------------------------------------------------
 */

static bool on_signal(struct agent *a, const void *payload)
{
	struct proto_signaled reply = {0};
	struct proto_signal m;
	struct proc *p;

	memcpy(&m, payload, sizeof(m));
	if (m.reserved)
		return false;
	if (m.process == PROTO_PROCESS_ALL && m.signo >= 1 && m.signo <= 64) {
		ask_signal_all(m.id, m.signo);
		return true;
	}
	p = m.process == PROTO_PROCESS_FIRST ? &a->first.p : execs_find(m.process);
	reply.id = m.id;
	if (m.signo < 1 || m.signo > 64)
		reply.errnum = EINVAL;
	else
		reply.errnum = p ? proc_signal(p, m.signo) : ESRCH;
	say(PROTO_SIGNALED, &reply, sizeof(reply));
	return true;
}

/* Only forward: the message takes its time, too. A clock that is far ahead is wrong all the same. */
static void on_clock(const void *payload)
{
	const uint64_t far_ns = 10 * 1000000000ull;
	struct proto_clock m;
	struct timespec t;
	uint64_t own;

	memcpy(&m, payload, sizeof(m));
	clock_gettime(CLOCK_REALTIME, &t);
	own = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
	if (own >= m.realtime_ns && own - m.realtime_ns < far_ns)
		return;
	t.tv_sec = (time_t)(m.realtime_ns / 1000000000ull);
	t.tv_nsec = (long)(m.realtime_ns % 1000000000ull);
	if (clock_settime(CLOCK_REALTIME, &t) < 0)
		log_msg("cannot set the clock: %s", strerror(errno));
}

static bool on_exec(const void *payload)
{
	struct proto_exec m;

	memcpy(&m, payload, sizeof(m));
	return execs_start(&m);
}

static void on_resize(struct agent *a, const void *payload)
{
	struct proto_resize m;
	struct proc *p;

	memcpy(&m, payload, sizeof(m));
	p = m.process == PROTO_PROCESS_FIRST ? &a->first.p : execs_find(m.process);
	if (p)
		proc_resize(p, m.rows, m.cols);
}

static bool on_ask(const struct proto_frame *f)
{
	struct proto_ask m;

	memcpy(&m, f->payload, sizeof(m));
	return ask_start(&m, (const uint8_t *)f->payload + sizeof(m), f->len - (uint32_t)sizeof(m));
}

/* False: not the host's to say, or nonsense. */
static bool on_frame(struct agent *a, const struct proto_frame *f)
{
	switch (f->type) {
	case PROTO_START: first_start(&a->first); return true;
	case PROTO_CLOCK: on_clock(f->payload); return true;
	case PROTO_SIGNAL: return on_signal(a, f->payload);
	case PROTO_EXEC: return on_exec(f->payload);
	case PROTO_RESIZE: on_resize(a, f->payload); return true;
	case PROTO_ASK: return on_ask(f);
	default: return false;
	}
}

static void take_frames(struct agent *a)
{
	struct proto_frame f;
	int r = 0;

	a->more_frames = false;
	for (int i = 0; i < FRAMES_MAX; i++) {
		r = proto_next(&a->rx, &f);
		if (r == 0)
			return;
		if (r < 0 || !on_frame(a, &f)) {
			log_msg("the host does not keep to the protocol");
			a->control_ended = true;
			return;
		}
	}
	a->more_frames = true;
}

static void control_ready(struct watch *w, uint32_t events)
{
	struct agent *a = container_of(w, struct agent, w_control);
	static uint8_t buf[4096];
	ssize_t n;

	if (a->more_frames)
		return; /* first those; they make room */
	n = recv(a->control, buf, MIN(sizeof(buf), (size_t)proto_room(&a->rx)), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		a->control_ended = true;
		return;
	}
	proto_feed(&a->rx, buf, (uint32_t)n);
	take_frames(a);
}

/* --- the loop -----------------------------------------------------------------------------------
 */

/*
 * Exec'd processes after the container's end. One can be out of its group (root of a container without a cgroup
 * namespace moves it), so it is killed by itself; and one that is traced from there is nobody's to reap but its
 * tracer's: it goes with the VM.
 */
static void linger(struct agent *a)
{
	if (execs_none() || a->linger == LINGER_OVER || boot_ns() < a->linger_end)
		return;
	if (a->linger == LINGER_KILLED) {
		log_msg("executed processes that cannot be ended are left behind");
		a->linger = LINGER_OVER;
		return;
	}
	execs_abandon();
	execs_settle();
	a->linger = LINGER_KILLED;
	a->linger_end = boot_ns() + DIE_NS;
}

/* What has come to its end in this turn. EXITED is the last thing the host waits for: not before
 * every byte is out and all others are gone. */
static void settle(struct agent *a)
{
	proc_settle(&a->first.p);
	execs_settle();
	ask_settle();
	if (!first_done(&a->first))
		return;
	linger(a);
	if ((execs_none() || a->linger == LINGER_OVER) && !ask_signalling()) {
		oom_check();
		first_exit(&a->first);
	}
}

static int timeout_ms(const struct agent *a)
{
	uint64_t now = boot_ns(), next = ask_next_ns();

	if (a->more_frames || a->more_dead)
		return 0;
	if (first_done(&a->first) && !execs_none() && a->linger != LINGER_OVER)
		next = MIN(next, a->linger_end);
	if (next == UINT64_MAX)
		return -1;
	/* Past it since settle() looked: again, soon. */
	return now >= next ? 10 : (int)((next - now) / 1000000) + 1;
}

static void loop(struct agent *a)
{
	while (!a->control_ended) {
		int r = loop_turn(timeout_ms(a));

		if (r < 0) {
			log_msg("epoll: %s", strerror(-r));
			return;
		}
		if (a->more_frames)
			take_frames(a);
		if (a->more_dead)
			reap(a);
		settle(a);
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

static int listen_all(struct agent *a, struct err *err)
{
	sigset_t set;
	int r = loop_open(err);

	if (r < 0)
		return r;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	a->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (a->sigfd < 0)
		return err_set(err, errno, "signalfd");
	r = watch_set(&a->w_signal, a->sigfd, EPOLLIN);
	if (r == 0)
		r = watch_set(&a->w_control, a->control, EPOLLIN);
	return r < 0 ? err_set(err, -r, "epoll") : 0;
}

void agent_run(const struct init_env *env, const struct gspec *spec)
{
	struct agent *a = &agent;
	struct err err = ERR_INIT;
	sigset_t set;

	process_setup(spec);
	a->control = env->control;
	a->w_control = (struct watch)WATCH_OFF(control_ready);
	a->w_signal = (struct watch)WATCH_OFF(signal_ready);
	say_to(a->control);
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL); /* SIGPIPE too: errors are errors */
	/* Children are in the container before they are as little as its processes: those must not
	 * trace them, nor see their descriptors (CVE-2016-9962). */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (listen_all(a, &err) < 0) {
		agent_fail(a->control, &err);
		agent_wait(a->control);
		return;
	}
	first_spawn(&a->first, env, spec);
	execs_open(&a->first);
	ask_open(&a->first);
	if (a->first.phase != FIRST_OVER)
		oom_open(a->first.c.group);
	loop(a);
}
