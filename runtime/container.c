/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/logline.h"
#include "lib/timeline.h"
#include "oci/spec.h"
#include "oci/update.h"
#include "runtime/rootless.h"
#include "runtime/workers.h"

#define KILL_WAIT_MS 10000
#define LOCK_WAIT_MS 30000
#define ALARM_MS     100
#define STATUS_WAIT_MS \
	10000 /* a busy machine is a more usual reason to wait than a VMM that is stopped */

#define VMM_PROGRAM "coracle-vmm"
#define ARGS_MAX    1024 /* of the VMM's: its name, an option with a number, an id */

#define PASSES_MAX 16 /* over a state directory in which things appear */

/* Whose it is decides: `su` keeps the variable of the user before, and a link leads where its owner wants. */
static const char *own_runtime_dir(void)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (!run || *run != '/' || lstat(run, &st) < 0 || !S_ISDIR(st.st_mode) ||
		st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return NULL;
	return run;
}

const char *container_default_root(void)
{
	static char path[PATH_MAX];
	const char *run = own_runtime_dir();
	bool is_root = geteuid() == 0;
	int w;

	if (is_root && !rootless_in_userns())
		return "/run/coracle";
	if (!run)
		return is_root ? "/run/coracle" : NULL;
	w = snprintf(path, sizeof(path), "%s/coracle", run);
	return (size_t)w < sizeof(path) ? path : NULL;
}

void container_no_root(char *buf, size_t cap)
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (run && *run)
		snprintf(buf, cap,
			"XDG_RUNTIME_DIR is '%.100s', which is not a directory of this user's "
			"alone",
			run);
	else
		snprintf(buf, cap, "XDG_RUNTIME_DIR is not set");
	logline_printable(buf);
}

int container_check_root(const char *root, struct err *err)
{
	char why[256];

	if (root)
		return 0;
	container_no_root(why, sizeof(why));
	return err_plain(err, EINVAL,
		"%s: containers are kept below it (--root DIR names another place)", why);
}

/* The root may be several levels deep and is made as mkdir -p would, each level 0700 unless there.
 */
static int make_root(const char *root, struct err *err)
{
	autofree char *path = strdup(root);

	if (!path)
		return err_set(err, ENOMEM, "cannot make '%s'", root);
	for (char *p = path; *p; p++) {
		if (*p != '/' || p == path)
			continue;
		*p = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return err_set(err, errno, "cannot make '%s'", path);
		*p = '/';
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(err, errno, "cannot make '%s'", path);
	return 0;
}

/* A root that another user can write to would let them swap state under us. */
static int open_root(const char *root, struct err *err)
{
	autofd int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return err_set(err, errno, "cannot open the state directory '%s'", root);
	if (fstat(fd, &st) < 0)
		return err_set(err, errno, "cannot look at '%s'", root);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_plain(
			err, EPERM, "the state directory '%s' belongs to uid %u", root, st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return err_plain(
			err, EPERM, "the state directory '%s' is writable by others", root);
	return take_fd(&fd);
}

static void on_alarm(int signo)
{
	(void)signo; /* it ends flock(2) */
}

/* Until the lock is had, or the deadline: there is no flock(2) with a time. Callers may have all signals blocked. */
static int wait_for_lock(int fd, uint64_t deadline_ns)
{
	const struct itimerval often = {
		.it_interval.tv_usec = ALARM_MS * 1000, .it_value.tv_usec = ALARM_MS * 1000};
	const struct itimerval never = {.it_value.tv_sec = 0};
	struct sigaction alarm = {.sa_handler = on_alarm}, action_before;
	sigset_t set, set_before;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaction(SIGALRM, &alarm, &action_before);
	sigprocmask(SIG_UNBLOCK, &set, &set_before);
	setitimer(
		ITIMER_REAL, &often, NULL); /* again and again: one may come just before flock() */
	do {
		r = flock(fd, LOCK_EX) < 0 ? -errno : 0;
	} while (r == -EINTR && timeline_now() < deadline_ns);
	setitimer(ITIMER_REAL, &never, NULL);
	sigprocmask(SIG_SETMASK, &set_before, NULL);
	sigaction(SIGALRM, &action_before, NULL);
	return r;
}

/* A command that has the lock may be stopped, or read its input from somebody who writes nothing. */
static int lock_dir(struct container *c, struct err *err)
{
	unsigned ms = c->lock_wait_ms ? c->lock_wait_ms : LOCK_WAIT_MS;
	int r = flock(c->dir_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;

	if (r == -EWOULDBLOCK)
		r = wait_for_lock(c->dir_fd, timeline_now() + ms * 1000000ull);
	if (r == -EINTR)
		return err_plain(err, EBUSY,
			"container %s is in use: another command has kept it locked for %u s",
			c->id, ms / 1000);
	if (r < 0)
		return err_set(err, -r, "cannot lock container '%s'", c->id);
	c->locked = true;
	return 0;
}

/* After waiting for the lock the directory may be one that `delete` has removed meanwhile. */
static int still_there(const struct container *c, struct err *err)
{
	struct stat a, b;

	if (fstat(c->dir_fd, &a) == 0 && fstatat(c->root_fd, c->id, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
		a.st_ino == b.st_ino && a.st_dev == b.st_dev)
		return 0;
	return err_plain(err, ENOENT, "container does not exist: %s", c->id);
}

int container_new(struct container *c, const char *root, const char *id, struct err *err)
{
	int r = cstate_check_id(id, err);

	if (r == 0)
		r = container_check_root(root, err);
	if (r < 0)
		return r;
	r = make_root(root, err);
	if (r < 0)
		return r;
	c->root = root;
	c->id = id;
	c->root_fd = open_root(root, err);
	if (c->root_fd < 0)
		return c->root_fd;
	if (mkdirat(c->root_fd, id, 0700) < 0) {
		if (errno == EEXIST)
			return err_plain(
				err, EEXIST, "container with given ID already exists: %s", id);
		return err_set(err, errno, "cannot make '%s/%s'", root, id);
	}
	c->dir_fd = openat(c->root_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->dir_fd < 0) {
		r = err_set(err, errno, "cannot open '%s/%s'", root, id);
		unlinkat(c->root_fd, id, AT_REMOVEDIR);
		return r;
	}
	r = lock_dir(c, err);
	if (r < 0 && r != -EBUSY) /* a file system without locks, for example */
		unlinkat(c->root_fd, id, AT_REMOVEDIR);
	if (r >= 0)
		r = still_there(c, err);
	if (r < 0) /* a `delete --force` was quicker: what has the name now is not ours to remove */
		close_fd(&c->dir_fd);
	return r;
}

int container_open(
	struct container *c, const char *root, const char *id, bool lock, struct err *err)
{
	int r = cstate_check_id(id, err);

	if (r == 0)
		r = container_check_root(root, err);
	if (r < 0)
		return r;
	c->root = root;
	c->id = id;
	c->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->root_fd < 0 && errno == ENOENT)
		return err_plain(err, ENOENT, "container does not exist: %s", id);
	close_fd(&c->root_fd);
	c->root_fd = open_root(root, err);
	if (c->root_fd < 0)
		return c->root_fd;
	c->dir_fd = openat(c->root_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->dir_fd < 0 && errno == ENOENT)
		return err_plain(err, ENOENT, "container does not exist: %s", id);
	if (c->dir_fd < 0)
		return err_set(err, errno, "cannot open '%s/%s'", root, id);
	if (lock) {
		r = lock_dir(c, err);
		if (r < 0)
			return r;
		r = still_there(c, err);
		if (r < 0)
			return r;
	}
	r = cstate_read(&c->state, c->dir_fd, err);
	if (r == -ENOENT) { /* create is under way, or died before it wrote anything */
		*err = (struct err)ERR_INIT;
		return 0;
	}
	if (r >= 0 && strcmp(c->state.id, id)) {
		r = err_plain(err, EINVAL, STATE_FILE ": id: that of container '%s'", c->state.id);
		cstate_release(&c->state);
	}
	if (r < 0)
		return err_wrap(err, "container %s", id);
	/* Without a pid it is what create noted before it had a VMM: for delete to clean up after its death. */
	c->has_state = c->state.pid > 0;
	return 0;
}

void container_release(struct container *c)
{
	close_fd(&c->dir_fd);
	close_fd(&c->root_fd);
	cstate_release(&c->state);
	c->has_state = c->locked = false;
}

int container_save(struct container *c, struct err *err)
{
	int r = cstate_write(&c->state, c->dir_fd, err);

	c->has_state = r >= 0;
	return r;
}

const char *container_status_name(enum container_status s)
{
	switch (s) {
	case CONTAINER_CREATING: return "creating";
	case CONTAINER_CREATED: return "created";
	case CONTAINER_RUNNING: return "running";
	case CONTAINER_PAUSED: return "paused";
	case CONTAINER_STOPPED: return "stopped";
	}
	return "unknown";
}

/* `create` holds the lock all the time; one that died does not. */
static bool is_being_made(const struct container *c)
{
	if (c->locked)
		return false;
	if (flock(c->dir_fd, LOCK_SH | LOCK_NB) < 0)
		return true;
	flock(c->dir_fd, LOCK_UN);
	return false;
}

/* -ECONNREFUSED: nobody listens. A connection that closes unanswered is of a VMM that ends or makes room among its
 * clients: the next one tells. */
static int ask_phase(const struct container *c, struct ctl_reply *ret_reply)
{
	uint64_t deadline = timeline_now() + STATUS_WAIT_MS * UINT64_C(1000000);
	int r;

	do {
		struct err err = ERR_INIT;

		r = container_request(c, CTL_STATE, 0, STATUS_WAIT_MS, ret_reply, &err);
	} while ((r == -ECONNRESET || r == -EPIPE) && timeline_now() < deadline);
	return r;
}

enum container_status container_status(const struct container *c)
{
	struct ctl_reply reply;
	int r;

	if (!c->has_state)
		return is_being_made(c) ? CONTAINER_CREATING : CONTAINER_STOPPED;
	if (!cstate_pid_alive(&c->state))
		return CONTAINER_STOPPED;
	r = ask_phase(c, &reply);
	if (r == -ECONNREFUSED) {
		if (is_being_made(c)) /* hooks run: the VMM has not begun to listen */
			return CONTAINER_CREATING;
		r = ask_phase(c, &reply); /* it may have, by now */
	}
	/* Its last files are closed; its memory may take the kernel a while. */
	if (r == -ECONNREFUSED)
		return CONTAINER_STOPPED;
	if (r < 0)
		return cstate_pid_alive(&c->state) ? CONTAINER_RUNNING : CONTAINER_STOPPED;
	switch (reply.phase) {
	case VM_BOOTING: return CONTAINER_CREATING;
	case VM_CREATED: return CONTAINER_CREATED;
	case VM_STOPPED: return CONTAINER_STOPPED;
	case VM_PAUSED: return CONTAINER_PAUSED;
	default: return CONTAINER_RUNNING;
	}
}

/* Its arguments, each with its NUL. 0: it has none any more, or they cannot be read. */
static size_t read_args(pid_t pid, char *buf, size_t cap)
{
	char path[32];
	autofd int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, buf, cap - 1);
	n = MAX(n, (ssize_t)0);
	buf[n] = '\0';
	return (size_t)n;
}

/* Whether a process with the pid and the start on record can be the container's VMM: it runs coracle-vmm with the
 * id as an argument, or still the program that makes it. The record may be anybody's text, and nothing else is
 * to be ended by it. A process that cannot be looked at (it ends; it is not ours to see) is taken for it. */
static bool may_be_vmm(const struct container *c)
{
	char path[32], exe[PATH_MAX], args[ARGS_MAX];
	struct stat its, ours;
	size_t len;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", c->state.pid);
	/* In this order: it may execute coracle-vmm just now. */
	if (stat(path, &its) < 0 || stat("/proc/self/exe", &ours) < 0 ||
		(its.st_dev == ours.st_dev && its.st_ino == ours.st_ino))
		return true;
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n < 0)
		return true;
	exe[n] = '\0';
	if (!strstr(exe, VMM_PROGRAM)) /* an upgrade leaves "... (deleted)" */
		return false;
	len = read_args(c->state.pid, args, sizeof(args));
	for (size_t i = 0; i < len; i += strlen(args + i) + 1)
		if (!strcmp(args + i, c->id))
			return true;
	return !len;
}

/* The VMM's process, if there still is one, or -1. pidfd first, then the check that it is the one on record: no
 * race with pid reuse. */
static int open_vmm(const struct container *c, int *ret_pidfd, struct err *err)
{
	autofd int pidfd = -1;
	uint64_t ticks;
	int r;

	*ret_pidfd = -1;
	if (!c->has_state || c->state.pid <= 0)
		return 0;
	pidfd = (int)syscall(SYS_pidfd_open, c->state.pid, 0);
	/* EINVAL, since 6.9 ENOENT: the number is now that of a thread of some process */
	if (pidfd < 0 && (errno == ESRCH || errno == EINVAL || errno == ENOENT))
		return 0;
	if (pidfd < 0)
		return err_set(err, errno, "cannot reach pid %d", c->state.pid);
	r = cstate_pid_start(c->state.pid, &ticks);
	if (r < 0 && r != -ESRCH)
		return err_set(err, -r, "cannot look at pid %d", c->state.pid);
	if (r == 0 && ticks == c->state.pid_start_ticks && may_be_vmm(c))
		*ret_pidfd = take_fd(&pidfd);
	return 0;
}

/* pidfd -1: it is gone already. */
static int wait_gone(const struct container *c, int pidfd, struct err *err)
{
	struct pollfd pfd = {.fd = pidfd, .events = POLLIN};
	int n = 1;

	while (pidfd >= 0 && (n = poll(&pfd, 1, KILL_WAIT_MS)) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return err_plain(err, ETIMEDOUT, "pid %d does not end", c->state.pid);
	return c->has_state ? workers_wait_gone(c->state.pid, c->id, WORKERS_WAIT_MS, err) : 0;
}

int container_wait_gone(const struct container *c, struct err *err)
{
	autofd int pidfd = -1;
	int r = open_vmm(c, &pidfd, err);

	return r < 0 ? r : wait_gone(c, pidfd, err);
}

int container_kill(struct container *c, struct err *err)
{
	autofd int pidfd = -1;
	int r = open_vmm(c, &pidfd, err);

	if (r < 0)
		return r;
	if (pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 &&
		errno != ESRCH)
		return err_set(err, errno, "cannot kill pid %d", c->state.pid);
	return wait_gone(c, pidfd, err);
}

void container_end_unknown(const struct container *c)
{
	struct pollfd pfd = {.events = 0}; /* POLLHUP comes unasked when the VMM ends */
	struct err ignored = ERR_INIT;
	autofd int fd = container_connect(c);

	if (fd < 0)
		return;
	container_request(c, CTL_SIGNAL, SIGKILL, STATUS_WAIT_MS, NULL, &ignored);
	pfd.fd = fd;
	(void)poll(&pfd, 1, KILL_WAIT_MS);
}

static void empty_tree(DIR *d, unsigned depth);

/* What is left shows when the directory above it is to go. */
static void remove_entry(int dir, const char *name, unsigned depth)
{
	autofd int fd = -1;
	DIR *d;

	/* An empty directory wants no descriptor: none may be left. */
	if (unlinkat(dir, name, 0) == 0 || unlinkat(dir, name, AT_REMOVEDIR) == 0 || depth > 4)
		return;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return;
	(void)take_fd(&fd); /* closedir() closes it */
	empty_tree(d, depth);
	closedir(d);
	unlinkat(dir, name, AT_REMOVEDIR);
}

static void empty_tree(DIR *d, unsigned depth)
{
	struct dirent *e;

	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			remove_entry(dirfd(d), e->d_name, depth + 1);
}

/* What `create` and `exec` put there, by name and type. */
static bool is_ours(int dir, const char *name)
{
	static const struct {
		const char *name;
		mode_t type;
	} ours[] = {
		{CONTAINER_SOCKET, S_IFSOCK},
		{CONTAINER_SHARE, S_IFDIR},
		{CONTAINER_LOG, S_IFREG},
		{STATE_FILE ".tmp", S_IFREG},
		{UPDATE_FILE, S_IFREG},
		{UPDATE_FILE ".tmp", S_IFREG},
		{UPDATE_UNSURE, S_IFREG},
	};
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT; /* a mark that has just gone */
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (!strcmp(name, ours[i].name))
			return (st.st_mode & S_IFMT) == ours[i].type;
	return S_ISLNK(st.st_mode) && !strncmp(name, "exec.", 5);
}

static int not_ours(const struct container *c, const char *name, struct err *err)
{
	char text[64];

	snprintf(text, sizeof(text), "%s", name);
	logline_printable(text);
	return err_plain(err, EINVAL,
		"'%s/%s' is not a container's directory: there is no " STATE_FILE ", but '%s'",
		c->root, c->id, text);
}

/*
 * A directory with a state is a container's. One without may be what a `create` that was killed has left, or somebody's
 * who put it below the state root: it is ours if it has nothing but what is ours. CONTAINER_SHARE is a mount point,
 * empty; its removal, which finds out (and wants no descriptor), is the only one before that is sure.
 */
static int check_ours(const struct container *c, DIR *d, struct err *err)
{
	struct dirent *e;

	if (faccessat(c->dir_fd, STATE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
			!is_ours(c->dir_fd, e->d_name))
			return not_ours(c, e->d_name, err);
	if (unlinkat(c->dir_fd, CONTAINER_SHARE, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno == ENOTEMPTY || errno == EEXIST)
		return not_ours(c, CONTAINER_SHARE, err);
	return err_set(err, errno, "cannot remove '%s/%s'", c->root, c->id);
}

static int remove_all(const struct container *c, DIR *d, struct err *err)
{
	int r = 0;

	/* An `exec` whose process began as the VMM ended may leave its mark between reading and removing; no other
	 * can begin. */
	for (unsigned i = 0; i < PASSES_MAX; i++) {
		rewinddir(d);
		empty_tree(d, 0);
		r = unlinkat(c->root_fd, c->id, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
		if (r != -ENOTEMPTY)
			break;
	}
	return r < 0 ? err_set(err, -r, "cannot remove '%s/%s'", c->root, c->id) : 0;
}

int container_remove(struct container *c, struct err *err)
{
	int r = still_there(c, err); /* what has the name now may be another's */
	DIR *d;

	if (r < 0)
		return r;
	d = fdopendir(c->dir_fd);
	if (!d)
		return err_set(err, errno, "cannot read '%s/%s'", c->root, c->id);
	r = check_ours(c, d, err);
	if (r == 0)
		r = remove_all(c, d, err);
	closedir(d); /* now: the lock goes with it */
	c->dir_fd = -1;
	c->locked = false;
	return r;
}
