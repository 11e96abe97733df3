/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a container, from the guest's first instruction to the VMM's exit status: a state
 * machine in the main thread, driven by the guest's control channel (lib/proto.h), the control
 * socket (lib/control.h), signals, the guest's log and the vCPUs' end. It owns no device and no
 * memory of the guest.
 *
 * Exit status of the VMM, which is what an engine's wait() sees:
 *	0..255		the container's process ended with it
 *	128+N		signal N ended it, or was sent before start
 *	1, 126, 127	the container could not be prepared or its program not executed, as runc
 *	255		the VM failed under a created or running container (panic, triple fault, KVM
 *			error); the log and the report say why
 *
 * SIGKILL gives the guest LIFE_KILL_GRACE_MS to end the process the normal way, so that what it
 * wrote is in files and pipes, and again as much as long as the file server has written something for it
 * meanwhile, or is about to: pages of shared mappings, which after a process's SIGKILL are the host's under
 * any other runtime. After LIFE_KILL_MAX_MS the VM ends whatever the guest does. Once the process has ended,
 * whoever reads what it wrote has LIFE_KILL_GRACE_MS. Before start the VM ends at once.
 */
#ifndef VMM_LIFE_H
#define VMM_LIFE_H

#include <stdint.h>

#include "lib/control.h"
#include "lib/err.h"
#include "lib/proto.h"
#include "lib/vm_config.h"
#include "vmm/control.h"
#include "vmm/faultlog.h"
#include "vmm/guestlog.h"
#include "vmm/life_exec.h"
#include "vmm/life_query.h"
#include "vmm/log.h"
#include "vmm/vcpu.h"
#include "vmm/worker_proc.h"

#define LIFE_KILL_GRACE_MS 1000
#define LIFE_KILL_MAX_MS   10000
#define LIFE_EXECS_MS      1000  /* for readers of exec'd processes' output after the end */
#define LIFE_LAST_WORDS_MS 1000  /* from the control channel's end to the panic that explains it */
#define LIFE_WORKER_MS     10000 /* from the end of a worker's socket to that of its process */
#define LIFE_WHY_MS        3000  /* the same, once the VM has died */
#define LIFE_ANSWER_MS     10000 /* for a SIGNAL to be SIGNALED */
#define LIFE_START_MS      60000 /* for START to be STARTED or FAILED */
#define LIFE_FREEZE_MS     5000 /* for the container to be frozen: then the vCPUs are held anyway */
#define LIFE_RETRY_MS      20   /* after the kernel had no memory for a message */
#define LIFE_SIGNALS_MAX   CONTROL_CLIENTS_MAX
#define LIFE_STATUS_VM     255

enum life_state {
	LIFE_BOOTING,   /* waiting for HELLO */
	LIFE_PREPARING, /* waiting for READY */
	LIFE_CREATED,   /* waiting for the user's START */
	LIFE_STARTING,  /* waiting for STARTED */
	LIFE_RUNNING,   /* waiting for EXITED */
	LIFE_DRAINING,  /* waiting for the last bytes of output to be written */
};

enum life_deadline {
	DEADLINE_BOOT,
	DEADLINE_START,
	DEADLINE_KILL,
	DEADLINE_LAST_WORDS,
	DEADLINE_EXECS,
	DEADLINE_FAULTS,
	DEADLINE_RETRY,
	DEADLINE_FREEZE,
	DEADLINE_WORKER,
	DEADLINES
};

struct life_signal {
	uint32_t id;         /* 0: free */
	control_token token; /* 0: nobody waits, but the guest has not said SIGNALED */
	uint64_t until_ns;
	uint8_t signo;
	bool all; /* to every process */
};

/* The container's control group in the guest is frozen while it is paused. */
struct freezer {
	bool wanted, is;
	bool asked;    /* the question that is under way: freeze, or thaw */
	bool doubtful; /* the guest may have thawed it by itself */
	uint32_t id;   /* of that question; 0: none */
};

struct life {
	const struct vm_config *cfg;
	struct vcpus *vcpus;
	int epoll_fd;
	int vsock_fd;   /* command socket of the vsock device, borrowed */
	int guest_fd;   /* control channel, our end; -1 once it has ended */
	int console_fd; /* read end of the guest log's pipe, borrowed */
	int vcpu_fd;    /* eventfd, borrowed */
	int signal_fd;
	int line_fd;   /* the others' lines for the log (log_take_line()); -1: none */
	int tty_fd;    /* our controlling terminal: the container's; -1: none */
	int report_fd; /* -1: none, or the parent has gone */
	enum life_state state;
	bool ready_reported;
	bool killed; /* SIGKILL was sent: without the guest's word the end is 137 */
	bool ended;
	bool guest_full; /* the guest's channel, the vsock device's socket, takes no message now */
	bool vsock_full;
	bool vsock_gone; /* its socket has ended; the worker's process is about to */
	bool vm_waits;   /* the VM has died, and a worker may be why */
	bool paused;    /* the container is: the vCPUs are held, but for questions (life_pause.c) */
	bool held;      /* the vCPUs are: the guest answers nothing, and is not expected to */
	bool size_due;  /* the terminal's size is not sent yet */
	bool drained;   /* DRAINING: the first process's output is written */
	bool drain_due; /* life_drain()'s command is not sent yet */
	bool kill_due;  /* SIGKILL for kill_process is not sent yet */
	uint32_t start_ms, freeze_ms;  /* LIFE_START_MS, LIFE_FREEZE_MS; tests have less time */
	uint32_t answer_ms;            /* LIFE_ANSWER_MS; so too */
	uint32_t status;               /* while draining: the container's; once ended: the VMM's */
	uint16_t rows, cols;           /* of the terminal, when size_due */
	uint64_t killed_ns;            /* since when, if killed */
	uint32_t writes_seen;          /* the file server's, when the kill deadline was set */
	uint32_t kill_ms, kill_max_ms; /* LIFE_KILL_GRACE_MS, LIFE_KILL_MAX_MS; tests have others */
	const struct vdev_shared *fs;
	struct worker_procs *procs; /* borrowed; NULL in tests */
	uint64_t paused_ns;         /* since when, if paused */
	uint64_t signals_due; /* the first process's that are not sent yet: 1 << (signal - 1) */
	uint64_t all_due;     /* all processes': they wait for the end of a pause here */
	uint32_t kill_process;
	uint32_t drain_id;
	uint32_t next_id;
	uint64_t deadline_ns[DEADLINES];        /* 0: not set */
	control_token start_token, pause_token; /* 0: nobody waits */
	struct freezer freezer;
	struct life_signal signal[LIFE_SIGNALS_MAX];
	struct timeline tl;
	struct log log;
	struct guestlog guestlog;
	struct faultlog *faults;
	struct control control;
	struct execs execs;
	struct asks asks;
	struct proto_rx rx;
};

struct life_fds {
	int vsock, console, vcpu;     /* as in struct life */
	struct faultlog *faults;      /* with its descriptor; borrowed */
	const struct vdev_shared *fs; /* of the file server; borrowed */
	struct worker_procs *procs;   /* workers that are processes; borrowed; NULL: none */
	int line;                     /* as line_fd, taken */
};

/* Everything that can be made before the jail: sockets, signals, epoll, the streams bound to the
 * vsock device. cfg and fds are borrowed. tl: what is marked so far. 0 or -errno. */
int life_init(struct life *l, const struct vm_config *cfg, const struct life_fds *fds,
	const struct timeline *tl, struct err *err);
/* Sets the process's signal dispositions and blocks what life_init() will read; before any thread
 * is made. */
int life_block_signals(struct err *err);
/* Lets the vCPUs run and lives on until the end. Returns the exit status. */
int life_run(struct life *l, struct vcpus *vcpus);

#endif
