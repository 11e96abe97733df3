/* SPDX-License-Identifier: Apache-2.0 */
/* coracle kill: a signal to the container's first process; SIGKILL ends the VM even if the guest is
 * deaf. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "lib/base.h"
#include "runtime/command.h"
#include "runtime/signals.h"

#define KILL_WAIT_MS 5000 /* SIGKILL: the VMM answers by itself */
#define SIGNAL_WAIT_MS \
	15000 /* the guest may be busy: the VMM gives it 10 s (LIFE_ANSWER_MS) and says so */

static int send_signal(const struct container *c, int signo, bool all, struct err *err)
{
	const struct ctl_request req = {
		.version = CTL_VERSION,
		.type = CTL_SIGNAL,
		.arg = (uint32_t)signo,
		.flags = all ? CTL_SIGNAL_ALL : 0,
	};

	return container_ask(c, &req, signo == SIGKILL ? KILL_WAIT_MS : SIGNAL_WAIT_MS, NULL, err);
}

/* With --all, nobody left to signal is no failure: engines say it once more when the container has ended. */
static int not_running(bool all, struct err *err)
{
	*err = (struct err)ERR_INIT;
	return all ? 0 : err_plain(err, ESRCH, "container not running");
}

static int no_vmm(const struct container *c, struct err *err)
{
	return err_plain(err, ESRCH,
		"container not running: its process is not there, pid %d of its state is another's",
		c->state.pid);
}

static int deliver(struct container *c, int signo, bool all, struct err *err)
{
	int r;

	if (!c->has_state || !cstate_pid_alive(&c->state))
		return not_running(all, err);
	/* Stopped but alive: its last bytes wait for a reader. SIGKILL ends that too. */
	if (signo != SIGKILL && container_status(c) == CONTAINER_STOPPED)
		return not_running(all, err);
	r = send_signal(c, signo, all, err);
	if (r < 0 && !cstate_pid_alive(&c->state)) /* it ended meanwhile */
		return signo == SIGKILL ? 0 : not_running(all, err);
	if (r < 0 && signo == SIGKILL) {
		*err = (struct err)ERR_INIT;
		r = container_kill(c, err);
		/* What it ends is gone, so this is somebody else. */
		return r == 0 && cstate_pid_alive(&c->state) ? no_vmm(c, err) : r;
	}
	return r == -ESRCH ? not_running(all, err) : r;
}

int cmd_kill(const struct global *g, int argc, char **argv, struct err *err)
{
	bool all = false;
	const struct option_def options[] = {
		{"all", 'a', OPTION_FLAG, NULL, "to every process of the container", &all},
	};
	const struct usage u = {"kill [OPTION]... ID [SIGNAL]",
		"Sends SIGNAL (name or number, default TERM) to the container's first process.",
		options, ARRAY_SIZE(options), 1, 2};
	struct container c = CONTAINER_INIT;
	int first = command_open(&u, g, argc, argv, false, &c, err);
	int r;

	if (first <= 0)
		return first;
	r = signal_parse(argc - first == 2 ? argv[first + 1] : "TERM", err);
	if (r >= 0)
		r = deliver(&c, r, all, err);
	container_release(&c);
	return r;
}
