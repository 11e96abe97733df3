/* SPDX-License-Identifier: Apache-2.0 */
/* The commands' log: standard error, and the file of --log as text and as JSON. */
#include "runtime/log.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "tests/unit/runtime_dir.h"

static struct err err;

static char *contents(const char *name)
{
	autofd int fd = open(in_dir(name), O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t len;

	BUG_ON(fd < 0 || read_file(fd, 1 << 20, &text, &len));
	return text;
}

/* Standard error goes to a file while one message is logged. */
static char *log_one(enum log_level level, const char *msg)
{
	autofd int file = open(in_dir("stderr"), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	autofd int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	BUG_ON(file < 0 || saved < 0 || dup2(file, STDERR_FILENO) < 0);
	log_msg(level, "%s", msg);
	dup2(saved, STDERR_FILENO);
	return contents("stderr");
}

static void test_stderr(void)
{
	autofree char *plain = NULL, *warning = NULL, *debug = NULL, *hostile = NULL;

	eq_int(log_open(NULL, NULL, false, &err), 0, "no file");
	eq_int(log_fd(), -1, "none is open");
	plain = log_one(LOG_LEVEL_ERROR, "it broke");
	eq_str(plain, "coracle: it broke\n", "an error");
	warning = log_one(LOG_LEVEL_WARNING, "it creaks");
	eq_str(warning, "coracle: warning: it creaks\n", "a warning");
	hostile = log_one(LOG_LEVEL_ERROR, "a\033[31m\tb\r\177\xc2\x9b"
					   "31m \xc3\xa4\nc");
	eq_str(hostile,
		"coracle: a?[31m\tb????"
		"31m \xc3\xa4\nc\n",
		"what a terminal would obey is taken out");
	debug = log_one(LOG_LEVEL_DEBUG, "it hums");
	eq_str(debug, "", "debug messages only where asked for");
}

static void test_file(bool json)
{
	const char *name = json ? "log.json" : "log.text";
	autofree char *screen = NULL, *quiet = NULL, *text = NULL;
	char *line_end;

	eq_int(log_open(in_dir(name), json ? "json" : "text", true, &err), 0, name);
	ok(log_fd() >= 0 && log_is_json() == json, "is open");
	ok(fcntl(log_fd(), F_GETFD) & FD_CLOEXEC, "close-on-exec");
	screen = log_one(LOG_LEVEL_ERROR, "two\nlines \"quoted\"");
	eq_str(screen, "coracle: two\nlines \"quoted\"\n", "standard error gets it as it is");
	quiet = log_one(LOG_LEVEL_WARNING, "second");
	eq_str(quiet, "", "a warning is in the file alone: the streams may be a container's");
	text = contents(name);
	line_end = strchr(text, '\n');
	ok(line_end && strchr(line_end + 1, '\n') == text + strlen(text) - 1, "two lines");
	has_str(text,
		json ? "\"level\":\"warning\",\"msg\":\"second\"" : "level=warning msg=\"second\"");
	*line_end = '\0';
	if (json) {
		struct json_object *o = json_tokener_parse(text);
		struct json_object *level = json_object_object_get(o, "level");

		eq_str(json_object_get_string(level), "error", "level");
		eq_str(json_object_get_string(json_object_object_get(o, "msg")),
			"two\nlines \"quoted\"", "msg");
		ok(json_object_object_get(o, "time"), "time");
		eq_int(json_object_object_length(o), 3, "nothing else");
		json_object_put(o);
	} else {
		has_str(text, " level=error msg=\"two\\nlines \\\"quoted\\\"\"");
	}
}

static void test_long(void)
{
	size_t n = 100000;
	char *msg = malloc(n + 1), *before = contents("log.json"), *after;

	memset(msg, '\001', n); /* each becomes six characters */
	msg[n] = '\0';
	free(log_one(LOG_LEVEL_ERROR, msg));
	after = contents("log.json");
	ok(after[strlen(after) - 1] == '\n' && strlen(after) > strlen(before) + 6 * ERR_MSG_MAX &&
			strlen(after) < strlen(before) + n,
		"a message without an end is cut, its line is whole");
	free(msg);
	free(before);
	free(after);
}

/* The VMM's descriptor of a pipe that is not read. */
static void test_slow_reader(void)
{
	static const char page[4096];
	autofd int reader = -1, again = -1;
	struct stat st;

	BUG_ON(mkfifo(in_dir("fifo"), 0600) < 0);
	eq_int(log_open(in_dir("fifo"), NULL, false, &err), -ENXIO, "a pipe without a reader");
	has_str(err.msg, "cannot open the log file");
	err = (struct err)ERR_INIT;
	reader = open(in_dir("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	eq_int(log_open(in_dir("fifo"), NULL, false, &err), 0, "a pipe as a log");
	again = log_open_again();
	ok(again >= 0 && fcntl(again, F_GETFD) & FD_CLOEXEC, "is opened again");
	ok(fcntl(again, F_GETFL) & O_NONBLOCK, "and does not keep the VMM waiting");
	while (fcntl(again, F_GETFL) & O_NONBLOCK && write(again, page, sizeof(page)) > 0)
		;
	eq_int(errno, EAGAIN, "when it is full");
	ok(!(fcntl(log_fd(), F_GETFL) & O_NONBLOCK), "the command itself goes on waiting");
	close_fd(&reader);
	close_fd(&again);
	again = log_open_again();
	ok(again >= 0 && fcntl(again, F_GETFD) & FD_CLOEXEC,
		"a reader that has gone is no failure");
	reader = open(in_dir("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ok(fstat(again, &st) == 0 && !S_ISFIFO(st.st_mode) && write(again, page, 1) == 1,
		"nor does one that comes back keep the VMM waiting");
}

int main(void)
{
	test_dir_make();
	test_stderr();
	eq_int(log_open(NULL, "xml", false, &err), -EINVAL, "an unknown form");
	has_str(err.msg, "--log-format: expected text or json, got 'xml'");
	err = (struct err)ERR_INIT;
	eq_int(log_open(in_dir("nowhere/log"), "json", false, &err), -ENOENT, "no such directory");
	has_str(err.msg, "cannot open the log file");
	test_file(false);
	test_file(true);
	test_long();
	test_slow_reader();
	return tap_done();
}
