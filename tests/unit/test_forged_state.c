/* SPDX-License-Identifier: Apache-2.0 */
/* A state that names another's process is a reason to end nothing. */
#include "runtime/container.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/tap.h"
#include "tests/unit/runtime_dir.h"

static struct err err;

/* Everything in it is true of the process, but that it is the container's VMM. */
static void forge_state(struct container *c, pid_t pid)
{
	c->state.oci_version = strdup("1.0.2");
	c->state.id = strdup(c->id);
	c->state.bundle = strdup("/b");
	c->state.rootfs = strdup("/b/rootfs");
	c->state.pid = pid;
	cstate_set_created(&c->state);
	eq_int(cstate_pid_start(pid, &c->state.pid_start_ticks), 0, "the process's start");
	eq_int(container_save(c, &err), 0, "is in the state");
}

/* Executes the program, and returns once it has. */
static pid_t run_program(const char *program, char *const argv[])
{
	int fd[2];
	pid_t pid;
	char c;

	BUG_ON(pipe2(fd, O_CLOEXEC));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execv(program, argv);
		_exit(1);
	}
	close(fd[1]);
	eq_int(read(fd[0], &c, 1), 0, "a program runs");
	close(fd[0]);
	return pid;
}

/* Whether the process that the program becomes is killed for the state's sake. */
static bool kills(const char *id, const char *program, char *const argv[])
{
	struct container c = CONTAINER_INIT;
	pid_t pid = run_program(program, argv);
	int status, r;
	bool killed;

	eq_int(container_new(&c, in_dir("root"), id, &err), 0, "a container");
	forge_state(&c, pid);
	eq_int(container_kill(&c, &err), 0, "is killed");
	eq_int(container_wait_gone(&c, &err), 0, "and waited for");
	r = waitpid(pid, &status, WNOHANG);
	killed = r == pid;
	if (!killed) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	container_remove(&c, &err);
	container_release(&c);
	return killed;
}

/* sleep(1) adds its arguments up: one of them is an id. */
static void test_forged_pid(void)
{
	char *const sleep_args[] = {"sleep", "1000", "2000", NULL};
	char *const vmm_args[] = {"coracle-vmm", "1000", "2000", NULL};
	char copy[64 + PATH_MAX];
	const char *vmm = in_dir("coracle-vmm");

	snprintf(copy, sizeof(copy), "cp \"$(command -v sleep)\" '%s'", vmm);
	eq_int(system(copy), 0, "a program of the VMM's name");
	snprintf(copy, sizeof(copy), "%s", vmm);
	ok(!kills("2000", "/bin/sleep", sleep_args), "a process of another program lives on");
	ok(!kills("3000", copy, vmm_args), "so does the VMM of another container");
	ok(kills("2000", copy, vmm_args), "the container's own VMM does not");
}

int main(void)
{
	test_dir_make();
	test_forged_pid();
	return tap_done();
}
