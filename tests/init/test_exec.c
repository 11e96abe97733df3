/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that the host executes in the container beside its first one. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/init/harness.h"
#include "tests/tap.h"

#define MANY 200

static struct guest g;
static struct texec ex[MANY + 1];

/* A container that only waits. */
static void boot(const struct gspec *s)
{
	guest_boot(&g, s);
	if (guest_until(&g, &g.ready))
		guest_start(&g);
	guest_until(&g, &g.started);
}

static void boot_idle(void)
{
	boot(fresh("sleep 1000"));
}

/* What the script writes, when executed in the running container. */
static const char *output_of(const char *script)
{
	struct texec *e = &ex[MANY];

	texec_init(e, script);
	texec_run(&g, e);
	if (e->err_bytes)
		printf("# stderr: %s\n", e->errout);
	return e->out;
}

static void test_basics(void)
{
	boot_idle();
	texec_init(&ex[0], "echo out; echo err >&2; read x; echo got $x; exit 7");
	ex[0].input = "line\n";
	texec_run(&g, &ex[0]);
	ok(ex[0].started && ex[0].exited && ex[0].closed, "started, exited, closed");
	ok(ex[0].exit.status == 7 && ex[0].exit.signo == 0, "status");
	eq_str(ex[0].out, "out\ngot line\n", "stdin and stdout");
	eq_str(ex[0].errout, "err\n", "stderr");
	eq_str(output_of("hostname; grep ^0: /proc/self/cgroup; tr '\\0' ' ' < /proc/1/cmdline; "
			 "pwd; echo $HOME"),
		"boat\n0::/\nsleep 1000 /\n/\n", "in the container's namespaces");
	eq_str(output_of("ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ",
		"no descriptor of init's (3 is ls's own)");
	eq_str(output_of("cut -d' ' -f4 /proc/$$/stat; test $(cut -d' ' -f6 /proc/$$/stat) = $$ "
			 "&& echo leader"),
		"0\nleader\n", "a child from outside, session leader");
	eq_str(output_of("grep -E '^(SigBlk|SigIgn|SigCgt|Seccomp|NoNewPrivs):' /proc/self/status "
			 "| tr -d '\\t\\n'"),
		"SigBlk:0000000000000000SigIgn:0000000000000000SigCgt:0000000000000000"
		"NoNewPrivs:0Seccomp:0",
		"signals as born");
	texec_init(&ex[0], "kill -TERM $$");
	texec_run(&g, &ex[0]);
	ok(ex[0].exit.status == 143 && ex[0].exit.signo == SIGTERM, "ended by a signal");
	eq_int(guest_end(&g), 0, "the agent ends");
}

static void test_process_fields(void)
{
	static const uint32_t groups[] = {7, 4321};
	static const struct grlimit limits[] = {{RLIMIT_CORE, 0, 77}};
	static const char *env[] = {"PATH=/bin", "A=b c", NULL};
	struct texec *e = &ex[0];

	boot_idle();
	put("rootfs/etc/passwd", "root:x:0:0::/root:\nuser:x:1000:1::/tmp:\n", 0644);
	texec_init(e, "id -u; id -g; id -G; umask; pwd; echo $HOME; echo $A; ulimit -c; "
		      "cat /proc/self/oom_score_adj; grep -E 'CapEff|NoNew' /proc/self/status");
	e->proc.env = (struct gstrv){2, env};
	e->proc.uid = 1000;
	e->proc.gid = 1001;
	e->proc.n_groups = 2;
	e->proc.groups = groups;
	e->proc.umask = 027;
	e->proc.cwd = "/tmp";
	e->proc.oom_score_adj = 345;
	e->proc.rlimits = limits;
	e->proc.n_rlimits = 1;
	e->proc.caps[GCAP_EFFECTIVE] = e->proc.caps[GCAP_PERMITTED] = 0x20;
	e->proc.caps[GCAP_INHERITABLE] = e->proc.caps[GCAP_AMBIENT] = 0x20;
	e->proc.flags |= GPROC_HAS_UMASK | GPROC_NO_NEW_PRIVS | GPROC_HAS_OOM_SCORE;
	texec_run(&g, e);
	eq_str(e->out,
		"1000\n1001\n1001 7 4321\n0027\n/tmp\n/tmp\nb c\n0\n345\n"
		"CapEff:\t0000000000000020\nNoNewPrivs:\t1\n",
		"user, groups, umask, cwd, HOME, environment, limits, OOM score, capabilities");
	eq_str(output_of("ulimit -n; ulimit -Hn"), "1024\n4096\n",
		"init's own limit of descriptors stays its own");
	guest_end(&g);
}

static void failing(const char *arg0, const char *cwd, uint32_t status, const char *text)
{
	struct texec *e = &ex[0];

	texec_init(e, "");
	e->proc.args.v[0] = arg0;
	e->proc.cwd = cwd;
	texec_run(&g, e);
	ok(e->failed && !e->started && !e->exited && e->closed, "%s in %s: failed", arg0, cwd);
	eq_int(e->fail.why.exit_status, status, "exit status");
	eq_str(e->fail.why.text, text, "text");
	ok(e->stream[1] < 0 || recv(e->stream[1], &(char){0}, 1, MSG_DONTWAIT) == 0,
		"its streams have ended");
}

static void test_failures(void)
{
	boot_idle();
	put("rootfs/bin/plain", "#!/bin/sh\n", 0644);
	put("rootfs/bin/garbage",
		"\x7f"
		"ELFno",
		0755);
	failing("nope", "/", 127, "exec: \"nope\": executable file not found in $PATH");
	failing("/x/y", "/", 127, "exec: \"/x/y\": stat /x/y: no such file or directory");
	failing("/bin/plain", "/", 126, "exec: \"/bin/plain\": permission denied");
	failing("/bin", "/", 126, "exec: \"/bin\": is a directory");
	failing("/bin/garbage", "/", 126, "exec /bin/garbage: exec format error");
	failing("sh", "/none", 1,
		"chdir to cwd (\"/none\") set in config.json failed: no such file or directory");
	texec_init(&ex[0], "");
	ex[0].hold_spec = true;
	texec_start(&g, &ex[0]);
	texec_init(&ex[1], "");
	ex[1].hold_spec = true;
	texec_start(&g, &ex[1]);
	texec_init(&ex[2], "exit 5");
	texec_run(&g, &ex[2]);
	eq_int(ex[2].exit.status, 5, "specifications that do not come hold up nobody");
	ok(!ex[0].failed && ex[0].stream[0] >= 0 && write_full(ex[0].stream[0], "abcdefg", 7) == 0,
		"a broken specification");
	close_fd(&ex[0].stream[0]);
	ok(guest_until(&g, &ex[0].closed) && ex[0].failed, "fails");
	has_str(ex[0].fail.why.text, "the process specification's args");
	guest_signal_to(&g, 1, SIGKILL, ex[1].id);
	ok(guest_until(&g, &ex[1].closed) && ex[1].failed, "killed before its specification came");
	has_str(ex[1].fail.why.text, "ended before it was executed (signal 9)");
	guest_end(&g);
}

static void test_phases(void)
{
	guest_boot(&g, fresh("echo $(ls /tmp); exit 3"));
	texec_init(&ex[0], "true");
	texec_start(&g, &ex[0]); /* while it is being prepared, or just after */
	guest_until(&g, &g.ready);
	ok(guest_until(&g, &ex[0].closed), "early: answered");
	eq_str(output_of("touch /tmp/x; hostname"), "boat\n", "in a container only created");
	guest_start(&g);
	ok(guest_until(&g, &g.exited) && g.exit.status == 3, "then it is started");
	eq_str(g.out, "x\n", "and finds what the exec left");
	texec_init(&ex[1], "true");
	texec_run(&g, &ex[1]);
	ok(ex[1].failed && ex[1].fail.why.errnum == ESRCH, "after its end");
	eq_str(ex[1].fail.why.text, "cannot exec in a stopped container", "text");
	guest_end(&g);
}

static void test_last_bytes(void)
{
	struct texec *e = &ex[0];

	boot_idle();
	texec_init(e, "dd if=/dev/zero bs=100000 count=30 2>/dev/null; exit 6");
	texec_run(&g, e);
	ok(e->exit.status == 6 && e->out_bytes == 3000000, "all that it wrote");
	eq_int(e->out_at_exit, 3000000, "is there before its end is told");

	/* Others hold its pipes. */
	texec_init(
		e, "(while [ ! -e /tmp/go ]; do sleep 0.02; done; echo late) & echo now; exit 4");
	texec_start(&g, e);
	ok(guest_until(&g, &e->exited) && e->exit.status == 4, "its end does not wait for orphans");
	eq_str(e->out, "now\n", "what it wrote was there");
	ok(!e->closed, "they go on");
	put("rootfs/tmp/go", "", 0644);
	ok(guest_until(&g, &e->closed) && !strcmp(e->out, "now\nlate\n"), "to the end");

	texec_init(e,
		"(while :; do echo more; done) & dd if=/dev/zero bs=50000 count=1 2>/dev/null; "
		"exit 5");
	texec_start(&g, e);
	ok(guest_until(&g, &e->exited) && e->exit.status == 5,
		"nor for one that never stops writing");
	ok(e->out_at_exit >= 50000, "what it wrote was there");
	close_fd(&e->stream[PROTO_EXEC_STDOUT]);
	ok(guest_until(&g, &e->closed), "that one ends when its reader does");
	guest_end(&g);
}

static void test_stdin(void)
{
	static char big[200000];
	struct texec *e = &ex[0];

	memset(big, 'x', sizeof(big) - 1);
	boot_idle();
	texec_init(e, "wc -c");
	e->input = big;
	texec_run(&g, e);
	eq_str(e->out, "199999\n", "all of stdin, then its end");
	texec_init(e, "echo up; cat; echo end");
	texec_start(&g, e);
	guest_until(&g, &e->wrote);
	texec_init(&ex[1], "true");
	texec_run(&g, &ex[1]);
	ok(!e->exited && e->stream[PROTO_EXEC_STDIN] >= 0, "an open stdin keeps it");
	shutdown(e->stream[PROTO_EXEC_STDIN], SHUT_WR);
	ok(guest_until(&g, &e->closed) && !strcmp(e->out, "up\nend\n"), "its end lets it go");
	texec_init(
		e, "a=$(readlink /proc/$$/fd/0); b=$(readlink /proc/$$/fd/1); echo $a $b >&2; cat");
	e->flags = GPROC_STDIN_NULL | GPROC_STDOUT_NULL;
	texec_run(&g, e);
	eq_str(e->errout, "/dev/null /dev/null\n", "streams that are not there");
	ok(e->stream[PROTO_EXEC_STDIN] < 0 && e->exit.status == 0, "are not opened");
	guest_end(&g);
}

/* Bytes that lie in its stdout, unread. */
static int queued(const struct texec *e)
{
	int n = 0;

	if (e->stream[PROTO_EXEC_STDOUT] >= 0 &&
		ioctl(e->stream[PROTO_EXEC_STDOUT], FIONREAD, &n) < 0)
		return -1;
	return n;
}

/* Until no more comes to its unread stdout for a while: 10 s at most. */
static void until_stuck(const struct texec *e)
{
	int last = 0, same = 0;

	for (int i = 0; i < 2000 && same < 20 && !e->closed; i++) {
		int now = queued(e);

		same = now > 0 && now == last ? same + 1 : 0;
		last = now;
		poll(NULL, 0, 5);
		guest_poll(&g);
	}
}

static void test_readers(void)
{
	struct texec *e = &ex[0];

	boot_idle();
	texec_init(e, "trap '' PIPE; while echo x; do :; done 2>/dev/null; echo gone >&2; exit 9");
	e->hold_out = true;
	texec_start(&g, e);
	ok(guest_until(&g, &e->started), "a writer whose reader sleeps");
	eq_str(output_of("dd if=/dev/zero bs=1000 count=1000 2>/dev/null | wc -c"), "1000000\n",
		"holds up nobody else");
	close_fd(&e->stream[PROTO_EXEC_STDOUT]);
	ok(guest_until(&g, &e->closed) && e->exit.status == 9,
		"it learns that its reader has gone");
	eq_str(e->errout, "gone\n", "the other stream lives on");

	texec_init(e, "dd if=/dev/zero bs=65536 count=100");
	e->hold_out = true;
	texec_start(&g, e);
	until_stuck(e);
	ok(!e->closed, "more is written than is on the way");
	guest_signal(&g, 1, SIGKILL);
	ok(guest_until(&g, &g.exited), "nor does it keep the container from its end");
	ok(e->exited && e->exit.status == 137 && e->closed, "and is ended by it, and before");
	guest_end(&g);
}

static void test_signals(void)
{
	static const char script[] =
		"trap 'echo int; exit 5' INT; echo up; while :; do sleep 0.02; done";

	boot_idle();
	for (int i = 0; i < 2; i++) {
		texec_init(&ex[i], script);
		texec_start(&g, &ex[i]);
		guest_until(&g, &ex[i].wrote);
	}
	guest_signal_to(&g, 7, SIGINT, ex[0].id);
	ok(guest_until(&g, &g.signaled) && g.signal.id == 7 && !g.signal.errnum, "SIGINT to one");
	ok(guest_until(&g, &ex[0].closed) && ex[0].exit.status == 5, "ends it by its handler");
	eq_str(output_of("true"), "", "(some time passes)");
	ok(!ex[1].exited, "and nobody else");
	guest_signal_to(&g, 8, SIGINT, ex[0].id);
	ok(guest_until(&g, &g.signaled) && g.signal.errnum == ESRCH,
		"after its end: no such process");
	guest_signal_to(&g, 9, SIGINT, 4711);
	ok(guest_until(&g, &g.signaled) && g.signal.errnum == ESRCH, "an id that never was");
	guest_signal_to(&g, 10, 0, ex[1].id);
	ok(guest_until(&g, &g.signaled) && g.signal.errnum == EINVAL, "no signal at all");
	guest_signal_to(&g, 11, SIGKILL, ex[1].id);
	ok(guest_until(&g, &ex[1].closed) && ex[1].exit.status == 137, "SIGKILL");
	ok(!g.exited, "the container lives");
	guest_end(&g);
}

static void test_end_of_container(bool own_pid_namespace)
{
	struct gspec *s = fresh("while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 3");

	if (!own_pid_namespace)
		s->namespaces &= ~GNS_PID;
	boot(s);
	for (int i = 0; i < 10; i++) {
		texec_init(&ex[i], "echo up; sleep 1000");
		texec_start(&g, &ex[i]);
	}
	for (int i = 0; i < 10; i++)
		guest_until(&g, &ex[i].wrote);
	put("rootfs/tmp/go", "", 0644);
	ok(guest_until(&g, &g.exited) && g.exit.status == 3,
		"the first process ends (own pid "
		"namespace: %d)",
		own_pid_namespace);
	for (int i = 0; i < 10; i++)
		if (!ex[i].closed || ex[i].exit.status != 137)
			ok(false, "exec %d was not ended before", i);
	eq_int(guest_end(&g), 0, "with it all others");
}

static unsigned agent_fds(void)
{
	char cmd[64], text[16] = "";
	FILE *f;

	snprintf(cmd, sizeof(cmd), "ls /proc/%d/fd | wc -l", g.pid);
	f = popen(cmd, "r");
	if (!f || !fgets(text, sizeof(text), f))
		text[0] = '\0';
	if (f)
		pclose(f);
	return (unsigned)atoi(text);
}

static void test_many(void)
{
	static char scripts[MANY][96];
	unsigned before, wrong = 0;

	boot_idle();
	output_of("true");
	before = agent_fds();
	for (int i = 0; i < MANY; i++) {
		snprintf(scripts[i], sizeof(scripts[i]),
			"read x; echo %d $x; echo err%d >&2; exit %d", i, i, i % 200);
		texec_init(&ex[i], scripts[i]);
		texec_start(&g, &ex[i]);
	}
	for (int i = 0; i < MANY; i++)
		guest_until(&g, &ex[i].started);
	for (int i = 0; i < MANY; i++)
		wrong += !ex[i].started || ex[i].exited;
	eq_int(wrong, 0, "200 processes at once run");
	for (int i = MANY - 1; i >= 0; i--) {
		if (ex[i].stream[PROTO_EXEC_STDIN] < 0 ||
			write_full(ex[i].stream[PROTO_EXEC_STDIN], "in\n", 3) < 0)
			wrong++;
	}
	for (int i = 0; i < MANY; i++) {
		char out[64], errout[64];

		guest_until(&g, &ex[i].closed);
		snprintf(out, sizeof(out), "%d in\n", i);
		snprintf(errout, sizeof(errout), "err%d\n", i);
		wrong += !ex[i].closed || ex[i].exit.status != i % 200 || strcmp(ex[i].out, out) ||
			 strcmp(ex[i].errout, errout);
	}
	eq_int(wrong, 0, "each with its own input, outputs and status");
	eq_int(agent_fds(), before, "no descriptor is left in init");
	eq_int(guest_end(&g), 0, "the agent ends");
}

static void test_too_many(void)
{
	static struct texec held[PROTO_EXECS_MAX + 1];
	struct texec *last = &held[PROTO_EXECS_MAX];

	boot_idle();
	for (unsigned i = 0; i <= PROTO_EXECS_MAX; i++) {
		texec_init(&held[i], "true");
		held[i].hold_spec = true;
		texec_start(&g, &held[i]);
	}
	ok(guest_until(&g, &last->closed) && last->failed, "one more than there may be");
	has_str(last->fail.why.text, "too many");
	close_fd(&held[3].stream[0]);
	ok(guest_until(&g, &held[3].closed), "when one has gone");
	eq_str(output_of("echo room"), "room\n", "there is room again");
	guest_end(&g);
}

static void refused(const char *what, const struct proto_exec *m)
{
	boot_idle();
	texec_init(&ex[0], "sleep 1000");
	ex[0].id = 5;
	texec_start(&g, &ex[0]);
	guest_until(&g, &ex[0].started);
	ok(proto_send(g.control, PROTO_EXEC, m, sizeof(*m)) == 0, "%s", what);
	guest_until(&g, &g.control_eof);
	ok(g.control_eof, "ends the conversation");
	guest_end(&g);
}

static void test_bad_host(void)
{
	const struct proto_signal odd = {.signo = 1, .reserved = 1};

	refused("the first process's id", &(struct proto_exec){.id = 0, .port = 3000});
	refused("everybody's id", &(struct proto_exec){.id = UINT32_MAX, .port = 3000});
	refused("an id in use", &(struct proto_exec){.id = 5, .port = 3000});
	refused("an unknown flag",
		&(struct proto_exec){.id = 6, .port = 3000, .flags = GPROC_HAS_CAPS});
	refused("reserved bits", &(struct proto_exec){.id = 6, .port = 3000, .reserved = 1});
	refused("a port too high", &(struct proto_exec){.id = 6, .port = UINT32_MAX - 2});
	boot_idle();
	ok(proto_send(g.control, PROTO_SIGNAL, &odd, sizeof(odd)) == 0,
		"a signal with reserved bits");
	guest_until(&g, &g.control_eof);
	ok(g.control_eof, "ends the conversation");
	guest_end(&g);
}

static void test_terminal(void)
{
	struct texec *e = &ex[0];

	boot_idle();
	texec_init(e, "tty; stty size; test -t 2 && echo tty2; stat -c %u $(tty); ls /dev/console; "
		      "echo ctl > /dev/tty; read x; trap 'exit 8' INT; echo [$x]; while :; do "
		      "sleep 0.05; "
		      "done");
	e->flags = GPROC_TERMINAL;
	e->proc.rows = 33;
	e->proc.cols = 101;
	e->proc.uid = 12;
	texec_start(&g, e);
	while (!strstr(e->out, "ctl\r\n") && !e->closed && guest_step(&g))
		;
	ok(write_full(e->stream[PROTO_EXEC_STDIN], "typed\n", 6) == 0, "type a line");
	while (!strstr(e->out, "[typed]\r\n") && !e->closed && guest_step(&g))
		;
	ok(write_full(e->stream[PROTO_EXEC_STDIN], "\x03", 1) == 0, "Ctrl-C");
	ok(guest_until(&g, &e->closed) && e->exit.status == 8, "ends it by its handler");
	ok(strstr(e->out, "/dev/pts/0\r\n33 101\r\ntty2\r\n12\r\n") != NULL,
		"name, size, owner: '%s'", e->out);
	ok(e->stream[PROTO_EXEC_STDERR] < 0, "one stream each way");

	texec_init(e, "trap 'touch /tmp/hup; exit 7' HUP; echo up; while :; do sleep 0.02; done");
	e->flags = GPROC_TERMINAL;
	texec_start(&g, e);
	guest_until(&g, &e->wrote);
	close_fd(&e->stream[PROTO_EXEC_STDOUT]);
	ok(guest_until(&g, &e->closed) && e->exit.status == 7,
		"a terminal nobody looks at hangs up");

	texec_init(e, "printf 'one\\ntwo\\n'");
	e->flags = GPROC_TERMINAL;
	e->proc.flags |= GPROC_PLAIN_LINES;
	texec_run(&g, e);
	eq_str(e->out, "one\ntwo\n", "plain lines, for who is no terminal");

	texec_init(e, "dd if=/dev/zero bs=1000 count=3 2>/dev/null | tr '\\0' a; exit 4");
	e->flags = GPROC_TERMINAL;
	texec_run(&g, e);
	ok(e->out_at_exit == 3000 && e->exit.status == 4, "the last bytes come before the end");

	/* About what pty, relay and socket hold: the program ends while its reader still sleeps. */
	texec_init(e, "dd if=/dev/zero bs=1000 count=230 2>/dev/null | tr '\\0' a; exit 4");
	e->flags = GPROC_TERMINAL;
	e->hold_out = true;
	texec_start(&g, e);
	until_stuck(e);
	ok(!e->closed && queued(e) > 50000, "a reader that sleeps");
	e->hold_out = false;
	guest_until(&g, &e->closed);
	ok(e->closed && e->out_bytes == 230000, "loses nothing");
	guest_end(&g);
}

int main(void)
{
	const char *why = harness_open();

	if (why) {
		skip(why);
		return tap_done();
	}
	test_basics();
	test_process_fields();
	test_failures();
	test_phases();
	test_last_bytes();
	test_stdin();
	test_readers();
	test_signals();
	test_end_of_container(true);
	test_end_of_container(false);
	test_many();
	test_too_many();
	test_bad_host();
	test_terminal();
	harness_close();
	return tap_done();
}
