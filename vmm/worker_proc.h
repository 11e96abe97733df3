/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's worker as a process of its own, seen from the VMM (worker_main.c is the other side): coracle-vmm starts
 * itself again with a description (worker_config.h) and the worker's descriptors, and nothing else. The
 * worker ends when the VMM does (SIGKILL), and it is in its cgroup, session and process group.
 */
#ifndef VMM_WORKER_PROC_H
#define VMM_WORKER_PROC_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"
#include "vmm/layout.h"
#include "vmm/virtio/device.h"

#define WORKER_READY_MS 60000 /* for a worker to jail itself */

/* What all workers of a VM have in common. Borrowed. */
struct worker_launch {
	int exe_fd;  /* coracle-vmm itself */
	int null_fd; /* /dev/null, above 2 */
	int log_fd;  /* the way to the log: log_channel(); -1: none */
	int root_fd; /* jail_empty_ns() */
	bool log_json;
	const char *id;
};

struct worker_proc {
	const char *device;
	int pidfd; /* -1 once it was waited for */
};

/* Of a VM, in the devices' order; none with threads. */
struct worker_procs {
	unsigned n;
	struct worker_proc p[LAYOUT_DEVICES_MAX];
	struct worker_proc *vsock;
};

/* Starts the worker of dev, whose env is complete; shared_fd is the memfd behind env.shared. The worker has duplicates of
 * what env names. Wants a process of one thread. */
int worker_proc_spawn(struct worker_proc *p, const struct worker_launch *launch,
	const struct vdev *dev, int shared_fd, struct err *err);
/* Waits at the VMM's end of its control socket until it is ready; the reason otherwise. */
int worker_proc_await(struct worker_proc *p, int ctl_fd, struct err *err);
/* True once it has ended, and how is in err, as "the worker of device 'x' was killed by signal 9"; *ret_signal: which,
 * or 0. Never waits. syscalls: waitid, close */
bool worker_proc_ended(struct worker_proc *p, int *ret_signal, struct err *err);
/* Waits for that at most so long; before the jail. */
bool worker_proc_wait(struct worker_proc *p, int timeout_ms, struct err *err);
/* Kills those that live, and waits for them. syscalls: pidfd_send_signal, waitid, close */
void worker_procs_end(struct worker_procs *procs);

#endif
