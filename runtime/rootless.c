/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/rootless.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "runtime/idprog.h"
#include "runtime/signals.h"
#include "runtime/trial.h"

#define INITIAL_USERNS_INO 0xEFFFFFFDu /* include/linux/proc_ns.h, PROC_USER_INIT_INO: ABI */
#define MAP_TEXT_MAX       (64u << 10)

static bool entered; /* one of ours, which we have made */
static uid_t caller_uid;

bool rootless_in_userns(void)
{
	struct stat st;

	return stat("/proc/self/ns/user", &st) == 0 && st.st_ino != INITIAL_USERNS_INO;
}

static char *read_map(const char *path)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t len;

	return fd >= 0 && read_file(fd, MAP_TEXT_MAX, &text, &len) == 0 ? text : NULL;
}

/* The namespace itself is shown to those only who may trace process 1; how its ids look from here, to everybody. */
bool rootless_has_init(void)
{
	autofree char *own = read_map("/proc/self/uid_map"), *init = read_map("/proc/1/uid_map");

	return own && init && !strcmp(own, init);
}

bool rootless_entered(void)
{
	return entered;
}

uid_t rootless_caller(void)
{
	return entered ? caller_uid : geteuid();
}

/* --- the plan ----------------------------------------------------------------------------------- */

static void one_id(struct rootless_plan *p, const char *why)
{
	p->n_uids = p->n_gids = 1;
	/* The reason last: it may quote a program, at any length. */
	snprintf(p->note, sizeof(p->note), "only uid %u and gid %u are mapped: %s", p->uid, p->gid,
		why);
}

int rootless_plan(struct rootless_plan *p, const char *path_env, struct err *err)
{
	const struct passwd *pw = getpwuid(geteuid());
	const char *name = pw ? pw->pw_name : NULL;
	struct subid_ranges uids, gids;
	int r;

	*p = (struct rootless_plan){.uid = geteuid(), .gid = getegid()};
	p->other_group = !pw || pw->pw_gid != p->gid;
	r = subid_read("/etc/subuid", name, p->uid, &uids, err);
	if (r == 0)
		r = subid_read("/etc/subgid", name, p->uid, &gids, err);
	if (r < 0)
		return r;
	p->n_uids = subid_map(p->uid, &uids, p->uids);
	p->n_gids = subid_map(p->gid, &gids, p->gids);
	if (p->n_uids == 1)
		one_id(p, "/etc/subuid has no range for this user");
	else if (p->n_gids == 1)
		one_id(p, "/etc/subgid has no range for this user");
	else if (idprog_find(path_env, "newuidmap", p->newuidmap, sizeof(p->newuidmap)) < 0)
		one_id(p, "there is no newuidmap in $PATH");
	else if (idprog_find(path_env, "newgidmap", p->newgidmap, sizeof(p->newgidmap)) < 0)
		one_id(p, "there is no newgidmap in $PATH");
	return 0;
}

static bool is_set(const char *dir, const char *sysctl, char value)
{
	char path[PATH_MAX], first = 0;
	autofd int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", dir, sysctl);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, &first, 1) == 1 && first == value;
}

const char *rootless_refusal_at(const char *dir)
{
	if (is_set(dir, "user/max_user_namespaces", '0'))
		return "the sysctl user.max_user_namespaces is 0";
	if (is_set(dir, "kernel/unprivileged_userns_clone", '0'))
		return "the sysctl kernel.unprivileged_userns_clone is 0";
	if (is_set(dir, "kernel/apparmor_restrict_unprivileged_userns", '1'))
		return "the sysctl kernel.apparmor_restrict_unprivileged_userns is 1: an AppArmor "
		       "profile for coracle has to allow userns";
	return "";
}

const char *rootless_refusal(void)
{
	return rootless_refusal_at("/proc/sys");
}

static int refused(struct err *err, const char *what)
{
	int errnum = errno;
	const char *why = rootless_refusal();

	return err_set(err, errnum, "%s%s%s%s", what, *why ? " (" : "", why, *why ? ")" : "");
}

/* --- the maps ----------------------------------------------------------------------------------- */

/* AppArmor's restriction lets the namespace be made, and refuses this. */
static int write_text(const char *path, const char *text, struct err *err)
{
	autofd int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len = (ssize_t)strlen(text);
	char what[128];
	int errnum;

	if (fd >= 0 && write(fd, text, (size_t)len) == len)
		return 0;
	errnum = errno;
	snprintf(what, sizeof(what), "cannot write '%s' to %s", text, path);
	errno = errnum;
	return refused(err, what);
}

static int has_map(const char *path, const struct gidmap *map, unsigned n, struct err *err)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	autofree char *text = NULL;
	size_t len;
	int r = fd < 0 ? -errno : read_file(fd, MAP_TEXT_MAX, &text, &len);

	if (r < 0)
		return err_set(err, -r, "cannot read %s", path);
	return subid_map_is(text, map, n);
}

/* In the namespace. What newuidmap has not written. */
static int map_one(const char *file, uint32_t id, struct err *err)
{
	const struct gidmap none[1] = {{0}};
	char text[32];
	int r = has_map(file, none, 0, err);

	if (r <= 0)
		return r;
	snprintf(text, sizeof(text), "0 %u 1", id);
	return write_text(file, text, err);
}

static int map_own_ids(const struct rootless_plan *p, struct err *err)
{
	int r = map_one("/proc/self/uid_map", p->uid, err);

	/* user_namespaces(7): who maps his own group himself must give up setgroups(2). */
	if (r == 0)
		r = write_text("/proc/self/setgroups", "deny", err);
	return r < 0 ? r : map_one("/proc/self/gid_map", p->gid, err);
}

/* Their exit status is not taken for it. */
static int check_maps(const struct rootless_plan *p, struct err *err)
{
	int r = has_map("/proc/self/uid_map", p->uids, p->n_uids, err);

	if (r == 0)
		return err_plain(err, EPERM,
			"'%s' says that it has mapped the user's ids, and has not", p->newuidmap);
	r = r < 0 ? r : has_map("/proc/self/gid_map", p->gids, p->n_gids, err);
	if (r == 0)
		return err_plain(err, EPERM,
			"'%s' says that it has mapped the user's group ids, and has not",
			p->newgidmap);
	return r < 0 ? r : 0;
}

/* --- who stays outside to run the programs ------------------------------------------------------ */

struct mapper {
	pid_t pid;
	int fd; /* a byte from us: we are in the namespace; a struct err from it */
};

static _Noreturn void mapper_run(const struct rootless_plan *p, int fd, pid_t target)
{
	struct idprog prog = {.path = p->newuidmap,
		.target = target,
		.map = p->uids,
		.n = p->n_uids,
		.timeout_ms = IDPROG_WAIT_MS,
		.stop_fd = fd};
	struct err err = ERR_INIT;
	char go;
	int r;

	if (read_full(fd, &go, 1) < 0)
		_exit(1);
	r = idprog_run(&prog, &err);
	if (r == 0) {
		prog.path = p->newgidmap;
		prog.map = p->gids;
		prog.n = p->n_gids;
		(void)idprog_run(&prog, &err);
	}
	(void)send(fd, &err, sizeof(err), MSG_NOSIGNAL);
	_exit(0);
}

static int mapper_start(struct mapper *m, const struct rootless_plan *p, struct err *err)
{
	pid_t target = getpid();
	int fd[2];

	*m = (struct mapper){.fd = -1};
	if (!p->newuidmap[0] || !p->newgidmap[0])
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return err_set(err, errno, "cannot make a socket pair");
	m->pid = fork();
	if (m->pid == 0) {
		close(fd[0]);
		mapper_run(p, fd[1], target);
	}
	close(fd[1]);
	m->fd = fd[0];
	return m->pid < 0 ? err_set(err, errno, "cannot fork") : 0;
}

/* What it reports. -EINTR: a signal came first. */
static int mapper_map(struct mapper *m, int signal_fd, struct err *err)
{
	struct err said;
	int r;

	if (send(m->fd, "", 1, MSG_NOSIGNAL) != 1)
		return err_set(err, errno, "cannot have the user's ids mapped");
	r = signals_wait(signal_fd, m->fd, err);
	if (r < 0)
		return r;
	r = read_full(m->fd, &said, sizeof(said));
	if (r < 0)
		return err_set(err, -r, "cannot have the user's ids mapped");
	if (!said.errnum)
		return 0;
	*err = said;
	return err_wrap(err, "cannot map the user's ids");
}

/* It sees the hangup, ends what it runs, and itself. */
static void mapper_end(struct mapper *m)
{
	close_fd(&m->fd);
	if (m->pid > 0)
		while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
			;
	m->pid = 0;
}

/* --- entering ----------------------------------------------------------------------------------- */

static int map_ids(
	struct rootless_plan *p, struct mapper *m, int signal_fd, bool *ret_warn, struct err *err)
{
	struct err why = ERR_INIT;
	int r;

	if (m->fd < 0)
		return map_own_ids(p, err);
	r = mapper_map(m, signal_fd, &why);
	if (r == 0)
		r = check_maps(p, &why);
	/* They serve who is in his group of passwd(5) only, and nobody
	 * gets back into it: after sg(1) it is one id. */
	if (r < 0 && r != -EINTR && p->other_group) {
		one_id(p, why.msg);
		*ret_warn = true;
		return map_own_ids(p, err);
	}
	if (r < 0)
		*err = why;
	return r;
}

/* With all the ids at 0 no call of ours depends on which of them it looks at. */
static int become_root(struct err *err)
{
	/* AppArmor's restriction lets newuidmap write the maps, and refuses this. */
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return refused(err, "cannot become root of the user namespace");
	/* A new one that another user namespace owns is a slave already; this is where restrictions show. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return refused(err, "root of the user namespace cannot mount");
	return 0;
}

static int make_namespaces(struct rootless_plan *p, int signal_fd, bool *ret_warn, struct err *err)
{
	struct mapper m;
	int r = mapper_start(&m, p, err);

	if (r == 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		r = refused(err, "cannot make a user namespace");
	if (r == 0)
		r = map_ids(p, &m, signal_fd, ret_warn, err);
	mapper_end(&m);
	return r < 0 ? r : become_root(err);
}

/* Mounts are for who has CAP_SYS_ADMIN in the namespace that owns the mount namespace. */
static bool owns_mount_ns(void)
{
	autofd int mnt = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	autofd int owner = mnt < 0 ? -1 : ioctl(mnt, NS_GET_USERNS);
	struct stat a, b;

	return owner >= 0 && fstat(owner, &a) == 0 && stat("/proc/self/ns/user", &b) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

int rootless_enter(int signal_fd, char note[ROOTLESS_NOTE_BYTES], bool *ret_warn, struct err *err)
{
	autofree struct rootless_plan *p = NULL;
	int r;

	note[0] = '\0';
	*ret_warn = false;
	if (geteuid() == 0) {
		if (!rootless_in_userns() || owns_mount_ns())
			return 0;
		return unshare(CLONE_NEWNS) == 0 ? 0
						 : err_set(err, errno,
							   "this user namespace's root cannot make "
							   "a mount namespace");
	}
	p = malloc(sizeof(*p));
	if (!p)
		return err_set(err, ENOMEM, "cannot map the user's ids");
	caller_uid = geteuid();
	r = rootless_plan(p, getenv("PATH"), err);
	if (r == 0)
		r = make_namespaces(p, signal_fd, ret_warn, err);
	if (r < 0)
		return r;
	entered = true;
	memcpy(note, p->note, sizeof(p->note));
	return 0;
}

static void probe(void *arg, int pipe, struct err *err)
{
	const struct rootless_plan *p = arg;
	int r = 0;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		r = refused(err, "cannot make a user namespace");
	if (r == 0)
		r = map_own_ids(p, err);
	if (r == 0)
		(void)become_root(err);
}

int rootless_probe(struct err *err)
{
	struct rootless_plan p = {.uid = geteuid(), .gid = getegid()};
	struct err said = ERR_INIT;
	int r = trial(probe, &p, &said);

	if (r < 0)
		return err_set(err, -r, "cannot try a user namespace");
	if (said.errnum)
		*err = said;
	return -said.errnum;
}
