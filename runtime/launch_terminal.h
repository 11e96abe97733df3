/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal of a container's first process, as create and run provide it. With --console-socket: a new
 * pty whose master goes to the engine and whose slave is the VMM's standard input and output, and its controlling
 * terminal, so that the VMM sees the size change and the engine hang up. Else, in the foreground, the
 * caller's own streams, and its terminal in raw mode.
 */
#ifndef RUNTIME_LAUNCH_TERMINAL_H
#define RUNTIME_LAUNCH_TERMINAL_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/gspec.h"
#include "runtime/container.h"
#include "runtime/terminal.h"

struct launch_terminal {
	bool wanted;               /* process.terminal */
	int master, slave;         /* of the new pty; -1: none */
	struct terminal raw;       /* the caller's */
	struct terminal_size size; /* last told to the process */
};

#define LAUNCH_TERMINAL_INIT                                    \
	{                                                       \
		.master = -1, .slave = -1, .raw = TERMINAL_INIT \
	}

/* Checks the options against p and opens what is needed; p gets the size. Release it also after a
 * failure. */
int launch_terminal_open(struct launch_terminal *t, const char *console_socket, bool detach,
	struct gproc *p, struct err *err);
/* Once the VMM has the slave: gives the master away, if there is one. */
int launch_terminal_send(
	const struct launch_terminal *t, const char *console_socket, struct err *err);
/* Before the process runs, in the foreground: raw mode, if there is a terminal. */
int launch_terminal_attach(struct launch_terminal *t, struct err *err);
/* Tells the process the size of the caller's terminal, if that is another than before. */
void launch_terminal_resize(struct launch_terminal *t, const struct container *c);
/* Closes, and restores the caller's terminal; also more than once. */
void launch_terminal_release(struct launch_terminal *t);

/* In the VMM's process: the slave as standard input and output; nothing of the caller's is kept. */
int launch_terminal_enter(int slave, struct err *err);

#endif
