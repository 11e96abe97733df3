/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/hooks.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "oci/json_gate.h"
#include "runtime/log.h"
#include "runtime/signals.h"

#define OUTPUT_MAX 400 /* bytes of each stream that a failure's message shows */
#define FIRST_FREE 10  /* descriptors from here on are not 0 to 3 */
#define REPORT_FD  3   /* where the child says why it could not execute */
#define CHUNK      4096
#define CHUNKS_MAX 16 /* read at a time: what a pipe holds */

enum { WAIT_END, WAIT_OUT, WAIT_ERR, WAIT_TIMER, WAIT_VMM, WAITS };

struct running {
	pid_t pid;
	int fd[WAITS]; /* pidfd, read ends of standard output and error, timer, the VMM's pidfd */
	char text[WAITS][OUTPUT_MAX + 1]; /* of the two streams */
	size_t len[WAITS];
	int status;
};

/* --- the child ---------------------------------------------------------------------------------- */

static int enter_namespaces(const struct hook_env *env)
{
	autofd int pidfd = -1;

	if (env->enter <= 0)
		return 0;
	pidfd = (int)syscall(SYS_pidfd_open, env->enter, 0);
	if (pidfd < 0 || setns(pidfd, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		return -errno;
	return 0;
}

/* stdio: three, then the report's write end. */
static int place(const int stdio[4])
{
	int high[4];

	for (int i = 0; i < 4; i++) {
		high[i] = fcntl(stdio[i], F_DUPFD_CLOEXEC, FIRST_FREE);
		if (high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < 4; i++)
		if (dup3(high[i], i, i == REPORT_FD ? O_CLOEXEC : 0) < 0)
			return -errno;
	return syscall(SYS_close_range, REPORT_FD + 1, ~0u, 0) < 0 ? -errno : 0;
}

static void reset_signals(void)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int s = 1; s <= SIGRTMAX; s++)
		sigaction(s, &dfl, NULL); /* what an engine ignores is not the hook's affair */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child(
	const struct ghook *h, const struct hook_env *env, const int stdio[4], pid_t parent)
{
	static const char *const no_env[] = {NULL};
	const char *const alone[] = {h->path, NULL};
	int r;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	reset_signals();
	r = place(stdio);
	if (r == 0)
		r = enter_namespaces(env);
	if (r == 0) {
		/* The namespaces are clones made a moment ago: the path leads where it led. */
		if (env->dir && chdir(env->dir) < 0 && chdir("/") < 0)
			r = -errno;
		else
			execve(h->path, (char **)(h->args.n ? h->args.v : alone),
				(char **)(h->env.n ? h->env.v : no_env));
		r = r ? r : -errno;
	}
	r = -r;
	(void)write_full(REPORT_FD, &r, sizeof(r));
	_exit(127);
}

/* --- the parent --------------------------------------------------------------------------------- */

static void release(struct running *p)
{
	for (int i = 0; i < WAITS; i++)
		close_fd(&p->fd[i]);
}

static void finish_off(struct running *p)
{
	kill(-p->pid, SIGKILL); /* and what it has started itself */
	kill(p->pid, SIGKILL);
	while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR)
		;
}

/* 0: executed. Else why not, as the child says. */
static int read_report(int fd)
{
	int errnum, r = read_full(fd, &errnum, sizeof(errnum));

	if (r == -EPIPE)
		return 0; /* execve(2) has closed it */
	return r < 0 ? r : -errnum;
}

static int start(struct running *p, const struct ghook *h, const struct hook_env *env, int in_fd)
{
	autofd int out_w = -1, err_w = -1, report_r = -1, report_w = -1;
	pid_t parent = getpid();
	int fd[2], r;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	report_r = fd[0];
	report_w = fd[1];
	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	p->fd[WAIT_OUT] = fd[0];
	out_w = fd[1];
	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	p->fd[WAIT_ERR] = fd[0];
	err_w = fd[1];
	if (fcntl(p->fd[WAIT_OUT], F_SETFL, O_NONBLOCK) < 0 ||
		fcntl(p->fd[WAIT_ERR], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	p->pid = fork();
	if (p->pid == 0)
		child(h, env, (const int[4]){in_fd, out_w, err_w, report_w}, parent);
	if (p->pid < 0)
		return -errno;
	setpgid(p->pid, p->pid); /* as the child does: whoever comes first */
	close_fd(&report_w);
	r = read_report(report_r);
	if (r == 0) {
		p->fd[WAIT_END] = (int)syscall(SYS_pidfd_open, p->pid, 0);
		r = p->fd[WAIT_END] < 0 ? -errno : 0;
	}
	if (r < 0)
		finish_off(p);
	return r;
}

/* Takes what is there, so that the hook never waits for us, and keeps the beginning. At the end the
 * descriptor is closed. Bounded: one that writes without end must not keep us from the clock. */
static void collect(struct running *p, int i)
{
	char buf[CHUNK];
	ssize_t n;

	for (int k = 0; k < CHUNKS_MAX && p->fd[i] >= 0; k++) {
		n = read(p->fd[i], buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close_fd(&p->fd[i]); /* that takes it out of the epoll set, too */
			return;
		}
		n = (ssize_t)MIN((size_t)n, OUTPUT_MAX - p->len[i]);
		memcpy(p->text[i] + p->len[i], buf, (size_t)n);
		p->len[i] += (size_t)n;
	}
}

static int arm(struct running *p, uint32_t timeout_s, pid_t watch, int epfd)
{
	struct itimerspec when = {.it_value.tv_sec = timeout_s};

	if (watch > 0) {
		p->fd[WAIT_VMM] = (int)syscall(SYS_pidfd_open, watch, 0);
		if (p->fd[WAIT_VMM] < 0)
			return -errno;
	}
	if (timeout_s) {
		p->fd[WAIT_TIMER] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
		if (p->fd[WAIT_TIMER] < 0 || timerfd_settime(p->fd[WAIT_TIMER], 0, &when, NULL) < 0)
			return -errno;
	}
	for (uint32_t i = 0; i < WAITS; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u32 = i};

		if (p->fd[i] >= 0 && epoll_ctl(epfd, EPOLL_CTL_ADD, p->fd[i], &ev) < 0)
			return -errno;
	}
	return 0;
}

/* Until the process ends: what it left running may hold its streams for ever. */
static int wait_end(
	struct running *p, const struct ghook *h, int epfd, int signal_fd, struct err *err)
{
	struct epoll_event ev[WAITS];
	bool over = false;
	int n, r;

	while (!over) {
		r = signals_wait(signal_fd, epfd, err);
		if (r < 0)
			return r;
		n = epoll_wait(epfd, ev, WAITS, 0);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.u32 == WAIT_TIMER)
				return err_plain(err, ETIMEDOUT,
					"hook ran past specified timeout of %u.0s", h->timeout_s);
			if (ev[i].data.u32 == WAIT_VMM)
				return err_plain(err, ECANCELED, "coracle-vmm was ended meanwhile");
			if (ev[i].data.u32 == WAIT_END)
				over = true;
			else
				collect(p, (int)ev[i].data.u32);
		}
	}
	collect(p, WAIT_OUT);
	collect(p, WAIT_ERR);
	while (waitpid(p->pid, &p->status, 0) < 0)
		if (errno != EINTR)
			return err_set(err, errno, "cannot wait for it");
	return 0;
}

/* One line of what was printed: control characters are none of the message's. */
static const char *printable(struct running *p, int i)
{
	char *s = p->text[i];

	while (p->len[i] && strchr("\n\t\r ", s[p->len[i] - 1]))
		p->len[i]--;
	s[p->len[i]] = '\0';
	for (size_t k = 0; k < p->len[i]; k++)
		if (s[k] == '\n' || s[k] == '\t' || !s[k])
			s[k] = ' ';
	json_printable(s);
	return s;
}

static int judge(struct running *p, struct err *err)
{
	const char *out, *errs;

	if (WIFEXITED(p->status) && WEXITSTATUS(p->status) == 0)
		return 0;
	out = printable(p, WAIT_OUT);
	errs = printable(p, WAIT_ERR);
	if (WIFSIGNALED(p->status)) {
		const char *name = strsignal(WTERMSIG(p->status));

		return err_plain(err, ECANCELED, "signal: %c%s, stdout: %s, stderr: %s",
			tolower((unsigned char)name[0]), name + 1, out, errs); /* as runc */
	}
	return err_plain(err, ECANCELED, "exit status %d, stdout: %s, stderr: %s",
		WEXITSTATUS(p->status), out, errs);
}

static int run_one(
	const struct ghook *h, const char *state, const struct hook_env *env, struct err *err)
{
	struct running p = {.fd = {-1, -1, -1, -1, -1}};
	/* A file, not a pipe: a hook that does not read, or reads late, holds up nobody. */
	autofd int in_fd = memfd_with("state", state, strlen(state), 1);
	autofd int epfd = epoll_create1(EPOLL_CLOEXEC);
	int r;

	if (in_fd < 0 || epfd < 0)
		return err_set(err, in_fd < 0 ? -in_fd : errno, "cannot pass the state on");
	r = start(&p, h, env, in_fd);
	if (r < 0) {
		release(&p);
		return err_set(err, -r, "%s", h->path);
	}
	r = arm(&p, h->timeout_s, env->watch, epfd);
	if (r < 0)
		r = err_set(err, -r, "cannot wait for it");
	else
		r = wait_end(&p, h, epfd, env->signal_fd, err);
	if (r < 0)
		finish_off(&p);
	else
		r = judge(&p, err);
	release(&p);
	return r;
}

static int run_numbered(const struct hook_list *list, uint32_t i, enum hook_kind kind,
	const char *state, const struct hook_env *env, struct err *err)
{
	int r = run_one(&list->v[i], state, env, err);

	return r < 0 ? err_wrap(err, "error running %s hook #%u", hook_kind_name(kind), i) : 0;
}

int hooks_run(const struct hook_list *list, enum hook_kind kind, const char *state,
	const struct hook_env *env, struct err *err)
{
	int r = 0;

	for (uint32_t i = 0; i < list->n && r == 0; i++)
		r = run_numbered(list, i, kind, state, env, err);
	return r;
}

void hooks_run_all(const struct hook_list *list, enum hook_kind kind, const char *state,
	const struct hook_env *env)
{
	for (uint32_t i = 0; i < list->n; i++) {
		struct err err = ERR_INIT;

		if (run_numbered(list, i, kind, state, env, &err) < 0)
			log_msg(LOG_LEVEL_WARNING, "%s", err.msg);
	}
}

/* --- the state ---------------------------------------------------------------------------------- */

static char *text_of(struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	return text ? strdup(text) : NULL;
}

char *hooks_state(const struct cstate *s, const char *status)
{
	struct json_object *o = cstate_json(s, status);
	char *text = o ? text_of(o) : NULL;

	json_object_put(o);
	return text;
}

char *hooks_guest_state(const struct cstate *s, const char *status)
{
	struct json_object *o = cstate_json(s, status);
	autofree char *text = NULL;
	char *head = NULL;

	if (o) {
		json_object_object_del(o, "pid");
		text = text_of(o);
	}
	json_object_put(o);
	if (!text)
		return NULL;
	text[strlen(text) - 1] = '\0'; /* the closing brace */
	return asprintf(&head, "%s,\"pid\":", text) < 0 ? NULL : head;
}
