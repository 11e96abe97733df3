/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/idprog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/timeline.h"
#include "runtime/subid.h"

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
#define QUOTED_MAX   400 /* bytes of what it says */
#define END_WAIT_MS  1000

int idprog_find(const char *path_env, const char *name, char *out, size_t out_bytes)
{
	for (const char *p = path_env ? path_env : PATH_DEFAULT; *p;) {
		size_t len = strcspn(p, ":");
		struct stat st;
		int w = *p == '/' ? snprintf(out, out_bytes, "%.*s/%s", (int)len, p, name) : -1;

		if (w > 0 && (size_t)w < out_bytes && stat(out, &st) == 0 && S_ISREG(st.st_mode) &&
			access(out, X_OK) == 0)
			return 0;
		p += len;
		p += *p == ':';
	}
	return -ENOENT;
}

/* What it says: the beginning is kept, all of it is read, so that it need not wait for us. */
struct said {
	int fd; /* non-blocking; -1: at its end */
	char text[QUOTED_MAX + 1];
	size_t len;
};

static void hear(struct said *s)
{
	char buf[4096];
	ssize_t n;

	/* Once around: one that never stops talking must not keep us from looking at the clock. */
	n = read(s->fd, buf, sizeof(buf));
	if (n > 0) {
		size_t room = MIN((size_t)n, QUOTED_MAX - s->len);

		memcpy(s->text + s->len, buf, room);
		s->len += room;
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
		close_fd(&s->fd);
	}
}

static void tidy(struct said *s)
{
	while (s->len && (unsigned char)s->text[s->len - 1] <= ' ')
		s->len--;
	s->text[s->len] = '\0';
	for (char *p = s->text; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
			*p = *p == '\n' ? ' ' : '?';
}

/* In the child. */
static _Noreturn void execute(const struct idprog *p, int out_fd, pid_t parent)
{
	char number[3 * SUBID_MAP_MAX + 1][12];
	char *argv[3 * SUBID_MAP_MAX + 3], *envp[] = {"LC_ALL=C", NULL};
	unsigned n = 0;
	sigset_t none;
	int null;

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* not kept by a program that is set-uid: hence kill() */
	if (getppid() != parent)
		_exit(127);
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(out_fd, 2) < 0)
		_exit(127);
	argv[n++] = (char *)p->path;
	snprintf(number[0], sizeof(number[0]), "%d", p->target);
	argv[n++] = number[0];
	for (unsigned i = 0; i < p->n; i++) {
		const uint32_t v[] = {p->map[i].inside, p->map[i].outside, p->map[i].count};

		for (unsigned j = 0; j < ARRAY_SIZE(v); j++, n++) {
			snprintf(number[n - 1], sizeof(number[0]), "%u", v[j]);
			argv[n] = number[n - 1];
		}
	}
	argv[n] = NULL;
	close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	execve(p->path, argv, envp);
	dprintf(STDERR_FILENO, "cannot execute it: %s\n", strerror(errno));
	_exit(127);
}

/* 0: it has ended. */
static int wait_end(const struct idprog *p, int pidfd, struct said *s)
{
	uint64_t deadline = timeline_now() + (uint64_t)p->timeout_ms * 1000000;

	for (;;) {
		struct pollfd pf[] = {{.fd = pidfd, .events = POLLIN},
			{.fd = s->fd, .events = POLLIN}, {.fd = p->stop_fd, .events = POLLRDHUP}};
		uint64_t now = timeline_now();

		if (now >= deadline)
			return -ETIMEDOUT;
		if (poll(pf, ARRAY_SIZE(pf), (int)((deadline - now) / 1000000) + 1) < 0 &&
			errno != EINTR)
			return -errno;
		if (pf[2].revents)
			return -EINTR;
		if (pf[1].revents)
			hear(s);
		if (pf[0].revents) {
			if (s->fd >= 0)
				hear(s); /* its last words */
			return 0;
		}
	}
}

/* Its children, too; while it is a zombie its number is nobody else's. One that we may not end is left. */
static int reap(pid_t pid, int pidfd)
{
	struct pollfd pf = {.fd = pidfd, .events = POLLIN};
	int status = 0;

	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	if (poll(&pf, 1, END_WAIT_MS) <= 0 || waitpid(pid, &status, WNOHANG) != pid)
		return -1;
	return status;
}

static int report(const struct idprog *p, int waited, int status, struct said *s, struct err *err)
{
	const char *name = p->path;

	tidy(s);
	if (waited == -ETIMEDOUT)
		return err_plain(err, ETIMEDOUT, "'%s' has not ended within %d s%s%s", name,
			p->timeout_ms / 1000, s->len ? "; it says: " : "", s->text);
	if (waited < 0)
		return err_set(err, -waited, "cannot wait for '%s'", name);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	if (WIFSIGNALED(status))
		return err_plain(err, EPERM, "'%s' was killed by signal %d%s%s", name,
			WTERMSIG(status), s->len ? "; it says: " : "", s->text);
	return err_plain(err, EPERM, "'%s' fails with status %d%s%s", name, WEXITSTATUS(status),
		s->len ? "; it says: " : ", without a word", s->text);
}

int idprog_run(const struct idprog *p, struct err *err)
{
	struct said said = {.fd = -1};
	autofd int pidfd = -1, write_fd = -1;
	pid_t parent = getpid(), pid;
	int fd[2], waited, status;

	BUG_ON(p->n > SUBID_MAP_MAX);
	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_set(err, errno, "cannot make a pipe");
	said.fd = fd[0];
	write_fd = fd[1];
	fcntl(said.fd, F_SETFL, O_NONBLOCK);
	pid = fork();
	if (pid == 0)
		execute(p, write_fd, parent);
	close_fd(&write_fd);
	if (pid < 0) {
		close_fd(&said.fd);
		return err_set(err, errno, "cannot fork");
	}
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	waited = pidfd < 0 ? -errno : wait_end(p, pidfd, &said);
	status = reap(pid, pidfd);
	close_fd(&said.fd);
	return report(p, waited, status, &said, err);
}
