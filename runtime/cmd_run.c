/* SPDX-License-Identifier: Apache-2.0 */
/* coracle run: create, start, wait, delete. Signals that it gets go to the container's first
 * process. */
#include <errno.h>
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
#include "runtime/launch.h"
#include "runtime/log.h"
#include "runtime/timing.h"

#define SIGNAL_WAIT_MS 5000

/* What a terminal, a shell or a service manager sends to be passed on. */
static const int forwarded[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH};

static int signal_fd(sigset_t *ret_old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	sigprocmask(SIG_BLOCK, &set, ret_old);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* True once the VMM has ended; *ret_status is then what the shell calls the exit status. */
static bool reap(struct launch *l, int *ret_status)
{
	int status;

	if (waitpid(l->pid, &status, WNOHANG) != l->pid)
		return false;
	l->pid = 0;
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
		if (si.ssi_signo != SIGCHLD)
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

	if (launch_read_report(l, &rep, &ignored) < 0 || rep.type != VMM_ENDED || !rep.errnum)
		return;
	log_msg(LOG_LEVEL_ERROR, "%s", rep.text);
	if (rep.guest_log[0])
		log_msg(LOG_LEVEL_ERROR, "last lines of the guest's log:\n%s", rep.guest_log);
}

static int run_foreground(
	struct launch *l, struct container *c, int sfd, const char *timing, struct err *err)
{
	int status, r = container_request(c, CTL_START, 0, -1, NULL, err);

	if (r < 0)
		return r;
	flock(c->dir_fd, LOCK_UN); /* others may delete it from now on */
	status = wait_end(l, c, sfd, err);
	if (status < 0)
		return status;
	last_report(l);
	if (timing) {
		r = timing_write(timing, &l->timeline, err);
		if (r < 0)
			return r;
	}
	return status;
}

static int run_detached(
	struct launch *l, const struct container *c, const char *timing, struct err *err)
{
	int r = container_request(c, CTL_START, 0, -1, NULL, err);

	if (r < 0 || !timing)
		return r;
	r = container_timeline(c, &l->timeline, err);
	return r < 0 ? r : timing_write(timing, &l->timeline, err);
}

/* `delete` from elsewhere may have been quicker; then the directory is gone, or is another
 * container's. */
static void remove_own(struct container *c, const struct global *g, bool keep)
{
	struct container again = CONTAINER_INIT;
	struct err ignored = ERR_INIT;

	if (!keep && container_open(&again, g->root, c->id, true, &ignored) >= 0 &&
		again.has_state && again.state.pid == c->state.pid &&
		again.state.pid_start_ticks == c->state.pid_start_ticks)
		container_remove(&again, &ignored);
	container_release(&again);
}

int cmd_run(const struct global *g, int argc, char **argv, struct err *err)
{
	struct container c = CONTAINER_INIT;
	struct launch l = LAUNCH_INIT;
	const char *timing = NULL;
	bool keep = false;
	const struct option_def options[] = {
		LAUNCH_OPTIONS(&l),
		{"detach", 'd', OPTION_FLAG, NULL, "do not wait for its end", &l.detach},
		{"keep", 0, OPTION_FLAG, NULL, "do not delete it at its end", &keep},
		{"timing", 0, OPTION_STRING, "FILE", "write the phases of the start as JSON",
			&timing},
	};
	const struct usage u = {"run [OPTION]... ID",
		"Creates and starts a container and waits for it. Exits with its status.", options,
		ARRAY_SIZE(options)};
	int first = options_parse(&u, argc, argv, err);
	autofd int sfd = -1;
	int r;

	if (first <= 0)
		return first;
	r = options_operands(&u, argc, first, 1, 1, err);
	if (r < 0)
		return r;
	sfd = signal_fd(NULL);
	if (sfd < 0)
		return err_set(err, errno, "cannot make a signalfd");
	r = launch_container(&l, g, argv[first], &c, err);
	if (r < 0) {
		container_release(&c);
		return r;
	}
	r = l.detach ? run_detached(&l, &c, timing, err) : run_foreground(&l, &c, sfd, timing, err);
	if (r < 0)
		launch_undo(&l, &c);
	else if (!l.detach)
		remove_own(&c, g, keep);
	close_fd(&l.report_fd);
	container_release(&c);
	return r;
}
