/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about the container, signals to all of it, sizes of terminals, OOM events. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "lib/base.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/init/harness.h"
#include "tests/tap.h"

static struct guest g;
static struct texec ex[8];

static void boot(const struct gspec *s)
{
	guest_boot(&g, s);
	if (guest_until(&g, &g.ready))
		guest_start(&g);
	guest_until(&g, &g.started);
}

/* The process with these arguments, in the answer. */
static const struct proto_process *process(const char *args)
{
	static struct proto_process p;

	for (size_t at = 0; at + sizeof(p) <= g.answer.len; at += sizeof(p)) {
		memcpy(&p, g.answer.data + at, sizeof(p));
		if (!strcmp(p.args, args))
			return &p;
	}
	memset(&p, 0, sizeof(p));
	return &p;
}

static bool until_process(const char *args)
{
	for (int i = 0; i < 1000; i++) {
		if (!ask(&g, PROTO_ASK_PROCESSES, NULL, 0))
			return false;
		if (process(args)->pid)
			return true;
		poll(NULL, 0, 5);
	}
	return false;
}

static void test_processes(bool own_pids)
{
	struct gspec *s = fresh("sleep 1000 & echo up; cat; exit 3");
	const struct proto_process *p;
	uint32_t first;

	if (!own_pids)
		s->namespaces &= ~GNS_PID;
	boot(s);
	guest_until_out(&g, "up\n");
	texec_init(&ex[0], "tty; sleep 2000");
	ex[0].flags = GPROC_TERMINAL;
	ex[0].proc.uid = 77;
	texec_start(&g, &ex[0]);
	texec_init(&ex[1], "printf 'a\\001b' > /proc/$$/comm; echo up; read x");
	texec_start(&g, &ex[1]);
	guest_until(&g, &ex[0].wrote);
	guest_until(&g, &ex[1].wrote);
	/* What is forked has yet to become what it is to be. */
	ok(until_process("cat") && until_process("sleep 1000") && until_process("sleep 2000"),
		"processes (own numbers: %d)", own_pids);
	ok(g.answer.done && g.answer.errnum == 0, "no error");
	eq_int(g.answer.len, 5 * sizeof(*p), "five of them");
	p = process("sh -c sleep 1000 & echo up; cat; exit 3");
	first = p->pid;
	ok(own_pids ? first == 1 && p->ppid == 0 : first > 1 && p->ppid,
		"the first one's number %u", first);
	ok(p->uid == 0 && p->tty == 0 && !strcmp(p->comm, "sh"), "user, terminal, name");
	ok(p->start_s + 60 >= (uint64_t)time(NULL) && p->start_s <= (uint64_t)time(NULL) + 1 &&
			p->elapsed_ms < 60000,
		"started %llu, %llu ms ago", (unsigned long long)p->start_s,
		(unsigned long long)p->elapsed_ms);
	p = process("sleep 1000");
	ok(p->pid && p->pid != first && p->ppid == first, "its child");
	p = process("sleep 2000");
	ok(p->uid == 77 && p->tty >> 8 == 136, "an exec'd one with a terminal: %x", p->tty);
	ok(!own_pids || p->ppid == 0, "whose parent is not the container's");
	p = process("sh -c printf 'a\\001b' > /proc/$$/comm; echo up; read x");
	eq_str(p->comm, "a?b", "a name with a control character");
	eq_int(guest_end(&g), 0, "the agent ends");
}

static void test_many_processes(void)
{
	boot(fresh("i=0; while [ $i -lt 300 ]; do sleep 1000 & i=$((i+1)); done; echo up; cat"));
	guest_until_out(&g, "up\n");
	ok(until_process("cat") && g.answer.errnum == 0, "many processes");
	eq_int(g.answer.len / sizeof(struct proto_process), 301, "all of them");
	eq_int(g.answer.messages, 2, "in two messages");
	guest_end(&g);
}

/* The container divides its group, and everything it has is below. */
static void test_own_groups(void)
{
	struct gspec *s =
		fresh("mkdir /sys/fs/cgroup/a /sys/fs/cgroup/a/b || exit 1; "
		      "echo 1 > /sys/fs/cgroup/a/b/cgroup.procs || exit 2; sleep 1000 & "
		      "sleep 1000 & echo $! > /sys/fs/cgroup/a/cgroup.procs; "
		      "read c < /sys/fs/cgroup/cgroup.controllers; c=${c%% *}; "
		      "[ -z \"$c\" ] || echo $! > /sys/fs/cgroup/a/b/cgroup.procs; "
		      "[ -z \"$c\" ] || echo +$c > /sys/fs/cgroup/cgroup.subtree_control; "
		      "[ -z \"$c\" ] || echo +$c > /sys/fs/cgroup/a/cgroup.subtree_control; "
		      "echo up; cat");

	boot(s);
	if (!ok(guest_until_out(&g, "up\n"), "a container that divides its group"))
		printf("# %s\n", g.errout);
	ok(until_process("cat") && g.answer.errnum == 0, "processes");
	eq_int(g.answer.len / sizeof(struct proto_process), 3, "all of them");
	texec_init(&ex[0], "grep ^0: /proc/self/cgroup");
	texec_run(&g, &ex[0]);
	eq_str(ex[0].out, harness_controller("") ? "0::/a/b\n" : "0::/\n",
		"a further one goes where there may be some");
	guest_signal_to(&g, 1, SIGKILL, PROTO_PROCESS_ALL);
	ok(guest_until(&g, &g.signaled) && !g.signal.errnum, "SIGKILL to all");
	ok(guest_until(&g, &g.exited) && g.exit.status == 137, "reaches them");
	guest_end(&g);
}

static void test_signal_all(bool own_pids)
{
	struct gspec *s = fresh("trap 'wait; exit 3' TERM; "
				"(trap 'echo second; exit 0' TERM; echo up; "
				"while :; do sleep 0.02; done) & while :; do sleep 0.02; done");

	if (!own_pids)
		s->namespaces &= ~GNS_PID;
	boot(s);
	guest_until_out(&g, "up\n");
	texec_init(&ex[0],
		"trap 'echo third; exit 4' USR1 TERM; echo up; while :; do sleep 0.02; done");
	texec_start(&g, &ex[0]);
	guest_until(&g, &ex[0].wrote);
	guest_signal_to(&g, 5, SIGWINCH, PROTO_PROCESS_ALL);
	ok(guest_until(&g, &g.signaled) && g.signal.id == 5 && !g.signal.errnum,
		"a signal to all that they ignore (own pids: %d)", own_pids);
	guest_signal_to(&g, 6, SIGTERM, PROTO_PROCESS_ALL);
	ok(guest_until(&g, &g.signaled) && g.signal.id == 6 && !g.signal.errnum && !g.exited,
		"SIGTERM to all: answered, and before the end");
	ok(guest_until(&g, &g.exited) && g.exit.status == 3, "ends the first one by its handler");
	ok(strstr(g.out, "second\n") != NULL, "its child's handler runs, too");
	ok(ex[0].closed, "and the exec'd one ends");
	guest_signal_to(&g, 7, SIGTERM, PROTO_PROCESS_ALL);
	ok(guest_until(&g, &g.signaled) && g.signal.errnum == ESRCH, "after the end: nobody");
	guest_end(&g);
}

static bool update(const struct gkeyval *kv, uint32_t n)
{
	uint8_t buf[PROTO_ASK_MAX];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	wbuf_u32(&w, n);
	for (uint32_t i = 0; i < n; i++) {
		wbuf_str(&w, kv[i].key);
		wbuf_str(&w, kv[i].value);
	}
	return ask(&g, PROTO_ASK_UPDATE, buf, (uint32_t)w.len) && !g.answer.errnum;
}

static void refused(const char *name, const char *value, const char *text)
{
	ok(!update(&(struct gkeyval){name, value}, 1), "%s: refused", name);
	eq_str((char *)g.answer.data, text, "says why");
}

static void test_update(void)
{
	static const struct gkeyval two[] = {
		{"cgroup.max.descendants", "7"}, {"cgroup.max.depth", "5"}};
	static const struct gkeyval half[] = {
		{"cgroup.max.depth", "4"}, {"no.such.file", "1"}, {"cgroup.max.depth", "3"}};

	boot(fresh("read x; cat /sys/fs/cgroup/cgroup.max.*; cat"));
	ok(update(two, 2), "two files");
	ok(!g.answer.len, "no answer but that");
	refused("../cgroup.procs", "1", "\"../cgroup.procs\" is not a cgroup file");
	refused("a/cgroup.procs", "1", "\"a/cgroup.procs\" is not a cgroup file");
	refused(".x", "1", "\".x\" is not a cgroup file");
	refused("", "1", "\"\" is not a cgroup file");
	refused("cgroup.max.depth", "-9",
		"cannot write \"-9\" to cgroup file cgroup.max.depth: numerical result out of "
		"range");
	ok(!update(half, 3), "one that cannot be");
	eq_str((char *)g.answer.data,
		"cannot write \"1\" to cgroup file no.such.file: no such file or directory",
		"says which");
	ok(write_full(g.stream[0], "\n", 1) == 0 && guest_until_out(&g, "7\n"), "look");
	eq_str(g.out, "4\n7\n", "what came before it is written, the rest not");
	ok(ask(&g, PROTO_ASK_UPDATE, "\1\0\0\0\2\0\0\0xy", 10) && g.answer.errnum == EPROTO,
		"a malformed list");
	ok(ask(&g, PROTO_ASK_UPDATE, "\0\0\0\0\0", 5) && g.answer.errnum == EPROTO,
		"too long a one");
	ok(ask(&g, PROTO_ASK_UPDATE, "\0\0\0\0", 4) && !g.answer.errnum, "an empty one");
	guest_end(&g);
}

/* Forty busy processes on a few processors: it takes a while until the last has stopped. */
static void test_freeze(void)
{
	static const struct gkeyval freeze = {"cgroup.freeze", "1"}, thaw = {"cgroup.freeze", "0"};
	unsigned bad = 0;

	boot(fresh("i=0; while [ $i -lt 40 ]; do (while :; do :; done) & i=$((i + 1)); done; echo "
		   "up; cat"));
	guest_until_out(&g, "up\n");
	for (int i = 0; i < 10; i++) {
		bad += !update(&freeze, 1) ||
		       !strstr(harness_cgroup_text("cgroup.events"), "frozen 1");
		bad += !update(&thaw, 1) ||
		       !strstr(harness_cgroup_text("cgroup.events"), "frozen 0");
	}
	eq_int(bad, 0, "a container that is to freeze has frozen when that is answered");
	guest_signal_to(&g, 1, SIGKILL, PROTO_PROCESS_ALL);
	guest_until(&g, &g.exited);
	guest_end(&g);
}

static void test_pids_limit(void)
{
	if (!harness_controller("pids")) {
		skip("no pids controller in cgroup v2 here");
		return;
	}
	boot(fresh("read x; i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done; echo all; "
		   "cat"));
	ok(update(&(struct gkeyval){"pids.max", "5"}, 1), "pids.max is set while it runs");
	ok(write_full(g.stream[0], "\n", 1) == 0 && guest_until(&g, &g.exited), "and ends it");
	ok(!strstr(g.out, "all") && strstr(g.errout, "can't fork"), "as it cannot fork: %s",
		g.errout);
	guest_end(&g);
}

static void test_stats(void)
{
	struct gspec *s = fresh("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; echo up; cat");
	static const struct gkeyval limit[] = {{"pids.max", "55"}, {"memory.max", "67108864"}};
	struct proto_stats st;
	bool full = harness_controller("pids") && harness_controller("memory");

	if (full) {
		s->cgfiles = limit;
		s->n_cgfiles = 2;
	}
	boot(s);
	guest_until_out(&g, "up\n");
	if (!ok(ask(&g, PROTO_ASK_STATS, NULL, 0) && g.answer.len == sizeof(st), "stats"))
		return;
	memcpy(&st, g.answer.data, sizeof(st));
	ok(st.cpu_usage_us > 1000 && st.cpu_usage_us < 60000000 &&
			st.cpu_user_us + st.cpu_system_us <= st.cpu_usage_us + 1000,
		"cpu: %llu us", (unsigned long long)st.cpu_usage_us);
	ok(st.guest_total > st.guest_free && st.guest_total >= st.guest_available &&
			st.guest_available > (1 << 20),
		"the machine's memory: %llu", (unsigned long long)st.guest_total);
	if (full) {
		eq_int(st.pids, 1, "processes");
		eq_int(st.pids_limit, 55, "their limit");
		eq_int(st.memory_limit, 67108864, "memory's limit");
		ok(st.memory_usage >= 4096 && st.memory_usage <= st.memory_peak &&
				st.memory_peak < 67108864,
			"memory: %llu", (unsigned long long)st.memory_usage);
		ok(st.memory_anon && st.pgfault > 10 && !st.oom_kill, "its parts");
		eq_int(st.swap_limit, UINT64_MAX, "no limit of swap");
	} else {
		skip("no memory and pids controllers in cgroup v2 here");
		eq_int(st.pids_limit, UINT64_MAX, "what is not counted has no limit");
	}
	guest_signal(&g, 1, SIGKILL);
	guest_until(&g, &g.exited);
	ok(ask(&g, PROTO_ASK_STATS, NULL, 0) && g.answer.errnum == ESRCH, "after its end");
	eq_str((char *)g.answer.data, "container not running", "there are none");
	guest_end(&g);
}

static void test_oom(void)
{
	static const struct gkeyval limit[] = {
		{"memory.max", "16777216"}, {"memory.swap.max", "0"}};
	struct gspec *s = fresh("read x; dd if=/dev/zero of=/dev/null bs=100M count=1; echo dd $?; "
				"cat");

	if (!harness_controller("memory")) {
		skip("no memory controller in cgroup v2 here");
		return;
	}
	s->cgfiles = limit;
	s->n_cgfiles = 2;
	boot(s);
	ok(!g.oomed && write_full(g.stream[0], "\n", 1) == 0, "a container short of memory");
	ok(guest_until_out(&g, "dd 137\n"), "a process of it is taken");
	ok(guest_until(&g, &g.oomed) && g.ooms == 1, "and the host told");
	texec_init(&ex[0], "exec dd if=/dev/zero of=/dev/null bs=100M count=1");
	texec_run(&g, &ex[0]);
	ok(ex[0].exit.status == 137, "an exec'd one");
	g.oomed = g.ooms > 1;
	ok(guest_until(&g, &g.oomed) && g.ooms == 2, "as well");
	guest_end(&g);
	s = fresh("exec dd if=/dev/zero of=/dev/null bs=100M count=1");
	s->cgfiles = limit;
	s->n_cgfiles = 2;
	boot(s);
	ok(guest_until(&g, &g.exited) && g.exit.status == 137 && g.ooms == 1,
		"the first one: told before its end");
	guest_end(&g);
}

static void resize(uint32_t process, uint16_t rows, uint16_t cols)
{
	const struct proto_resize m = {process, rows, cols};

	ok(proto_send(g.control, PROTO_RESIZE, &m, sizeof(m)) == 0, "RESIZE of %u to %u x %u",
		process, rows, cols);
}

static void test_resize(void)
{
	static const char script[] =
		"trap 'stty size; exit 6' WINCH; stty size; while :; do sleep 0.02; done";
	struct gspec *s = fresh(script);

	s->proc.flags |= GPROC_TERMINAL;
	s->proc.rows = 20;
	s->proc.cols = 70;
	guest_boot(&g, s);
	g.err_eof = true;
	guest_until(&g, &g.ready);
	guest_start(&g);
	ok(guest_until_out(&g, "20 70\r\n"), "a terminal");
	texec_init(&ex[0], script);
	ex[0].flags = GPROC_TERMINAL;
	texec_start(&g, &ex[0]);
	resize(ex[0].id, 31, 91); /* before it can have a terminal */
	guest_until(&g, &ex[0].wrote);
	resize(ex[0].id, 32, 92);
	ok(guest_until(&g, &ex[0].closed) && ex[0].exit.status == 6, "the process learns it");
	ok(strstr(ex[0].out, "32 92\r\n") != NULL, "%s", ex[0].out);
	ok(!g.exited, "and no other");
	resize(4711, 1, 1);
	texec_init(&ex[1], "trap 'exit 6' WINCH; echo up; read x; exit 7");
	texec_start(&g, &ex[1]);
	guest_until(&g, &ex[1].wrote);
	resize(ex[1].id, 1, 1);
	resize(PROTO_PROCESS_FIRST, 34, 94);
	ok(guest_until(&g, &g.exited) && g.exit.status == 6, "the first one's");
	ok(strstr(g.out, "34 94\r\n") != NULL, "%s", g.out);
	guest_end(&g);
}

/* The next child of the agent stays in its first stop: what a container can do to one, at its best. */
static bool hold_child(struct guest *guest)
{
	int status;

	return waitpid(guest->pid, &status, __WALL) == guest->pid && WIFSTOPPED(status) &&
	       status >> 8 == (SIGTRAP | PTRACE_EVENT_FORK << 8) &&
	       ptrace(PTRACE_CONT, guest->pid, NULL, NULL) == 0;
}

/* All that may be under way are held; nothing but their answers suffers, and that for 15 s. */
static void test_held(void)
{
	unsigned held = 0;

	boot(fresh("echo up; cat"));
	guest_until_out(&g, "up\n");
	if (ptrace(PTRACE_SEIZE, g.pid, NULL, PTRACE_O_TRACEFORK) < 0) {
		skip("no ptrace here");
		guest_end(&g);
		return;
	}
	for (unsigned i = 0; i < 16; i++) {
		ask_send(&g, PROTO_ASK_PROCESSES, NULL, 0);
		held += hold_child(&g);
	}
	eq_int(held, 16, "sixteen questions whose processes are held");
	ok(ask(&g, PROTO_ASK_STATS, NULL, 0) && g.answer.errnum == EAGAIN, "no room for another");
	g.answer.several = true;
	g.answer.messages = 0;
	while (g.answer.messages < 16 && guest_step(&g))
		;
	ok(g.answer.messages == 16 && g.answer.errnum == ETIMEDOUT,
		"they are answered all the same");
	ok(strstr((char *)g.answer.data, "the container holds up the answer") != NULL, "say why");
	ask_send(&g, PROTO_ASK_PROCESSES, NULL, 0);
	ok(hold_child(&g), "there is room again, for as many");
	guest_signal(&g, 1, SIGKILL);
	ok(guest_until(&g, &g.exited), "and the end is not held up");
	/* A tracer sees the dead before init does. */
	while (waitpid(-1, NULL, __WALL | WNOHANG) > 0)
		;
	guest_end(&g);
}

static void bad(const char *what, const struct proto_ask *m, uint32_t len)
{
	uint8_t buf[64] = {0};

	boot(fresh("sleep 1000"));
	memcpy(buf, m, sizeof(*m));
	ok(proto_send(g.control, PROTO_ASK, buf, len) == 0, "%s", what);
	guest_until(&g, &g.control_eof);
	ok(g.control_eof, "ends the conversation");
	guest_end(&g);
}

int main(void)
{
	const char *why = harness_open();

	if (why) {
		skip(why);
		return tap_done();
	}
	test_processes(true);
	test_processes(false);
	test_many_processes();
	test_own_groups();
	test_signal_all(true);
	test_signal_all(false);
	test_update();
	test_freeze();
	test_pids_limit();
	test_stats();
	test_oom();
	test_resize();
	test_held();
	bad("no question", &(struct proto_ask){.what = 0}, sizeof(struct proto_ask));
	bad("an unknown one", &(struct proto_ask){.what = PROTO_QUESTIONS},
		sizeof(struct proto_ask));
	bad("a payload too many", &(struct proto_ask){.what = PROTO_ASK_STATS}, 9);
	harness_close();
	return tap_done();
}
