/* SPDX-License-Identifier: Apache-2.0 */
#include "init/ask.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init/cgroup.h"
#include "init/child.h"
#include "init/container.h"
#include "init/fail.h"
#include "init/log.h"
#include "init/loop.h"
#include "init/namespaces.h"
#include "init/procfs.h"
#include "init/ps.h"
#include "init/say.h"
#include "init/stats.h"
#include "lib/base.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

#define ASK_NS         15000000000ull  /* for one question; below the VMM's LIFE_ASK_MS */
#define FREEZE_WAIT_MS 3000            /* below the VMM's LIFE_FREEZE_MS */
#define SIGNAL_ALL     PROTO_QUESTIONS /* beside enum proto_question */
#define PER_MESSAGE    (PROTO_ANSWER_MAX / sizeof(struct proto_process))

/* From the child to init, on a seqpacket socket; and on to the host as it is. */
struct message {
	struct proto_answer head;
	uint8_t payload[PROTO_ANSWER_MAX];
};

struct ask {
	bool used;
	bool told; /* the last answer has been sent */
	uint32_t id, what;
	int sock;          /* -1 when the child is done */
	pid_t pid;         /* 0: reaped, the number may be another's by now */
	uint64_t until_ns; /* boot_ns() */
	struct watch w;
};

static struct ask asks[ASKS_MAX];
static const struct first *container;

/* --- the child ----------------------------------------------------------------------------------
 */

struct worker {
	uint32_t id, what, signo;
	struct rbuf payload;
	int sock;
	struct message out;
	uint32_t n_processes; /* in out */
};

static int answer(struct worker *w, const void *data, uint32_t len, bool more)
{
	w->out.head = (struct proto_answer){.id = w->id, .more = more};
	if (data)
		memcpy(w->out.payload, data, len);
	return send(w->sock, &w->out, sizeof(w->out.head) + len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int add_process(void *arg, pid_t pid)
{
	struct worker *w = arg;
	struct proto_process p;
	int r = 0;

	if (!ps_read(pid, container->spec->namespaces & GNS_PID, &p))
		return 0; /* gone meanwhile */
	memcpy(w->out.payload + w->n_processes++ * sizeof(p), &p, sizeof(p));
	if (w->n_processes == PER_MESSAGE) {
		r = answer(w, NULL, w->n_processes * sizeof(p), true);
		w->n_processes = 0;
	}
	return r;
}

static int tell_processes(struct worker *w, struct err *err)
{
	int r = procfs_dir();

	if (r < 0)
		return fail(err, -r, "cannot make a procfs");
	r = cgroup_each(container->c.group, add_process, w);
	if (r < 0)
		return fail(err, -r, "cannot list the container's processes");
	return answer(w, NULL, w->n_processes * sizeof(struct proto_process), false);
}

static int tell_stats(struct worker *w)
{
	struct proto_stats s;

	stats_read(container->c.group, &s);
	return answer(w, &s, sizeof(s), false);
}

static int update(struct worker *w, struct err *err)
{
	uint32_t n = rbuf_count(&w->payload, GSPEC_CGFILES_MAX, 2 * 5);

	for (uint32_t i = 0; i < n; i++) {
		struct gkeyval kv = {.key = rbuf_str(&w->payload, PROTO_ASK_MAX),
			.value = rbuf_str(&w->payload, PROTO_ASK_MAX)};
		int r;

		if (!rbuf_ok(&w->payload))
			break;
		r = cgroup_put(container->c.group, &kv, err);
		if (r < 0)
			return r;
		/* What is paused does nothing more, also when it is let run for a question (vmm/life_pause.c). */
		if (!strcmp(kv.key, "cgroup.freeze") && !strcmp(kv.value, "1"))
			cgroup_await_frozen(container->c.group, FREEZE_WAIT_MS);
	}
	if (!rbuf_done(&w->payload))
		return err_plain(err, EPROTO, "the list of cgroup files is malformed");
	return answer(w, NULL, 0, false);
}

static int signal_all(struct worker *w, struct err *err)
{
	int r = cgroup_signal(container->c.group, (int)w->signo);

	return r < 0 ? fail(err, -r, "cannot signal") : answer(w, NULL, 0, false);
}

static int work(struct worker *w, struct err *err)
{
	switch (w->what) {
	case PROTO_ASK_PROCESSES: return tell_processes(w, err);
	case PROTO_ASK_STATS: return tell_stats(w);
	case PROTO_ASK_UPDATE: return update(w, err);
	default: return signal_all(w, err);
	}
}

static _Noreturn void worker_main(struct worker *w)
{
	const int keep[] = {w->sock, container->c.group};
	static struct err err;
	char text[PROTO_TEXT_MAX];
	size_t len;

	procfs_forget();
	if (child_keep_only(keep, ARRAY_SIZE(keep)) < 0)
		fail(&err, errno, "close_range");
	else
		work(w, &err);
	if (err_is_set(&err)) {
		text_copy(text, err.msg);
		len = strlen(text);
		w->out.head = (struct proto_answer){.id = w->id, .errnum = err.errnum};
		memcpy(w->out.payload, text, len);
		if (send(w->sock, &w->out, sizeof(w->out.head) + len, MSG_NOSIGNAL) < 0)
			_exit(1);
	}
	_exit(0);
}

/* --- init ---------------------------------------------------------------------------------------
 */

static void say_answer(const struct ask *a, const struct message *m, uint32_t len)
{
	struct proto_signaled s = {.id = a->id, .errnum = m->head.errnum};

	if (a->what == SIGNAL_ALL)
		say(PROTO_SIGNALED, &s, sizeof(s));
	else
		say(PROTO_ANSWER, m, (uint32_t)sizeof(m->head) + len);
}

/* Answers what was never begun, or never ended. */
static void say_error(const struct ask *a, const struct err *err)
{
	struct message m = {.head = {.id = a->id, .errnum = err->errnum}};
	char text[PROTO_TEXT_MAX];

	text_copy(text, err->msg);
	memcpy(m.payload, text, strlen(text));
	say_answer(a, &m, (uint32_t)strlen(text));
}

/* The child is done. If it has not told everything, that is an error: errnum, why. */
static void ended(struct ask *a, int errnum, const char *why)
{
	struct err err = ERR_INIT;

	watch_off(&a->w);
	close_fd(&a->sock);
	if (a->told)
		return;
	a->told = true;
	if (a->what == SIGNAL_ALL)
		cgroup_thaw(container->c.group);
	err_plain(&err, errnum, "%s", why);
	say_error(a, &err);
}

/*
 * The container may hold the child: by a file system of its own that the memory of its processes is in, or, where it has init's pid
 * namespace, by signals and ptrace. So it is init that watches the time, and does not wait for the child's death
 * either, which a file system can put off.
 */
static void expire(struct ask *a)
{
	if (a->pid)
		kill(a->pid, SIGKILL);
	ended(a, ETIMEDOUT, "the container holds up the answer");
}

static void ready(struct watch *w, uint32_t events)
{
	struct ask *a = container_of(w, struct ask, w);
	static struct message m;
	ssize_t n = recv(a->sock, &m, sizeof(m), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < (ssize_t)sizeof(m.head)) {
		ended(a, EIO, "the process that was to answer has been killed");
		return;
	}
	a->told = !m.head.more;
	say_answer(a, &m, (uint32_t)((size_t)n - sizeof(m.head)));
	if (a->told)
		ended(a, 0, "");
}

static struct ask *free_ask(void)
{
	for (unsigned i = 0; i < ASKS_MAX; i++)
		if (!asks[i].used)
			return &asks[i];
	return NULL;
}

/* Forks the child for a; w->id and what it is to do are set. */
static int spawn(struct ask *a, struct worker *w, struct err *err)
{
	autofd int ours = -1, theirs = -1;
	int sock[2], r;
	pid_t pid;

	if (container->phase == FIRST_PREPARING || container->phase == FIRST_OVER ||
		container->p.reaped)
		return err_plain(err, ESRCH, "container not running");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
		return fail(err, errno, "socketpair");
	ours = sock[0];
	theirs = sock[1];
	r = watch_set(&a->w, ours, EPOLLIN);
	if (r < 0)
		return fail(err, -r, "epoll");
	w->sock = theirs;
	pid = ns_fork(0, -1);
	if (pid == 0)
		worker_main(w);
	if (pid < 0) {
		watch_off(&a->w);
		return fail(err, -pid, "cannot fork");
	}
	a->sock = take_fd(&ours);
	a->pid = pid;
	a->until_ns = boot_ns() + ASK_NS;
	return 0;
}

static void start(struct worker *w)
{
	struct ask none = {.id = w->id, .what = w->what}, *a = free_ask();
	struct err err = ERR_INIT;

	if (!a) {
		err_plain(&err, EAGAIN, "too many questions at a time");
		say_error(&none, &err);
		return;
	}
	*a = (struct ask){.id = w->id, .what = w->what, .sock = -1, .w = WATCH_OFF(ready)};
	if (spawn(a, w, &err) < 0)
		say_error(a, &err); /* the slot has not been used */
	else
		a->used = true;
}

void ask_open(const struct first *first)
{
	container = first;
}

bool ask_start(const struct proto_ask *m, const void *payload, uint32_t len)
{
	static struct worker w; /* the child's own copy is what it works with */

	if (m->what < PROTO_ASK_PROCESSES || m->what >= PROTO_QUESTIONS ||
		(len && m->what != PROTO_ASK_UPDATE))
		return false;
	w.id = m->id;
	w.what = m->what;
	w.payload = rbuf_of(payload, len);
	start(&w);
	return true;
}

void ask_signal_all(uint32_t id, uint32_t signo)
{
	static struct worker w;

	w.id = id;
	w.what = SIGNAL_ALL;
	w.signo = signo;
	start(&w);
}

bool ask_signalling(void)
{
	for (unsigned i = 0; i < ASKS_MAX; i++)
		if (asks[i].used && asks[i].what == SIGNAL_ALL)
			return true;
	return false;
}

bool ask_reaped(pid_t pid)
{
	for (unsigned i = 0; i < ASKS_MAX; i++)
		if (asks[i].used && asks[i].pid == pid) {
			asks[i].pid = 0;
			return true;
		}
	return false;
}

uint64_t ask_next_ns(void)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < ASKS_MAX; i++)
		if (asks[i].used)
			next = MIN(next, asks[i].until_ns);
	return next;
}

void ask_settle(void)
{
	uint64_t now = boot_ns();

	for (unsigned i = 0; i < ASKS_MAX; i++) {
		struct ask *a = &asks[i];

		if (a->used && a->sock >= 0 && now >= a->until_ns)
			expire(a);
		if (a->used && a->sock < 0)
			a->used = false;
	}
}
