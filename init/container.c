/* SPDX-License-Identifier: Apache-2.0 */
#include "init/container.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "init/cgroup.h"
#include "init/child.h"
#include "init/creds.h"
#include "init/devices.h"
#include "init/fail.h"
#include "init/hooks.h"
#include "init/log.h"
#include "init/mounts.h"
#include "init/namespaces.h"
#include "init/nodes.h"
#include "init/process.h"
#include "init/rootfs.h"
#include "init/sys.h"
#include "init/sysctl.h"
#include "init/userns.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/path.h"

/* The child's state while it prepares itself. */
struct child {
	const struct init_env *env;
	const struct gspec *spec;
	int report;
	int stdio[3]; /* borrowed ends of the pipes; -1: null */
	int root;
	int master;   /* the terminal's; -1: none */
	int null_mnt; /* from rootfs_null_mount(); -1: none */
	struct userns_outside outside;
	uint64_t rootfs_ns;
};

uint64_t boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Kernel parameters and the OOM score go through a procfs of our own: the container may mount none.
 */
static int through_proc(const struct gspec *spec, struct err *err)
{
	autofd int proc = -1;
	char why[128];
	int r;

	if ((!spec->n_sysctls && !(spec->proc.flags & GPROC_HAS_OOM_SCORE)) ||
		(spec->namespaces & GNS_USER)) /* then userns_complete() has done it */
		return 0;
	proc = mount_new_fs("proc", "proc", "", 0, 0, why, sizeof(why));
	if (proc < 0)
		return fail(err, -proc, "cannot make a procfs");
	r = sysctls_write(proc, spec->sysctls, spec->n_sysctls, err);
	if (r == 0 && (spec->proc.flags & GPROC_HAS_OOM_SCORE))
		r = creds_oom_score(proc, 0, spec->proc.oom_score_adj, err);
	return r;
}

/* In a user namespace's mount namespace all that was copied is locked: the clones are not. The nodes
 * go where nobody looks. */
static int bring_along(const struct userns_outside *o, struct err *err)
{
	autofd int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (here < 0 || sys_attach(o->share, here) < 0 || fchdir(o->share) < 0 ||
		sys_attach(o->nodes, o->share) < 0)
		return fail(err, errno, "cannot bring the share along");
	return 0;
}

static int make_root(struct child *c, struct err *err)
{
	bool user = c->spec->namespaces & GNS_USER;
	bool dev_defaults;
	int r;

	if (fchdir(c->env->share) < 0)
		return fail(err, errno, "cannot enter the share");
	r = ns_enter_mount(c->spec->namespaces, err); /* takes the working directory along */
	if (r == 0 && user)
		r = bring_along(&c->outside, err);
	if (r == 0)
		r = rootfs_bind(c->spec, &c->root, err);
	if (r < 0)
		return r;
	c->rootfs_ns = boot_ns();
	r = mounts_make(c->root, c->spec, &dev_defaults, err);
	if (r == 0 && user)
		r = nodes_bind(c->root, c->outside.nodes, c->spec, dev_defaults, err);
	if (r == 0)
		r = devices_make(c->root, c->spec, dev_defaults, err);
	if (r == 0)
		r = rootfs_enter(c->root, err);
	return r;
}

static int make_cwd(struct child *c, struct err *err)
{
	autofd int cwd = path_make(c->root, c->spec->proc.cwd, true, NULL);

	/* What chdir(2) will complain about, or find a way to (a magic link), is left to it. */
	if (cwd < 0 && cwd != -ENOTDIR && cwd != -EACCES && cwd != -ELOOP)
		return fail(err, -cwd, "mkdir %s", c->spec->proc.cwd);
	return 0;
}

static int prepare(struct child *c, struct err *err)
{
	const struct gspec *spec = c->spec;
	int r;

	umask(0);
	if (setsid() < 0)
		return fail(err, errno, "setsid");
	r = spec->namespaces & GNS_USER ? userns_enter_new(c->report, err) : 0;
	if (r == 0)
		r = make_root(c, err);
	if (r == 0)
		r = ns_names(spec, err);
	if (r == 0)
		r = through_proc(spec, err);
	if (r == 0)
		r = child_stdio(
			c->root, c->env->null, &spec->proc, true, c->stdio, &c->master, err);
	if (r == 0)
		r = make_cwd(c, err);
	if (r == 0)
		r = mounts_seal(err);
	if (r == 0)
		r = rootfs_close_down_take(c->root, spec, c->null_mnt, err);
	return r;
}

/* runtime.md: without a process a container can be created, and start is an error. */
static int become(const struct gspec *spec, struct err *err)
{
	return spec->proc.args.n ? process_become(&spec->proc, err) : 0;
}

static int run(const struct gspec *spec, struct err *err)
{
	int r;

	if (!spec->proc.args.n)
		return err_plain(err, EINVAL, "process is not set: there is nothing to start");
	r = hooks_run(spec, process_env(), err);
	return r < 0 ? r : process_exec(&spec->proc, err);
}

static _Noreturn void child_main(struct child *c)
{
	static struct err err;
	char go;
	int r = prepare(c, &err);

	if (r == 0)
		r = child_hand_over(c->report, c->master, &err);
	if (r == 0) {
		r = process_stdio(c->stdio, c->report, &err);
		if (r == 0)
			c->report = PROCESS_REPORT_FD;
	}
	if (r == 0)
		r = become(c->spec, &err);
	if (r == 0 && child_report(c->report, CHILD_READY, c->rootfs_ns, NULL) == 0 &&
		recv(c->report, &go, 1, 0) == 1)
		r = run(c->spec, &err);
	if (r < 0)
		child_report(c->report, CHILD_FAILED, 0, &err);
	_exit(1);
}

/* What the child could not make itself, or not any more. */
static int make_before(struct child *c, struct err *err)
{
	const struct gspec *spec = c->spec;
	int r = child_own_stdio(c->stdio, spec, &spec->proc, err);

	if (r == 0 && spec->masked_paths.n)
		r = c->null_mnt = rootfs_null_mount(c->env->null, err);
	if (r >= 0 && (spec->namespaces & GNS_USER))
		r = userns_prepare(c->env->share, spec, &c->outside, err);
	return MIN(r, 0);
}

static void drop_childs(struct child *c)
{
	for (int i = 0; i < 3; i++)
		close_fd(&c->stdio[i]);
	close_fd(&c->null_mnt);
	close_fd(&c->outside.share);
	close_fd(&c->outside.nodes);
}

int container_spawn(
	const struct init_env *env, const struct gspec *spec, struct container *c, struct err *err)
{
	bool user = spec->namespaces & GNS_USER;
	struct creds_lent lent;
	struct child ch = {.env = env,
		.spec = spec,
		.stdio = {-1, -1, -1},
		.root = -1,
		.master = -1,
		.null_mnt = -1,
		.outside = {-1, -1}};
	int sock[2], r;

	*c = (struct container){.pid = -1, .sock = -1, .group = -1, .stdio = {-1, -1, -1}};
	r = cgroup_make(env->cgroup, spec, &c->group, err);
	if (r < 0)
		return r;
	r = child_pipes(spec->proc.flags, c->stdio, ch.stdio);
	if (r < 0)
		return fail(err, -r, "cannot make a pipe");
	r = make_before(&ch, err);
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
		return fail(err, errno, "socketpair");
	ch.report = sock[1];
	r = user ? creds_lend_limits(&spec->proc, &lent, err) : 0;
	if (r == 0)
		c->pid = ns_fork(ns_clone_flags(spec->namespaces), c->group);
	if (c->pid == 0)
		child_main(&ch);
	if (r == 0 && user)
		creds_take_limits_back(&lent);
	close(sock[1]);
	drop_childs(&ch);
	c->sock = sock[0];
	if (r < 0)
		return r;
	if (c->pid < 0)
		return fail(err, -c->pid, "cannot fork the container's first process");
	return user ? userns_complete(spec, c->pid, c->sock, err) : 0;
}
