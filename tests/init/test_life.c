/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a container as the host sees it: messages, signals, streams, the end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/init/harness.h"
#include "tests/tap.h"

static struct guest g;

static void test_signals(void)
{
	guest_boot(
		&g, fresh("trap 'echo term; exit 3' TERM; echo up; while :; do sleep 0.05; done"));
	if (!ok(guest_until(&g, &g.ready), "ready"))
		return;
	guest_start(&g);
	ok(guest_until(&g, &g.started), "started");
	ok(guest_until_out(&g, "up\n"), "its trap is set");
	guest_signal(&g, 41, SIGUSR2);
	ok(guest_until(&g, &g.signaled) && g.signal.id == 41 && !g.signal.errnum,
		"a signal it ignores, being PID 1");
	guest_signal(&g, 42, 65);
	ok(guest_until(&g, &g.signaled) && g.signal.errnum == EINVAL, "no such signal");
	guest_signal(&g, 43, SIGTERM);
	ok(guest_until(&g, &g.signaled) && g.signal.id == 43 && !g.signal.errnum,
		"SIGTERM is delivered");
	ok(guest_until(&g, &g.exited), "it ends");
	eq_int(g.exit.status, 3, "by its handler");
	eq_str(g.out, "up\nterm\n", "which wrote");
	guest_signal(&g, 44, SIGTERM);
	ok(guest_until(&g, &g.signaled) && g.signal.errnum == ESRCH, "a signal after its end");
	eq_int(guest_end(&g), 0, "the agent ends with the control channel");
}

static void test_kill(void)
{
	guest_boot(&g, fresh("sleep 100 & sleep 100"));
	guest_until(&g, &g.ready);
	guest_start(&g);
	guest_until(&g, &g.started);
	guest_signal(&g, 1, SIGKILL);
	ok(guest_until(&g, &g.exited), "SIGKILL ends it and all its children");
	ok(g.exit.status == 137 && g.exit.signo == SIGKILL, "137");
	ok(g.out_eof && g.err_eof, "the streams have ended");
	guest_end(&g);

	guest_boot(&g, fresh("true"));
	guest_until(&g, &g.ready);
	guest_signal(&g, 2, SIGKILL);
	ok(guest_until(&g, &g.exited) && g.exit.status == 137, "killed while only created");
	guest_start(&g);
	guest_signal(&g, 3, SIGKILL);
	ok(guest_until(&g, &g.signaled) && g.signal.errnum == ESRCH,
		"START after that changes nothing");
	ok(!g.started && !g.failed, "and is not answered");
	guest_end(&g);
}

static void test_own_signal(void)
{
	struct gspec *s = fresh("kill -9 $$; echo still here; exit 5");

	eq_int(run(s, NULL)->exit.status, 5, "PID 1 cannot kill itself");
	s->namespaces &= ~GNS_PID;
	guest_boot(&g, s);
	guest_until(&g, &g.ready);
	guest_start(&g);
	ok(guest_until(&g, &g.exited) && g.exit.status == 137, "without a pid namespace it can");
	guest_end(&g);
}

static void test_leftovers(void)
{
	struct gspec *s = fresh("(sleep 100; echo never) & echo bye; exit 4");
	struct guest *r = run(s, NULL);

	eq_str(r->out, "bye\n", "children that hold the streams do not hold up the end");
	eq_int(r->exit.status, 4, "status");
	s->namespaces &= ~GNS_PID;
	r = run(s, NULL);
	ok(r->exited && r->exit.status == 4, "nor without a pid namespace: the cgroup is killed");
	s = fresh("i=0; while [ $i -lt 200 ]; do (true &); i=$((i+1)); done; sleep 0.2; echo "
		  "/proc/[0-9]*");
	s->namespaces &= ~GNS_PID;
	ok(run(s, NULL)->exited, "orphans of a container in init's pid namespace");
}

static void test_big_streams(void)
{
	static char big[OUT_MAX - 64];
	struct gspec *s = fresh("cat; echo end >&2");
	size_t sent = 0;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)('a' + i % 23 + i / 1000 % 3);
	guest_boot(&g, s);
	guest_until(&g, &g.ready);
	guest_start(&g);
	while (!g.exited && !g.control_eof) {
		struct pollfd pf[2] = {
			{.fd = g.stream[0], .events = sent < sizeof(big) ? POLLOUT : 0},
			{.fd = g.out_eof ? -1 : g.stream[1], .events = POLLIN}};
		ssize_t n;

		if (g.out_eof && guest_until(&g, &g.exited))
			break;
		if (poll(pf, 2, 10000) <= 0)
			break;
		if (pf[0].revents & POLLOUT) {
			n = send(g.stream[0], big + sent, MIN(sizeof(big) - sent, (size_t)70000),
				MSG_DONTWAIT | MSG_NOSIGNAL);
			sent += n > 0 ? (size_t)n : 0;
			if (sent == sizeof(big))
				shutdown(g.stream[0], SHUT_WR);
		}
		if (pf[1].revents) {
			n = read(g.stream[1], g.out + g.out_len, OUT_MAX - g.out_len);
			g.out_len += n > 0 ? (size_t)n : 0;
			g.out_eof = n <= 0;
		}
	}
	ok(g.exited && g.exit.status == 0, "ends");
	ok(g.out_len == sizeof(big) && !memcmp(g.out, big, sizeof(big)),
		"a megabyte there and back, unchanged");
	eq_str(g.errout, "end\n", "the other stream too");
	guest_end(&g);
}

static void test_late_reader(void)
{
	guest_boot(&g, fresh("dd if=/dev/zero bs=1000 count=900 2>/dev/null; exit 6"));
	guest_until(&g, &g.ready);
	guest_start(&g);
	guest_until(&g, &g.started);
	usleep(300000);
	ok(!g.exited, "the end waits for the reader");
	ok(guest_until(&g, &g.exited) && g.exit.status == 6, "then comes");
	eq_int(g.out_len, 900000, "after every byte");
	guest_end(&g);
}

static void test_closed_stdin(void)
{
	char junk[4096] = "";
	ssize_t n;
	int i;

	guest_boot(&g, fresh("exec 0<&-; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo on"));
	guest_until(&g, &g.ready);
	guest_start(&g);
	guest_until(&g, &g.started);
	for (i = 0; i < 10000; i++) {
		n = send(g.stream[0], junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			break;
		usleep(500);
	}
	ok(n < 0 && errno == EPIPE,
		"a process that closes its stdin closes the stream: nobody blocks");
	put("rootfs/tmp/go", "", 0644);
	ok(guest_until(&g, &g.exited) && !strcmp(g.out, "on\n"), "and goes on");
	guest_end(&g);
}

static void test_gone_reader(void)
{
	guest_boot(&g,
		fresh("trap '' PIPE; while echo x; do :; done 2>/dev/null; echo gone >&2; exit 9"));
	guest_until(&g, &g.ready);
	close_fd(&g.stream[1]);
	g.out_eof = true;
	guest_start(&g);
	ok(guest_until(&g, &g.exited) && g.exit.status == 9,
		"a writer learns that its reader has gone");
	eq_str(g.errout, "gone\n", "the other stream lives on");
	guest_end(&g);

	guest_boot(&g, fresh("sleep 0.2; echo fine"));
	shutdown(g.stream[1], SHUT_WR); /* the direction that is never used */
	guest_until(&g, &g.ready);
	guest_start(&g);
	ok(guest_until(&g, &g.exited) && !strcmp(g.out, "fine\n"),
		"a half-close of the unused direction means nothing");
	guest_end(&g);
}

static void test_null_streams(void)
{
	struct gspec *s = fresh("readlink /proc/self/fd/0; readlink /proc/self/fd/2 ; cat; echo x "
				">&2 && echo done");
	struct guest *r;

	s->proc.flags |= GPROC_STDIN_NULL | GPROC_STDERR_NULL;
	r = run(s, NULL);
	eq_str(r->out, "/dev/null\n/dev/null\ndone\n",
		"closed streams are the container's /dev/null");
	s = fresh("cat; echo x >&2 && echo done");
	s->n_mounts = 1; /* no /dev */
	s->proc.flags |= GPROC_STDIN_NULL | GPROC_STDERR_NULL;
	eq_str(run(s, NULL)->out, "done\n", "without one, init's");
}

static void test_idle_cost(void)
{
	struct rusage ru;
	int status;

	guest_boot(&g, fresh("exec 0<&-; exec 1>&-; sleep 0.7"));
	guest_until(&g, &g.ready);
	shutdown(g.stream[0], SHUT_WR);
	guest_start(&g);
	ok(guest_until(&g, &g.exited), "streams closed early");
	ok(g.out_eof, "stdout's end came before the end");
	close_fd(&g.control);
	ok(wait4(g.pid, &status, 0, &ru) == g.pid, "the agent ends");
	ok(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec + ru.ru_stime.tv_sec * 1000000 +
				ru.ru_stime.tv_usec <
			400000,
		"it did not spin meanwhile");
	g.pid = -1;
	texec_forget(&g);
	for (int i = 0; i < 3; i++)
		close_fd(&g.stream[i]);
}

static void test_bad_host(void)
{
	struct proto_hello hello = {0};

	guest_boot(&g, fresh("sleep 100"));
	guest_until(&g, &g.ready);
	proto_send(g.control, PROTO_HELLO, &hello, sizeof(hello));
	guest_until(&g, &g.control_eof);
	ok(g.control_eof, "a message that is the guest's to send ends the conversation");
	guest_end(&g);
	guest_boot(&g, fresh("sleep 100"));
	guest_until(&g, &g.ready);
	ok(write_full(g.control, "\xff\xff\xff\xff\xff\xff\xff\xff", 8) == 0, "garbage");
	guest_until(&g, &g.control_eof);
	ok(g.control_eof, "does too");
	guest_end(&g);
	guest_boot(&g, fresh("sleep 100"));
	eq_int(guest_end(&g), 0, "a host that goes at once");
}

static void test_flush(void)
{
	struct gspec *s =
		fresh("i=0; while [ $i -lt 50 ]; do echo $i > /tmp/f$i; i=$((i+1)); done");
	char path[128], text[8] = "";
	autofd int fd = -1;

	ok(run(s, NULL)->exited, "a container that writes files");
	snprintf(path, sizeof(path), "%s/rootfs/tmp/f49", share_path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ok(fd >= 0 && read(fd, text, 7) == 3 && !strcmp(text, "49\n"), "they are there");
}

static void test_terminal(void)
{
	struct gspec *s =
		fresh("tty; stty size; ls -l /dev/console | cut -c1; test -t 2 && echo tty2; "
		      "stat -c %u $(tty); echo hi > /dev/console; echo ctl > /dev/tty; read x; "
		      "trap 'exit 8' INT; echo [$x]; "
		      "while :; do sleep 0.05; done");

	s->proc.flags |= GPROC_TERMINAL;
	s->proc.rows = 33;
	s->proc.cols = 101;
	s->proc.uid = 12;
	guest_boot(&g, s);
	g.err_eof = true; /* one stream each way */
	if (!ok(guest_until(&g, &g.ready), "a container with a terminal")) {
		printf("# %s\n", g.fail.text);
		return;
	}
	guest_start(&g);
	guest_until(&g, &g.started);
	ok(guest_until_out(&g, "ctl\r\n"), "it is up");
	ok(write_full(g.stream[0], "typed\n", 6) == 0, "type a line");
	ok(guest_until_out(&g, "[typed]\r\n"), "read from the terminal");
	ok(write_full(g.stream[0], "\x03", 1) == 0, "Ctrl-C");
	ok(guest_until(&g, &g.exited), "ends it");
	eq_int(g.exit.status, 8, "by its handler");
	ok(strstr(g.out, "/dev/pts/0\r\n33 101\r\nc\r\ntty2\r\n12\r\nhi\r\nctl\r\n") != NULL,
		"name, size, console, owner, controlling terminal");
	guest_end(&g);
}

/* A process that the end of the container does not reach, and, traced, that nobody can reap: what root of a container
 * without a pid namespace of its own can make of an exec'd one. */
static void test_unreachable(bool traced)
{
	struct gspec *s = fresh("echo up; read x; exit 5");
	static struct texec ex;
	pid_t pid = 0, first = 0;

	s->namespaces &= ~GNS_PID;
	guest_boot(&g, s);
	guest_until(&g, &g.ready);
	guest_start(&g);
	guest_until_out(&g, "up\n");
	first = atoi(harness_cgroup_text("cgroup.procs"));
	texec_init(&ex, "echo up; exec sleep 1000");
	texec_start(&g, &ex);
	guest_until(&g, &ex.wrote);
	for (const char *p = harness_cgroup_text("cgroup.procs"); *p; p += strcspn(p, "\n") + 1)
		if (atoi(p) != first)
			pid = atoi(p);
	if (traced && ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0) {
		skip("no ptrace here");
		guest_end(&g);
		return;
	}
	ok(pid > 0 && harness_leave_group(pid), "an exec'd process out of reach (traced: %d)",
		traced);
	ok(write_full(g.stream[0], "\n", 1) == 0, "the first one ends");
	ok(guest_until(&g, &g.exited) && g.exit.status == 5, "the container's end is told");
	ok(traced || (ex.exited && ex.exit.status == 137 && ex.closed), "after the process's");
	if (traced)
		waitpid(pid, NULL, __WALL);
	guest_end(&g);
}

int main(void)
{
	const char *why = harness_open();

	if (why) {
		skip(why);
		return tap_done();
	}
	test_signals();
	test_kill();
	test_own_signal();
	test_leftovers();
	test_unreachable(false);
	test_unreachable(true);
	test_big_streams();
	test_late_reader();
	test_closed_stdin();
	test_gone_reader();
	test_null_streams();
	test_idle_cost();
	test_bad_host();
	test_flush();
	test_terminal();
	harness_close();
	return tap_done();
}
