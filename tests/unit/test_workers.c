/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that outlive their VMM for a moment. Called as `--worker ...`, this program plays one. */
#include "runtime/workers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/fd.h"
#include "tests/tap.h"

struct family {
	pid_t vmm, worker;
};

/* A session whose leader has ended and been waited for, with one process left in it. */
static struct family orphan(const char *option, const char *id)
{
	struct family f;
	int p[2];

	BUG_ON(pipe(p) < 0);
	f.vmm = fork();
	if (f.vmm == 0) {
		setsid();
		f.worker = fork();
		if (f.worker == 0) {
			execl("/proc/self/exe", "coracle-vmm", option, "fs", "21", id, NULL);
			_exit(1);
		}
		if (write(p[1], &f.worker, sizeof(f.worker)) < 0)
			_exit(1);
		pause();
	}
	BUG_ON(read_full(p[0], &f.worker, sizeof(f.worker)) < 0);
	close(p[1]);
	close(p[0]);
	kill(f.vmm, SIGKILL);
	waitpid(f.vmm, NULL, 0);
	return f;
}

static void until_executed(pid_t pid)
{
	char path[64], comm[16] = "";

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	while (strcmp(comm, "exe\n")) {
		FILE *f = fopen(path, "re");

		BUG_ON(!f || !fgets(comm, sizeof(comm), f));
		fclose(f);
		usleep(1000);
	}
}

static int gone(pid_t vmm, const char *id, int ms, const char *text)
{
	struct err err = ERR_INIT;
	char want[64];
	int r = workers_wait_gone(vmm, id, ms, &err);

	snprintf(want, sizeof(want), text, vmm);
	eq_str(err.msg, want, "what it says");
	return r;
}

static void reap(struct family f)
{
	kill(f.worker, SIGKILL);
	waitpid(f.worker, NULL, 0);
}

static void test_left(void)
{
	struct family f = orphan("--worker", "box");

	until_executed(f.worker);
	eq_int(gone(f.vmm, "box", 50, "the workers of pid %d do not end"), -EBUSY, "one is left");
	eq_int(gone(f.vmm, "bo", 50, ""), 0, "of another container");
	eq_int(gone(f.worker, "box", 50, ""), 0, "of another VMM");
	kill(f.worker, SIGKILL);
	eq_int(gone(f.vmm, "box", 20000, ""), 0, "it ends, though nobody waits for it");
	reap(f);
	eq_int(gone(f.vmm, "box", 0, ""), 0, "there is nobody any more");
}

static void test_others(void)
{
	struct family f = orphan("--other", "box");

	until_executed(f.worker);
	eq_int(gone(f.vmm, "box", 50, ""), 0, "what is no worker is not waited for");
	reap(f);
	eq_int(gone(0, "box", 50, ""), 0, "no pid at all");
	eq_int(gone(-1, "box", 50, ""), 0, "a wrong one");
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		prctl(PR_SET_NAME, "exe");
		for (;;)
			pause();
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	test_left();
	test_others();
	return tap_done();
}
