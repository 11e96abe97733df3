/* SPDX-License-Identifier: Apache-2.0 */
/* The VMM's reports as the launching command takes them: whole, cut, none, and signals before them. */
#include "runtime/launch_report.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "runtime/signals.h"
#include "tests/tap.h"

static struct err err;

/* A launch whose VMM writes len bytes of rep and then ends: with `status`, or by signal -status. */
static struct launch vmm(const struct vmm_report *rep, size_t len, int status)
{
	struct launch l = LAUNCH_INIT;
	int fd[2];

	err = (struct err)ERR_INIT;
	BUG_ON(pipe2(fd, O_CLOEXEC) < 0);
	fflush(stdout);
	l.pid = fork();
	if (l.pid == 0) {
		BUG_ON(write_full(fd[1], rep, len) < 0);
		if (status < 0)
			kill(getpid(), -status);
		_exit(status);
	}
	close(fd[1]);
	l.report_fd = fd[0];
	return l;
}

static void end(struct launch *l)
{
	close_fd(&l->report_fd);
	if (l->pid > 0)
		waitpid(l->pid, NULL, 0);
}

static void test_read(void)
{
	struct vmm_report rep = {.version = CTL_VERSION, .type = VMM_ENDED, .exit_status = 3}, got;
	struct launch l;

	rep.timeline.ns[TL_END] = 99;
	memset(rep.text, 'x', sizeof(rep.text));
	memset(rep.guest_log, 'y', sizeof(rep.guest_log));
	l = vmm(&rep, sizeof(rep), 0);
	eq_int(launch_report_read(&l, &got, &err), 0, "a report");
	eq_int(got.type, VMM_ENDED, "its type");
	eq_int(got.exit_status, 3, "its status");
	eq_int((intmax_t)strlen(got.text), ERR_MSG_MAX - 1, "a text without an end gets one");
	eq_int((intmax_t)strlen(got.guest_log), sizeof(got.guest_log) - 1, "so does the log");
	eq_int((intmax_t)l.timeline.ns[TL_END], 99, "the timeline is taken over");
	ok(l.pid > 0, "the VMM is still to be waited for");
	end(&l);
}

static void test_no_report(void)
{
	struct vmm_report rep = {.type = VMM_READY}, got;
	struct launch l = vmm(&rep, 0, 7);

	eq_int(launch_report_read(&l, &got, &err), -EPIPE, "an end without a report");
	eq_str(err.msg, "coracle-vmm has ended with status 7 without a word", "with its status");
	eq_int(l.pid, 0, "it was waited for");
	end(&l);
	l = vmm(&rep, sizeof(rep) - 1, -SIGKILL);
	eq_int(launch_report_read(&l, &got, &err), -EPIPE, "one that was killed in mid-report");
	has_str(err.msg, "coracle-vmm was killed by signal 9");
	end(&l);
	l = vmm(&rep, 0, 0);
	waitpid(l.pid, NULL, 0);
	eq_int(launch_report_read(&l, &got, &err), -EPIPE, "one that somebody else waited for");
	has_str(err.msg, "coracle-vmm has ended without a word");
	end(&l);
}

static void test_ready(int signal_fd)
{
	struct vmm_report rep = {.type = VMM_READY};
	struct launch l = vmm(&rep, sizeof(rep), 0);

	l.signal_fd = signal_fd;
	eq_int(launch_report_ready(&l, &err), 0, "ready");
	end(&l);
	rep = (struct vmm_report){.type = VMM_FAILED, .errnum = ENODEV, .exit_status = 0x17f};
	snprintf(rep.text, sizeof(rep.text), "no such device here");
	l = vmm(&rep, sizeof(rep), 1);
	l.signal_fd = signal_fd;
	eq_int(launch_report_ready(&l, &err), -ENODEV, "failed");
	eq_str(err.msg, "no such device here", "and why");
	eq_int(err.exit_status, 0x7f, "an exit status is a byte");
	end(&l);
	rep.errnum = -5;
	l = vmm(&rep, sizeof(rep), 1);
	eq_int(launch_report_ready(&l, &err), -EIO, "an error that is none; no signalfd at all");
	end(&l);
}

static void test_signals(int signal_fd)
{
	struct launch l = LAUNCH_INIT;
	int fd[2];

	BUG_ON(pipe2(fd, O_CLOEXEC) < 0);
	l.signal_fd = signal_fd;
	l.report_fd = fd[0];
	err = (struct err)ERR_INIT;
	raise(SIGUSR1); /* the lower number comes first, and is no reason to stop */
	raise(SIGTERM);
	eq_int(launch_report_ready(&l, &err), -EINTR, "SIGTERM before the report");
	eq_str(err.msg, "interrupted by SIGTERM", "is named");
	eq_int(err.exit_status, 128 + SIGTERM, "and gives the shell's status");
	close(fd[1]);
	err = (struct err)ERR_INIT;
	eq_int(signals_wait(signal_fd, fd[0], &err), 0, "a closed pipe is something to read");
	close(fd[0]);
}

int main(void)
{
	autofd int signal_fd = signals_open();

	ok(signal_fd >= 0, "a signalfd");
	test_read();
	test_no_report();
	test_ready(signal_fd);
	test_signals(signal_fd);
	return tap_done();
}
