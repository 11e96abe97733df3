/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts the devices together: for each row of a table a worker (vmm/virtio/device.h), its transport
 * at the row's window and interrupt line, and the descriptors between them. A new device is a row
 * and a function that fills its configuration.
 */
#ifndef VMM_DEVICES_H
#define VMM_DEVICES_H

#include "lib/err.h"
#include "vmm/faultlog.h"
#include "vmm/layout.h"
#include "vmm/virtio/mmio.h"
#include "vmm/virtio/worker.h"
#include "vmm/vm.h"
#include "vmm/worker_proc.h"

/* What the devices work on. Borrowed: a device that keeps one has its own duplicate. */
struct devices_fds {
	int share; /* fs: O_PATH directory */
	int log;   /* console: write end of the guest log's pipe */
	int fault; /* all of them, workers and transports, no duplicates: vdev_env.fault_fd */
};

struct device {
	struct vdev dev;
	struct vmmio transport;
	struct worker *worker; /* threads of ours; NULL: a process of its own */
	int shared_fd;         /* the memfd behind env.shared, until that process has it; -1 */
	bool initialised;      /* ops->init() was called */
	int main_ctl_fd,
		main_cmd_fd; /* the VMM's ends of the worker's sockets; cmd: -1 without one */
};

struct devices {
	unsigned n;
	struct device d[LAYOUT_DEVICES_MAX];
	struct device *vsock;      /* the one the main loop talks to */
	struct device *fs;         /* whose writes it may wait for */
	struct faultlog faults;    /* what the main loop tells of them */
	struct worker_procs procs; /* what it watches */
};

unsigned devices_count(void);
/* The device of that name, or NULL. */
const struct vdev_ops *devices_ops(const char *name);

/* Creates all devices on vm's bus and interrupt lines, then starts their workers: as threads, each jailed by
 * `jail`, or with `launch` as processes, which jail themselves. vm has its memory; with `launch`, there is one
 * thread. After a failure nothing of it runs. */
int devices_start(struct devices *ds, struct vm *vm, const struct devices_fds *fds,
	const struct worker_jail *jail, const struct worker_launch *launch, struct err *err);
/* What the transports use, on the vCPUs' threads. Returns how many, at most DEVICES_BUS_FDS_MAX. */
#define DEVICES_BUS_FDS_MAX (LAYOUT_DEVICES_MAX * (2 + VDEV_QUEUES_MAX) + 1)
unsigned devices_bus_fds(const struct devices *ds, int fd[DEVICES_BUS_FDS_MAX]);
/* Closes in the caller's table, once the vCPUs have theirs, what only they and the workers need, which are jailed and
 * have theirs, too. All of them go on until the process ends: no devices_release() any more. */
void devices_leave_fds(struct devices *ds);
/* Ends the workers and frees everything. Tolerates half-built devices. */
void devices_release(struct devices *ds);

#endif
