/* SPDX-License-Identifier: Apache-2.0 */
/* coracle run: create, start, wait, delete. Signals that it gets go to the container's first
 * process. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "runtime/command.h"
#include "runtime/hook_points.h"
#include "runtime/launch_cgroup.h"
#include "runtime/launch.h"
#include "runtime/launch_report.h"
#include "runtime/log.h"
#include "runtime/signals.h"
#include "runtime/timing.h"

#define SIGNAL_WAIT_MS   5000
#define TIMELINE_WAIT_MS 10000

/* True once the VMM has ended; *ret_status is then what the shell calls the exit status. */
static bool reap(struct launch *l, int *ret_status)
{
	int status;

	pid_t pid = waitpid(l->pid, &status, WNOHANG);

	if (pid == 0 || (pid < 0 && errno == EINTR))
		return false;
	if (pid < 0) /* somebody else has waited for it: no status is left for us */
		status = 255 << 8;
	l->pid = 0;
	/* SIGKILL is how a container is killed; any other signal is the VMM's own mistake. */
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		log_msg(LOG_LEVEL_ERROR, "coracle-vmm was killed by signal %d (%s)",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	*ret_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return true;
}

static int wait_end(struct launch *l, const struct container *c, int sfd, struct err *err)
{
	struct signalfd_siginfo si;
	int status;

	while (!reap(l, &status)) {
		struct err ignored = ERR_INIT; /* the process may be gone already: no one to tell */

		if (read(sfd, &si, sizeof(si)) != sizeof(si))
			return err_set(err, errno, "cannot wait for signals");
		if (si.ssi_signo == SIGCONT) /* a shell may have used the terminal meanwhile */
			terminal_raw_again(&l->terminal.raw);
		if (si.ssi_signo == SIGWINCH && l->terminal.wanted)
			launch_terminal_resize(&l->terminal, c);
		else if (si.ssi_signo != SIGCHLD)
			container_request(
				c, CTL_SIGNAL, si.ssi_signo, SIGNAL_WAIT_MS, NULL, &ignored);
	}
	return status;
}

/* The VMM's last words: the timeline, and why the VM failed if it did. */
static void last_report(struct launch *l)
{
	struct err ignored = ERR_INIT;
	struct vmm_report rep;

	if (launch_report_read(l, &rep, &ignored) < 0 || rep.type != VMM_ENDED || !rep.errnum)
		return;
	log_msg(LOG_LEVEL_ERROR, "%s", rep.text);
	if (rep.guest_log[0])
		log_msg(LOG_LEVEL_ERROR, "last lines of the guest's log:\n%s", rep.guest_log);
}

/* A measurement that cannot be written is no reason to lose the container or its status. */
static void write_timing(int fd, const struct timeline *t)
{
	struct err err = ERR_INIT;

	if (fd >= 0 && timing_write(fd, t, &err) < 0)
		log_msg(LOG_LEVEL_WARNING, "%s", err.msg);
}

static int start_container(struct launch *l, const struct container *c, struct err *err)
{
	int sock = container_send(c, CTL_START, 0, err);
	int r;

	if (sock < 0)
		return sock;
	r = signals_wait(l->signal_fd, sock, err);
	if (r >= 0)
		r = container_receive(c, sock, err);
	close(sock);
	return r < 0 ? r : hook_points_started(c, l->signal_fd, err);
}

static int run_foreground(struct launch *l, struct container *c, int timing_fd, struct err *err)
{
	int status;

	launch_terminal_resize(&l->terminal, c); /* it may have changed during the start */
	status = wait_end(l, c, l->signal_fd, err);
	launch_terminal_release(&l->terminal);
	if (status < 0)
		return status;
	last_report(l);
	write_timing(timing_fd, &l->timeline);
	return status;
}

static void time_detached(struct launch *l, const struct container *c, int timing_fd)
{
	struct err err = ERR_INIT;

	if (timing_fd < 0)
		return;
	if (container_timeline(c, TIMELINE_WAIT_MS, &l->timeline, &err) < 0)
		log_msg(LOG_LEVEL_WARNING, "no timing: %s",
			err.msg); /* it may have ended already */
	else
		write_timing(timing_fd, &l->timeline);
}

/* `delete` from elsewhere may have been quicker; then the directory is gone (-ENOENT), or is another
 * container's. */
static int remove_own(const struct container *c, const struct global *g, struct err *err)
{
	struct container again = CONTAINER_INIT;
	int r = container_open(&again, g->root, c->id, true, err);

	if (r >= 0 && again.has_state && again.state.pid == c->state.pid &&
		again.state.pid_start_ticks == c->state.pid_start_ticks) {
		r = container_wait_gone(&again, err);
		if (r >= 0)
			r = launch_cgroup_remove(&again.state, err);
		if (r >= 0)
			r = container_remove(&again, err);
		if (r >= 0)
			hook_points_deleted(&again);
	}
	container_release(&again);
	return r;
}

/* The status is the container's in any case. */
static void clean_up(const struct container *c, const struct global *g)
{
	struct err err = ERR_INIT;
	int r = remove_own(c, g, &err);

	if (r < 0 && r != -ENOENT)
		log_msg(LOG_LEVEL_WARNING, "container %s has ended, and is not deleted: %s", c->id,
			err.msg);
}

int cmd_run(const struct global *g, int argc, char **argv, struct err *err)
{
	struct container c = CONTAINER_INIT;
	struct launch l = LAUNCH_INIT;
	const char *timing = NULL;
	bool keep = false, no_subreaper = false;
	const struct option_def options[] = {
		LAUNCH_OPTIONS(&l),
		{"detach", 'd', OPTION_FLAG, NULL, "do not wait for its end", &l.detach},
		{"keep", 0, OPTION_FLAG, NULL, "do not delete it at its end", &keep},
		{"no-subreaper", 0, OPTION_FLAG, NULL, "accepted: the VM has its own reaper",
			&no_subreaper},
		{"timing", 0, OPTION_STRING, "FILE", "write the phases of the start as JSON",
			&timing},
	};
	const struct usage u = {"run [OPTION]... ID",
		"Creates and starts a container and waits for it. Exits with its status.", options,
		ARRAY_SIZE(options), 1, 1};
	int first = options_parse(&u, argc, argv, err);
	autofd int sfd = -1, timing_fd = -1;
	int r;

	if (first <= 0)
		return first;
	if (timing) {
		timing_fd = open(timing, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
		if (timing_fd < 0)
			return err_set(err, errno, "cannot write the timing file '%s'", timing);
	}
	l.signal_fd = sfd = signals_open_all();
	if (sfd < 0)
		return err_set(err, errno, "cannot make a signalfd");
	r = launch_container(&l, g, argv[first], &c, err);
	if (r >= 0) {
		if (!l.detach)
			r = launch_terminal_attach(&l.terminal, err);
		if (r >= 0)
			r = start_container(&l, &c, err);
		if (r < 0)
			launch_undo(&l, &c);
	}
	if (r >= 0 && l.detach) {
		time_detached(&l, &c, timing_fd);
	} else if (r >= 0) {
		flock(c.dir_fd, LOCK_UN); /* others may delete it from now on */
		r = run_foreground(&l, &c, timing_fd, err);
		if (!keep)
			clean_up(&c, g);
	}
	close_fd(&l.report_fd);
	container_release(&c);
	return r;
}
