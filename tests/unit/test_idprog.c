/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/idprog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/timeline.h"
#include "tests/tap.h"
#include "tests/unit/runtime_dir.h"

static struct err err;
static const struct gidmap map[] = {{0, 1000, 1}, {1, 100000, 65536}};

static void write_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	BUG_ON(fd < 0 || write_full(fd, text, strlen(text)) < 0);
	close(fd);
}

static int run_at(const char *script, int timeout_ms, int stop_fd)
{
	char path[256];
	struct idprog p = {.path = path,
		.target = 4711,
		.map = map,
		.n = ARRAY_SIZE(map),
		.timeout_ms = timeout_ms,
		.stop_fd = stop_fd};

	snprintf(path, sizeof(path), "%s", in_dir("prog"));
	write_file("prog", script, 0755);
	err = (struct err)ERR_INIT;
	return idprog_run(&p, &err);
}

static int run(const char *script)
{
	return run_at(script, 30000, -1);
}

/* The working directory is the test's: a program of that name lies in it. */
static void test_find(void)
{
	char out[256], path[1024], longest[600], cwd[256];

	BUG_ON(!getcwd(cwd, sizeof(cwd)) || chdir(test_dir));
	write_file("newuidmap", "", 0755);
	BUG_ON(mkdir(in_dir("plain"), 0755) || mkdir(in_dir("dir"), 0755) ||
		mkdir(in_dir("dir/newuidmap"), 0755) || mkdir(in_dir("good"), 0755));
	write_file("plain/newuidmap", "", 0644);
	write_file("good/newuidmap", "", 0755);
	for (const char *const *p =
			(const char *const[]){"", ":", ".", "::", "good", ".:good:./good:", NULL};
		*p; p++)
		eq_int(idprog_find(*p, "newuidmap", out, sizeof(out)), -ENOENT,
			"not in a directory that is no absolute path");
	snprintf(path, sizeof(path), ":.:/nowhere:%s/plain:%s/dir:%s/good", test_dir, test_dir,
		test_dir);
	eq_int(idprog_find(path, "newuidmap", out, sizeof(out)), 0, "a program, past what is none");
	has_str(&out[0], "/good/newuidmap");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	snprintf(path, sizeof(path), "/%s:%s/good", longest, test_dir);
	eq_int(idprog_find(path, "newuidmap", out, sizeof(out)), 0, "past a path that is too long");
	eq_int(idprog_find(NULL, "true", out, sizeof(out)), 0,
		"without $PATH, in the usual places");
	BUG_ON(chdir(cwd));
}

static void test_run(void)
{
	char script[512];

	snprintf(script, sizeof(script), "#!/bin/sh\n(echo \"$@\"; env) >%s\n", in_dir("out"));
	setenv("SECRET", "x", 1);
	eq_int(run(script), 0, "it runs");
	{
		autofd int fd = open(in_dir("out"), O_RDONLY | O_CLOEXEC);
		autofree char *text = NULL;
		size_t len;

		BUG_ON(fd < 0 || read_file(fd, 4096, &text, &len) < 0);
		has_str(text, "4711 0 1000 1 1 100000 65536\n");
		ok(!strstr(text, "SECRET"), "without our environment");
	}
	snprintf(
		script, sizeof(script), "#!/bin/sh\nls /proc/self/fd | wc -l >%s\n", in_dir("out"));
	eq_int(dup2(0, 77), 77, "a descriptor that is not close-on-exec");
	eq_int(run(script), 0, "it runs");
	close(77);
	{
		autofd int fd = open(in_dir("out"), O_RDONLY | O_CLOEXEC);
		autofree char *text = NULL;
		size_t len;

		BUG_ON(fd < 0 || read_file(fd, 4096, &text, &len) < 0);
		eq_str(text, "4\n", "three, and that of ls");
	}
}

static void test_fails(void)
{
	char script[512];

	eq_int(run("#!/bin/sh\nprintf 'no\\nway\\033[31m \\n\\n' >&2; exit 7\n"), -EPERM,
		"it fails");
	has_str(err.msg, "/prog' fails with status 7; it says: no way?[31m");
	eq_int(run("#!/bin/sh\nexit 1\n"), -EPERM, "without a word");
	has_str(err.msg, "fails with status 1, without a word");
	eq_int(run("#!/bin/sh\nkill -9 $$\n"), -EPERM, "killed");
	has_str(err.msg, "was killed by signal 9");
	eq_int(run("#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' x; exit 5\n"), -EPERM,
		"it talks much");
	has_str(err.msg, "fails with status 5; it says: xxxx");
	ok(strlen(err.msg) < 600, "of which a little is quoted");
	eq_int(run_at("#!/bin/sh\nwhile :; do echo more; done\n", 5000, -1), -ETIMEDOUT,
		"it does not stop talking");
	has_str(err.msg, "has not ended within 5 s; it says: more more");
	/* Its child has the pipe open, and outlives it. */
	snprintf(script, sizeof(script), "#!/bin/sh\nsleep 1000 & echo $! >%s\n", in_dir("pid"));
	eq_int(run(script), 0, "it leaves a child behind");
	{
		autofd int fd = open(in_dir("pid"), O_RDONLY | O_CLOEXEC), pidfd = -1;
		struct pollfd pf = {.events = POLLIN};
		char text[16] = "";

		BUG_ON(fd < 0 || read(fd, text, sizeof(text) - 1) < 1);
		pidfd = (int)syscall(SYS_pidfd_open, atoi(text), 0);
		pf.fd = pidfd;
		ok(pidfd < 0 || poll(&pf, 1, 20000) == 1, "which is ended");
	}
	eq_int(run("no program\n"), -EPERM, "it cannot be executed");
	has_str(err.msg, "cannot execute it");
}

static void test_hangs(void)
{
	uint64_t before = timeline_now();
	int fd[2];

	eq_int(run_at("#!/bin/sh\necho wait; trap '' TERM INT HUP; while :; do sleep 1000; done\n",
		       5000, -1),
		-ETIMEDOUT, "it hangs");
	has_str(err.msg, "has not ended within 5 s; it says: wait");
	ok(timeline_now() - before < 20000000000ull, "not for long");
	BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	close(fd[1]);
	eq_int(run_at("#!/bin/sh\nsleep 1000\n", 30000, fd[0]), -EINTR, "nobody waits any more");
	close(fd[0]);
}

int main(void)
{
	test_dir_make();
	test_find();
	test_run();
	test_fails();
	test_hangs();
	return tap_done();
}
