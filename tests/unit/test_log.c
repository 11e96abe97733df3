/* SPDX-License-Identifier: Apache-2.0 */
/* The way to the log of all threads but main: what is taken of it, by whom, and when it is closed. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "tests/tap.h"
#include "vmm/log.h"

static struct log log_;
static int log_file, line, others;

static void begin(int fd)
{
	struct err err = ERR_INIT;

	log_file = fd;
	BUG_ON(fd < 0 || log_channel(&line, &others, &err) < 0);
	log_init(&log_, fd, false);
}

static void end(void)
{
	close_fd(&line);
	close_fd(&others);
	close(log_file);
}

static void put(const char *text)
{
	BUG_ON(send(others, text, strlen(text), 0) != (ssize_t)strlen(text));
}

static bool answered(void)
{
	char c = 1;

	return recv(others, &c, 1, MSG_DONTWAIT) == 1 && !c;
}

static const char *logged(void)
{
	static char text[4096];
	ssize_t n = pread(log_file, text, sizeof(text) - 1, 0);

	text[MAX(n, 0)] = '\0';
	return text;
}

static void test_empty(void)
{
	begin(memfd_create("log", MFD_CLOEXEC));
	ok(!log_take_line(&log_, &line) && line >= 0, "no message is no end");
	put("");
	ok(log_take_line(&log_, &line) && line >= 0, "nor is an empty one");
	ok(!answered(), "which has no answer");
	put("a report\n");
	ok(log_take_line(&log_, &line) && answered(), "the next one is answered");
	eq_str(logged(), "a report\n", "and in the log, alone");
	for (unsigned i = log_.lines; i < LOG_LINES_MAX; i++) {
		ok(line >= 0, "there may be more");
		put("");
		log_take_line(&log_, &line);
	}
	eq_int(line, -1, "empty ones count");
	end();
}

static void test_end(void)
{
	unsigned n = 0;

	begin(memfd_create("log", MFD_CLOEXEC));
	put("the last\n");
	close_fd(&others);
	while (n < 1000 && log_take_line(&log_, &line))
		n++;
	ok(n < LOG_LINES_MAX && line < 0, "the others' end ends it");
	eq_str(logged(), "the last\n", "after what was written before");
	end();
}

static void test_full(void)
{
	begin(open("/dev/full", O_WRONLY | O_CLOEXEC));
	put("a report\n");
	ok(log_take_line(&log_, &line) && line >= 0, "a log that is full ends nothing");
	ok(answered(), "and nobody waits for it");
	eq_int(log_.lines, 1, "the line counts");
	end();
}

static void test_taker(void)
{
	struct log_taker t = LOG_TAKER_INIT;
	struct err err = ERR_INIT;
	char c = 1;

	begin(memfd_create("log", MFD_CLOEXEC));
	log_taker_stop(&t);
	eq_int(log_taker_start(&t, &log_, line, &err), 0, "a thread takes them");
	for (unsigned i = 0; i < LOG_LINES_MAX; i++) {
		put("x\n");
		ok(recv(others, &c, 1, 0) == 1, "and answers");
	}
	log_taker_stop(&t);
	log_taker_stop(&t);
	ok(t.fd < 0 && t.stop_fd < 0 && fcntl(line, F_GETFD) == FD_CLOEXEC,
		"when it has ended, main's end is as it was");
	eq_int(strlen(logged()), 2 * LOG_LINES_MAX, "all are in the log");
	put("y\n");
	ok(!log_take_line(&log_, &line) && line < 0, "there are no more for main then");
	eq_int(strlen(logged()), 2 * LOG_LINES_MAX, "nor one in the log");
	end();
}

static void test_taker_idle(void)
{
	struct log_taker t = LOG_TAKER_INIT;
	struct err err = ERR_INIT;

	begin(memfd_create("log", MFD_CLOEXEC));
	eq_int(log_taker_start(&t, &log_, line, &err), 0, "one that has nothing to take");
	log_taker_stop(&t);
	put("later\n");
	ok(log_take_line(&log_, &line) && answered(), "leaves what comes to main");
	end();
}

int main(void)
{
	test_empty();
	test_end();
	test_full();
	test_taker();
	test_taker_idle();
	return tap_done();
}
