/* SPDX-License-Identifier: Apache-2.0 */
#include "init/execs.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "init/enter.h"
#include "init/fail.h"
#include "init/log.h"
#include "init/say.h"
#include "lib/base.h"
#include "lib/cleanup.h"

#define FLAGS_ALL (GPROC_TERMINAL | GPROC_STDIN_NULL | GPROC_STDOUT_NULL | GPROC_STDERR_NULL)
#define BUF_BYTES (16u << 10)
/* Of each: report, specification while it is forked, three pipes and three streams; and the rest of
 * init's. */
#define FDS_MAX (PROTO_EXECS_MAX * 8 + 256)

enum exec_phase {
	EXEC_FREE,
	EXEC_PREPARING,
	EXEC_READY,   /* its child has said that only execve(2) is left */
	EXEC_RUNNING, /* EXEC_STARTED sent */
	EXEC_FAILED,  /* EXEC_FAILED sent */
	EXEC_EXITED,  /* EXEC_EXITED sent; others may still hold its streams */
};

struct exec {
	struct proc p;
	uint32_t id;
	enum exec_phase phase;
};

static struct exec execs[PROTO_EXECS_MAX];
static unsigned execs_used;
/* Page-aligned, as they are given back to the kernel when a slot ends. */
static _Alignas(4096) uint8_t bufs[PROTO_EXECS_MAX][3][BUF_BYTES];
static const struct first *container;
static struct rlimit own_nofile; /* what processes are born with */

/* What a process is made of until everything has found its place; -1: not there. */
struct launch {
	int spec, outer[3], inner[3], theirs[3], sock[2];
};

static void launch_release(struct launch *l)
{
	close_fd(&l->spec);
	for (int i = 0; i < 3; i++) {
		close_fd(&l->outer[i]);
		close_fd(&l->inner[i]);
		close_fd(&l->theirs[i]);
	}
	close_fd(&l->sock[0]);
	close_fd(&l->sock[1]);
}

void execs_open(const struct first *first)
{
	struct rlimit more;

	container = first;
	if (getrlimit(RLIMIT_NOFILE, &own_nofile) < 0)
		log_msg("cannot get the limit of descriptors: %s", strerror(errno));
	more.rlim_cur = MAX(own_nofile.rlim_cur, (rlim_t)FDS_MAX);
	more.rlim_max = MAX(own_nofile.rlim_max, (rlim_t)FDS_MAX);
	if (setrlimit(RLIMIT_NOFILE, &more) < 0)
		log_msg("cannot raise the limit of descriptors: %s", strerror(errno));
}

/* --- what is said -------------------------------------------------------------------------------
 */

static void say_id(enum proto_type type, uint32_t id)
{
	struct proto_exec_id m = {.id = id};

	say(type, &m, sizeof(m));
}

static void say_failed(uint32_t id, const struct err *err)
{
	struct proto_exec_failed m = {.id = id, .why = say_why(err)};

	say(PROTO_EXEC_FAILED, &m, sizeof(m));
}

/* It does not come to execve(2). */
static void fail_exec(struct exec *e, const struct err *err)
{
	e->phase = EXEC_FAILED;
	proc_stop_streams(&e->p);
	say_failed(e->id, err);
}

static void said(struct proc *p, const struct child_msg *m)
{
	struct exec *e = container_of(p, struct exec, p);
	struct err err = ERR_INIT;

	if (m->kind == CHILD_READY && e->phase == EXEC_PREPARING) {
		e->phase = EXEC_READY;
	} else if (m->kind == CHILD_FAILED && e->phase < EXEC_RUNNING) {
		err_plain(&err, m->errnum, "%.*s", (int)sizeof(m->text) - 1, m->text);
		err.exit_status = (int)m->exit_status;
		fail_exec(e, &err);
	}
}

/* execve(2) closed the report socket; before READY it can only be the child's death, which
 * execs_ended() reports. */
static void closed(struct proc *p)
{
	struct exec *e = container_of(p, struct exec, p);

	if (e->phase != EXEC_READY)
		return;
	e->phase = EXEC_RUNNING;
	say_id(PROTO_EXEC_STARTED, e->id);
}

static const struct proc_ops ops = {.said = said, .closed = closed};

/* --- the start ----------------------------------------------------------------------------------
 */

static int connect_streams(struct launch *l, const struct proto_exec *m, struct err *err)
{
	const struct init_env *env = container->env;

	l->spec = env->connect(m->port + PROTO_EXEC_SPEC, err);
	if (l->spec < 0)
		return l->spec;
	for (unsigned i = 0; i < 3; i++) {
		if (!child_has_stream(m->flags, (int)i))
			continue;
		l->outer[i] = env->connect(m->port + PROTO_EXEC_STDIN + i, err);
		if (l->outer[i] < 0)
			return l->outer[i];
	}
	return 0;
}

static int prepare_launch(struct launch *l, const struct proto_exec *m, struct err *err)
{
	int r = connect_streams(l, m, err);

	if (r < 0)
		return r;
	r = child_pipes(m->flags, l->inner, l->theirs);
	if (r < 0)
		return fail(err, -r, "cannot make a pipe");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, l->sock) < 0)
		return fail(err, errno, "socketpair");
	return 0;
}

static int launch(struct exec *e, const struct proto_exec *m, struct err *err)
{
	struct launch l = {-1, {-1, -1, -1}, {-1, -1, -1}, {-1, -1, -1}, {-1, -1}};
	int r = prepare_launch(&l, m, err);

	if (r == 0) {
		struct enter x = {
			.env = container->env,
			.c = &container->c,
			.of = container->spec,
			.flags = m->flags,
			.nofile = own_nofile,
			.spec = l.spec,
			.stdio = {l.theirs[0], l.theirs[1], l.theirs[2]},
			.report = l.sock[1],
		};

		r = e->p.pid = enter_fork(&x, err);
	}
	if (r >= 0) {
		/* From here on the process is there: whatever fails is told by its end. */
		proc_streams_take(&e->p, l.outer, l.inner);
		r = proc_listen_take(&e->p, &l.sock[0]);
		if (r < 0) {
			kill(e->p.pid, SIGKILL);
			log_msg("epoll: %s", strerror(-r));
		}
		r = 0;
	}
	launch_release(&l);
	return r;
}

/* 0, or why the container takes no process now. */
static int may_start(struct err *err)
{
	if (container->phase == FIRST_PREPARING)
		return err_plain(err, EAGAIN, "cannot exec in a container that is being created");
	if (container->phase == FIRST_OVER || container->p.reaped)
		return err_plain(err, ESRCH, "cannot exec in a stopped container");
	if (execs_used == PROTO_EXECS_MAX)
		return err_plain(err, EAGAIN, "too many processes are executed at a time");
	return 0;
}

static struct exec *free_slot(void)
{
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++)
		if (execs[i].phase == EXEC_FREE)
			return &execs[i];
	BUG_ON(true); /* execs_used said there is one */
	return NULL;
}

static void free_exec(struct exec *e)
{
	e->phase = EXEC_FREE;
	execs_used--;
	say_id(PROTO_EXEC_CLOSED, e->id);
}

bool execs_start(const struct proto_exec *m)
{
	struct err err = ERR_INIT;
	struct exec *e;

	if (m->id == PROTO_PROCESS_FIRST || m->id == PROTO_PROCESS_ALL || m->reserved ||
		(m->flags & ~FLAGS_ALL) || m->port > UINT32_MAX - PROTO_EXEC_PORTS ||
		execs_find(m->id))
		return false;
	if (may_start(&err) < 0) {
		say_failed(m->id, &err);
		say_id(PROTO_EXEC_CLOSED, m->id);
		return true;
	}
	e = free_slot();
	proc_init(&e->p, &ops, m->flags, bufs[e - execs][0], BUF_BYTES);
	e->id = m->id;
	e->phase = EXEC_PREPARING;
	execs_used++;
	if (launch(e, m, &err) < 0) {
		say_failed(e->id, &err);
		free_exec(e); /* nothing of it has been waited for yet */
	}
	return true;
}

/* --- the end ------------------------------------------------------------------------------------
 */

struct proc *execs_find(uint32_t id)
{
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++)
		if (execs[i].phase != EXEC_FREE && execs[i].id == id)
			return &execs[i].p;
	return NULL;
}

bool execs_none(void)
{
	return execs_used == 0;
}

static void ended(struct exec *e, int wait_status)
{
	struct err err = ERR_INIT;
	uint32_t signo;
	int status = exit_status_of(wait_status, &signo);

	proc_hear(&e->p); /* what it said last comes before its end */
	e->p.reaped = true;
	e->p.wait_status = wait_status;
	for (int i = 1; i < 3; i++)
		relay_mark(&e->p.relays[i]);
	if (e->phase >= EXEC_RUNNING)
		return;
	err_plain(&err, ESRCH, "the process ended before it was executed (%s %d)",
		signo ? "signal" : "status", signo ? (int)signo : status);
	fail_exec(e, &err);
}

bool execs_ended(pid_t pid, int wait_status)
{
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++) {
		struct exec *e = &execs[i];

		if (e->phase == EXEC_FREE || e->p.reaped || e->p.pid != pid)
			continue;
		ended(e, wait_status);
		return true;
	}
	return false;
}

static void say_exited(struct exec *e)
{
	struct proto_exec_exited m = {.id = e->id};

	m.status = exit_status_of(e->p.wait_status, &m.signo);
	e->phase = EXEC_EXITED;
	say(PROTO_EXEC_EXITED, &m, sizeof(m));
}

static void settle(struct exec *e)
{
	proc_settle(&e->p);
	if (!e->p.reaped)
		return;
	if (e->phase == EXEC_RUNNING && relay_past_mark(&e->p.relays[1]) &&
		relay_past_mark(&e->p.relays[2]))
		say_exited(e);
	if ((e->phase != EXEC_EXITED && e->phase != EXEC_FAILED) || proc_streams_open(&e->p))
		return;
	if (madvise(bufs[e - execs], sizeof(bufs[0]), MADV_DONTNEED) < 0)
		log_msg("cannot give buffers back: %s", strerror(errno));
	free_exec(e);
}

void execs_settle(void)
{
	for (unsigned i = 0, left = execs_used; i < PROTO_EXECS_MAX && left; i++) {
		if (execs[i].phase == EXEC_FREE)
			continue;
		left--;
		settle(&execs[i]);
	}
}

void execs_abandon(void)
{
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++) {
		struct exec *e = &execs[i];

		if (e->phase == EXEC_FREE)
			continue;
		if (!e->p.reaped)
			proc_signal(&e->p, SIGKILL);
		if (proc_streams_open(&e->p)) {
			log_msg("the streams of an executed process are given up");
			proc_stop_streams(&e->p);
		}
	}
}
