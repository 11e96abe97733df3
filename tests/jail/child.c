/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/jail/child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "seccomp/policy.h"

void in_child(const char *kind, bool json, void (*fn)(void), struct outcome *o)
{
	struct rlimit none = {0, 0};
	struct err err = ERR_INIT;
	size_t len = 0;
	ssize_t n;
	pid_t pid;
	int p[2];

	memset(o, 0, sizeof(*o));
	if (pipe2(p, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		exit(1);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		prctl(PR_SET_NAME, "jailed-one");
		if (policy_init(p[1], json, &err) < 0 || policy_install(kind, &err) < 0)
			_exit(77);
		fn();
		_exit(0);
	}
	close(p[1]);
	while (len < sizeof(o->report) - 1 &&
		(n = read(p[0], o->report + len, sizeof(o->report) - 1 - len)) > 0)
		len += (size_t)n;
	close(p[0]);
	waitpid(pid, &o->status, 0);
}

bool was_trapped(const struct outcome *o)
{
	return WIFSIGNALED(o->status) && WTERMSIG(o->status) == SIGSYS;
}
