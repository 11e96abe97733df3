/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that the agent has forked for the host, as seen from the agent: its report socket until
 * execve(2), its streams, its end. What is said to the host about it is its owner's affair
 * (first.c, execs.c).
 */
#ifndef INIT_PROC_H
#define INIT_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#include "init/child.h"
#include "init/loop.h"
#include "init/relay.h"

struct proc;

struct proc_ops {
	void (*said)(struct proc *p, const struct child_msg *m); /* READY or FAILED */
	void (*closed)(struct proc *p);                          /* the report socket has ended */
};

struct proc {
	const struct proc_ops *ops;
	uint32_t flags; /* GPROC_TERMINAL, GPROC_STD*_NULL */
	pid_t pid;      /* -1: none yet */
	bool reaped;
	int wait_status;
	int sock; /* the report socket; -1 once its end was read */
	struct watch w_sock;
	int outer[3]; /* streams to the host that wait for the terminal; -1 */
	bool sized;   /* the host has given another size than the terminal is made with */
	struct winsize size;
	struct relay relays[3]; /* by stream */
	uint8_t *bufs;          /* three of buf_bytes, for the relays */
	uint32_t buf_bytes;
};

/* wait(2)'s status as the protocol says it: 0..255, or 128+N with *ret_signo N. */
int exit_status_of(int wait_status, uint32_t *ret_signo);

/* Forgets whatever was; the buffers are borrowed. */
void proc_init(struct proc *p, const struct proc_ops *ops, uint32_t flags, uint8_t *bufs,
	uint32_t buf_bytes);

/* Takes the streams to the host and init's ends of the pipes (-1: none) and relays between them,
 * with a terminal once the child has sent it. */
void proc_streams_take(struct proc *p, int outer[3], int inner[3]);

/* Takes the report socket. 0 or -errno. */
int proc_listen_take(struct proc *p, int *sock);

/* Takes what the child has said by now. */
void proc_hear(struct proc *p);

void proc_stop_streams(struct proc *p);
bool proc_streams_open(const struct proc *p);

/* A terminal that nobody looks at any more is hung up. Called at the end of each turn. */
void proc_settle(struct proc *p);

/* 0 or a positive errno. */
int proc_signal(const struct proc *p, uint32_t signo);

void proc_resize(struct proc *p, uint16_t rows, uint16_t cols);

#endif
