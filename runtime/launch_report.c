/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/launch_report.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/fd.h"
#include "runtime/log.h"
#include "runtime/signals.h"

static int describe_end(pid_t pid, struct err *err)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return err_plain(err, EPIPE, "coracle-vmm has ended without a word");
	if (WIFSIGNALED(status))
		return err_plain(err, EPIPE, "coracle-vmm was killed by signal %d (%s)",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	return err_plain(err, EPIPE, "coracle-vmm has ended with status %d without a word",
		WEXITSTATUS(status));
}

int launch_report_read(struct launch *l, struct vmm_report *ret, struct err *err)
{
	int r = read_full(l->report_fd, ret, sizeof(*ret));

	if (r == -EPIPE) {
		r = describe_end(l->pid, err);
		l->pid = 0;
		return r;
	}
	if (r < 0)
		return err_set(err, -r, "cannot read coracle-vmm's report");
	ret->text[sizeof(ret->text) - 1] = '\0';
	ret->guest_log[sizeof(ret->guest_log) - 1] = '\0';
	l->timeline = ret->timeline;
	return 0;
}

int launch_report_ready(struct launch *l, struct err *err)
{
	struct vmm_report rep;
	int r = signals_wait(l->signal_fd, l->report_fd, err);

	if (r < 0)
		return r;
	r = launch_report_read(l, &rep, err);
	if (r < 0)
		return r;
	if (rep.type == VMM_READY)
		return 0;
	err->exit_status = (int)(rep.exit_status & 0xff);
	r = err_plain(err, rep.errnum > 0 ? rep.errnum : EIO, "%s", rep.text);
	if (rep.guest_log[0])
		log_msg(LOG_LEVEL_ERROR, "last lines of the guest's log:\n%s", rep.guest_log);
	return r;
}
