/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "lib/fd.h"

#define LINE_MAX_BYTES (2 * ERR_MSG_MAX + 4096)

static struct {
	int fd;
	bool json, debug;
} state = {.fd = -1};

static const char *const level_name[] = {"debug", "warning", "error"};

int log_open(const char *path, const char *format, bool debug, struct err *err)
{
	state.debug = debug;
	if (format && strcmp(format, "json") && strcmp(format, "text"))
		return err_plain(
			err, EINVAL, "--log-format: expected text or json, got '%s'", format);
	state.json = format && !strcmp(format, "json");
	if (!path || !*path)
		return 0;
	state.fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
	if (state.fd < 0)
		return err_set(err, errno, "cannot open the log file '%s'", path);
	return 0;
}

int log_fd(void)
{
	return state.fd;
}

bool log_is_json(void)
{
	return state.json;
}

static void timestamp(char *buf, size_t cap)
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(buf, cap, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, cap - n, ".%09ldZ", ts.tv_nsec);
}

static void write_json(enum log_level level, const char *msg, const char *when)
{
	struct json_object *o = json_object_new_object();
	const char *text;

	if (!o)
		return;
	json_object_object_add(o, "level", json_object_new_string(level_name[level]));
	json_object_object_add(o, "msg", json_object_new_string(msg));
	json_object_object_add(o, "time", json_object_new_string(when));
	text = json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text)
		dprintf(state.fd, "%s\n", text);
	json_object_put(o);
}

/* One line whatever is in it: the guest's log lines come through here too. */
static void write_text(enum log_level level, const char *msg, const char *when)
{
	char out[2 * LINE_MAX_BYTES];
	size_t n = 0;

	for (const char *p = msg; *p; p++) {
		if (*p == '"' || *p == '\\' || *p == '\n')
			out[n++] = '\\';
		out[n++] = *p == '\n' ? 'n' : (unsigned char)*p < ' ' ? '?' : *p;
	}
	out[n] = '\0';
	dprintf(state.fd, "time=\"%s\" level=%s msg=\"%s\"\n", when, level_name[level], out);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
	char msg[LINE_MAX_BYTES], when[64];
	va_list ap;

	if (level == LOG_LEVEL_DEBUG && !state.debug)
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	dprintf(STDERR_FILENO, "coracle: %s%s\n", level == LOG_LEVEL_WARNING ? "warning: " : "",
		msg);
	if (state.fd < 0)
		return;
	timestamp(when, sizeof(when));
	if (state.json)
		write_json(level, msg, when);
	else
		write_text(level, msg, when);
}

void log_warn_cb(void *arg, const char *msg)
{
	(void)arg;
	log_msg(LOG_LEVEL_WARNING, "%s", msg);
}
