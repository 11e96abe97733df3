/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"

#define MSG_MAX (2 * ERR_MSG_MAX + 4096) /* an error, or the guest's last lines */

static struct {
	int fd;
	bool json, debug;
} state = {.fd = -1};

int log_open(const char *path, const char *format, bool debug, struct err *err)
{
	state.debug = debug;
	if (format && strcmp(format, "json") && strcmp(format, "text"))
		return err_plain(
			err, EINVAL, "--log-format: expected text or json, got '%s'", format);
	state.json = format && !strcmp(format, "json");
	if (!path || !*path)
		return 0;
	/* O_NONBLOCK: open(2) would wait until a fifo has a reader. Writing waits. */
	state.fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	if (state.fd < 0 || fcntl(state.fd, F_SETFL, O_APPEND) < 0)
		return err_set(err, errno, "cannot open the log file '%s'", path);
	return 0;
}

int log_fd(void)
{
	return state.fd;
}

int log_open_again(void)
{
	char path[32];
	int fd;

	/* An open file of its own: O_NONBLOCK on ours would lose what we say ourselves. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", state.fd);
	fd = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0)
		return fd;
	/* A pipe that nobody reads any more. Ours would keep the VMM waiting as soon as somebody opened it again, and did not read. */
	if (errno == ENXIO)
		return open("/dev/null", O_WRONLY | O_CLOEXEC);
	return fcntl(state.fd, F_DUPFD_CLOEXEC, 0);
}

bool log_is_json(void)
{
	return state.json;
}

static void write_line(enum log_level level, const char *msg)
{
	char line[LOGLINE_BYTES(MSG_MAX)];
	struct timespec now = {0};

	clock_gettime(CLOCK_REALTIME, &now);
	/* In one piece: the VMM appends to the same file. One that cannot be written has nobody to be told. */
	(void)write_full(
		state.fd, line, logline_format(line, sizeof(line), state.json, level, &now, msg));
}

/* A bundle's strings and the guest's lines are in messages: a terminal must not obey them. C1 controls are two
 * bytes in UTF-8. */
static void disarm(char *msg)
{
	for (unsigned char *p = (unsigned char *)msg; *p; p++)
		if ((*p < ' ' && *p != '\n' && *p != '\t') || *p == 0x7f)
			*p = '?';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			p[0] = p[1] = '?';
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	char msg[MSG_MAX];
	va_list ap;

	if (level == LOG_LEVEL_DEBUG && !state.debug)
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (state.fd >= 0)
		write_line(level, msg);
	/* As runc: with a log nothing else is the caller's to see. An engine's `create` has the container's
	 * standard error. */
	if (state.fd >= 0 && level != LOG_LEVEL_ERROR)
		return;
	disarm(msg);
	dprintf(STDERR_FILENO, "coracle: %s%s\n", level == LOG_LEVEL_WARNING ? "warning: " : "",
		msg);
}

void log_warn_cb(void *arg, const char *msg)
{
	(void)arg;
	log_msg(LOG_LEVEL_WARNING, "%s", msg);
}

void log_debug_cb(void *arg, const char *msg)
{
	(void)arg;
	log_msg(LOG_LEVEL_DEBUG, "%s", msg);
}
