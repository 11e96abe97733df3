/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "seccomp/policy.h"
#include "vmm/confine.h"
#include "vmm/virtio/devices.h"

static int report_fd = -1;  /* in every thread's table: what it does wrong is written there */
static int channel_fd = -1; /* what report_fd leads to in all but main's */
static int empty_ns = -1;

/* Of the process. Its memory is nobody's to read, not even as a core file. What it never uses it may have none of. Not
 * RLIMIT_NPROC, which counts all that the user has, and not RLIMIT_FSIZE, which is the container's. */
static int limit_process(struct err *err)
{
	static const int unused[] = {RLIMIT_CORE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE};
	const struct rlimit none = {0, 0};

	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_set(err, errno, "cannot keep the VMM from being dumped");
	for (size_t i = 0; i < ARRAY_SIZE(unused); i++)
		if (setrlimit(unused[i], &none) < 0)
			return err_set(err, errno, "cannot set the VMM's limits");
	return 0;
}

int jail_init(int log_fd, int channel, int ns, bool log_json, struct err *err)
{
	int r = limit_process(err);

	report_fd = log_fd;
	channel_fd = channel;
	empty_ns = ns;
	if (r == 0 && ns < 0)
		r = confine_make_empty_ns(&empty_ns, err);
	return r < 0 ? r : policy_init(log_fd >= 0 ? log_fd : STDERR_FILENO, log_json, err);
}

int jail_empty_ns(void)
{
	return empty_ns;
}

static int is_fs(const char *device)
{
	return !strcmp(device, vdev_fs.name);
}

static int own_fds(const int *keep, unsigned n, struct err *err)
{
	int fd[CONFINE_FDS_MAX], r;

	BUG_ON(n + 3 > CONFINE_FDS_MAX);
	memcpy(fd, keep, n * sizeof(fd[0]));
	fd[n] = report_fd;
	fd[n + 1] = empty_ns;
	fd[n + 2] = channel_fd;
	r = confine_fds(fd, n + 3, err);
	if (r < 0 || channel_fd < 0)
		return r;
	/* A file of the host's would be a way into its file system. */
	if (dup3(channel_fd, report_fd, O_CLOEXEC) < 0)
		return err_set(err, errno, "cannot take the log from a thread");
	close(channel_fd); /* in the thread's table */
	return 0;
}

static int own(const char *device, const int *keep, unsigned n, struct err *err)
{
	return own_fds(keep, n, err);
}

static int root(const char *device, const struct vdev_env *env, struct err *err)
{
	int r = is_fs(device) ? confine_tree(env->fd[FS_FD_ROOT], empty_ns, err)
			      : confine_root(empty_ns, err);

	close(empty_ns); /* in the worker's table */
	return r;
}

/* All that a thread gives up that opens no file. The file server's Landlock domain is not about files: one that is found
 * again by its handle may be one whose place in the tree the kernel does not know, and Landlock allows no such. It
 * has dropped its capabilities itself, but for those it needs. */
static int jail(const char *kind, struct err *err)
{
	int r = confine_landlock(
		is_fs(kind) ? CONFINE_SOCKETS : CONFINE_FILES | CONFINE_SOCKETS, err);

	if (r == 0 && !is_fs(kind))
		r = confine_caps(err);
	return r < 0 ? r : policy_install(kind, err);
}

static int close_worker(const char *device, unsigned thread, struct err *err)
{
	return jail(device, err);
}

const struct worker_jail jail_worker = {own, root, close_worker};

int jail_vcpu(const int *keep, unsigned n, struct err *err)
{
	int r = own_fds(keep, n, err);

	if (r < 0)
		return r;
	r = confine_root(empty_ns, err);
	close(empty_ns); /* in the vCPU's table */
	return r < 0 ? r : jail("vcpu", err);
}

int jail_main(struct err *err)
{
	close_fd(&empty_ns);
	close_fd(&channel_fd);
	return jail("main", err);
}
