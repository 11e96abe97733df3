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

#include "lib/cleanup.h"
#include "oci/spec.h"

#define KILL_WAIT_MS   10000
#define STATUS_WAIT_MS 2000

static const char *tmp_root(void)
{
	static char path[32];

	snprintf(path, sizeof(path), "/tmp/coracle-%u", geteuid());
	return path;
}

const char *container_default_root(void)
{
	static char path[PATH_MAX];
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		return "/run/coracle";
	if (!run || *run != '/')
		return tmp_root();
	snprintf(path, sizeof(path), "%s/coracle", run);
	return path;
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

/* A root that another user can write to would let them swap state under us. In /tmp anybody may
 * have been there first: there it has to be ours alone, and no link. */
static int open_root(const char *root, struct err *err)
{
	bool in_tmp = !strcmp(root, tmp_root());
	autofd int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (in_tmp ? O_NOFOLLOW : 0));
	struct stat st;

	if (fd < 0)
		return err_set(err, errno, "cannot open the state directory '%s'", root);
	if (fstat(fd, &st) < 0)
		return err_set(err, errno, "cannot look at '%s'", root);
	if (st.st_uid != geteuid() && (st.st_uid != 0 || in_tmp))
		return err_plain(
			err, EPERM, "the state directory '%s' belongs to uid %u", root, st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return err_plain(
			err, EPERM, "the state directory '%s' is writable by others", root);
	if (in_tmp && (st.st_mode & (S_IRWXG | S_IRWXO)))
		return err_plain(err, EPERM, "the state directory '%s' is open to others", root);
	return take_fd(&fd);
}

static int lock_dir(struct container *c, struct err *err)
{
	while (flock(c->dir_fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_set(err, errno, "cannot lock container '%s'", c->id);
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

enum container_status container_status(const struct container *c)
{
	struct ctl_reply reply;
	struct err err = ERR_INIT;
	int r;

	if (!c->has_state)
		return is_being_made(c) ? CONTAINER_CREATING : CONTAINER_STOPPED;
	if (!cstate_pid_alive(&c->state))
		return CONTAINER_STOPPED;
	r = container_request(c, CTL_STATE, 0, STATUS_WAIT_MS, &reply, &err);
	if (r == -ECONNREFUSED && is_being_made(c)) /* hooks run: the VMM has not begun to listen */
		return CONTAINER_CREATING;
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

/* pidfd first, then the check that it is still the process on record: no race with pid reuse. */
int container_kill(struct container *c, struct err *err)
{
	autofd int pidfd = -1;
	struct pollfd pfd;
	int n;

	if (!c->has_state || c->state.pid <= 0)
		return 0;
	pidfd = (int)syscall(SYS_pidfd_open, c->state.pid, 0);
	if (pidfd < 0 && errno == ESRCH)
		return 0;
	if (pidfd < 0)
		return err_set(err, errno, "cannot reach pid %d", c->state.pid);
	if (!cstate_pid_alive(&c->state))
		return 0;
	if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		return err_set(err, errno, "cannot kill pid %d", c->state.pid);
	pfd = (struct pollfd){.fd = pidfd, .events = POLLIN};
	do {
		n = poll(&pfd, 1, KILL_WAIT_MS);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return err_plain(err, ETIMEDOUT, "pid %d does not end after SIGKILL", c->state.pid);
	return 0;
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

static int remove_tree(int dir, const char *name, unsigned depth)
{
	autofd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *e;
	DIR *d;

	if (fd < 0 || depth > 4)
		return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	d = fdopendir(fd);
	if (!d)
		return -errno;
	(void)take_fd(&fd); /* closedir() closes it */
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			remove_tree(dirfd(d), e->d_name, depth + 1);
	closedir(d);
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int container_remove(struct container *c, struct err *err)
{
	int r = still_there(c, err); /* what has the name now may be another's */

	if (r < 0)
		return r;
	r = remove_tree(c->root_fd, c->id, 0);
	return r < 0 ? err_set(err, -r, "cannot remove '%s/%s'", c->root, c->id) : 0;
}
