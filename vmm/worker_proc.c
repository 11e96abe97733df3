/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/worker_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "vmm/worker_config.h"

static void describe(struct worker_config *cfg, const struct worker_launch *launch,
	const struct vdev *dev, int shared_fd)
{
	const struct vdev_env *env = &dev->env;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < env->mem->n; i++)
		bytes += env->mem->region[i].bytes;
	*cfg = (struct worker_config){
		.magic = WORKER_CONFIG_MAGIC,
		.version = WORKER_CONFIG_VERSION,
		.size = sizeof(*cfg),
		.flags = launch->log_json ? WORKER_FLAG_LOG_JSON : 0,
		.parent = getpid(),
		.n_queues = dev->n_queues,
		.memory_bytes = bytes,
	};
	snprintf(cfg->device, sizeof(cfg->device), "%s", dev->ops->name);
	cfg->fd[WORKER_FD_CTL] = env->ctl_fd;
	cfg->fd[WORKER_FD_CMD] = env->cmd_fd;
	cfg->fd[WORKER_FD_IRQ] = env->irq_fd;
	cfg->fd[WORKER_FD_FAULT] = env->fault_fd;
	cfg->fd[WORKER_FD_SHARED] = shared_fd;
	cfg->fd[WORKER_FD_MEMORY] = env->mem->fd;
	cfg->fd[WORKER_FD_LOG] = launch->log_fd;
	cfg->fd[WORKER_FD_ROOT] = launch->root_fd;
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		cfg->fd[WORKER_FD_KICK + i] = env->kick_fd[i];
	for (unsigned i = 0; i < VDEV_FDS_MAX; i++)
		cfg->fd[WORKER_FD_DEVICE + i] = env->fd[i];
}

/* In the child, which has the VMM's memory: what is to go along may pass the execve, and nothing else does. */
__attribute__((noreturn)) static void child(const struct worker_launch *launch,
	const struct worker_config *cfg, int cfg_fd, char **argv)
{
	char *envp[] = {NULL};
	bool ok = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == cfg->parent;

	for (int fd = 0; ok && fd <= STDERR_FILENO; fd++)
		ok = dup2(launch->null_fd, fd) == fd;
	for (unsigned i = 0; ok && i < WORKER_FDS; i++)
		ok = cfg->fd[i] < 0 || fcntl(cfg->fd[i], F_SETFD, 0) == 0;
	if (ok && fcntl(cfg_fd, F_SETFD, 0) == 0)
		fexecve(launch->exe_fd, argv, envp);
	_exit(127);
}

int worker_proc_spawn(struct worker_proc *p, const struct worker_launch *launch,
	const struct vdev *dev, int shared_fd, struct err *err)
{
	struct worker_config cfg;
	autofd int cfg_fd = -1;
	char number[16];
	char *argv[] = {"coracle-vmm", "--worker", (char *)dev->ops->name, number,
		(char *)launch->id, NULL};
	pid_t pid;

	describe(&cfg, launch, dev, shared_fd);
	cfg_fd = memfd_with("worker_config", &cfg, sizeof(cfg), 1);
	if (cfg_fd < 0)
		return err_set(err, -cfg_fd, "cannot describe the worker");
	snprintf(number, sizeof(number), "%d", cfg_fd);
	pid = fork();
	if (pid < 0)
		return err_set(err, errno, "cannot create a process");
	if (pid == 0)
		child(launch, &cfg, cfg_fd, argv);
	/* Nobody else waits for it: the number is its own until we do. */
	p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p->pidfd < 0) {
		int saved = errno;

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return err_set(err, saved, "cannot watch the worker");
	}
	p->device = dev->ops->name;
	return 0;
}

/* True when fd can be read, or has ended, within the time. */
static bool poll_for(int fd, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	int n;

	do {
		n = poll(&pfd, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

int worker_proc_await(struct worker_proc *p, int ctl_fd, struct err *err)
{
	struct worker_report report;
	ssize_t n;

	if (!poll_for(ctl_fd, WORKER_READY_MS))
		return err_plain(
			err, ETIMEDOUT, "its worker was not ready within %u ms", WORKER_READY_MS);
	n = recv(ctl_fd, &report, sizeof(report), MSG_DONTWAIT);
	if (n == sizeof(report) && !report.errnum)
		return 0;
	if (n == sizeof(report)) {
		report.text[sizeof(report.text) - 1] = '\0';
		return err_plain(err, report.errnum > 0 ? report.errnum : EPROTO, "%s",
			report.text[0] ? report.text : "its worker does not say why");
	}
	if (n > 0 || !worker_proc_wait(p, WORKER_READY_MS, err))
		return err_plain(err, EPROTO, "its worker does not say whether it is ready");
	return -err->errnum;
}

bool worker_proc_ended(struct worker_proc *p, int *ret_signal, struct err *err)
{
	siginfo_t si = {.si_pid = 0};

	*ret_signal = 0;
	if (p->pidfd < 0 || waitid(P_PIDFD, (id_t)p->pidfd, &si, WEXITED | WNOHANG) < 0 ||
		!si.si_pid)
		return false;
	close_fd(&p->pidfd);
	if (si.si_code != CLD_EXITED)
		*ret_signal = si.si_status;
	err_plain(err, EIO, "the worker of device '%s' %s %d", p->device,
		si.si_code == CLD_EXITED ? "ended with status" : "was killed by signal",
		si.si_status);
	return true;
}

bool worker_proc_wait(struct worker_proc *p, int timeout_ms, struct err *err)
{
	int signo;

	return p->pidfd >= 0 && poll_for(p->pidfd, timeout_ms) && worker_proc_ended(p, &signo, err);
}

void worker_procs_end(struct worker_procs *procs)
{
	siginfo_t si;

	for (unsigned i = 0; i < procs->n; i++)
		if (procs->p[i].pidfd >= 0)
			syscall(SYS_pidfd_send_signal, procs->p[i].pidfd, SIGKILL, NULL, 0);
	for (unsigned i = 0; i < procs->n; i++) {
		struct worker_proc *p = &procs->p[i];

		while (p->pidfd >= 0 && waitid(P_PIDFD, (id_t)p->pidfd, &si, WEXITED) < 0 &&
			errno == EINTR)
			;
		close_fd(&p->pidfd);
	}
	procs->n = 0;
}
