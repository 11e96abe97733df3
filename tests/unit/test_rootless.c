/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine's settings say of user namespaces, and whose process 1 is. Making them: tests/bats/185. */
#include "runtime/rootless.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"

static char dir[] = "/tmp/test_rootless.XXXXXX";

static void set(const char *sysctl, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, sysctl);
	if (!value) {
		unlink(path);
		return;
	}
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	BUG_ON(fd < 0 || write(fd, value, strlen(value)) < 0);
	close(fd);
}

static void test_refusal(void)
{
	char path[64];

	eq_str(rootless_refusal_at(dir), "", "no such settings: nothing is refused");
	set("user/max_user_namespaces", "15000\n");
	set("kernel/unprivileged_userns_clone", "1\n");
	set("kernel/apparmor_restrict_unprivileged_userns", "0\n");
	eq_str(rootless_refusal_at(dir), "", "nor by settings that allow them");
	set("kernel/apparmor_restrict_unprivileged_userns", "1\n");
	eq_str(rootless_refusal_at(dir),
		"the sysctl kernel.apparmor_restrict_unprivileged_userns is 1: an AppArmor profile "
		"for coracle has to allow userns",
		"Ubuntu's");
	set("kernel/unprivileged_userns_clone", "0\n");
	eq_str(rootless_refusal_at(dir), "the sysctl kernel.unprivileged_userns_clone is 0",
		"Debian's, which comes before");
	set("user/max_user_namespaces", "0\n");
	eq_str(rootless_refusal_at(dir), "the sysctl user.max_user_namespaces is 0",
		"everybody's, which comes first");
	set("user/max_user_namespaces", NULL);
	set("kernel/unprivileged_userns_clone", NULL);
	set("kernel/apparmor_restrict_unprivileged_userns", NULL);
	snprintf(path, sizeof(path), "%s/none", dir);
	eq_str(rootless_refusal_at(path), "", "no directory at all");
}

/* Status 0: yes, 1: no, 2: there is no user namespace to be had. */
static int in_userns(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0                       ? 2
			: rootless_in_userns() && !rootless_has_init() ? 0
								       : 1);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 3;
}

static void test_init(void)
{
	int got;

	ok(rootless_has_init(), "process 1 is in the user namespace of the tests");
	got = in_userns();
	if (got == 2)
		skip("no user namespaces");
	else
		eq_int(got, 0, "not so in a user namespace that was made below it");
}

int main(void)
{
	static const char *const sub[] = {"user", "kernel"};
	char path[64];

	BUG_ON(!mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_SIZE(sub); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, sub[i]);
		BUG_ON(mkdir(path, 0700) < 0);
	}
	test_refusal();
	for (size_t i = 0; i < ARRAY_SIZE(sub); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, sub[i]);
		rmdir(path);
	}
	ok(rmdir(dir) == 0, "nothing is left");
	test_init();
	return tap_done();
}
