/* SPDX-License-Identifier: Apache-2.0 */
/* coracle kill: a signal to the container's first process; SIGKILL ends the VM even if the guest is
 * deaf. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "lib/base.h"
#include "runtime/command.h"
#include "runtime/signals.h"

#define SIGNAL_WAIT_MS 5000

static int deliver(struct container *c, int signo, struct err *err)
{
	int r;

	if (!c->has_state || !cstate_pid_alive(&c->state))
		return err_plain(err, ESRCH, "container not running");
	/* Stopped but alive: its last bytes wait for a reader. SIGKILL ends that too. */
	if (signo != SIGKILL && container_status(c) == CONTAINER_STOPPED)
		return err_plain(err, ESRCH, "container not running");
	r = container_request(c, CTL_SIGNAL, (uint32_t)signo, SIGNAL_WAIT_MS, NULL, err);
	if (r < 0 && !cstate_pid_alive(&c->state)) /* it ended meanwhile */
		return signo == SIGKILL ? 0 : err_plain(err, ESRCH, "container not running");
	if (r < 0 && signo == SIGKILL) {
		*err = (struct err)ERR_INIT;
		return container_kill(c, err);
	}
	if (r == -ESRCH)
		return err_plain(err, ESRCH, "container not running");
	return r;
}

int cmd_kill(const struct global *g, int argc, char **argv, struct err *err)
{
	/* As runc does where the container has a pid namespace of its own (here always, in the guest): the
	 * signal goes to its first process, whose end takes the others along. */
	bool all = false;
	const struct option_def options[] = {
		{"all", 'a', OPTION_FLAG, NULL, "accepted: the first process's end ends all", &all},
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
		r = deliver(&c, r, err);
	container_release(&c);
	return r;
}
