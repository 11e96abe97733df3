/* SPDX-License-Identifier: Apache-2.0 */
/* State directories: making, opening, locking, ending and removing them. */
#include "runtime/container.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "tests/unit/runtime_dir.h"

static struct err err;

static int make(struct container *c, const char *root, const char *id)
{
	err = (struct err)ERR_INIT;
	*c = (struct container)CONTAINER_INIT;
	return container_new(c, root, id, &err);
}

static int open_it(struct container *c, const char *root, const char *id, bool lock)
{
	err = (struct err)ERR_INIT;
	*c = (struct container)CONTAINER_INIT;
	return container_open(c, root, id, lock, &err);
}

static void fill_state(struct container *c, pid_t pid)
{
	c->state.oci_version = strdup("1.0.2");
	c->state.id = strdup(c->id);
	c->state.bundle = strdup("/b");
	c->state.rootfs = strdup("/b/rootfs");
	c->state.pid = pid;
	cstate_set_created(&c->state);
	if (pid)
		cstate_pid_start(pid, &c->state.pid_start_ticks);
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	return stat(in_dir(name), &st) < 0 ? 0 : st.st_mode & 07777;
}

static void test_new(void)
{
	struct container c, d;
	autofd int again = -1;

	umask(0);
	eq_int(make(&c, "", "c1"), -ENOENT, "a root without a name");
	container_release(&c);
	eq_int(make(&c, in_dir("a/b/root"), "c1"), 0, "a container, and the root above it");
	eq_int(mode_of("a"), 0700, "of the root's parents each is closed to others");
	eq_int(mode_of("a/b/root"), 0700, "so is the root");
	eq_int(mode_of("a/b/root/c1"), 0700, "so is the container's directory");
	again = open(in_dir("a/b/root/c1"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ok(flock(again, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK, "it is locked");
	eq_int(make(&d, in_dir("a/b/root"), "c1"), -EEXIST, "the id is taken");
	eq_str(err.msg, "container with given ID already exists: c1", "and the error says so");
	ok(d.dir_fd < 0, "what it then has is not to be removed");
	container_release(&d);
	eq_int(container_remove(&c, &err), 0, "removed");
	ok(!exists("a/b/root/c1") && exists("a/b/root"), "the root stays");
	container_release(&c);
	container_release(&c);
}

static void test_ids(void)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "../x", "a b", "a\nb", "\xc3\xa4"};
	char name[STATE_ID_MAX + 2];
	struct container c;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		eq_int(make(&c, in_dir("ids"), bad[i]), -EINVAL, "a bad id to make");
		eq_int(open_it(&c, in_dir("ids"), bad[i], true), -EINVAL, "and to open");
		has_str(err.msg, "invalid container ID format");
	}
	ok(!exists("ids"), "nothing is made for it");
	memset(name, 'x', sizeof(name));
	name[STATE_ID_MAX + 1] = '\0';
	eq_int(make(&c, in_dir("ids"), name), -EINVAL, "one too long");
	name[STATE_ID_MAX] = '\0';
	eq_int(make(&c, in_dir("ids"), name), 0, "the longest");
	eq_int(container_remove(&c, &err), 0, "it goes, too");
	container_release(&c);
}

static void test_roots(void)
{
	struct container c;

	eq_int(open_it(&c, in_dir("nowhere"), "x", true), -ENOENT, "no root");
	eq_str(err.msg, "container does not exist: x", "is no container");
	BUG_ON(mkdir(in_dir("open"), 0700) || chmod(in_dir("open"), 0770));
	eq_int(make(&c, in_dir("open"), "x"), -EPERM, "a root that a group writes to");
	has_str(err.msg, "is writable by others");
	container_release(&c);
	eq_int(open_it(&c, in_dir("open"), "x", true), -EPERM, "nor is it opened");
	container_release(&c);
	chmod(in_dir("open"), 0755);
	eq_int(make(&c, in_dir("open"), "x"), 0, "readers do not matter");
	container_remove(&c, &err);
	container_release(&c);
	close(open(in_dir("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	ok(make(&c, in_dir("file"), "x") < 0, "a root that is a file");
	has_str(err.msg, "state directory");
	container_release(&c);
	if (geteuid() != 0) {
		skip("needs root to make another's directory");
		return;
	}
	BUG_ON(chown(in_dir("open"), 65534, 65534));
	eq_int(make(&c, in_dir("open"), "x"), -EPERM, "a root that belongs to another");
	has_str(err.msg, "belongs to uid 65534");
	container_release(&c);
}

static void test_default_root(void)
{
	char own[] = "/tmp/coracle-run-XXXXXX", want[64];
	pid_t pid;
	int status;

	if (geteuid() != 0) {
		skip("needs root to be another user");
		return;
	}
	BUG_ON(!mkdtemp(own) || chown(own, 4242424, 4242424));
	snprintf(want, sizeof(want), "%s/coracle", own);
	setenv("XDG_RUNTIME_DIR", own, 1);
	eq_str(container_default_root(), "/run/coracle", "root's, whatever is set");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		BUG_ON(setresgid(4242424, 4242424, 4242424) ||
			setresuid(4242424, 4242424, 4242424));
		tap_failures = 0;
		unsetenv("XDG_RUNTIME_DIR");
		ok(!container_default_root(), "a user without $XDG_RUNTIME_DIR has none");
		container_check_root(NULL, &err);
		has_str(err.msg,
			"XDG_RUNTIME_DIR is not set: containers are kept below it (--root DIR");
		setenv("XDG_RUNTIME_DIR", "relative", 1);
		ok(!container_default_root(), "a relative one does not count");
		setenv("XDG_RUNTIME_DIR", "/tmp", 1);
		ok(!container_default_root(), "nor one of others");
		container_check_root(NULL, &err);
		has_str(err.msg, "XDG_RUNTIME_DIR is '/tmp', which is not a directory of this "
				 "user's alone: containers");
		setenv("XDG_RUNTIME_DIR", own, 1);
		eq_str(container_default_root(), want, "an absolute one of his does");
		BUG_ON(chmod(own, 0770));
		ok(!container_default_root(), "unless his group can write there");
		_exit(tap_failures != 0);
	}
	BUG_ON(waitpid(pid, &status, 0) != pid);
	tap_count += 7;
	ok(status == 0, "the user's checks");
	rmdir(own);
	unsetenv("XDG_RUNTIME_DIR");
}

static void test_state(void)
{
	struct container c, d;

	eq_int(make(&c, in_dir("st"), "s"), 0, "made");
	eq_int(open_it(&d, in_dir("st"), "s", false), 0, "opened before it has a state");
	ok(!d.has_state, "it has none");
	eq_int(container_status(&d), CONTAINER_CREATING, "its maker has the lock: being created");
	fill_state(&c, 0);
	eq_int(container_save(&c, &err), 0, "the state is written");
	container_release(&c);
	eq_int(container_status(&d), CONTAINER_STOPPED, "the maker has died: stopped");
	container_release(&d);
	eq_int(open_it(&d, in_dir("st"), "s", true), 0, "opened with its lock");
	ok(!d.has_state && !strcmp(d.state.id, "s"),
		"what was noted before there was a VMM is for delete");
	eq_int(container_status(&d), CONTAINER_STOPPED, "without a process: stopped");
	eq_int(container_kill(&d, &err), 0, "nothing to kill");
	container_release(&d);
	BUG_ON(rename(in_dir("st/s"), in_dir("st/t")));
	eq_int(open_it(&d, in_dir("st"), "t", false), -EINVAL, "another container's state");
	eq_str(err.msg, "container t: state.json: id: that of container 's'", "is an error");
	ok(d.dir_fd >= 0 && !d.has_state && !d.state.pid, "and not used");
	container_release(&d);
	BUG_ON(rename(in_dir("st/t"), in_dir("st/s")));
	BUG_ON(truncate(in_dir("st/s/state.json"), 10));
	ok(open_it(&d, in_dir("st"), "s", true) < 0, "garbage is an error");
	has_str(err.msg, "container s: state.json");
	ok(d.dir_fd >= 0 && !d.has_state, "but the directory is open, for delete --force");
	eq_int(container_remove(&d, &err), 0, "and goes");
	container_release(&d);
	eq_int(open_it(&d, in_dir("st"), "s", true), -ENOENT, "gone");
	eq_str(err.msg, "container does not exist: s", "as engines read it");
	container_release(&d);
	BUG_ON(symlink("/tmp", in_dir("st/link")));
	ok(open_it(&d, in_dir("st"), "link", true) < 0, "a link is no container");
	container_release(&d);
}

/* While hooks run there is a process, and a socket on which nobody listens. */
static void test_creating(void)
{
	struct container c, d;
	uint64_t t;
	int sock;

	eq_int(make(&c, in_dir("cr"), "c"), 0, "made");
	sock = bind_control(&c, -1);
	fill_state(&c, getpid());
	container_save(&c, &err);
	eq_int(open_it(&d, in_dir("cr"), "c", false), 0, "a hook looks at it");
	t = timeline_now();
	eq_int(container_status(&d), CONTAINER_CREATING, "it is being created");
	ok(timeline_now() - t < 1000000000, "which is known at once");
	container_release(&c);
	eq_int(container_status(&d), CONTAINER_STOPPED,
		"without its maker the process ends (PDEATHSIG)");
	eq_int(flock(d.dir_fd, LOCK_EX | LOCK_NB), 0, "no lock is left of that");
	container_remove(&d, &err);
	container_release(&d);
	close(sock);
}

static void touch(const struct container *c, const char *name)
{
	close(openat(c->dir_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static void test_remove(void)
{
	struct container c, d;

	eq_int(make(&c, in_dir("rm"), "h"), 0, "a directory that a dying create left half made");
	close(bind_control(&c, 1));
	BUG_ON(mkdirat(c.dir_fd, CONTAINER_SHARE, 0700));
	touch(&c, "state.json.tmp");
	touch(&c, "vmm.log");
	touch(&c, "resources.json");
	close(open(in_dir("rm/precious"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	BUG_ON(symlinkat("../precious", c.dir_fd, "exec.77"));
	container_release(&c);
	eq_int(open_it(&c, in_dir("rm"), "h", true), 0, "is opened");
	container_end_unknown(&c);
	eq_int(container_remove(&c, &err), 0, "and removed with all in it");
	ok(!exists("rm/h") && exists("rm/precious"), "a link in it is not followed");
	eq_int(make(&d, in_dir("rm"), "h"), 0, "the name is free again");
	err = (struct err)ERR_INIT;
	eq_int(container_remove(&c, &err), -ENOENT, "the old one does not remove the new one");
	ok(exists("rm/h"), "it is there");
	container_remove(&d, &err);
	container_release(&c);
	container_release(&d);
}

/* Until `pid` waits for a lock: /proc/locks has a line "N: -> FLOCK ... pid ...". */
static void wait_for_waiter(pid_t pid)
{
	char line[256], kind[16];
	int waiter;

	for (bool found = false; !found; sched_yield()) {
		FILE *f = fopen("/proc/locks", "re");

		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "%*d: -> %15s %*s %*s %d", kind, &waiter) == 2 &&
				waiter == pid)
				found = true;
		if (f)
			fclose(f);
	}
}

/* A command that waits for the lock while another one removes the container. */
static void test_lock_of_removed(void)
{
	struct container c, d;
	int status;
	pid_t pid;

	eq_int(make(&c, in_dir("lk"), "l"), 0, "made and locked");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		container_release(&c); /* the lock goes with the last copy, which the parent has */
		_exit(open_it(&d, in_dir("lk"), "l", true) == -ENOENT ? 0 : 1);
	}
	wait_for_waiter(pid);
	container_remove(&c, &err);
	container_release(&c);
	BUG_ON(waitpid(pid, &status, 0) != pid);
	eq_int(status, 0, "who waited for its lock meanwhile finds no container");
}

/* Who has the lock may never let go of it: a stopped command. */
static void test_lock_of_idler(void)
{
	struct sigaction before = {.sa_handler = SIG_IGN}, after;
	struct container c, d = CONTAINER_INIT;
	sigset_t all, none, now;

	eq_int(make(&c, in_dir("lw"), "l"), 0, "made and locked");
	sigfillset(&all);
	sigemptyset(&none);
	sigaction(SIGALRM, &before, NULL);
	sigprocmask(SIG_SETMASK, &all, NULL); /* as `run` waits */
	err = (struct err)ERR_INIT;
	d.lock_wait_ms = 2000;
	eq_int(container_open(&d, in_dir("lw"), "l", true, &err), -EBUSY,
		"who waits for its lock gives up");
	eq_str(err.msg, "container l is in use: another command has kept it locked for 2 s",
		"and says so");
	sigprocmask(SIG_SETMASK, &none, &now);
	sigaction(SIGALRM, NULL, &after);
	ok(sigismember(&now, SIGALRM) && after.sa_handler == SIG_IGN, "signals are as before");
	container_release(&d);
	eq_int(container_remove(&c, &err), 0, "its owner has it still");
	container_release(&c);
}

static void test_remove_without_descriptors(void)
{
	struct rlimit none = {.rlim_cur = 3}, before;
	struct container c;

	eq_int(make(&c, in_dir("rd"), "d"), 0, "made");
	close(bind_control(&c, 1));
	BUG_ON(mkdirat(c.dir_fd, CONTAINER_SHARE, 0700));
	BUG_ON(getrlimit(RLIMIT_NOFILE, &before));
	none.rlim_max = before.rlim_max;
	BUG_ON(setrlimit(RLIMIT_NOFILE, &none));
	ok(dup(0) < 0 && errno == EMFILE, "no descriptor is left");
	eq_int(container_remove(&c, &err), 0, "it is removed all the same");
	BUG_ON(setrlimit(RLIMIT_NOFILE, &before));
	ok(!exists("rd/d") && exists("rd"), "with all in it");
	ok(c.dir_fd < 0 && !c.locked, "and closed");
	container_release(&c);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void test_kill(void)
{
	struct container c;
	pid_t pid = sleeper();
	int status;

	eq_int(make(&c, in_dir("k"), "k"), 0, "a container with a process");
	fill_state(&c, pid);
	container_save(&c, &err);
	eq_int(container_status(&c), CONTAINER_RUNNING, "that does not answer: running");
	c.state.pid_start_ticks++;
	eq_int(container_status(&c), CONTAINER_STOPPED, "another process has its pid: stopped");
	eq_int(container_kill(&c, &err), 0, "nothing to kill");
	eq_int(waitpid(pid, &status, WNOHANG), 0, "the other process lives");
	c.state.pid_start_ticks--;
	eq_int(container_kill(&c, &err), 0, "killed");
	eq_int(container_status(&c), CONTAINER_STOPPED, "a zombie is stopped");
	eq_int(waitpid(pid, &status, 0), pid, "ended");
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "by SIGKILL");
	eq_int(container_kill(&c, &err), 0, "once more: nothing to do");
	container_remove(&c, &err);
	container_release(&c);
}

static void *until_closed(void *arg)
{
	char c;

	(void)!read(*(int *)arg, &c, 1);
	_exit(7);
}

/* A process as a VMM is while it ends: the first thread is a zombie, another has still to go. fd: a pipe whose
 * write end's end ends that one. */
static pid_t half_ended(struct container *c, const int fd[2])
{
	pid_t pid = fork();
	pthread_t thread;

	if (pid == 0) {
		close(fd[1]);
		if (!pthread_create(&thread, NULL, until_closed, (void *)&fd[0]))
			syscall(SYS_exit, 0); /* this thread alone */
		_exit(1);
	}
	free(c->state.oci_version);
	free(c->state.id);
	free(c->state.bundle);
	free(c->state.rootfs);
	fill_state(c, pid);
	container_save(c, &err);
	while (cstate_pid_alive(&c->state))
		sched_yield();
	return pid;
}

static void test_half_ended(void)
{
	struct container c;
	int fd[2], status;
	pid_t pid;

	BUG_ON(pipe2(fd, O_CLOEXEC));
	eq_int(make(&c, in_dir("h"), "h"), 0, "a container");
	pid = half_ended(&c, fd);
	eq_int(container_status(&c), CONTAINER_STOPPED, "whose process ends: stopped");
	close(fd[1]);
	eq_int(container_wait_gone(&c, &err), 0, "waited for");
	eq_int(waitpid(pid, &status, WNOHANG), pid, "with all its threads");
	eq_int(container_wait_gone(&c, &err), 0, "once more: it is gone");
	close(fd[0]);

	BUG_ON(pipe2(fd, O_CLOEXEC));
	pid = half_ended(&c, fd);
	eq_int(container_kill(&c, &err), 0, "killed");
	eq_int(waitpid(pid, &status, WNOHANG), pid, "with all its threads");
	container_remove(&c, &err);
	container_release(&c);
	close(fd[0]);
	close(fd[1]);
}

struct tid {
	int fd;
	pid_t tid;
};

static void *tell_tid(void *arg)
{
	struct tid *t = arg;
	char c;

	t->tid = gettid();
	(void)!write(t->fd, "", 1);
	(void)!read(t->fd, &c, 1);
	return NULL;
}

/* A mark is made as soon as another file goes: in time, or too late, but never so that the removal fails. */
static void test_late_mark(void)
{
	char event[4096];
	struct container c;
	int fd, status;
	pid_t pid;

	eq_int(make(&c, in_dir("l"), "l"), 0, "a container");
	for (int i = 0; i < 20; i++) {
		snprintf(event, sizeof(event), "exec.%d", i);
		BUG_ON(symlinkat("1", c.dir_fd, event));
	}
	fd = inotify_init1(IN_CLOEXEC);
	BUG_ON(fd < 0 || inotify_add_watch(fd, in_dir("l/l"), IN_DELETE) < 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (read(fd, event, sizeof(event)) > 0)
			(void)!symlinkat("1", c.dir_fd, "exec.late");
		_exit(0);
	}
	eq_int(container_remove(&c, &err), 0, "removed, whatever appears meanwhile");
	ok(!exists("l/l"), "it is gone");
	waitpid(pid, &status, 0);
	container_release(&c);
	close(fd);
}

static void test_pid_of_thread(void)
{
	struct rlimit limit, none;
	struct container c;
	struct tid t;
	pthread_t thread;
	int fd[2], r;
	char b;

	BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	t.fd = fd[1];
	BUG_ON(pthread_create(&thread, NULL, tell_tid, &t));
	eq_int(read(fd[0], &b, 1), 1, "a thread has the number of a VMM that is gone");
	eq_int(make(&c, in_dir("t"), "t"), 0, "its container");
	fill_state(&c, t.tid);
	c.state.pid_start_ticks--;
	container_save(&c, &err);
	eq_int(container_status(&c), CONTAINER_STOPPED, "has stopped");
	eq_int(container_wait_gone(&c, &err), 0, "nothing to wait for");
	eq_int(container_kill(&c, &err), 0, "nor to kill");
	c.state.pid = getpid();
	getrlimit(RLIMIT_NOFILE, &limit);
	none = limit;
	none.rlim_cur = (rlim_t)dup(fd[0]) + 1; /* one more: the pidfd */
	close((int)none.rlim_cur - 1);
	setrlimit(RLIMIT_NOFILE, &none);
	r = container_wait_gone(&c, &err);
	setrlimit(RLIMIT_NOFILE, &limit);
	eq_int(r, -EMFILE, "a process that cannot be looked at is not taken for gone");
	container_remove(&c, &err);
	container_release(&c);
	close(fd[0]);
	pthread_join(thread, NULL);
	close(fd[1]);
}

int main(void)
{
	test_dir_make();
	test_new();
	test_ids();
	test_roots();
	test_default_root();
	test_state();
	test_creating();
	test_remove();
	test_lock_of_removed();
	test_lock_of_idler();
	test_remove_without_descriptors();
	test_kill();
	test_half_ended();
	test_late_mark();
	test_pid_of_thread();
	return tap_done();
}
