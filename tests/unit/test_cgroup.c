/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's cgroup in groups of this machine, as root, and as who is not; test_cgroup_values.c has what needs none. */
#include "runtime/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "runtime/cgroup_files.h"
#include "runtime/vm_size.h"
#include "tests/tap.h"

#define FREEZER CGROUP_MOUNT "/freezer"

static struct err err;

/* A process in the groups that lives until it is killed. */
static pid_t inhabit(const struct cgroup *cg)
{
	int p[2];
	char c;
	pid_t pid;

	BUG_ON(pipe2(p, O_CLOEXEC) < 0);
	pid = fork();
	if (pid == 0) {
		struct err e = ERR_INIT;

		if (cgroup_enter(cg, &e) == 0 && write(p[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(p[1]);
	ok(read(p[0], &c, 1) == 1, "a process has entered");
	close(p[0]);
	return pid;
}

static void test_real(void)
{
	struct resources none = {0};
	struct cgroup cg, again;
	struct cstate state = {0};
	char id[64];
	struct stat st;
	pid_t pid;
	int r;

	snprintf(id, sizeof(id), "coracle-test-%d/deep", getpid());
	err = (struct err)ERR_INIT;
	eq_int(cgroup_plan(&cg, id, "id", &err), 0, "plan");
	r = geteuid() ? -EPERM : cgroup_make(&cg, &none, 0, &err);
	if (!cg.n || r == -EPERM || r == -EACCES || r == -EROFS) {
		skip("no cgroups to write to");
		cgroup_undo(&cg);
		cgroup_release(&cg);
		return;
	}
	eq_int(r, 0, "made");
	eq_str(err.msg, "", "no error");
	cgroup_note(&cg, &state, &err);
	ok(state.n_cgroups == cg.n && stat(state.cgroups[0], &st) == 0, "noted");
	ok(strstr(state.cgroups[0], "/coracle-test-"), "%s", state.cgroups[0]);
	pid = inhabit(&cg);
	cgroup_plan(&again, id, "id", &err);
	eq_int(cgroup_make(&again, &none, 0, &err), -EBUSY, "not for a second container");
	has_str(err.msg, "container's cgroup is not empty: 1 process(es) found");
	cgroup_undo(&again);
	ok(kill(pid, 0) == 0 && stat(state.cgroups[0], &st) == 0, "whose failure touches nothing");
	cgroup_release(&again);
	eq_int(cgroup_update(&state, NULL, 0, &err), 0, "found again by the state");
	err = (struct err)ERR_INIT;
	eq_int(cgroup_remove(&state, &err), 0, "left to whoever is in it");
	ok(waitpid(pid, &r, WNOHANG) == 0 && stat(state.cgroups[0], &st) == 0, "who lives on");
	kill(pid, SIGKILL);
	ok(waitpid(pid, &r, 0) == pid && WIFSIGNALED(r), "until somebody else ends it");
	eq_int(cgroup_remove(&state, &err), 0, "removed");
	eq_str(err.msg, "", "no error");
	for (unsigned i = 0; i < state.n_cgroups; i++)
		ok(stat(state.cgroups[i], &st) < 0, "%s is gone", state.cgroups[i]);
	eq_int(cgroup_remove(&state, &err), 0, "removed again");
	cgroup_undo(&cg); /* the parents */
	for (unsigned i = 0; i < state.n_cgroups; i++) {
		*strrchr(state.cgroups[i], '/') = '\0';
		ok(stat(state.cgroups[i], &st) < 0, "%s is gone", state.cgroups[i]);
	}
	cgroup_release(&cg);
	cstate_release(&state);
}

/* What a state says may be anybody's text. */
static void test_forged(struct cstate *state, const char *dir)
{
	struct gkeyval value = {.key = "memory.max", .value = "1"};
	char path[64], text[8] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s/memory.max", dir);
	f = fopen(path, "w+");
	fputs("mine", f);
	fflush(f);
	err = (struct err)ERR_INIT;
	eq_int(cgroup_update(state, &value, 1, &err), -EINVAL, "nor is a file in it written");
	has_str(err.msg, "is no cgroup");
	rewind(f);
	ok(fgets(text, sizeof(text), f) && !strcmp(text, "mine"), "it is as it was");
	fclose(f);
	unlink(path);
}

static void test_refused(void)
{
	char *plain = strdup("/tmp/test_cgroup_plain");
	struct cstate state = {.cgroups = {plain}, .n_cgroups = 1};
	struct resources none = {0};
	struct cgroup cg;

	err = (struct err)ERR_INIT;
	cg = (struct cgroup){0};
	eq_int(cgroup_make(&cg, &none, 0, &err), 0, "no cgroups, and nobody asks for any");
	cg.asked = true;
	eq_int(cgroup_make(&cg, &none, 0, &err), -ENOENT, "a path, and no cgroups");
	has_str(err.msg, "unable to apply cgroup configuration: no cgroup file system");
	cg.asked = false;
	none.n_host = 1;
	eq_int(cgroup_make(&cg, &none, 0, &err), -ENOENT, "a limit, and no cgroups");
	err = (struct err)ERR_INIT;
	eq_int(cgroup_plan(&cg, "/", "id", &err), -EINVAL, "the root group");
	has_str(err.msg, "'/' is the root cgroup");
	cgroup_release(&cg);
	mkdir(plain, 0700);
	eq_int(cgroup_remove(&state, &err), -EINVAL, "a directory that is no cgroup");
	test_forged(&state, plain);
	ok(rmdir(plain) == 0, "is not removed");
	free(plain);
}

/* What cgroup_make() says to an ordinary user in a user namespace of his own. */
struct made {
	int r;
	unsigned n; /* groups that are left */
	struct err err;
};

static const char *freezer; /* a hierarchy instead of DIR/0 */

/* Hierarchies of plain files: DIR/0 and DIR/1, with the group `name`. */
static void make_as_user(
	const char *dir, unsigned n, const char *name, bool asked, bool limits, struct made *m)
{
	struct resources res = {.n_host = limits};
	struct cgroup cg = {.n = n, .asked = asked};

	*m = (struct made){.err = ERR_INIT};
	for (unsigned i = 0; i < n; i++) {
		struct cgroup_dir *d = &cg.dir[i];

		*d = (struct cgroup_dir){.fd = -1};
		BUG_ON((freezer && i == 0 ? asprintf(&d->mount, "%s", freezer)
					  : asprintf(&d->mount, "%s/%u", dir, i)) < 0 ||
			asprintf(&d->path, "%s/%s", d->mount, name) < 0);
	}
	m->r = cgroup_make(&cg, &res, 0, &m->err);
	m->n = cg.n;
	cgroup_release(&cg);
}

static pid_t as_user_start(const char *dir, unsigned n, const char *name, bool asked, bool limits,
	struct made *m, int *ret_fd)
{
	int p[2];
	pid_t pid;

	BUG_ON(pipe2(p, O_CLOEXEC) < 0);
	pid = fork();
	if (pid == 0) {
		if ((geteuid() == 0 && setresuid(65534, 65534, 65534) < 0) ||
			unshare(CLONE_NEWUSER) < 0)
			_exit(0);
		make_as_user(dir, n, name, asked, limits, m);
		_exit(write(p[1], m, sizeof(*m)) != sizeof(*m));
	}
	close(p[1]);
	*ret_fd = p[0];
	return pid;
}

/* False: there is no user namespace to be had. */
static bool as_user(
	const char *dir, unsigned n, const char *name, bool asked, bool limits, struct made *m)
{
	int fd;
	pid_t pid = as_user_start(dir, n, name, asked, limits, m, &fd);
	ssize_t len = read(fd, m, sizeof(*m));

	close(fd);
	waitpid(pid, NULL, 0);
	return len == sizeof(*m);
}

static void put_file(const char *dir, const char *name, const char *text, mode_t mode)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	BUG_ON(fd < 0 || write(fd, text, strlen(text)) < 0 || fchmod(fd, mode) < 0);
	close(fd);
}

/* A group that is there already, and somebody else's: as if there were no right to make one. */
static void test_foreign(const char *dir)
{
	struct made m;

	if (!as_user(dir, 1, "old", false, false, &m)) {
		skip("no user namespaces");
		return;
	}
	ok(m.r == 0 && m.n == 0, "another's group of that name: none, if no limits are asked for");
	eq_str(m.err.msg, "", "no error");
	as_user(dir, 1, "old", false, true, &m);
	eq_int(m.r, -EACCES, "with limits: an error");
	has_str(m.err.msg, "/0/old' is there already and cannot be entered: limits take another "
			   "id, or a delegated cgroup");
	as_user(dir, 1, "old", true, false, &m);
	eq_int(m.r, -EACCES, "with a path: too");
	has_str(m.err.msg, "/0/old' is there already and cannot be entered: linux.cgroupsPath must "
			   "name another: Permission");
	as_user(dir, 1, "new", false, true, &m);
	eq_int(m.r, -EACCES, "one that cannot be made");
	has_str(m.err.msg, "when no permission is granted for cgroups: mkdir /tmp/");
	as_user(dir, 2, "open", false, false, &m);
	eq_int(m.r, -ELOOP, "the second hierarchy's cannot be entered");
	has_str(m.err.msg, "unable to apply cgroup configuration: the cgroup '/tmp/");
	has_str(m.err.msg, "/1/open' cannot be entered: ");
}

static void test_user(void)
{
	char dir[] = "/tmp/test_cgroup.XXXXXX";
	static const char *const sub[] = {"0", "0/old", "0/open", "1", "1/open"};
	static const char *const files[] = {
		"0/old/cgroup.procs", "0/open/cgroup.procs", "1/open/cgroup.procs"};
	char path[128];

	BUG_ON(!mkdtemp(dir) || chmod(dir, 0755) < 0);
	for (size_t i = 0; i < ARRAY_SIZE(sub); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, sub[i]);
		BUG_ON(mkdir(path, 0755) < 0);
	}
	put_file(dir, files[0], "1\n2\n", 0444);
	put_file(dir, files[1], "", 0666);
	snprintf(path, sizeof(path), "%s/%s", dir, files[2]);
	BUG_ON(symlink("nowhere", path) < 0);
	snprintf(path, sizeof(path), "%s/0", dir);
	BUG_ON(chmod(path, 0555) < 0); /* for the test as an ordinary user */
	test_foreign(dir);
	BUG_ON(chmod(path, 0755) < 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	for (size_t i = ARRAY_SIZE(sub); i--;) {
		snprintf(path, sizeof(path), "%s/%s", dir, sub[i]);
		rmdir(path);
	}
	ok(rmdir(dir) == 0, "nothing is left");
}

static bool set(const char *dir, const char *file, const char *value)
{
	autofd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && cgroup_put(fd, file, value) == 0;
}

static void is_refused(const char *path, const char *what)
{
	struct resources none = {0};
	struct cgroup cg;

	err = (struct err)ERR_INIT;
	eq_int(cgroup_plan(&cg, path, "id", &err), 0, "plan");
	eq_int(cgroup_make(&cg, &none, 0, &err), -EBUSY, what);
	has_str(err.msg, "container's cgroup unexpectedly frozen: '/sys/fs/cgroup");
	cgroup_undo(&cg);
	cgroup_release(&cg);
}

/* A group of the hierarchy at `mount` is frozen: so is what is below it, made before or after. */
static void test_frozen(const char *mount, const char *file, const char *freeze, const char *thaw)
{
	struct resources none = {0};
	struct cgroup cg;
	struct stat st;
	char top[128], below[160], path[64];

	snprintf(path, sizeof(path), "/coracle-test-%d-ice/sub", getpid());
	snprintf(below, sizeof(below), "%s%s", mount, path);
	snprintf(top, sizeof(top), "%.*s", (int)(strlen(below) - strlen("/sub")), below);
	if (geteuid() || access(mount, W_OK) < 0 || mkdir(top, 0755) < 0 ||
		!set(top, file, freeze)) {
		rmdir(top);
		skip("no group to freeze");
		return;
	}
	is_refused(path, "a new group in a frozen one");
	ok(stat(below, &st) < 0, "nothing is left of it");
	BUG_ON(mkdir(below, 0755) < 0);
	is_refused(path, "an old group in a frozen one");
	ok(set(top, file, thaw), "thawed");
	err = (struct err)ERR_INIT;
	cgroup_plan(&cg, path, "id", &err);
	eq_int(cgroup_make(&cg, &none, 0, &err), 0, "it is for us again");
	eq_str(err.msg, "", "no error");
	cgroup_undo(&cg);
	cgroup_release(&cg);
	ok(rmdir(below) == 0 && rmdir(top) == 0, "what was there before has stayed");
}

/* The only process of `group` has nothing open but what it needs. */
static int held_by(const char *group, const char *dir)
{
	autofd int fd = open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char buf[64] = "", path[64], link[PATH_MAX];
	int pid, n = 0;

	(void)cgroup_get(fd, "cgroup.procs", buf, sizeof(buf));
	pid = atoi(buf);
	ok(pid > 0 && strchr(buf, '\n') == strrchr(buf, '\n'), "a child is left in it: %d", pid);
	for (int i = 0; i < 256; i++) {
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, i);
		len = readlink(path, link, sizeof(link) - 1);
		link[MAX(len, (ssize_t)0)] = '\0';
		n += len > 0 && strncmp(link, group, strlen(group)) &&
		     strncmp(link, dir, strlen(dir));
	}
	eq_int(n, 1, "which has a pipe open, and the groups");
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* Once the group is thawed. */
static void test_left_behind(const char *group, const char *dir)
{
	struct pollfd pf = {.fd = held_by(group, dir), .events = POLLIN};

	ok(set(group, "freezer.state", "THAWED"), "thawed");
	ok(poll(&pf, 1, 10000) == 1, "it ends");
	close(pf.fd);
	ok(rmdir(group) == 0, "the group can be removed");
}

/* DIR/0 and DIR/1 with the group `name`; cgroup.procs in the second is a fifo. */
static void make_stuck(const char *dir, const char *name)
{
	char path[128];

	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%u", dir, i);
		BUG_ON(mkdir(path, 0755) < 0);
		snprintf(path, sizeof(path), "%s/%u/%s", dir, i, name);
		BUG_ON(mkdir(path, 0755) < 0);
		if (i == 0)
			put_file(path, "cgroup.procs", "", 0666);
	}
	strcat(path, "/cgroup.procs");
	BUG_ON(mkfifo(path, 0600) < 0 || chmod(path, 0666) < 0);
}

static void remove_stuck(const char *dir, const char *name)
{
	char path[128];

	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%u/%s/cgroup.procs", dir, i, name);
		unlink(path);
		for (unsigned up = 0; up < 2; up++) {
			*strrchr(path, '/') = '\0';
			rmdir(path);
		}
	}
	ok(rmdir(dir) == 0, "nothing is left");
}

/* Freezes the first group between cgroup_make()'s look at it and the child's entering: the fifo meets
 * cgroup_make() when it looks at the second group, once opened for writing and once for reading. Without v1's
 * freezer the child hangs at the fifo, which is full. */
static void freeze_behind(const char *fifo, const char *group)
{
	char full[4096];
	int in = open(fifo, O_RDONLY | O_CLOEXEC), out;

	ok(!group || set(group, "freezer.state", "FROZEN"), "it is frozen meanwhile");
	out = open(fifo, O_WRONLY | O_CLOEXEC);
	memset(full, 'x', sizeof(full));
	BUG_ON(in < 0 || fcntl(out, F_SETPIPE_SZ, (int)sizeof(full)) != (int)sizeof(full) ||
		write(out, full, sizeof(full)) != (ssize_t)sizeof(full));
	/* Both ends stay open until the test ends: nobody is to get an error of the fifo. */
}

static void test_stuck(void)
{
	char dir[] = "/tmp/test_cgroup.XXXXXX", name[64], group[128], path[160];
	struct made m;
	int fd;
	pid_t pid;

	BUG_ON(!mkdtemp(dir) || chmod(dir, 0755) < 0);
	snprintf(name, sizeof(name), "coracle-test-%d-stuck", getpid());
	snprintf(group, sizeof(group), FREEZER "/%s", name);
	if (!as_user(dir, 0, name, false, false, &m)) {
		rmdir(dir);
		skip("no user namespaces");
		return;
	}
	freezer = geteuid() == 0 && mkdir(group, 0755) == 0 ? FREEZER : NULL;
	make_stuck(dir, name);
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	BUG_ON(freezer && chown(path, 65534, 65534) < 0);
	snprintf(path, sizeof(path), "%s/1/%s/cgroup.procs", dir, name);
	alarm(60); /* it is about waiting without end */
	pid = as_user_start(dir, 2, name, true, false, &m, &fd);
	freeze_behind(path, freezer ? group : NULL);
	ok(read(fd, &m, sizeof(m)) == (ssize_t)sizeof(m), "cgroup_make() comes back");
	eq_int(m.r, -EBUSY, "and says why");
	has_str(m.err.msg, "container's cgroup lets nobody in: no answer in 10 s");
	ok(waitpid(pid, NULL, 0) == pid, "the command ends");
	close(fd);
	alarm(0);
	if (freezer)
		test_left_behind(group, dir);
	freezer = NULL;
	remove_stuck(dir, name);
}

/* What cgroup_remove() says of one group to a user; ro: where the hierarchy is mounted read-only. */
static int remove_as(uid_t uid, char *path, const char *ro)
{
	struct cstate state = {.cgroups = {path}, .n_cgroups = 1};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (ro &&
			(unshare(CLONE_NEWNS) < 0 ||
				mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
				mount(ro, ro, NULL, MS_BIND, NULL) < 0 ||
				mount(NULL, ro, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0))
			_exit(255);
		if (uid && setresuid(uid, uid, uid) < 0)
			_exit(254);
		err = (struct err)ERR_INIT;
		_exit(-cgroup_remove(&state, &err));
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? -WEXITSTATUS(status) : 1;
}

/* A group of the container's name that somebody else has made: the container can be deleted. */
static void test_others(const char *mount)
{
	char top[96], sub[128], deep[160];
	struct stat st;
	struct statfs fs;

	snprintf(top, sizeof(top), "%s/coracle-test-%d-other", mount, getpid());
	snprintf(sub, sizeof(sub), "%s/sub", top);
	snprintf(deep, sizeof(deep), "%s/theirs", sub);
	if (geteuid() || statfs(mount, &fs) < 0 ||
		(fs.f_type != CGROUP_SUPER_MAGIC && fs.f_type != CGROUP2_SUPER_MAGIC) ||
		mkdir(top, 0755) < 0) {
		skip("no groups to make");
		return;
	}
	eq_int(remove_as(65534, top, NULL), 0, "another's group is left");
	eq_int(remove_as(65534, top, mount), 0, "and where all is read-only");
	eq_int(remove_as(0, top, mount), -EROFS, "where it may be ours, that is an error");
	ok(stat(top, &st) == 0, "it is there");
	BUG_ON(mkdir(sub, 0755) < 0 || chmod(top, 0700) < 0);
	eq_int(remove_as(65534, sub, NULL), 0, "one where we cannot go");
	BUG_ON(chmod(top, 0755) < 0 || chown(top, 65534, 65534) < 0 || mkdir(deep, 0755) < 0);
	BUG_ON(chown(sub, 65534, 65534) < 0);
	eq_int(remove_as(65534, top, NULL), 0, "one that was given to us");
	ok(stat(deep, &st) == 0, "with all that is below it");
	strcat(deep, "/more");
	BUG_ON(mkdir(deep, 0755) < 0);
	eq_int(remove_as(65534, sub, NULL), -EACCES, "another's below ours: ours stays, an error");
	ok(rmdir(deep) == 0, "all is there");
	eq_int(remove_as(65534, sub, NULL), 0, "ours is removed");
	ok(stat(sub, &st) < 0 && rmdir(top) == 0, "it is gone");
}

int main(void)
{
	test_real();
	test_refused();
	test_user();
	test_frozen(FREEZER, "freezer.state", "FROZEN", "THAWED");
	test_frozen(CGROUP_MOUNT "/unified", "cgroup.freeze", "1", "0");
	test_frozen(CGROUP_MOUNT, "cgroup.freeze", "1", "0");
	test_others(FREEZER);
	test_others(CGROUP_MOUNT "/unified");
	test_others(CGROUP_MOUNT);
	test_stuck();
	return tap_done();
}
