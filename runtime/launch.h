/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a bundle to a booted VM whose container is "created": what create and run share. The VMM
 * becomes a child of the caller. A failure leaves nothing behind: no process, mount, directory,
 * socket.
 */
#ifndef RUNTIME_LAUNCH_H
#define RUNTIME_LAUNCH_H

#include <sys/types.h>

#include "lib/err.h"
#include "lib/timeline.h"
#include "runtime/cgroup.h"
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/launch_terminal.h"
#include "runtime/options.h"

struct launch {
	const char *bundle, *pid_file, *console_socket, *isolation;
	bool no_pivot, no_new_keyring;
	unsigned preserve_fds;
	bool process;  /* the isolation that it is to have */
	bool detach;   /* run: the caller does not wait */
	int signal_fd; /* of signals_open(): interrupts the launch; -1: none */
	struct launch_terminal terminal;
	/* results */
	pid_t pid;
	bool has_pid_file;
	struct cgroup cgroup; /* until the container is created */
	bool has_run_hooks;   /* from here on its undoing runs those of poststop */
	int turn_fd;          /* of the sandbox's child, while it waits */
	int report_fd;        /* read end; the caller may go on to read VMM_ENDED */
	struct timeline timeline;
};

#define LAUNCH_INIT                                                                                \
	{                                                                                          \
		.terminal = LAUNCH_TERMINAL_INIT, .bundle = ".", .report_fd = -1, .signal_fd = -1, \
		.turn_fd = -1                                                                      \
	}

/* clang-format off */
/* The options that create and run share, as table entries. */
#define LAUNCH_OPTIONS(l)                                                                                   \
	{"bundle", 'b', OPTION_STRING, "DIR", "the bundle (default: .)", &(l)->bundle},                     \
	{"pid-file", 0, OPTION_STRING, "FILE", "write the VMM's pid to FILE", &(l)->pid_file},              \
	{"console-socket", 0, OPTION_STRING, "PATH", "socket that gets the terminal", &(l)->console_socket}, \
	{"isolation", 0, OPTION_STRING, "thread|process", "device workers: threads (default) or processes", &(l)->isolation}, \
	{"no-pivot", 0, OPTION_FLAG, NULL, "accepted: the guest always pivots", &(l)->no_pivot},            \
	{"no-new-keyring", 0, OPTION_FLAG, NULL, "accepted: keyrings are the guest's", &(l)->no_new_keyring}, \
	{"preserve-fds", 0, OPTION_NUMBER, "N", "descriptors to pass on (only 0 works)", &(l)->preserve_fds}
/* clang-format on */

/* Makes container `id` and boots it; returns when it is "created". c stays open and locked. */
int launch_container(struct launch *l, const struct global *g, const char *id, struct container *c,
	struct err *err);
/* Ends the child and removes everything, the pid file too; for callers that fail later. */
void launch_undo(struct launch *l, struct container *c);

#endif
