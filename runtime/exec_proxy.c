/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/exec_proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "runtime/console_socket.h"
#include "runtime/exec_mark.h"
#include "runtime/pid_file.h"
#include "runtime/signals.h"

#define STATUS_KILLED 137 /* what ends a container ends what was executed in it */
#define PROC_NAME     "coracle-exec"

/* A new terminal, ours before its master is anyone's: no change of size and no hang-up is missed. */
static int open_console(struct exec_proxy *p, struct err *err)
{
	const struct gproc *g = &p->process->proc;
	const struct terminal_size size = {.rows = g->rows, .cols = g->cols};
	autofd int master = -1;
	int r = terminal_open_pty(&size, &master, &p->slave, err);

	if (r < 0)
		return r;
	if (ioctl(p->slave, TIOCSCTTY, 0) < 0)
		return err_set(err, errno, "cannot take the terminal");
	p->size_fd = p->slave;
	return console_socket_send(p->console_socket, master, err);
}

static int open_terminal(struct exec_proxy *p, struct err *err)
{
	struct gproc *g = &p->process->proc;
	int r = 0;

	if (!(g->flags & GPROC_TERMINAL))
		return 0;
	if (p->console_socket) {
		r = open_console(p, err);
	} else {
		p->size_fd = terminal_of_streams();
		g->flags |= terminal_lines(STDOUT_FILENO);
		r = terminal_raw(&p->raw, STDIN_FILENO, err);
	}
	if (terminal_size(p->size_fd, &p->size)) {
		g->rows = p->size.rows;
		g->cols = p->size.cols;
	}
	return r;
}

static bool is_null(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* The streams to pass: fds has room for three. /dev/null needs no stream. */
static unsigned choose_streams(struct exec_proxy *p, int *fds)
{
	static const uint32_t null_flag[] = {
		GPROC_STDIN_NULL, GPROC_STDOUT_NULL, GPROC_STDERR_NULL};
	struct gproc *g = &p->process->proc;
	unsigned n = 0;

	if (g->flags & GPROC_TERMINAL) {
		fds[n++] = p->slave >= 0 ? p->slave : STDIN_FILENO;
		fds[n++] = p->slave >= 0 ? p->slave : STDOUT_FILENO;
		return n;
	}
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (is_null(fd))
			g->flags |= null_flag[fd];
		else
			fds[n++] = fd;
	}
	return n;
}

static int encode(const struct exec_process *process, struct err *err)
{
	autofree uint8_t *buf = NULL;
	size_t len;
	int fd, r = exec_process_encode(process, &buf, &len, err);

	if (r < 0)
		return r;
	fd = memfd_with("process", buf, len, 1);
	return fd < 0 ? err_set(err, -fd, "cannot make a memfd") : fd;
}

static int send_exec(struct exec_proxy *p, struct err *err)
{
	struct ctl_request req = {.version = CTL_VERSION,
		.type = CTL_EXEC,
		.flags = p->ignore_paused ? CTL_EXEC_IGNORE_PAUSED : 0};
	int fds[CTL_FDS_MAX];
	unsigned n = choose_streams(p, fds + 1);
	autofd int memfd = encode(p->process, err);

	if (memfd < 0)
		return memfd;
	fds[0] = memfd;
	req.arg = p->process->proc.flags &
		  (GPROC_TERMINAL | GPROC_STDIN_NULL | GPROC_STDOUT_NULL | GPROC_STDERR_NULL);
	p->sock = container_send_fds(p->c, &req, fds, n + 1, err);
	return p->sock < 0 ? p->sock : 0;
}

/* Requests on the exec's own connection are not answered; one that cannot be sent finds the process, or
 * the VM, ended: the reply says so. */
static void tell(const struct exec_proxy *p, enum ctl_type type, uint32_t arg)
{
	const struct ctl_request req = {.version = CTL_VERSION, .type = type, .arg = arg};

	(void)send_fds(p->sock, &req, sizeof(req), NULL, 0);
}

static void tell_size(struct exec_proxy *p)
{
	struct terminal_size now;

	if (!terminal_size(p->size_fd, &now) ||
		(now.rows == p->size.rows && now.cols == p->size.cols))
		return;
	p->size = now;
	tell(p, CTL_RESIZE, (uint32_t)now.rows << 16 | now.cols);
}

int exec_proxy_start(struct exec_proxy *p, struct err *err)
{
	struct ctl_reply reply;
	int r = open_terminal(p, err);

	if (r >= 0)
		r = send_exec(p, err);
	if (r >= 0)
		r = signals_wait(p->signal_fd, p->sock, err);
	if (r >= 0)
		r = container_receive_reply(p->c, p->sock, &reply, err);
	if (r < 0)
		return r;
	prctl(PR_SET_NAME, PROC_NAME);
	tell_size(p); /* it may have changed before the process had a terminal */
	return exec_mark_set(p->c, err);
}

static int pass_signal(struct exec_proxy *p, struct err *err)
{
	struct signalfd_siginfo si;

	if (read(p->signal_fd, &si, sizeof(si)) != sizeof(si))
		return err_set(err, errno, "cannot read the signals");
	if (si.ssi_signo == SIGCHLD)
		return 0;
	if (si.ssi_signo == SIGCONT)
		terminal_raw_again(&p->raw);
	if (si.ssi_signo == SIGWINCH && p->process->proc.flags & GPROC_TERMINAL)
		tell_size(p);
	else
		tell(p, CTL_SIGNAL, si.ssi_signo);
	return 0;
}

int exec_proxy_wait(struct exec_proxy *p, struct err *err)
{
	struct pollfd pfd[2] = {
		{.fd = p->sock, .events = POLLIN}, {.fd = p->signal_fd, .events = POLLIN}};
	struct ctl_reply reply;
	int r = 0;

	do {
		int n = poll(pfd, 2, -1);

		if (n < 0 && errno != EINTR)
			return err_set(err, errno, "cannot wait for the process");
		if (n > 0 && pfd[1].revents)
			r = pass_signal(p, err);
		if (r < 0)
			return r;
	} while (!pfd[0].revents);
	r = container_receive_reply(p->c, p->sock, &reply, err);
	if (r == -ECONNRESET)
		return STATUS_KILLED;
	return r < 0 ? r : (int)(reply.exit_status & 0xff);
}

void exec_proxy_release(struct exec_proxy *p)
{
	if (p->sock >= 0)
		exec_mark_clear(p->c);
	close_fd(&p->sock);
	close_fd(&p->slave);
	terminal_restore(&p->raw);
}

/*
 * The detached proxy. All it does until the process is executed is reported to its parent, who notes its pid and
 * lets it go: until then the parent's death is its own, since nobody else would know of it.
 */

struct report {
	int32_t errnum; /* 0: executed */
	int32_t exit_status;
	char msg[ERR_MSG_MAX];
};

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* What engines left open in us (their sync pipes, for example) must not live on here. */
static void close_all_but(int *keep, unsigned n)
{
	unsigned from = STDERR_FILENO + 1;

	qsort(keep, n, sizeof(*keep), compare);
	for (unsigned i = 0; i < n; i++) {
		if (keep[i] < (int)from)
			continue;
		if (keep[i] > (int)from)
			close_range(from, (unsigned)keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	close_range(from, UINT_MAX, 0);
}

/* The VMM has the streams: as long as another held them, their readers would not see the end. */
static int drop_streams(struct err *err)
{
	autofd int null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (null < 0)
		return err_set(err, errno, "cannot open /dev/null");
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			return err_set(err, errno, "cannot leave the streams");
	if (chdir("/") < 0)
		return err_set(err, errno, "cannot leave the working directory");
	return 0;
}

static int start_detached(struct exec_proxy *p, pid_t parent, int report_fd, struct err *err)
{
	int keep[] = {report_fd, p->signal_fd, p->c->dir_fd};
	int r;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_set(err, errno, "cannot tie the process to this command");
	if (getppid() != parent) /* it died before the prctl */
		_exit(255);
	setsid();
	close_all_but(keep, ARRAY_SIZE(keep));
	r = exec_proxy_start(p, err);
	return r < 0 ? r : drop_streams(err);
}

/* -errno: the parent has given up. */
static int wait_let_go(int report_fd)
{
	char c;
	int r = read_full(report_fd, &c, 1);

	if (r == 0 && prctl(PR_SET_PDEATHSIG, 0) < 0)
		r = -errno;
	return r < 0 ? r : write_full(report_fd, &c, 1);
}

static _Noreturn void child(struct exec_proxy *p, pid_t parent, int report_fd)
{
	struct report rep = {0};
	struct err err = ERR_INIT;
	int r = start_detached(p, parent, report_fd, &err);

	if (r < 0) {
		rep.errnum = -r;
		rep.exit_status = err.exit_status;
		snprintf(rep.msg, sizeof(rep.msg), "%s", err.msg);
	}
	(void)write_full(report_fd, &rep, sizeof(rep)); /* nobody reads: the parent gives up */
	if (r >= 0)
		r = wait_let_go(report_fd);
	close(report_fd);
	if (r >= 0)
		r = exec_proxy_wait(p, &err);
	exec_proxy_release(p);
	_exit(r < 0 ? 255 : r);
}

static int no_word(struct err *err)
{
	return err_plain(
		err, EPIPE, "the process that stands for the container's has ended without a word");
}

static int read_report(int fd, int signal_fd, struct err *err)
{
	struct report rep;
	int r = signals_wait(signal_fd, fd, err);

	if (r < 0)
		return r;
	r = read_full(fd, &rep, sizeof(rep));
	if (r < 0)
		return no_word(err);
	if (!rep.errnum)
		return 0;
	rep.msg[sizeof(rep.msg) - 1] = '\0';
	err->exit_status = rep.exit_status;
	return err_plain(err, rep.errnum, "%s", rep.msg);
}

static int let_go(int fd, struct err *err)
{
	char c = 0;

	return write_full(fd, &c, 1) < 0 || read_full(fd, &c, 1) < 0 ? no_word(err) : 0;
}

int exec_proxy_detach(struct exec_proxy *p, const char *pid_file, struct err *err)
{
	pid_t parent = getpid(), pid;
	int fd[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return err_set(err, errno, "cannot make a socket pair");
	pid = fork();
	if (pid == 0)
		child(p, parent, fd[1]);
	r = pid < 0 ? err_set(err, errno, "cannot fork") : 0;
	close(fd[1]);
	if (r >= 0)
		r = read_report(fd[0], p->signal_fd, err);
	if (r >= 0)
		r = pid_file_write(pid_file, pid, err);
	if (r >= 0)
		r = let_go(fd[0], err);
	close(fd[0]);
	if (r < 0 && pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return r < 0 ? r : pid;
}
