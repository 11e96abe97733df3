/* SPDX-License-Identifier: Apache-2.0 */
#include "init/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "init/cgroup.h"
#include "init/child.h"
#include "init/creds.h"
#include "init/fail.h"
#include "init/guest.h"
#include "init/mounts.h"
#include "init/namespaces.h"
#include "init/process.h"
#include "init/sys.h"
#include "init/userns.h"
#include "lib/cleanup.h"

/* Only ever written to by the child, in its own copy. */
static uint8_t wire[GSPEC_BYTES_MAX + 1];
static _Alignas(16) uint8_t arena_bytes[2 * GSPEC_BYTES_MAX + 4096];

static int read_spec(int sock, size_t *ret_len, struct err *err)
{
	size_t len = 0;
	ssize_t n;
	int r = guest_connected(sock, err);

	if (r < 0)
		return r;
	do {
		n = read(sock, wire + len, sizeof(wire) - len);
		if (n < 0)
			return fail(err, errno, "cannot read the process specification");
		len += (size_t)n;
	} while (n > 0 && len < sizeof(wire));
	if (len > GSPEC_BYTES_MAX)
		return fail(err, EMSGSIZE, "the process specification");
	*ret_len = len;
	return 0;
}

static int get_spec(const struct enter *x, struct gproc *p, struct err *err)
{
	struct garena arena = {.mem = arena_bytes, .cap = sizeof(arena_bytes)};
	const char *what = "";
	struct rbuf b;
	size_t len = 0;
	int r = read_spec(x->spec, &len, err);

	if (r < 0)
		return r;
	b = rbuf_of(wire, len);
	r = gproc_decode(&b, &arena, p, &what);
	if (r == 0 && rbuf_left(&b)) {
		r = -EPROTO;
		what = "length";
	}
	if (r < 0)
		return fail(err, -r, "the process specification's %s", what);
	p->flags &= ~(GPROC_TERMINAL | GPROC_STDIN_NULL | GPROC_STDOUT_NULL | GPROC_STDERR_NULL);
	p->flags |= x->flags;
	return 0;
}

/* Through a procfs of our own: the container may have none. */
static int set_oom_score(const struct gproc *p, struct err *err)
{
	autofd int proc = -1;
	char why[128];

	if (!(p->flags & GPROC_HAS_OOM_SCORE))
		return 0;
	proc = mount_new_fs("proc", "proc", "", 0, 0, why, sizeof(why));
	if (proc < 0)
		return fail(err, -proc, "cannot make a procfs");
	return creds_oom_score(proc, 0, p->oom_score_adj, err);
}

/* What takes privileges that a user namespace has not. */
static int before_namespaces(const struct enter *x, const struct gproc *p, struct err *err)
{
	int r = child_own_stdio(x->stdio, x->of, p, err);

	if (r == 0)
		r = set_oom_score(p, err);
	if (r == 0 && (x->of->namespaces & GNS_USER))
		r = creds_raise_limits(0, p, err);
	return r;
}

/* stdio is completed; borrowed, as everything goes when the process takes its streams. */
static int prepare(const struct enter *x, int pidfd, struct gproc *p, int stdio[3], struct err *err)
{
	const int keep[] = {x->env->null, x->spec, x->stdio[0], x->stdio[1], x->stdio[2], x->report,
		pidfd, x->c->group};
	autofd int root = -1;
	int master = -1, r;

	/* The others' pipes and streams must not hang on this process, which may wait long for the
	 * host. */
	if (child_keep_only(keep, ARRAY_SIZE(keep)) < 0)
		return fail(err, errno, "close_range");
	if (setrlimit(RLIMIT_NOFILE, &x->nofile) < 0)
		return fail(err, errno, "cannot set the limit of descriptors");
	if (setsid() < 0)
		return fail(err, errno, "setsid");
	r = get_spec(x, p, err);
	if (r == 0 && *p->cgroup)
		r = cgroup_join(x->c->group, p->cgroup, err);
	if (r == 0)
		r = before_namespaces(x, p, err);
	if (r == 0)
		r = ns_enter(pidfd, x->of->namespaces, err);
	if (r == 0 && (x->of->namespaces & GNS_USER))
		r = userns_become_root(err);
	if (r < 0)
		return r;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return fail(err, errno, "the container's root");
	r = child_stdio(root, x->env->null, p, false, stdio, &master, err);
	return r < 0 ? r : child_hand_over(x->report, master, err);
}

static _Noreturn void enter_main(const struct enter *x, int pidfd)
{
	int stdio[3] = {x->stdio[0], x->stdio[1], x->stdio[2]}, report = x->report;
	static struct gproc p;
	static struct err err;
	int r = prepare(x, pidfd, &p, stdio, &err);

	if (r == 0) {
		r = process_stdio(stdio, report, &err);
		if (r == 0)
			report = PROCESS_REPORT_FD;
	}
	if (r == 0)
		r = process_become(&p, &err);
	if (r == 0 && child_report(report, CHILD_READY, 0, NULL) == 0)
		r = process_exec(&p, &err);
	if (r < 0)
		child_report(report, CHILD_FAILED, 0, &err);
	_exit(1);
}

/* True when the container is about to end: then its namespaces refuse what they refuse for that. */
static bool first_has_ended(const struct enter *x)
{
	siginfo_t si = {0};

	return waitid(P_PID, (id_t)x->c->pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid;
}

pid_t enter_fork(const struct enter *x, struct err *err)
{
	autofd int pidfd = sys_pidfd_open(x->c->pid);
	pid_t pid = pidfd < 0 ? -errno : 0;

	if (pid == 0)
		pid = ns_fork_beside(pidfd, x->of->namespaces, x->c->group);
	/* The container has made groups of its group, which cannot hold processes any more: then
	 * where its first process is. */
	if (pid == -EBUSY) {
		autofd int group = cgroup_of(x->c->group, x->c->pid);

		pid = group < 0 ? group : ns_fork_beside(pidfd, x->of->namespaces, group);
	}
	if (pid == 0)
		enter_main(x, pidfd);
	if (pid < 0 && first_has_ended(x))
		return err_plain(err, ESRCH, "cannot exec in a stopped container");
	return pid < 0 ? fail(err, -pid, "cannot fork a process into the container") : pid;
}
