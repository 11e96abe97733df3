/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: reading them, keeping them, running them. */
#include "runtime/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "runtime/signals.h"
#include "tests/tap.h"
#include "tests/unit/oci_config.h"

static char dir[] = "/tmp/test_hooks.XXXXXX";
static const char state_text[] = "{\"id\":\"x\"}";

static const char *slurp(const char *name)
{
	static char buf[8192];
	char path[128];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	n = f ? fread(buf, 1, sizeof(buf) - 1, f) : 0;
	buf[n] = '\0';
	if (f)
		fclose(f);
	return buf;
}

/* One hook: sh -c script. */
static struct ghook shell(const char *script, const char *const argv[3], uint32_t timeout_s)
{
	const char **v = (const char **)argv;

	v[0] = "sh";
	v[1] = "-c";
	v[2] = script;
	return (struct ghook){.path = "/bin/sh", .args = {3, v}, .timeout_s = timeout_s};
}

static int run_script(const char *script, uint32_t timeout_s, struct err *err)
{
	const char *argv[4] = {NULL};
	struct ghook h = shell(script, argv, timeout_s);
	struct hook_list list = {1, &h};
	struct hook_env env = {.dir = dir, .signal_fd = -1};

	*err = (struct err)ERR_INIT;
	return hooks_run(&list, HOOK_PRESTART, state_text, &env, err);
}

static void test_parse(void)
{
	struct container_spec *spec = config_parse(full_config);
	const struct ghook *h = spec->hooks.list[HOOK_POSTSTOP].v;

	for (int k = 0; k < HOOK_KINDS; k++)
		eq_int(spec->hooks.list[k].n, 1, hook_kind_name((enum hook_kind)k));
	eq_str(h->path, "/h", "path");
	ok(h->args.n == 2 && !strcmp(h->args.v[1], "a") && !h->args.v[2], "args");
	ok(h->env.n == 1 && !strcmp(h->env.v[0], "E=1"), "env");
	eq_int(h->timeout_s, 5, "timeout");
	ok(spec->guest.n_hooks == 1 &&
			spec->guest.hooks == spec->hooks.list[HOOK_START_CONTAINER].v,
		"the guest gets those of startContainer");
	container_spec_free(spec);

	has_str(config_says("hooks.prestart[0].path", NULL), "hooks.prestart[0].path is missing");
	has_str(config_says("hooks.prestart[0].path", "\"bin/x\""), "expected an absolute path");
	has_str(config_says("hooks.poststop[0].timeout", "0"), "from 1 to");
	has_str(config_says("hooks.poststop[0].args", "[1]"), "expected a string");
	has_str(config_says("hooks.poststop", "{}"), "expected an array");
	eq_str(config_says("hooks.poststop", "[]"), "", "an empty list");
}

static void test_keep(void)
{
	struct container_spec *spec = config_parse(full_config);
	struct jnode root = jdoc_root(&spec->doc);
	struct arena arena = {0};
	struct err err = ERR_INIT;
	struct hooks hooks;
	bool is_ok = true;
	struct json_object *kept = hooks_to_keep(&root, &is_ok), *bad;

	ok(kept && is_ok, "hooks to keep");
	eq_int(json_object_object_length(kept), 2, "poststart and poststop");
	container_spec_free(spec);
	eq_int(hooks_kept(kept, &arena, &hooks, &err), 0, "are read again");
	ok(hooks.list[HOOK_POSTSTART].n == 1 && hooks.list[HOOK_POSTSTOP].n == 1 &&
			!hooks.list[HOOK_PRESTART].n,
		"and there");
	json_object_put(kept);
	bad = json_tokener_parse("{\"poststop\":[{\"path\":\"x\"}]}");
	eq_int(hooks_kept(bad, &arena, &hooks, &err), -EINVAL, "a relative path in the state");
	has_str(err.msg, "state.json");
	json_object_put(bad);
	eq_int(hooks_kept(NULL, &arena, &hooks, &err), 0, "none kept");
	arena_release(&arena);

	spec = config_parse(least_config);
	root = jdoc_root(&spec->doc);
	ok(!hooks_to_keep(&root, &is_ok) && is_ok, "nothing to keep");
	container_spec_free(spec);
}

static void test_run(void)
{
	struct err err;

	setenv("CALLER", "1", 1);
	eq_int(run_script("cat > in; printf %s \"$PWD\" > cwd; /usr/bin/env > env; ls "
			  "/proc/self/fd > fds",
		       0, &err),
		0, "a hook");
	eq_str(err.msg, "", "says nothing");
	eq_str(slurp("in"), state_text, "reads the state");
	has_str(slurp("cwd"), dir);
	ok(!strstr(slurp("env"), "CALLER"), "without the caller's environment");
	eq_str(slurp("fds"), "0\n1\n2\n3\n", "and descriptors: 3 is ls's own");
	eq_int(run_script("exit 0; echo never", 0, &err), 0, "one that does not read");
	eq_int(run_script("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2", 0, &err), 0,
		"one that prints more than a pipe holds");
	eq_int(run_script("sleep 100 & echo $! >left", 0, &err), 0,
		"one that leaves another running");
	kill(-atoi(slurp("left")), SIGKILL);
	kill(atoi(slurp("left")), SIGKILL);
}

static void test_failures(void)
{
	struct ghook missing[2] = {{.path = "/bin/true"}, {.path = "/nonexistent/hook"}};
	struct hook_list list = {2, missing};
	struct hook_env env = {.signal_fd = -1};
	struct pollfd pfd;
	autofd int fd = -1;
	char path[64];
	struct err err;

	eq_int(run_script("echo out; echo 'a\nb' >&2; exit 3", 0, &err), -ECANCELED, "status 3");
	eq_str(err.msg, "error running prestart hook #0: exit status 3, stdout: out, stderr: a b",
		"in runc's words");
	run_script("kill -9 $$", 0, &err);
	has_str(err.msg, "hook #0: signal: killed, stdout: ");
	snprintf(path, sizeof(path), "%s/fifo", dir);
	mkfifo(path, 0600);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	eq_int(run_script("exec yes", 1, &err), -ETIMEDOUT,
		"a timeout, while it writes all it can");
	eq_int(run_script("yes & yes >&2", 1, &err), -ETIMEDOUT, "on both streams");
	eq_int(run_script("yes & exit 0", 0, &err), 0, "what it leaves behind may go on writing");
	eq_int(run_script("kill -SYS $$", 0, &err), -ECANCELED, "a signal");
	has_str(err.msg, "signal: bad system call, stdout: , stderr: ");
	eq_int(run_script("sleep 30 >fifo & wait", 1, &err), -ETIMEDOUT, "a timeout");
	eq_str(err.msg, "error running prestart hook #0: hook ran past specified timeout of 1.0s",
		"in runc's words");
	pfd = (struct pollfd){.fd = fd, .events = POLLIN};
	ok(poll(&pfd, 1, 10000) == 1 && pfd.revents == POLLHUP, "its child is killed, too");
	err = (struct err)ERR_INIT;
	eq_int(hooks_run(&list, HOOK_CREATE_RUNTIME, state_text, &env, &err), -ENOENT,
		"a program that is not there");
	has_str(err.msg, "error running createRuntime hook #1: /nonexistent/hook: No such file");
}

static void test_order(void)
{
	const char *argv[3][4] = {{NULL}, {NULL}, {NULL}};
	struct ghook h[3] = {shell("echo a >>order", argv[0], 0), shell("exit 1", argv[1], 0),
		shell("echo c >>order", argv[2], 0)};
	struct hook_list list = {3, h};
	struct hook_env env = {.dir = dir, .signal_fd = -1};
	struct err err = ERR_INIT;

	ok(hooks_run(&list, HOOK_POSTSTART, state_text, &env, &err) < 0, "the second fails");
	eq_str(slurp("order"), "a\n", "the third does not run");
	hooks_run_all(&list, HOOK_POSTSTOP, state_text, &env);
	eq_str(slurp("order"), "a\na\nc\n", "of poststop all run");
}

static void test_interrupted(void)
{
	const char *argv[4] = {NULL};
	struct ghook h = shell("kill -TERM $PPID; sleep 30", argv, 0);
	struct hook_list list = {1, &h};
	struct hook_env env = {.signal_fd = signals_open()};
	struct err err = ERR_INIT;

	eq_int(hooks_run(&list, HOOK_PRESTART, state_text, &env, &err), -EINTR, "SIGTERM");
	eq_int(err.exit_status, 128 + SIGTERM, "exit status");
	has_str(err.msg, "interrupted by SIGTERM");
	close_fd(&env.signal_fd);
}

static void test_watched(void)
{
	const char *argv[4] = {NULL};
	struct ghook h = shell("kill -9 $WATCHED; sleep 30", argv, 0);
	struct hook_list list = {1, &h};
	struct hook_env env = {.signal_fd = -1};
	struct err err = ERR_INIT;
	char var[32];
	const char *vars[] = {var, NULL};

	env.watch = fork();
	if (env.watch == 0) {
		pause();
		_exit(0);
	}
	snprintf(var, sizeof(var), "WATCHED=%d", env.watch);
	h.env = (struct gstrv){1, vars};
	eq_int(hooks_run(&list, HOOK_CREATE_RUNTIME, state_text, &env, &err), -ECANCELED,
		"a VMM that is killed ends the hook");
	has_str(err.msg, "hook #0: coracle-vmm was ended meanwhile");
	ok(waitpid(env.watch, NULL, 0) == env.watch, "its process is left to its parent");
}

static void test_namespaces(void)
{
	struct ghook h = {.path = "/bin/true"};
	struct hook_list list = {1, &h};
	struct hook_env env = {.signal_fd = -1, .enter = getpid()};
	struct err err = ERR_INIT;

	if (geteuid() != 0) {
		skip("needs root");
		return;
	}
	eq_int(hooks_run(&list, HOOK_CREATE_CONTAINER, state_text, &env, &err), 0,
		"in a process's namespaces");
	eq_str(err.msg, "", "no error");
	env.enter = 0x7ffffff0;
	ok(hooks_run(&list, HOOK_CREATE_CONTAINER, state_text, &env, &err) < 0,
		"that is not there");
}

static void test_state(void)
{
	char id[] = "box", bundle[] = "/b", rootfs[] = "/b/r", version[] = "1.2.0";
	struct cstate s = {
		.id = id, .bundle = bundle, .rootfs = rootfs, .oci_version = version, .pid = 42};
	autofree char *text = hooks_state(&s, "creating"),
		      *guest = hooks_guest_state(&s, "created");
	autofree char *whole = NULL;
	struct json_object *o, *pid;

	has_str(text, "\"status\":\"creating\"");
	has_str(text, "\"pid\":42");
	ok(!strchr(text, '\n'), "one line");
	ok(asprintf(&whole, "%s1}", guest) > 0, "the guest adds its pid");
	o = json_tokener_parse(whole);
	ok(o && json_object_object_get_ex(o, "pid", &pid) && json_object_get_int(pid) == 1,
		"and has JSON");
	json_object_put(o);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	test_parse();
	test_keep();
	test_run();
	test_failures();
	test_order();
	test_interrupted();
	test_watched();
	test_namespaces();
	test_state();
	{
		char cmd[64];

		snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
		if (system(cmd))
			return 1;
	}
	return tap_done();
}
