/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of a container's own on the host: it stands for one that `exec` runs in the guest. The VMM
 * has the streams; the proxy passes signals and sizes on, and ends as the process does. Its death is the
 * process's (lib/control.h, CTL_EXEC).
 */
#ifndef RUNTIME_EXEC_PROXY_H
#define RUNTIME_EXEC_PROXY_H

#include <stdbool.h>

#include "lib/err.h"
#include "oci/exec_process.h"
#include "runtime/container.h"
#include "runtime/terminal.h"

struct exec_proxy {
	const struct container *c;
	struct exec_process *process;
	const char *console_socket; /* gets the master of a new terminal; NULL: none */
	bool ignore_paused;
	int signal_fd; /* of signals_open_all(), in the same process or its parent */
	/* its own */
	int sock;            /* the connection that stands for the process */
	int slave;           /* of the terminal that console_socket has; -1: none */
	struct terminal raw; /* the user's terminal */
	int size_fd;         /* borrowed: the terminal whose size the process's one has; -1: none */
	struct terminal_size size; /* last told */
};

#define EXEC_PROXY_INIT                                                                       \
	{                                                                                     \
		.signal_fd = -1, .sock = -1, .slave = -1, .raw = TERMINAL_INIT, .size_fd = -1 \
	}

/* Has the process executed. 0, or why it was not: -EINTR with the exit status when a signal came first. */
int exec_proxy_start(struct exec_proxy *p, struct err *err);
/* Waits for its end. The exit status, or -errno. */
int exec_proxy_wait(struct exec_proxy *p, struct err *err);
/* Ends the process if it still runs, and restores the user's terminal. */
void exec_proxy_release(struct exec_proxy *p);

/* Starts the process with a proxy that is a child of ours and waits for it no longer than until the process
 * was executed and the proxy's pid is in pid_file (NULL: none is wanted). Our death before the return is the
 * proxy's, and the process's. The pid, or -errno with nothing left. */
int exec_proxy_detach(struct exec_proxy *p, const char *pid_file, struct err *err);

#endif
