/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What coracle-vmm hands a worker process: one fixed, versioned struct in a sealed memfd, and the descriptors it
 * names. `coracle-vmm --worker DEVICE N ID`: N is that memfd, DEVICE and ID are for ps(1) only. The worker checks every
 * value; whatever else is open is closed first thing. Its streams are /dev/null.
 */
#ifndef VMM_WORKER_CONFIG_H
#define VMM_WORKER_CONFIG_H

#include <assert.h>
#include <stdint.h>

#include "lib/err.h"
#include "vmm/virtio/device.h"

#define WORKER_CONFIG_MAGIC   0x4b574d43u /* "CMWK" */
#define WORKER_CONFIG_VERSION 2

#define WORKER_SHARED_BYTES 4096
static_assert(sizeof(struct vdev_shared) <= WORKER_SHARED_BYTES, "it is one page");

#define WORKER_NAME_MAX 16

/* The descriptors in this array of worker_config, before those of the queues and of the device. */
enum worker_fd {
	WORKER_FD_CTL,   /* vdev_env.ctl_fd; until the worker is ready also for its worker_report */
	WORKER_FD_CMD,   /* vdev_env.cmd_fd; -1: none */
	WORKER_FD_IRQ,   /* vdev_env.irq_fd */
	WORKER_FD_FAULT, /* vdev_env.fault_fd */
	WORKER_FD_SHARED, /* memfd of WORKER_SHARED_BYTES: vdev_env.shared; closed once mapped */
	WORKER_FD_MEMORY, /* memfd of memory_bytes: vdev_env.mem; closed once mapped */
	WORKER_FD_LOG, /* the way to the VMM's log (log_channel()), for the report of SIGSYS; -1: none */
	WORKER_FD_ROOT, /* the mount namespace with the empty root: jail_empty_ns() */
	WORKER_FD_KICK, /* and on: vdev_env.kick_fd[] */
	WORKER_FD_DEVICE = WORKER_FD_KICK + VDEV_QUEUES_MAX, /* and on: vdev_env.fd[] */
	WORKER_FDS = WORKER_FD_DEVICE + VDEV_FDS_MAX
};

/* worker_config.flags */
#define WORKER_FLAG_LOG_JSON 0x1u
#define WORKER_FLAGS_ALL     0x1u

struct worker_config {
	uint32_t magic, version, size, flags;
	char device[WORKER_NAME_MAX]; /* vdev_ops.name */
	int32_t parent;               /* the VMM's pid: without it the worker ends */
	uint32_t n_queues;            /* as the VMM sees it; the device's own init() must agree */
	int32_t fd[WORKER_FDS];       /* -1: none */
	uint64_t memory_bytes;
};
static_assert(
	sizeof(struct worker_config) == 144, "abi: bump WORKER_CONFIG_VERSION when this changes");

/* The worker's first message on WORKER_FD_CTL: whether it has jailed itself and serves. */
struct worker_report {
	int32_t errnum; /* 0: ready */
	char text[ERR_MSG_MAX];
};

#endif
