/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker process does that a worker thread finds done: it takes its descriptors, maps guest memory and the shared
 * page, and prepares the jail. From there on it is worker_start() with the same devices and the same jail; its
 * first thread keeps no descriptor and waits for the others' end.
 */
#include "vmm/worker_main.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "vmm/devices.h"
#include "vmm/jail.h"
#include "vmm/worker_config.h"

static struct worker_config cfg;
static struct guest_mem mem;
static struct vdev dev;

static int read_config(int fd, struct err *err)
{
	uint8_t buf[sizeof(cfg) + 1]; /* one more: a longer file is another version's */

	if (pread(fd, buf, sizeof(buf), 0) != sizeof(cfg))
		return err_plain(err, EPROTO, "worker configuration: of another size");
	memcpy(&cfg, buf, sizeof(cfg));
	if (cfg.magic != WORKER_CONFIG_MAGIC || cfg.version != WORKER_CONFIG_VERSION ||
		cfg.size != sizeof(cfg) || (cfg.flags & ~WORKER_FLAGS_ALL))
		return err_plain(err, EPROTO, "worker configuration: of another version");
	if (!memchr(cfg.device, 0, sizeof(cfg.device)) || cfg.n_queues > VDEV_QUEUES_MAX)
		return err_plain(err, EPROTO, "worker configuration: not one");
	return 0;
}

/* A worker without its VMM has nothing to serve. */
static int tie_to_vmm(struct err *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_set(err, errno, "cannot tie the worker to the VMM");
	return getppid() == cfg.parent ? 0 : err_plain(err, ESRCH, "the VMM has ended");
}

/* Every worker has these; the rest as the device may be. */
static bool must_have(unsigned i)
{
	return i < WORKER_FD_KICK + cfg.n_queues && i != WORKER_FD_CMD && i != WORKER_FD_FAULT &&
	       i != WORKER_FD_LOG;
}

static int take_fds(struct err *err)
{
	for (unsigned i = 0; i < WORKER_FDS; i++) {
		int fd = cfg.fd[i];

		if (fd == -1 && !must_have(i))
			continue;
		if (fd <= STDERR_FILENO || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return err_plain(
				err, EBADF, "worker configuration: descriptor %u is %d", i, fd);
	}
	return 0;
}

/* Of the VMM's others none is here: they are closed on execve. This is for those that are not the VMM's. */
static int close_others(struct err *err)
{
	unsigned from = STDERR_FILENO + 1;

	for (;;) {
		unsigned next = ~0u;

		for (unsigned i = 0; i < WORKER_FDS; i++)
			if (cfg.fd[i] >= 0 && (unsigned)cfg.fd[i] >= from)
				next = MIN(next, (unsigned)cfg.fd[i]);
		if (next > from &&
			syscall(SYS_close_range, from, next == ~0u ? next : next - 1, 0) < 0)
			return err_set(err, errno, "cannot close inherited descriptors");
		if (next == ~0u)
			return 0;
		from = next + 1;
	}
}

/* What the VMM blocks and ignores is blocked and ignored here too, and the rest of what others may send as well. */
static int block_signals(struct err *err)
{
	static const int own_faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT};
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(own_faults); i++)
		sigdelset(&set, own_faults[i]);
	return sigprocmask(SIG_SETMASK, &set, NULL) < 0
		       ? err_set(err, errno, "cannot block signals")
		       : 0;
}

static int name_process(struct err *err)
{
	char name[16];

	snprintf(name, sizeof(name), "cor-%.9s", cfg.device);
	return prctl(PR_SET_NAME, name) < 0 ? err_set(err, errno, "cannot set the process's name")
					    : 0;
}

/* The VMM cannot make the page smaller under us, nor we under it. */
static int map_shared(struct err *err)
{
	int fd = cfg.fd[WORKER_FD_SHARED], seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size != WORKER_SHARED_BYTES || seals < 0 ||
		!(seals & F_SEAL_SHRINK))
		return err_plain(
			err, EINVAL, "the shared page has the wrong size or is not sealed");
	dev.env.shared = mmap(NULL, WORKER_SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (dev.env.shared == MAP_FAILED)
		return err_set(err, errno, "cannot map the shared page");
	close_fd(&cfg.fd[WORKER_FD_SHARED]);
	return 0;
}

static int map_memory(struct err *err)
{
	int r = guest_mem_map(&mem, cfg.fd[WORKER_FD_MEMORY], cfg.memory_bytes, err);

	if (r < 0)
		return r;
	close_fd(&mem.fd);
	close_fd(&cfg.fd[WORKER_FD_MEMORY]);
	dev.env.mem = &mem;
	return 0;
}

static int make_device(struct err *err)
{
	int r;

	dev.ops = devices_ops(cfg.device);
	if (!dev.ops)
		return err_plain(err, EPROTO, "worker configuration: an unknown device");
	dev.env.ctl_fd = cfg.fd[WORKER_FD_CTL];
	dev.env.cmd_fd = cfg.fd[WORKER_FD_CMD];
	dev.env.irq_fd = cfg.fd[WORKER_FD_IRQ];
	dev.env.fault_fd = cfg.fd[WORKER_FD_FAULT];
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		dev.env.kick_fd[i] = cfg.fd[WORKER_FD_KICK + i];
	for (unsigned i = 0; i < VDEV_FDS_MAX; i++)
		dev.env.fd[i] = cfg.fd[WORKER_FD_DEVICE + i];
	r = dev.ops->init(&dev, err);
	if (r < 0)
		return r;
	return dev.n_queues == cfg.n_queues
		       ? 0
		       : err_plain(err, EPROTO, "worker configuration: %u queues, expected %u",
				 cfg.n_queues, dev.n_queues);
}

static int start(struct worker **ret_w, struct err *err)
{
	int r = tie_to_vmm(err);

	if (r == 0)
		r = close_others(err);
	if (r == 0)
		r = block_signals(err);
	if (r == 0)
		r = name_process(err);
	if (r == 0)
		r = jail_init(cfg.fd[WORKER_FD_LOG], -1, cfg.fd[WORKER_FD_ROOT],
			cfg.flags & WORKER_FLAG_LOG_JSON, err);
	if (r == 0)
		r = map_shared(err);
	if (r == 0)
		r = map_memory(err);
	if (r == 0)
		r = make_device(err);
	return r < 0 ? r : worker_start(ret_w, &dev, &jail_worker, err);
}

/* The first thread, by the steps of the others: it has the control socket, for the report, and the way to the log. */
static int become_waiter(struct err *err)
{
	static const char kind[] = "waiter";
	int r = jail_worker.own(kind, &cfg.fd[WORKER_FD_CTL], 1, err);

	if (r == 0)
		r = jail_worker.root(kind, &dev.env, err);
	return r < 0 ? r : jail_worker.close(kind, 0, err);
}

/* Tells the VMM, which then sends requests to the same socket: thread 0 has its own descriptor of it. */
static void report(const struct err *err)
{
	struct worker_report report = {.errnum = err ? MAX(err->errnum, 1) : 0};

	if (err)
		snprintf(report.text, sizeof(report.text), "%s", err->msg);
	(void)send(cfg.fd[WORKER_FD_CTL], &report, sizeof(report), MSG_NOSIGNAL);
}

int worker_main(int config_fd)
{
	struct err err = ERR_INIT;
	struct worker *w;
	int r = read_config(config_fd, &err);

	if (r < 0)
		return 1; /* nobody who could be told is known */
	r = take_fds(&err);
	if (r < 0)
		return 1;
	r = start(&w, &err);
	if (r == 0)
		r = become_waiter(&err);
	report(r < 0 ? &err : NULL);
	if (r < 0)
		return 1;
	close_fd(&cfg.fd[WORKER_FD_CTL]);
	worker_wait(w);
	return 0;
}
