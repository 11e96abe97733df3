/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VMM's process up to its exec, which here executes this program again as a fake VMM: that says on the
 * report pipe what it finds.
 */
#include "runtime/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "tests/unit/runtime_dir.h"

static struct err err;

static int open_netns(const char *path, int *ret_fd)
{
	struct container_spec spec = {.netns_path = path};

	err = (struct err)ERR_INIT;
	return sandbox_open_netns(&spec, ret_fd, &err);
}

static void test_netns(void)
{
	static const char *const bad[] = {
		"/proc/self/ns/mnt", "/proc/self/status", "/dev/null", "/"};
	int fd = 7;

	eq_int(open_netns(NULL, &fd), 0, "none given");
	eq_int(fd, -1, "none opened");
	eq_int(open_netns("/proc/self/ns/net", &fd), 0, "a network namespace");
	ok(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC), "is opened, close-on-exec");
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		eq_int(open_netns(bad[i], &fd), -EINVAL, bad[i]);
		has_str(err.msg, "is not a network namespace");
		eq_int(fd, -1, "and not opened");
	}
	BUG_ON(mkfifo(in_dir("fifo"), 0600));
	eq_int(open_netns(in_dir("fifo"), &fd), -EINVAL, "a FIFO does not block us");
	eq_int(open_netns(in_dir("nowhere"), &fd), -ENOENT, "nothing there");
	has_str(err.msg, "cannot open the network namespace");
}

static bool same_ns(const char *name)
{
	char path[64], a[64] = "", b[64] = "";

	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	BUG_ON(readlink(path, a, sizeof(a) - 1) < 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", getppid(), name);
	BUG_ON(readlink(path, b, sizeof(b) - 1) < 0);
	return !strcmp(a, b);
}

/* Everything that is wrong, as words. */
static void look_around(const struct vm_config *cfg, char **envp, char *buf, size_t cap)
{
	struct stat st;
	sigset_t set;
	bool hooked;
	char cwd[64];
	int sig = 0;

	*buf = '\0';
#define want(cond, word)                                               \
	do {                                                           \
		if (!(cond))                                           \
			strncat(buf, word " ", cap - strlen(buf) - 1); \
	} while (0)
	hooked = !strcmp(cfg->id, "hooked");
	want(cfg->magic == VM_CONFIG_MAGIC && (hooked || !strcmp(cfg->id, "box")), "config");
	want(cfg->timeline.ns[TL_NAMESPACES], "timeline");
	want(!envp[0], "environment");
	want(getsid(0) == getpid(), "session");
	want(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/"), "cwd");
	want(!prctl(PR_GET_PDEATHSIG, &sig) && sig == SIGKILL, "pdeathsig");
	want(!sigprocmask(SIG_BLOCK, NULL, &set) && !sigismember(&set, SIGTERM), "sigmask");
	want(signal(SIGPIPE, SIG_DFL) == SIG_DFL, "sigpipe");
	want(!same_ns("mnt") && !same_ns("ipc") && !same_ns("uts") && !same_ns("net"),
		"namespaces");
	want(fstatat(cfg->fd[VM_FD_SHARE], "rootfs/inside", &st, 0) == 0, "share");
	want(fstatat(cfg->fd[VM_FD_SHARE], "rootfs/inside/of-the-hook", &st, 0) ==
			(hooked ? 0 : -1),
		"hook's mount");
	want(fcntl(3000, F_GETFD) < 0, "leak");
#undef want
}

static int fake_vmm(int config_fd, char **envp)
{
	struct vmm_report rep = {.type = VMM_READY};
	struct vm_config cfg;

	if (read_full(config_fd, &cfg, sizeof(cfg)) < 0)
		return 2;
	look_around(&cfg, envp, rep.text, sizeof(rep.text));
	return write_full(cfg.fd[VM_FD_REPORT], &rep, sizeof(rep)) < 0 ? 3 : 0;
}

/* As `nsenter -m -t PID mount` in a hook. */
static void mount_in(pid_t pid, const char *dir)
{
	char path[64];
	int status;
	pid_t hook = fork();

	if (hook == 0) {
		autofd int ns = -1;

		snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
		ns = open(path, O_RDONLY | O_CLOEXEC);
		if (setns(ns, CLONE_NEWNS) < 0 || mount("tmpfs", dir, "tmpfs", 0, NULL) < 0 ||
			chdir(dir) < 0)
			_exit(1);
		_exit(mknod("of-the-hook", S_IFREG | 0600, 0) < 0);
	}
	BUG_ON(waitpid(hook, &status, 0) != hook);
	eq_int(status, 0, "a hook mounts below the root file system");
}

static bool with_hook; /* of run() */

/* Runs a sandbox and gives its report. */
static struct vmm_report run(
	const struct container_spec *spec, int netns_fd, int vmm_fd, pid_t parent)
{
	struct vm_config cfg = {.magic = VM_CONFIG_MAGIC};
	struct vmm_report rep = {.type = 0};
	autofd int dir = open(in_dir("state"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct cgroup none = {0};
	int fd[2], turns[2];
	pid_t pid;

	BUG_ON(dir < 0 || pipe2(fd, O_CLOEXEC) < 0);
	BUG_ON(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, turns) < 0);
	snprintf(cfg.id, sizeof(cfg.id), with_hook ? "hooked" : "box");
	for (unsigned i = 0; i < VM_FDS; i++)
		cfg.fd[i] = -1;
	cfg.fd[VM_FD_REPORT] = fd[1];
	err = (struct err)ERR_INIT;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		struct sandbox s = {.spec = spec,
			.rootfs = with_hook ? in_dir("rootfs") : NULL,
			.dir_fd = dir,
			.netns_fd = netns_fd,
			.vmm_fd = vmm_fd,
			.parent = parent ? parent : getppid(),
			.cgroup = &none,
			.turn_fd = turns[1]};
		close(turns[0]);
		sandbox_exec(&cfg, &s);
	}
	close(fd[1]);
	close(turns[1]);
	if (sandbox_prepared(turns[0], -1, &err) == 0) {
		char cwd[64], rootfs[80];

		snprintf(cwd, sizeof(cwd), "/proc/%d/cwd", pid);
		snprintf(rootfs, sizeof(rootfs), "%s/" SPEC_SHARE_ROOT, cwd);
		ok(access(rootfs, F_OK) == 0, "it waits in the share tree");
		if (with_hook)
			mount_in(pid, in_dir("rootfs/inside"));
		sandbox_go(turns[0], &err);
	}
	eq_str(err.msg, "", "its turn");
	close(turns[0]);
	if (read_full(fd[0], &rep, sizeof(rep)) < 0)
		rep.type = 0;
	close(fd[0]);
	BUG_ON(waitpid(pid, NULL, 0) != pid);
	return rep;
}

static void test_exec(void)
{
	struct container_spec spec = {.root_path = "rootfs", .root_fd = -1};
	autofd int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	autofd int script = open(in_dir("state/text"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	autofd int not_ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	struct vmm_report rep;

	rep = run(&spec, -1, self, 0);
	eq_int(rep.type, VMM_FAILED, "a root that cannot be bound");
	has_str(rep.text, "cannot bind 'rootfs'");
	eq_int(rep.exit_status, 1, "the command's status");
	rep = run(&spec, -1, self, 1 + getpid());
	eq_int(rep.type, 0, "a parent that has gone: an end without a word");
	spec.root_fd = open(in_dir("rootfs"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	rep = run(&spec, -1, script, 0);
	eq_int(rep.type, VMM_FAILED, "a VMM that is no program");
	has_str(rep.text, "cannot execute coracle-vmm: Permission denied");
	rep = run(&spec, not_ns, self, 0);
	eq_int(rep.type, VMM_FAILED, "a network namespace that is none");
	has_str(rep.text, "cannot enter the network namespace");
	dup2(STDERR_FILENO,
		3000); /* inherited, as an engine's may be: the VMM itself closes those */
	fcntl(3000, F_SETFD, FD_CLOEXEC);
	rep = run(&spec, -1, self, 0);
	eq_int(rep.type, VMM_READY, "a VMM");
	eq_str(rep.text, "", "finds everything as it should be");
	with_hook = true;
	rep = run(&spec, -1, self, 0);
	eq_int(rep.type, VMM_READY, "a VMM, behind a hook");
	eq_str(rep.text, "", "finds everything as it should be, and what the hook has mounted");
	ok(access(in_dir("rootfs/inside/of-the-hook"), F_OK) < 0, "which is not there outside");
	close(spec.root_fd);
}

static bool can_unshare(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0 ||
			mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0);
	BUG_ON(waitpid(pid, &status, 0) != pid);
	return status == 0;
}

int main(int argc, char **argv, char **envp)
{
	sigset_t term;

	if (argc == 4 && !strcmp(argv[0], "coracle-vmm") && !strcmp(argv[1], "--config-fd"))
		return fake_vmm(atoi(argv[2]), envp);
	test_dir_make();
	test_netns();
	BUG_ON(mkdir(in_dir("rootfs"), 0755) || mkdir(in_dir("rootfs/inside"), 0755));
	BUG_ON(mkdir(in_dir("state"), 0700) || mkdir(in_dir("state/" CONTAINER_SHARE), 0700));
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (can_unshare())
		test_exec();
	else
		skip("needs the right to make namespaces");
	return tap_done();
}
