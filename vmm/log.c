/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/timeline.h"

void log_init(struct log *l, int fd, bool json)
{
	*l = (struct log){
		.fd = fd, .json = json, .budget = LOG_BURST_BYTES, .refilled_ns = timeline_now()};
}

static void emit(struct log *l, enum log_level level, const char *msg)
{
	char line[LOGLINE_BYTES(LOG_MSG_MAX)];
	struct timespec now = {0};
	size_t len;

	if (l->fd < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	len = logline_format(line, sizeof(line), l->json, level, &now, msg);
	/* A log that cannot be written has nobody to be told to. */
	if (write(l->fd, line, len) < 0)
		return;
}

void log_write(struct log *l, enum log_level level, const char *fmt, ...)
{
	char msg[LOG_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	emit(l, level, msg);
}

void log_guest_line(struct log *l, const char *line)
{
	uint64_t now = timeline_now(), ms = (now - l->refilled_ns) / 1000000,
		 cost = strlen(line) + 64;

	if (ms) {
		l->budget = MIN(l->budget + ms * LOG_BYTES_PER_S / 1000, (uint64_t)LOG_BURST_BYTES);
		l->refilled_ns = now;
	}
	if (l->budget < cost) {
		l->dropped++;
		return;
	}
	l->budget -= cost;
	if (l->dropped)
		log_write(l, LOG_LEVEL_WARNING, "%u lines of the guest's log were left out",
			l->dropped);
	l->dropped = 0;
	log_write(l, LOG_LEVEL_DEBUG, "guest: %s", line);
}

int log_channel(int *ret_main, int *ret_others, struct err *err)
{
	const struct timeval limit = {.tv_sec = LOG_CHANNEL_S};
	int s[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) < 0)
		return err_set(err, errno, "cannot make the way to the log");
	*ret_main = s[0];
	*ret_others = s[1];
	if (setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
		setsockopt(s[1], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return err_set(err, errno, "cannot limit the way to the log");
	return 0;
}

/* As it should be already. */
static size_t make_line(char *text, size_t n)
{
	while (n && (text[n - 1] == '\n' || !text[n - 1]))
		n--;
	for (size_t i = 0; i < n; i++)
		if (!text[i])
			text[i] = '?';
	text[n] = '\0';
	logline_printable(text);
	text[n] = '\n';
	return n + 1;
}

bool log_take_line(struct log *l, int *fd)
{
	char text[LOG_LINE_MAX + 1];
	ssize_t n;

	if (*fd < 0)
		return false;
	if (l->lines >= LOG_LINES_MAX) { /* the last one was taken elsewhere */
		close_fd(fd);
		return false;
	}
	n = recv(*fd, text, LOG_LINE_MAX, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n > 0) {
		if (l->fd >= 0) /* as when it is ours: nobody is to be told of a failure */
			(void)!write(l->fd, text, make_line(text, (size_t)n));
		send(*fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	/* An empty message looks as the end does. Both count, so that neither goes on for ever. */
	if (n >= 0 && ++l->lines < LOG_LINES_MAX)
		return true;
	close_fd(fd);
	return false;
}

static void *take_lines(void *arg)
{
	struct log_taker *t = arg;
	struct pollfd pfd[] = {
		{.fd = t->fd, .events = POLLIN}, {.fd = t->stop_fd, .events = POLLIN}};

	while (t->fd >= 0 && !pfd[1].revents) {
		if (poll(pfd, ARRAY_SIZE(pfd), -1) < 0 && errno != EINTR)
			break;
		if (pfd[0].revents)
			log_take_line(t->log, &t->fd);
	}
	return NULL;
}

static int create_taker(struct log_taker *t)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&t->thread, NULL, take_lines, t);
	t->runs = r == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

int log_taker_start(struct log_taker *t, struct log *log, int fd, struct err *err)
{
	int r;

	t->log = log;
	t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	t->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->fd < 0 || t->stop_fd < 0)
		return err_set(err, errno, "cannot listen for the threads' reports");
	r = create_taker(t);
	return r ? err_set(err, r, "cannot create the thread that listens for reports") : 0;
}

void log_taker_stop(struct log_taker *t)
{
	if (t->runs) {
		eventfd_write(t->stop_fd, 1);
		pthread_join(t->thread, NULL);
	}
	t->runs = false;
	close_fd(&t->fd);
	close_fd(&t->stop_fd);
}
