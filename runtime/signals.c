/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "lib/base.h"

#define SIGNAL_MAX 64
#define RT_MIN     34 /* what glibc and Go call SIGRTMIN */

static int parse_number(const char *s, int max)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(s, &end, 10);
	if (errno || end == s || *end || v < 0 || v > max)
		return -EINVAL;
	return (int)v;
}

static int parse_realtime(const char *name)
{
	int n;

	if (!strcasecmp(name, "RTMIN"))
		return RT_MIN;
	if (!strcasecmp(name, "RTMAX"))
		return SIGNAL_MAX;
	if (!strncasecmp(name, "RTMIN+", 6)) {
		n = parse_number(name + 6, SIGNAL_MAX - RT_MIN);
		return n < 0 ? n : RT_MIN + n;
	}
	if (!strncasecmp(name, "RTMAX-", 6)) {
		n = parse_number(name + 6, SIGNAL_MAX - RT_MIN);
		return n < 0 ? n : SIGNAL_MAX - n;
	}
	return -EINVAL;
}

static int parse_name(const char *text)
{
	const char *name = strncasecmp(text, "SIG", 3) ? text : text + 3;

	for (int s = 1; s < 32; s++) {
		const char *abbrev = sigabbrev_np(s);

		if (abbrev && !strcasecmp(abbrev, name))
			return s;
	}
	if (!strcasecmp(name, "CLD"))
		return SIGCHLD;
	if (!strcasecmp(name, "IOT"))
		return SIGABRT;
	return parse_realtime(name);
}

int signal_parse(const char *text, struct err *err)
{
	int s = parse_number(text, SIGNAL_MAX);

	if (s < 0)
		s = parse_name(text);
	if (s < 0)
		return err_plain(err, EINVAL, "unknown signal \"%s\"", text);
	return s;
}

/* What a terminal, a shell or a service manager sends to be passed on. */
static const int forwarded[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH};

int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

int signals_open_all(void)
{
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* SIGWINCH, SIGCHLD and the like are no reason to stop. */
static int interrupted(int signal_fd, struct err *err)
{
	struct signalfd_siginfo si;

	if (read(signal_fd, &si, sizeof(si)) != sizeof(si))
		return err_set(err, errno, "cannot read the signals");
	switch (si.ssi_signo) {
	case SIGHUP:
	case SIGINT:
	case SIGQUIT:
	case SIGTERM:
		err->exit_status = 128 + (int)si.ssi_signo;
		return err_plain(
			err, EINTR, "interrupted by SIG%s", sigabbrev_np((int)si.ssi_signo));
	default: return 0;
	}
}

int signals_wait(int signal_fd, int fd, struct err *err)
{
	struct pollfd pfd[2] = {{.fd = fd, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};

	for (;;) {
		int n = poll(pfd, 2, -1), r;

		if (n < 0 && errno != EINTR)
			return err_set(err, errno, "cannot wait for coracle-vmm");
		if (n <= 0)
			continue;
		if (pfd[0].revents)
			return 0;
		r = interrupted(signal_fd, err);
		if (r < 0)
			return r;
	}
}
