/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control protocol between the `coracle` commands and a running `coracle-vmm`: one request and
 * one reply per message on a SOCK_SEQPACKET Unix socket, `control.sock` in the container's state
 * directory (mode 0700; the peer's uid is checked). A connection may send any number of requests,
 * one at a time. A request of the wrong size, version or type is answered with EPROTO and the
 * connection is closed.
 */
#ifndef LIB_CONTROL_H
#define LIB_CONTROL_H

#include <assert.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/timeline.h"

#define CTL_VERSION  1
#define CTL_TEXT_MAX 512

enum ctl_type {
	CTL_STATE = 1, /* reply.phase */
	CTL_START,     /* answered once execve succeeded or failed in the guest */
	CTL_SIGNAL,    /* arg: signal number; answered once it was delivered */
	CTL_TIMELINE,  /* answered with struct ctl_timeline_reply */
	CTL_KEEP, /* the command that made the container has noted it: the VMM may outlive it. Until then
			  that command's death is the VMM's. EAGAIN before VM_CREATED */
	CTL_TYPES
};

enum vm_phase { VM_BOOTING, VM_CREATED, VM_RUNNING, VM_STOPPED };

struct ctl_request {
	uint32_t version;
	uint32_t type; /* enum ctl_type */
	uint32_t arg;
	uint32_t reserved;
};
static_assert(sizeof(struct ctl_request) == 16, "abi");

struct ctl_reply {
	uint32_t version;
	int32_t errnum;          /* 0 or a positive errno */
	uint32_t phase;          /* enum vm_phase */
	uint32_t exit_status;    /* with errnum: what the command should exit with, 0: 1 */
	char text[CTL_TEXT_MAX]; /* with errnum: why, NUL-terminated */
};
static_assert(sizeof(struct ctl_reply) == 528, "abi");

struct ctl_timeline_reply {
	struct ctl_reply reply;
	struct timeline timeline;
};

/*
 * What coracle-vmm says on its report pipe: at most one VMM_READY or VMM_FAILED while it starts,
 * then, if the pipe is still open, one VMM_ENDED when the container or the VM has ended.
 */
enum vmm_report_type { VMM_READY = 1, VMM_FAILED, VMM_ENDED };

struct vmm_report {
	uint32_t version;
	uint32_t type;
	int32_t errnum;
	uint32_t exit_status;   /* FAILED: for the command; ENDED: the status the VMM exits with */
	char text[ERR_MSG_MAX]; /* FAILED, or ENDED abnormally: one message, may hold guest log
				   lines */
	char guest_log[4096];   /* last lines of the guest's log, when the VM itself failed */
	struct timeline timeline;
};

#endif
