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
	CTL_EXEC,   /* runs a further process: see below */
	CTL_RESIZE, /* arg: rows << 16 | cols of the container's terminal */
	CTL_PAUSE,
	CTL_RESUME,
	CTL_ASK, /* arg: enum proto_question; UPDATE's payload comes in a sealed memfd; see below */
	CTL_EVENTS, /* see below */
	CTL_TYPES
};

/* CTL_SIGNAL's flags */
#define CTL_SIGNAL_ALL 0x1u /* every process of the container, not only the first */
/* CTL_EXEC's */
#define CTL_EXEC_IGNORE_PAUSED 0x2u /* in a paused container: it begins when that is resumed */

/*
 * CTL_EXEC carries descriptors: a sealed memfd with an encoded struct gproc, then those of the
 * streams that arg has no GPROC_STD*_NULL for, in order (with GPROC_TERMINAL in arg: stdin and
 * stdout only). The first reply says whether the program was executed, or why not; the second, with
 * the status in exit_status, that it has ended and all it wrote before is written. From the first
 * on the client may send CTL_SIGNAL and CTL_RESIZE: here they mean the exec'd process and are not
 * answered. A client that closes the connection before the second reply ends the process (SIGKILL).
 *
 * CTL_ASK: answered by a ctl_reply; without errnum, messages follow with the payload of the guest's
 * answer (at most PROTO_ANSWER_MAX bytes each, checked by nobody yet), the last of them empty.
 *
 * CTL_EVENTS: answered by a ctl_reply, and from then on one more with exit_status = number of new
 * OOM kills whenever there are some, until either side closes.
 */
#define CTL_FDS_MAX 4

enum vm_phase { VM_BOOTING, VM_CREATED, VM_RUNNING, VM_STOPPED, VM_PAUSED };

struct ctl_request {
	uint32_t version;
	uint32_t type; /* enum ctl_type */
	uint32_t arg;
	uint32_t flags; /* CTL_SIGNAL_*, CTL_EXEC_*; else 0 */
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
