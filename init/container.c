/* SPDX-License-Identifier: Apache-2.0 */
#include "init/container.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "init/cgroup.h"
#include "init/creds.h"
#include "init/devices.h"
#include "init/fail.h"
#include "init/log.h"
#include "init/mounts.h"
#include "init/namespaces.h"
#include "init/process.h"
#include "init/rootfs.h"
#include "init/sys.h"
#include "init/sysctl.h"
#include "init/tty.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/path.h"

static const uint32_t null_flags[3] = {GPROC_STDIN_NULL, GPROC_STDOUT_NULL, GPROC_STDERR_NULL};

/* The child's state while it prepares itself. */
struct child {
	const struct init_env *env;
	const struct gspec *spec;
	int report;
	int stdio[3]; /* borrowed ends of the pipes; -1: null */
	int root;
	int master; /* the terminal's; -1: none */
	uint64_t rootfs_ns;
};

uint64_t boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void text_copy(char out[PROTO_TEXT_MAX], const char *text)
{
	size_t n = strnlen(text, PROTO_TEXT_MAX - 1);

	memset(out, 0, PROTO_TEXT_MAX);
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
}

static int report(int sock, enum child_kind kind, uint64_t rootfs_ns, const struct err *e)
{
	struct child_msg m = {.kind = kind, .rootfs_ns = rootfs_ns};

	if (e) {
		m.errnum = e->errnum;
		m.exit_status = e->exit_status > 0 ? (uint32_t)e->exit_status : 1;
		text_copy(m.text, e->msg);
	}
	return send_fds(sock, &m, sizeof(m), NULL, 0);
}

/* Kernel parameters and the OOM score go through a procfs of our own: the container may mount none.
 */
static int through_proc(const struct gspec *spec, struct err *err)
{
	autofd int proc = -1;
	char why[128];
	int r;

	if (!spec->n_sysctls && !(spec->proc.flags & GPROC_HAS_OOM_SCORE))
		return 0;
	proc = mount_new_fs("proc", "proc", "", 0, 0, why, sizeof(why));
	if (proc < 0)
		return fail(err, -proc, "cannot make a procfs");
	r = sysctls_write(proc, spec->sysctls, spec->n_sysctls, err);
	if (r == 0 && (spec->proc.flags & GPROC_HAS_OOM_SCORE))
		r = creds_oom_score(proc, spec->proc.oom_score_adj, err);
	return r;
}

static int make_root(struct child *c, struct err *err)
{
	bool dev_tmpfs;
	int r;

	if (fchdir(c->env->share) < 0)
		return fail(err, errno, "cannot enter the share");
	r = ns_enter_mount(c->spec->namespaces, err); /* takes the working directory along */
	if (r == 0)
		r = rootfs_bind(c->spec, &c->root, err);
	if (r < 0)
		return r;
	c->rootfs_ns = boot_ns();
	r = mounts_make(c->root, c->spec, &dev_tmpfs, err);
	if (r == 0)
		r = devices_make(c->root, c->spec, dev_tmpfs, err);
	if (r == 0)
		r = rootfs_enter(c->root, err);
	return r;
}

/* The container's own /dev/null, so that the stream has a name inside; only if it really is that.
 */
static int open_null(struct child *c)
{
	struct stat st;
	int fd = path_open(c->root, "/dev/null", O_RDWR | O_NOCTTY | O_NONBLOCK);

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) {
		fcntl(fd, F_SETFL, 0);
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return c->env->null;
}

static int make_stdio(struct child *c, struct err *err)
{
	const struct gproc *p = &c->spec->proc;
	int slave, null = -1, r;

	if (p->flags & GPROC_TERMINAL) {
		r = tty_open(c->root, p, true, &c->master, &slave, err);
		if (r == 0)
			r = tty_control(slave, err);
		if (r < 0)
			return err_wrap(err, "cannot make a terminal");
		for (int i = 0; i < 3; i++)
			c->stdio[i] = slave;
		return 0;
	}
	for (int i = 0; i < 3; i++) {
		/* Its owner may open it again: /dev/stdout. */
		if (c->stdio[i] >= 0 && p->uid && fchown(c->stdio[i], p->uid, (gid_t)-1) < 0)
			return fail(err, errno, "cannot give stream %d to user %u", i, p->uid);
		if (c->stdio[i] < 0 && null < 0)
			null = open_null(c);
		if (c->stdio[i] < 0)
			c->stdio[i] = null;
	}
	return 0;
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
	int null_mnt = -1, r;

	umask(0);
	if (setsid() < 0)
		return fail(err, errno, "setsid");
	if (spec->masked_paths.n) {
		null_mnt = rootfs_null_mount(c->env->null, err);
		if (null_mnt < 0)
			return null_mnt;
	}
	r = make_root(c, err);
	if (r == 0)
		r = ns_names(spec, err);
	if (r == 0)
		r = through_proc(spec, err);
	if (r == 0)
		r = make_stdio(c, err);
	if (r == 0)
		r = make_cwd(c, err);
	if (r == 0)
		r = mounts_seal(err);
	if (r == 0)
		r = rootfs_close_down_take(c->root, spec, null_mnt, err);
	return r;
}

/* The terminal's master goes to init before every descriptor is closed. */
static int hand_over(struct child *c, struct err *err)
{
	struct child_msg m = {.kind = CHILD_TERMINAL};
	int r = c->master >= 0 ? send_fds(c->report, &m, sizeof(m), &c->master, 1) : 0;

	return r < 0 ? fail(err, -r, "cannot hand over the terminal") : 0;
}

static _Noreturn void child_main(struct child *c)
{
	static struct err err;
	char go;
	int r = prepare(c, &err);

	if (r == 0)
		r = hand_over(c, &err);
	if (r == 0) {
		r = process_stdio(c->stdio, c->report, &err);
		if (r == 0)
			c->report = PROCESS_REPORT_FD;
	}
	if (r == 0)
		r = process_become(&c->spec->proc, &err);
	if (r == 0 && report(c->report, CHILD_READY, c->rootfs_ns, NULL) == 0 &&
		recv(c->report, &go, 1, 0) == 1)
		r = process_exec(&c->spec->proc, &err);
	if (r < 0)
		report(c->report, CHILD_FAILED, 0, &err);
	_exit(1);
}

static int make_pipe(int i, int *ret_ours, int *ret_theirs)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	*ret_ours = p[i == 0];
	*ret_theirs = p[i != 0];
	/* Of this description only: the process's end stays blocking. */
	return fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int container_spawn(
	const struct init_env *env, const struct gspec *spec, struct container *c, struct err *err)
{
	struct child ch = {
		.env = env, .spec = spec, .stdio = {-1, -1, -1}, .root = -1, .master = -1};
	int sock[2], r;

	*c = (struct container){.pid = -1, .sock = -1, .group = -1, .stdio = {-1, -1, -1}};
	r = cgroup_make(env->cgroup, spec, &c->group, err);
	if (r < 0)
		return r;
	for (int i = 0; i < 3 && !(spec->proc.flags & GPROC_TERMINAL); i++) {
		if (spec->proc.flags & null_flags[i])
			continue;
		r = make_pipe(i, &c->stdio[i], &ch.stdio[i]);
		if (r < 0)
			return fail(err, -r, "cannot make a pipe");
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
		return fail(err, errno, "socketpair");
	ch.report = sock[1];
	c->pid = ns_fork(ns_clone_flags(spec->namespaces), c->group);
	if (c->pid == 0)
		child_main(&ch);
	close(sock[1]);
	for (int i = 0; i < 3; i++)
		close_fd(&ch.stdio[i]);
	c->sock = sock[0];
	return c->pid < 0 ? fail(err, -c->pid, "cannot fork the container's first process") : 0;
}
