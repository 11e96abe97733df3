/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/control.h"
#include "lib/fd.h"
#include "runtime/container.h"
#include "runtime/files.h"
#include "runtime/launch_terminal.h"
#include "runtime/signals.h"

int sandbox_open_netns(const struct container_spec *spec, int *ret_fd, struct err *err)
{
	autofd int fd = -1;

	*ret_fd = -1;
	if (!spec->netns_path)
		return 0;
	fd = files_open_checked(spec->netns_path, S_IFREG);
	if (fd == -EINVAL)
		return err_plain(err, EINVAL, "'%s' is not a network namespace", spec->netns_path);
	if (fd < 0)
		return err_set(
			err, -fd, "cannot open the network namespace '%s'", spec->netns_path);
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return err_plain(err, EINVAL, "'%s' is not a network namespace", spec->netns_path);
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Descriptors from before go on leading to the old mount namespace, where nothing of ours may be
 * mounted; the working directory moves along. So it becomes dir_fd first. */
static int enter_namespaces(int dir_fd, int netns_fd, struct err *err)
{
	int flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | (netns_fd < 0 ? CLONE_NEWNET : 0);

	if (fchdir(dir_fd) < 0)
		return err_set(err, errno, "cannot enter the state directory");
	if (unshare(flags) < 0)
		return err_set(err, errno, "cannot make the sandbox's namespaces%s",
			errno == EPERM    ? " (CAP_SYS_ADMIN is needed)"
			: errno == ENOSPC ? " (the sysctls user.max_*_namespaces are the limits)"
					  : "");
	if (netns_fd >= 0 && setns(netns_fd, CLONE_NEWNET) < 0)
		return err_set(err, errno, "cannot enter the network namespace");
	/* Slave: what the host unmounts later goes away here too, and nothing of ours reaches the
	 * host. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_set(err, errno, "cannot make the mount namespace private");
	return 0;
}

/* A command that is killed takes the VMM along; the VMM itself ends this once it is ready. */
static int become_session(pid_t parent, struct err *err)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	sigaction(SIGPIPE, &dfl, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_set(err, errno, "cannot tie the VMM to the command");
	if (getppid() != parent) /* it died before the prctl */
		_exit(1);
	return 0;
}

static int pass_config(struct vm_config *cfg, struct err *err)
{
	int fd;

	for (unsigned i = 0; i < VM_FDS; i++)
		if (cfg->fd[i] >= 0 && fcntl(cfg->fd[i], F_SETFD, 0) < 0)
			return err_set(err, errno, "cannot pass a descriptor on");
	timeline_mark(&cfg->timeline, TL_NAMESPACES);
	fd = memfd_with("vm_config", cfg, sizeof(*cfg), 1);
	if (fd < 0)
		return err_set(err, -fd, "cannot make a memfd");
	if (fcntl(fd, F_SETFD, 0) < 0)
		return err_set(err, errno, "cannot pass a descriptor on");
	return fd;
}

/* In the state directory. The VMM then stays in none. */
static int make_share(struct vm_config *cfg, struct share *share, struct err *err)
{
	autofd int fd = open(CONTAINER_SHARE, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_set(err, errno, "cannot open the share tree's mount point");
	if (chdir("/") < 0)
		return err_set(err, errno, "cannot leave the state directory");
	return share_mount(share, fd, &cfg->fd[VM_FD_SHARE], err);
}

static int enter_cgroup(const struct cgroup *cg, struct err *err)
{
	return cgroup_enter(cg, err) < 0 ? err_wrap(err, "unable to apply cgroup configuration")
					 : 0;
}

/* The share goes with the process. */
static int prepare(
	struct vm_config *cfg, const struct sandbox *s, struct share *share, struct err *err)
{
	int r = become_session(s->parent, err);

	if (r >= 0 && s->has_terminal)
		r = launch_terminal_enter(s->slave_fd, err);
	if (r >= 0)
		r = enter_cgroup(s->cgroup, err);
	if (r >= 0)
		r = share_clone(share, s->spec, s->rootfs, err);
	if (r >= 0)
		r = enter_namespaces(s->dir_fd, s->netns_fd, err);
	if (r >= 0)
		r = make_share(cfg, share, err);
	return r < 0 ? r : pass_config(cfg, err);
}

int sandbox_prepared(int turn_fd, int signal_fd, struct err *err)
{
	char ready;
	int r = signals_wait(signal_fd, turn_fd, err);

	return r < 0 ? r : read_full(turn_fd, &ready, 1);
}

int sandbox_go(int turn_fd, struct err *err)
{
	return send(turn_fd, "", 1, MSG_NOSIGNAL) == 1
		       ? 0
		       : err_set(err, errno, "cannot tell the VMM to go on");
}

/* Its turn to wait: the parent runs hooks that find the namespaces by the pid, and the share tree by
 * the working directory. */
static int take_turns(
	const struct vm_config *cfg, int turn_fd, struct share *share, struct err *err)
{
	char go;
	int r;

	if (fchdir(cfg->fd[VM_FD_SHARE]) < 0)
		return err_set(err, errno, "cannot enter the share tree");
	if (send(turn_fd, "", 1, MSG_NOSIGNAL) != 1 || read_full(turn_fd, &go, 1) < 0)
		_exit(1); /* the command gave up: nobody listens */
	r = share_settle(share, cfg->fd[VM_FD_SHARE], err);
	if (r < 0)
		return r;
	if (chdir("/") < 0)
		return err_set(err, errno, "cannot leave the share tree");
	return 0;
}

/* Who joins the mount namespace by the VMM's pid, as `podman cp` does, expects the container's root file system
 * there, and must not find the host's. It is covered, not left: our own root stays below, where the linker of
 * coracle-vmm is. */
static int cover_root(const struct vm_config *cfg, struct err *err)
{
	autofd int clone = open_tree(cfg->fd[VM_FD_SHARE], SPEC_SHARE_ROOT,
		OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (clone < 0)
		return err_set(err, errno, "cannot clone the root file system's mount");
	if (move_mount(clone, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(err, errno, "cannot cover the root of the mount namespace");
	return 0;
}

_Noreturn void sandbox_exec(struct vm_config *cfg, const struct sandbox *s)
{
	struct err err = ERR_INIT;
	struct share share = {.peer_fd = -1};
	int fd = prepare(cfg, s, &share, &err);
	struct vmm_report rep = {.version = CTL_VERSION, .type = VMM_FAILED};

	if (fd >= 0 && take_turns(cfg, s->turn_fd, &share, &err) == 0 &&
		cover_root(cfg, &err) == 0) {
		char num[16];
		char *argv[] = {"coracle-vmm", "--config-fd", num, cfg->id, NULL};
		char *envp[] = {NULL}; /* the caller's environment is none of the VMM's business */

		snprintf(num, sizeof(num), "%d", fd);
		fexecve(s->vmm_fd, argv, envp);
		err_set(&err, errno, "cannot execute coracle-vmm");
	}
	rep.errnum = err.errnum;
	rep.exit_status = 1;
	snprintf(rep.text, sizeof(rep.text), "%s", err.msg);
	write_full(cfg->fd[VM_FD_REPORT], &rep, sizeof(rep));
	_exit(1);
}
