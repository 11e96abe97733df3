/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Further processes in a container (CTL_EXEC, PROTO_EXEC): a fixed number of slots, each with four vsock
 * ports of its own, the connection of its proxy, and a state machine that ends in a free slot whoever
 * goes first: the process, its children, its proxy, the reader of its output.
 *
 *	BINDING -> ASKED -> RUNNING -> DRAINING -> OVER -> FLUSHING -> UNBINDING -> FREE
 *
 * life_exec.c: proxies, the guest, deadlines. life_exec_dev.c: the vsock device.
 *
 * What the guest may say of an id is exactly what these states wait for; anything else breaks the
 * protocol and ends the VM (docs/protocol.md). A guest that never says CLOSED keeps the slot: it runs
 * out of them, nobody else does. So does whoever keeps the reading end of an ended process's output
 * open and does not read: bytes are thrown away for it only when the container ends (LIFE_EXECS_MS).
 */
#ifndef VMM_LIFE_EXEC_H
#define VMM_LIFE_EXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/control.h"
#include "lib/proto.h"
#include "vmm/virtio/devices.h"

struct life;

enum exec_state {
	EXEC_FREE,
	EXEC_BINDING,   /* the vsock device takes the descriptors, one after the other */
	EXEC_ASKED,     /* waiting for EXEC_STARTED or EXEC_FAILED */
	EXEC_RUNNING,   /* waiting for EXEC_EXITED */
	EXEC_DRAINING,  /* waiting for what it wrote to be written; then the proxy is told */
	EXEC_OVER,      /* the proxy knows all: waiting for EXEC_CLOSED */
	EXEC_FLUSHING,  /* CLOSED came: waiting for what its children wrote */
	EXEC_UNBINDING, /* waiting for the ports to be free again */
};

struct exec_slot {
	uint8_t state;        /* enum exec_state */
	uint8_t port;         /* BINDING: enum proto_exec_port that was asked for last */
	bool closed;          /* CLOSED came early, while DRAINING */
	bool cmd_due;         /* the command of the state is not sent yet */
	bool exec_due;        /* EXEC itself is not sent yet */
	bool kill_due;        /* SIGKILL for it, after its proxy's end, is not sent yet */
	bool resize_due;      /* nor RESIZE */
	uint16_t rows, cols;  /* what to send then */
	uint64_t signals_due; /* the proxy's that are not sent yet: 1 << (signal - 1) */
	uint32_t generation;  /* of the slot: an old id never means a new process */
	uint32_t first_port;
	uint32_t flags;  /* of EXEC */
	uint32_t cmd_id; /* of the command that the vsock device has; 0: none */
	uint32_t status; /* once it is over */
	uint64_t
		until_ns; /* BINDING: for the device; ASKED: for the guest, if it is not busy with others */
	int conn_fd;              /* its proxy; -1: gone, or told all */
	int fd[PROTO_EXEC_PORTS]; /* BINDING: not the vsock device's yet; -1: none */
};

struct execs {
	unsigned n;        /* slots that are not free */
	uint64_t heard_ns; /* when the guest last said something about one of them */
	bool ports_known;  /* tests: from PROTO_PORT_EXEC on, by slot */
	struct exec_slot slot[PROTO_EXECS_MAX];
};

void life_exec_init(struct life *l);
/* CTL_EXEC. True: refused, *reply says why. False: *conn_fd and what it needs of fds are taken (-1), the
 * connection is watched. */
bool life_exec_request(struct life *l, int *conn_fd, const struct ctl_request *req, int *fds,
	unsigned n, struct ctl_reply *reply);
/* EXEC_STARTED, _FAILED, _EXITED, _CLOSED. False: out of turn, or of no process. */
bool life_exec_frame(struct life *l, const struct proto_frame *f);
/* Its proxy's connection is ready. */
void life_exec_conn(struct life *l, uint32_t slot, uint32_t events);
bool life_exec_vsock(struct life *l, const struct vsock_cmd_reply *r); /* false: not for us */
bool life_exec_unwritten(const struct life *l);                        /* output is waited for */
/* The guest, the vsock device, takes messages again. */
void life_exec_guest_room(struct life *l);
void life_exec_vsock_room(struct life *l);
void life_exec_expire(struct life *l, uint64_t now_ns);
uint64_t life_exec_next_ns(const struct life *l);     /* UINT64_MAX: none waits */
void life_exec_postpone(struct life *l, uint64_t ns); /* no deadline ran while the VM was paused */
/* The VM ends. failed NULL: with the container, whose processes have been killed. */
void life_exec_end(struct life *l, const struct ctl_reply *failed);

#endif
