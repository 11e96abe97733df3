/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/timeline.h"

#define KILLED_WAIT_MS 1000

/* Until nobody has the other end of a pipe. */
static bool wait_closed(int fd, int ms)
{
	uint64_t deadline = timeline_now() + (uint64_t)ms * 1000000;
	struct pollfd pf = {.fd = fd}; /* POLLHUP comes unasked */
	int n;

	do {
		n = poll(&pf, 1, timeline_left_ms(deadline));
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

/* The pipe holds all that the child said when it has ended. */
static int hear_child(pid_t pid, int fd, struct err *ret_said)
{
	bool ended = wait_closed(fd, TRIAL_WAIT_MS);
	int r = ended ? read_full(fd, ret_said, sizeof(*ret_said)) : -ETIMEDOUT;

	if (!ended) {
		kill(pid, SIGKILL);
		ended = wait_closed(fd, KILLED_WAIT_MS);
	}
	while (ended && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

int trial(trial_fn *fn, void *arg, struct err *ret_said)
{
	int fd[2], r;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		struct err said = ERR_INIT;

		fn(arg, fd[1], &said);
		(void)write_full(fd[1], &said, sizeof(said));
		_exit(0);
	}
	r = pid < 0 ? -errno : 0;
	close(fd[1]);
	if (pid > 0)
		r = hear_child(pid, fd[0], ret_said);
	close(fd[0]);
	return r;
}
