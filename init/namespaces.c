/* SPDX-License-Identifier: Apache-2.0 */
#include "init/namespaces.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <net/if.h>

#include "init/fail.h"
#include "init/procfs.h"
#include "init/sys.h"
#include "init/sysctl.h"
#include "lib/cleanup.h"

#define CLONE_FLAG_INTO_CGROUP \
	0x200000000ull /* CLONE_INTO_CGROUP: <linux/sched.h> clashes with musl's */

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80 /* Linux 5.6; musl 1.2.3 has none */
#endif

/* struct clone_args of clone3(2), up to Linux 5.7's fields */
struct clone3_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
		set_tid_size, cgroup;
};

int ns_time(const struct gspec *spec, struct err *err)
{
	const struct gtime_offset *o = spec->time_offset;
	char path[64], text[128];
	int proc, r;

	if (!(spec->namespaces & GNS_TIME))
		return 0;
	if (unshare(CLONE_NEWTIME) < 0)
		return fail(err, errno, "cannot make the time namespace");
	proc = procfs_dir();
	if (proc < 0)
		return fail(err, -proc, "cannot make a procfs");
	snprintf(path, sizeof(path), "%ld/timens_offsets", syscall(SYS_getpid));
	snprintf(text, sizeof(text), "monotonic %lld %u\nboottime %lld %u\n",
		(long long)o[GTIME_MONOTONIC].secs, o[GTIME_MONOTONIC].nanosecs,
		(long long)o[GTIME_BOOTTIME].secs, o[GTIME_BOOTTIME].nanosecs);
	r = file_put(proc, path, text);
	return r < 0 ? fail(err, -r, "failed to write time offsets") : 0;
}

uint64_t ns_boot_time(const struct gspec *spec, uint64_t ns)
{
	const struct gtime_offset *o = &spec->time_offset[GTIME_BOOTTIME];

	if (!(spec->namespaces & GNS_TIME))
		return ns;
	return ns - (uint64_t)o->secs * 1000000000u - o->nanosecs;
}

uint64_t ns_clone_flags(uint32_t gns)
{
	uint64_t flags = 0;

	if (gns & GNS_PID)
		flags |= CLONE_NEWPID;
	if (gns & GNS_UTS)
		flags |= CLONE_NEWUTS;
	if (gns & GNS_IPC)
		flags |= CLONE_NEWIPC;
	/* The guest's own network namespace would not be its to use. */
	if (gns & GNS_USER)
		flags |= CLONE_NEWUSER | CLONE_NEWNET;
	return flags;
}

pid_t ns_fork(uint64_t clone_flags, int group)
{
	struct clone3_args args = {.flags = clone_flags, .exit_signal = SIGCHLD};
	long pid;

	if (group >= 0) {
		args.flags |= CLONE_FLAG_INTO_CGROUP;
		args.cgroup = (uint64_t)group;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	return pid < 0 ? -errno : (pid_t)pid;
}

pid_t ns_fork_beside(int pidfd, uint32_t gns, int group)
{
	autofd int self = sys_pidfd_open(getpid());
	pid_t pid;

	if (!(gns & GNS_PID))
		return ns_fork(0, group);
	if (self < 0 || setns(pidfd, CLONE_NEWPID) < 0)
		return -errno;
	pid = ns_fork(0, group);
	/* A process may always have its children in its own pid namespace again. */
	if (pid != 0)
		BUG_ON(setns(self, CLONE_NEWPID) < 0);
	return pid;
}

int ns_enter(int pidfd, uint32_t gns, struct err *err)
{
	int user = gns & GNS_USER ? CLONE_NEWUSER : 0;

	if (setns(pidfd, user | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET |
				 CLONE_NEWCGROUP) < 0)
		return fail(err, errno, "cannot join the container's namespaces");
	return 0;
}

int ns_enter_mount(uint32_t gns, struct err *err)
{
	if (unshare(CLONE_NEWNS | (gns & GNS_CGROUP ? CLONE_NEWCGROUP : 0)) < 0)
		return fail(err, errno, "cannot make the mount and cgroup namespaces");
	return 0;
}

int ns_names(const struct gspec *spec, struct err *err)
{
	if (spec->hostname[0] && sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return fail(err, errno, "sethostname \"%s\"", spec->hostname);
	if (spec->domainname[0] && setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
		return fail(err, errno, "setdomainname \"%s\"", spec->domainname);
	return 0;
}

int ns_loopback_up(struct err *err)
{
	autofd int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

	if (sock < 0 || ioctl(sock, SIOCSIFFLAGS, &req) < 0)
		return fail(err, errno, "cannot bring the loopback device up");
	return 0;
}
