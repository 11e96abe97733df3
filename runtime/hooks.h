/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running hooks on the host (config.md, "POSIX-platform Hooks"; those of startContainer run in the
 * guest, init/hooks.c). A hook gets the container's state as JSON on standard input, the arguments
 * and the environment that it was given and nothing else: no descriptor, no blocked signal. It leads
 * a process group of its own, and dies with the command that runs it. What it prints is shown when
 * it fails, cut, as runc shows it.
 */
#ifndef RUNTIME_HOOKS_H
#define RUNTIME_HOOKS_H

#include <sys/types.h>

#include "lib/err.h"
#include "oci/hooks.h"
#include "oci/state.h"

struct hook_env {
	const char *dir; /* working directory; one that is not there is passed over. NULL: ours */
	pid_t enter;     /* > 0: run in that process's mount, network, ipc and uts namespaces */
	pid_t watch; /* > 0: the end of that process (the VMM's) ends the hook: nobody needs it then */
	int signal_fd; /* of signals_open(): interrupts; -1: none */
};

/* In order; the first failure ends it: "error running prestart hook #1: exit status 1, stdout: ,
 * stderr: ...", -EINTR and what signals_wait() says when interrupted. `state`: JSON. */
int hooks_run(const struct hook_list *list, enum hook_kind kind, const char *state,
	const struct hook_env *env, struct err *err);

/* The same with a failure logged as a warning, and the rest run all the same. */
void hooks_run_all(const struct hook_list *list, enum hook_kind kind, const char *state,
	const struct hook_env *env);

/* What hooks read, in compact JSON; malloc'd, NULL when out of memory. */
char *hooks_state(const struct cstate *s, const char *status);
/* What startContainer hooks in the guest read, but for "N}", the pid that is known there only. */
char *hooks_guest_state(const struct cstate *s, const char *status);

#endif
