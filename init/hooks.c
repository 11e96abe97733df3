/* SPDX-License-Identifier: Apache-2.0 */
#include "init/hooks.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "init/fail.h"
#include "init/seccomp.h"
#include "init/sys.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

#define OUTPUT_MAX 160 /* bytes of each stream that are shown: a FAILED message is short */
#define FIRST_FREE 10  /* descriptors from here on are not 0 to 3 */
#define EXEC_FD    3   /* where the child says why it could not execute */
#define CHUNK      512
#define CHUNKS_MAX 128 /* read at a time: what a pipe holds */

enum { IN, OUT, ERR, END, FDS };

struct hook {
	const struct gspec *container;
	const struct ghook *spec;
	const char *const *env;
	const char *state; /* then the pid */
	size_t written, state_len;
	char tail[16]; /* "N}" */
	pid_t pid;
	int fd[FDS]; /* our ends of its streams, and its pidfd */
	char text[FDS][OUTPUT_MAX + 1];
	size_t len[FDS];
	int status;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int place(const int fds[4])
{
	int high[4];

	for (int i = 0; i < 4; i++) {
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FIRST_FREE);
		if (high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < 4; i++)
		if (dup3(high[i], i, i == EXEC_FD ? O_CLOEXEC : 0) < 0)
			return -errno;
	return sys_close_range(EXEC_FD + 1, ~0u, 0) < 0 ? -errno : 0;
}

/* As in runc every hook runs under the container's filter. Without no_new_privs the process that
 * runs the hooks has it already; with it, that one gets it behind them, just before its own execve. */
static int confine(const struct hook *h)
{
	struct err err = ERR_INIT;

	if (!(h->container->proc.flags & GPROC_NO_NEW_PRIVS))
		return 0;
	return seccomp_install(h->container, &err);
}

static _Noreturn void child(const struct hook *h, const int fds[4])
{
	const char *const alone[] = {h->spec->path, NULL};
	const struct ghook *s = h->spec;
	int r;

	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	r = place(fds);
	if (r == 0)
		r = confine(h);
	if (r == 0) {
		execve(s->path, (char **)(s->args.n ? s->args.v : alone),
			(char **)(s->env.n ? s->env.v : h->env));
		r = -errno;
	}
	r = -r;
	(void)write_full(EXEC_FD, &r, sizeof(r));
	_exit(127);
}

static void finish_off(struct hook *h)
{
	kill(-h->pid, SIGKILL);
	kill(h->pid, SIGKILL);
	while (waitpid(h->pid, &h->status, 0) < 0 && errno == EINTR)
		;
}

/* 0: it was executed. */
static int executed(int fd)
{
	int errnum, r = read_full(fd, &errnum, sizeof(errnum));

	return r == -EPIPE ? 0 : r < 0 ? r : -errnum;
}

static int start(struct hook *h)
{
	int theirs[4] = {-1, -1, -1, -1}, exec_r = -1, p[2], r = 0;

	for (int i = 0; i < 4 && r == 0; i++) {
		if (pipe2(p, O_CLOEXEC) < 0) {
			r = -errno;
			break;
		}
		theirs[i] = p[i != IN];
		*(i == EXEC_FD ? &exec_r : &h->fd[i]) = p[i == IN];
		if (i != EXEC_FD && fcntl(h->fd[i], F_SETFL, O_NONBLOCK) < 0)
			r = -errno;
	}
	if (r == 0) {
		h->pid = fork();
		if (h->pid == 0)
			child(h, theirs);
		r = h->pid < 0 ? -errno : 0;
	}
	for (int i = 0; i < 4; i++)
		close_fd(&theirs[i]);
	if (r == 0) {
		setpgid(h->pid, h->pid);
		r = executed(exec_r);
		h->fd[END] = r < 0 ? -1 : (int)syscall(SYS_pidfd_open, h->pid, 0);
		if (r == 0 && h->fd[END] < 0)
			r = -errno;
		if (r < 0)
			finish_off(h);
	}
	close_fd(&exec_r);
	return r;
}

/* The state, then the pid: what the pipe takes. At the end, or when it is not read, the pipe is
 * closed. */
static void feed(struct hook *h)
{
	size_t tail_len = strlen(h->tail);

	while (h->written < h->state_len + tail_len) {
		bool tail = h->written >= h->state_len;
		const char *p =
			tail ? h->tail + (h->written - h->state_len) : h->state + h->written;
		size_t left = (tail ? h->state_len + tail_len : h->state_len) - h->written;
		ssize_t n = write(h->fd[IN], p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		h->written += (size_t)n;
	}
	close_fd(&h->fd[IN]);
}

/* Takes what is there, and keeps the beginning. Bounded: a hook that writes without end must not
 * keep us from the clock. */
static void collect(struct hook *h, int i)
{
	char buf[CHUNK];
	ssize_t n;

	for (int k = 0; k < CHUNKS_MAX && h->fd[i] >= 0; k++) {
		n = read(h->fd[i], buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			close_fd(&h->fd[i]);
			return;
		}
		if ((size_t)n > OUTPUT_MAX - h->len[i])
			n = (ssize_t)(OUTPUT_MAX - h->len[i]);
		memcpy(h->text[i] + h->len[i], buf, (size_t)n);
		h->len[i] += (size_t)n;
	}
}

/* Until the process ends: what it left running may hold its streams for ever. */
static int wait_end(struct hook *h, struct err *err)
{
	uint64_t deadline = now_ms() + (uint64_t)h->spec->timeout_s * 1000;
	struct pollfd pf[FDS];

	for (;;) {
		int left = -1;

		for (int i = 0; i < FDS; i++)
			pf[i] = (struct pollfd){
				.fd = h->fd[i], .events = i == IN ? POLLOUT : POLLIN};
		if (h->spec->timeout_s) {
			uint64_t now = now_ms();

			left = now >= deadline ? 0 : (int)(deadline - now);
		}
		if (poll(pf, FDS, left) < 0)
			continue; /* EINTR; revents say nothing */
		if (h->fd[IN] >= 0 && pf[IN].revents)
			feed(h);
		collect(h, OUT);
		collect(h, ERR);
		if (pf[END].revents)
			break;
		if (left == 0) /* whatever else there was to do */
			return err_plain(err, ETIMEDOUT, "hook ran past specified timeout of %u.0s",
				h->spec->timeout_s);
	}
	while (waitpid(h->pid, &h->status, 0) < 0)
		if (errno != EINTR)
			return fail(err, errno, "cannot wait for it");
	collect(h, OUT);
	collect(h, ERR);
	return 0;
}

/* On one line. */
static const char *shown(struct hook *h, int i)
{
	char *s = h->text[i];

	while (h->len[i] && strchr("\n\t\r ", s[h->len[i] - 1]))
		h->len[i]--;
	s[h->len[i]] = '\0';
	for (size_t k = 0; k < h->len[i]; k++)
		if ((unsigned char)s[k] < ' ' || s[k] == 0x7f)
			s[k] = ' ';
	return s;
}

static int judge(struct hook *h, struct err *err)
{
	char how[64];

	if (WIFEXITED(h->status) && WEXITSTATUS(h->status) == 0)
		return 0;
	if (WIFSIGNALED(h->status)) {
		snprintf(how, sizeof(how), "signal: %s", strsignal(WTERMSIG(h->status)));
		how[8] = (char)tolower((unsigned char)how[8]); /* as runc writes it */
	} else {
		snprintf(how, sizeof(how), "exit status %d", WEXITSTATUS(h->status));
	}
	return err_plain(
		err, ECANCELED, "%s, stdout: %s, stderr: %s", how, shown(h, OUT), shown(h, ERR));
}

static int run_one(
	const struct gspec *spec, const struct ghook *g, const char *const *env, struct err *err)
{
	struct hook h = {.container = spec,
		.spec = g,
		.env = env,
		.state = spec->hook_state,
		.state_len = strlen(spec->hook_state),
		.pid = -1,
		.fd = {-1, -1, -1, -1}};
	int r;

	snprintf(h.tail, sizeof(h.tail), "%d}", getpid());
	r = start(&h);
	if (r < 0) {
		r = fail(err, -r, "%s", g->path);
	} else {
		r = wait_end(&h, err);
		if (r < 0)
			finish_off(&h);
		else
			r = judge(&h, err);
	}
	for (int i = 0; i < FDS; i++)
		close_fd(&h.fd[i]);
	return r;
}

int hooks_run(const struct gspec *spec, const char *const *env, struct err *err)
{
	int r = 0;

	if (!spec->n_hooks)
		return 0;
	signal(SIGPIPE, SIG_IGN); /* a hook may not want to know the state */
	for (uint32_t i = 0; i < spec->n_hooks && r == 0; i++) {
		r = run_one(spec, &spec->hooks[i], env, err);
		if (r < 0)
			err_wrap(err, "error running startContainer hook #%u", i);
	}
	signal(SIGPIPE, SIG_DFL);
	return r;
}
