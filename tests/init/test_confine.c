/* SPDX-License-Identifier: Apache-2.0 */
/* What every process of the container has in common (seccomp, personality, clocks) and how each is
 * scheduled: the first one and those executed later. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include <linux/filter.h>
#include <linux/ioprio.h>
#include <linux/seccomp.h>

#include "init/sys.h"
#include "lib/base.h"
#include "tests/init/harness.h"
#include "tests/tap.h"

static struct guest g;
static struct texec ex;

static void boot(const struct gspec *s)
{
	guest_boot(&g, s);
	if (guest_until(&g, &g.ready))
		guest_start(&g);
	guest_until(&g, &g.started);
	if (g.failed)
		printf("# failed: %s\n", g.fail.text);
}

/* What the script writes, executed in the running container. */
static const char *executed(void)
{
	texec_run(&g, &ex);
	if (ex.err_bytes)
		printf("# stderr: %s\n", ex.errout);
	return ex.out;
}

static const char *output_of(const char *script)
{
	texec_init(&ex, script);
	return executed();
}

/* A filter that answers one system call with action and allows all others. */
static void filter(struct gspec *s, uint32_t nr, uint32_t action)
{
	static uint64_t program[4];
	const struct sock_filter f[4] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	memcpy(program, f, sizeof(f));
	s->flags |= GSPEC_SECCOMP;
	s->seccomp = program;
	s->n_seccomp = 4;
	s->seccomp_flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
}

#define TRY_MKDIR \
	"mkdir /tmp/x 2>&1; grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status | tr -d '\\t\\n'"

#define DENIED "mkdir: can't create directory '/tmp/x': Operation not permitted\n"

static void test_seccomp(void)
{
	struct gspec *s = fresh(TRY_MKDIR);

	filter(s, SYS_mkdir, SECCOMP_RET_ERRNO | EPERM);
	eq_str(output(s), DENIED "NoNewPrivs:0Seccomp:2", "a call denied");
	s = fresh(TRY_MKDIR);
	filter(s, SYS_mkdir, SECCOMP_RET_ERRNO | EPERM);
	s->proc.flags |= GPROC_NO_NEW_PRIVS;
	s->proc.uid = 1000;
	eq_str(output(s), DENIED "NoNewPrivs:1Seccomp:2", "with no_new_privs, as a user");
	s = fresh("exec mkdir /tmp/x");
	filter(s, SYS_mkdir, SECCOMP_RET_KILL_PROCESS);
	eq_int(run(s, NULL)->exit.status, 128 + SIGSYS, "killed by it");
}

/* Where in its life a process gets the filter: one that kills on a call of init's own shows. */
static void test_seccomp_order(void)
{
	struct gspec *s = fresh("echo on");
	struct guest *died;

	filter(s, SYS_setresuid, SECCOMP_RET_KILL_PROCESS);
	s->proc.flags |= GPROC_NO_NEW_PRIVS;
	eq_str(output(s), "on\n", "with no_new_privs the last thing before execve");
	s = fresh("echo on");
	filter(s, SYS_setresuid, SECCOMP_RET_KILL_PROCESS);
	died = run(s, NULL);
	ok(died->failed && strstr(died->fail.text, "(signal 31)"),
		"without, before privileges are dropped: '%s'", died->fail.text);
	for (int i = 0; i < 2; i++) {
		s = fresh("echo on");
		filter(s, i ? SYS_getcwd : SYS_chdir, SECCOMP_RET_ERRNO | EPERM);
		s->proc.cwd = "/bin";
		eq_str(output(s), "on\n", "and behind the working directory");
	}
	s = fresh("echo on");
	filter(s, SYS_sched_setattr, SECCOMP_RET_KILL_PROCESS);
	s->proc.flags |= GPROC_HAS_SCHED;
	eq_str(output(s), "on\n", "and behind what needs them");
	s = fresh("true");
	filter(s, 0, 0);
	s->n_seccomp = 3; /* the last instruction is no return: the kernel refuses it */
	s->seccomp_flags = 1 << 30;
	died = run(s, NULL);
	ok(died->failed && strstr(died->fail.text, "unable to init seccomp: invalid argument"),
		"what the kernel refuses is told: '%s'", died->fail.text);
}

/* One that answers three system calls so. */
static void filter3(struct gspec *s, const uint32_t nr[3], uint32_t action)
{
	static uint64_t program[6];
	const struct sock_filter f[6] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr[0], 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr[1], 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr[2], 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, action),
	};

	memcpy(program, f, sizeof(f));
	s->flags |= GSPEC_SECCOMP;
	s->seccomp = program;
	s->n_seccomp = 6;
}

/* Profiles older than faccessat2(2), and such as allow no access(2) at all. */
static void test_seccomp_access(void)
{
	static const uint32_t old[3] = {SYS_faccessat2, SYS_faccessat2, SYS_faccessat2};
	static const uint32_t none[3] = {SYS_faccessat2, SYS_faccessat, SYS_access};
	const char *text;

	for (int i = 0; i < 2; i++) {
		struct gspec *s = fresh("echo on");

		filter3(s, i ? none : old, SECCOMP_RET_ERRNO | (i ? EPERM : ENOSYS));
		eq_str(output(s), "on\n", "a program is found without faccessat2");
		s = fresh("echo on");
		put("rootfs/plain", "", 0644);
		((const char **)(uintptr_t)s->proc.args.v)[0] = "/plain";
		filter3(s, i ? none : old, SECCOMP_RET_ERRNO | (i ? EPERM : ENOSYS));
		text = run(s, NULL)->fail.text;
		has_str(text, "exec: \"/plain\": permission denied");
	}
}

/* The filter holds for the startContainer hooks as well, however it gets there. */
static void test_seccomp_hooks(void)
{
	static const char *args[] = {"sh", "-c",
		"{ mkdir /tmp/x; grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status; } >/tmp/hook "
		"2>&1",
		NULL};
	const struct ghook hook = {.path = "/bin/sh", .args = {3, args}};
	const char *text;

	for (int i = 0; i < 2; i++) {
		struct gspec *s = fresh("tr -d '\\t\\n' </tmp/hook");

		filter(s, SYS_mkdir, SECCOMP_RET_ERRNO | EPERM);
		s->proc.flags |= i ? GPROC_NO_NEW_PRIVS : 0;
		s->hooks = &hook;
		s->n_hooks = 1;
		s->hook_state = "{\"pid\":";
		text = output(s);
		has_str(text, i ? "Operation not permittedNoNewPrivs:1Seccomp:2"
				: "Operation not permittedNoNewPrivs:0Seccomp:2");
	}
}

static void test_seccomp_exec(void)
{
	struct gspec *s = fresh("sleep 1000");

	filter(s, SYS_mkdir, SECCOMP_RET_ERRNO | EPERM);
	boot(s);
	eq_str(output_of(TRY_MKDIR), DENIED "NoNewPrivs:0Seccomp:2", "an exec'd process has it");
	texec_init(&ex, TRY_MKDIR);
	ex.proc.flags |= GPROC_NO_NEW_PRIVS;
	eq_str(executed(), DENIED "NoNewPrivs:1Seccomp:2", "with no_new_privs as well");
	guest_end(&g);
}

static void test_personality(void)
{
	struct gspec *s = fresh("uname -m");

	s->personality = 8; /* PER_LINUX32 */
	s->flags |= GSPEC_PERSONALITY;
	eq_str(output(s), "i686\n", "personality LINUX32");
	s = fresh("sleep 1000");
	s->personality = 8;
	s->flags |= GSPEC_PERSONALITY;
	boot(s);
	eq_str(output_of("uname -m"), "i686\n", "of exec'd processes as well");
	guest_end(&g);
}

#define SCHED "cut -d' ' -f19,40,41 /proc/self/stat; ionice -p $$"

static void test_scheduler(void)
{
	struct gspec *s = fresh(SCHED);

	eq_str(output(s), "0 0 0\nnone: prio 0\n", "as born");
	s = fresh(SCHED);
	s->proc.flags |= GPROC_HAS_SCHED | GPROC_HAS_IOPRIO;
	s->proc.sched = (struct gsched){.policy = SCHED_BATCH, .nice = 5};
	s->proc.ioprio = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6);
	eq_str(output(s), "5 0 3\nbest-effort: prio 6\n", "batch, nice, I/O priority");
	s = fresh(SCHED);
	s->proc.flags |= GPROC_HAS_SCHED | GPROC_HAS_IOPRIO;
	s->proc.sched = (struct gsched){.policy = SCHED_RR, .priority = 7};
	s->proc.ioprio = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 2);
	s->proc.uid = 1000;
	eq_str(output(s), "0 7 2\nrealtime: prio 2\n", "real time, for a user too");
	s = fresh("true");
	s->proc.flags |= GPROC_HAS_SCHED;
	s->proc.sched = (struct gsched){.policy = SCHED_RR, .priority = 100};
	ok(strstr(run(s, NULL)->fail.text, "error setting scheduler: invalid argument"),
		"a priority that the kernel refuses");
	s = fresh("sleep 1000");
	s->proc.flags |= GPROC_HAS_SCHED;
	s->proc.sched = (struct gsched){.policy = SCHED_BATCH};
	boot(s);
	texec_init(&ex, SCHED);
	ex.proc.flags |= GPROC_HAS_SCHED;
	ex.proc.sched = (struct gsched){.policy = SCHED_IDLE};
	eq_str(executed(), "0 0 5\nnone: prio 0\n", "an exec'd process has its own");
	guest_end(&g);
}

#define CPUS "grep Cpus_allowed_list: /proc/self/status | cut -f2"

static void test_cpus(void)
{
	struct gspec *s = fresh(CPUS "; sleep 1000");
	char all[64];

	s->proc.flags |= GPROC_CPUS_FIRST | GPROC_CPUS_FINAL;
	s->proc.cpus_first = s->proc.cpus_final = 2;
	boot(s);
	guest_until_out(&g, "\n");
	snprintf(all, sizeof(all), "%s", g.out);
	if (!strcmp(all, "0\n")) {
		skip("one CPU");
		guest_end(&g);
		return;
	}
	ok(strcmp(all, "1\n") != 0, "not for the first process: %.*s", (int)strcspn(all, "\n"),
		all);
	eq_str(output_of(CPUS), "1\n", "the container's are the default of an exec'd process");
	texec_init(&ex, CPUS);
	ex.proc.flags |= GPROC_CPUS_FINAL;
	ex.proc.cpus_final = 1;
	eq_str(executed(), "0\n", "its own come first");
	texec_init(&ex, CPUS);
	ex.proc.flags |= GPROC_CPUS_FIRST;
	ex.proc.cpus_first = 1;
	eq_str(executed(), all, "only the first: all of its cgroup's from execve on");
	texec_init(&ex, CPUS);
	ex.proc.flags |= GPROC_CPUS_FINAL;
	ex.proc.cpus_final = 1ull << 63;
	executed();
	ok(ex.failed && strstr(ex.fail.why.text, "error setting CPU affinity 0x8000000000000000"),
		"a CPU that is not there: '%s'", ex.fail.why.text);
	guest_end(&g);
}

static void test_time(void)
{
	struct gspec *s = fresh("cut -d. -f1 /proc/uptime; cat /proc/self/timens_offsets; read x");
	long ours, far = 0;
	char *rest;

	s->namespaces |= GNS_TIME;
	s->time_offset[GTIME_MONOTONIC] = (struct gtime_offset){86400, 7};
	s->time_offset[GTIME_BOOTTIME] = (struct gtime_offset){1000000, 0};
	boot(s);
	guest_until_out(&g, "boottime");
	guest_until_out(&g, "0\n");
	ours = strtol(g.out, &rest, 10);
	ok(ours >= 1000000, "the container has been up for %ld seconds", ours);
	eq_str(rest, "\nmonotonic       86400         7\nboottime      1000000         0\n",
		"the offsets asked for");
	far = strtol(output_of("cut -d. -f1 /proc/uptime"), NULL, 10);
	ok(far >= ours, "an exec'd process has the same clocks");
	ok(g.times.rootfs_ns && g.times.rootfs_ns <= g.times.now_ns,
		"the timeline is in the guest's time");
	guest_end(&g);
	s = fresh("true");
	s->time_offset[GTIME_BOOTTIME].secs = -(1ll << 40);
	s->namespaces |= GNS_TIME;
	ok(strstr(run(s, NULL)->fail.text, "failed to write time offsets:"),
		"a clock before its beginning");
	s = fresh("readlink /proc/self/ns/time");
	s->namespaces &= ~GNS_TIME;
	rest = strdup(output(s));
	s = fresh("readlink /proc/self/ns/time");
	s->namespaces |= GNS_TIME;
	ok(*rest && strcmp(output(s), rest) != 0, "a namespace of its own without offsets too");
	free(rest);
}

int main(void)
{
	const char *why = harness_open();

	if (why) {
		skip(why);
		return tap_done();
	}
	test_seccomp();
	test_seccomp_order();
	test_seccomp_access();
	test_seccomp_hooks();
	test_seccomp_exec();
	test_personality();
	test_scheduler();
	test_cpus();
	test_time();
	harness_close();
	return tap_done();
}
