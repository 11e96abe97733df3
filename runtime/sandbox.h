/* SPDX-License-Identifier: Apache-2.0 */
/* The VMM's process before it is the VMM: session, namespaces, share tree, exec. */
#ifndef RUNTIME_SANDBOX_H
#define RUNTIME_SANDBOX_H

#include "lib/err.h"
#include "lib/vm_config.h"
#include "oci/spec.h"
#include "runtime/cgroup.h"
#include "runtime/share.h"

/* Opens spec->netns_path, if given, and checks that it is a network namespace. *ret_fd -1: none
 * given. */
int sandbox_open_netns(const struct container_spec *spec, int *ret_fd, struct err *err);

struct sandbox {
	const struct container_spec *spec;
	const char
		*rootfs; /* where hooks find the root file system, absolute; NULL: there are none */
	int dir_fd; /* the container's state directory: CONTAINER_SHARE in it is the mount point */
	int netns_fd;      /* network namespace to enter; -1: a new one */
	int vmm_fd;        /* coracle-vmm */
	bool has_terminal; /* slave_fd becomes its standard input and output */
	int slave_fd;
	pid_t parent;
	const struct cgroup *cgroup; /* to enter first thing */
	int turn_fd; /* socket: the child says that it has its namespaces, in the share tree's root, and
			is told to go on; see sandbox_prepared() and sandbox_go() */
};

/* The parent's end of turn_fd. prepared: waits for the child; -EPIPE without an error set: it failed,
 * and reports why. */
int sandbox_prepared(int turn_fd, int signal_fd, struct err *err);
int sandbox_go(int turn_fd, struct err *err);

/* In the child: never returns. Failure is reported on cfg->fd[VM_FD_REPORT] as VMM_FAILED. */
_Noreturn void sandbox_exec(struct vm_config *cfg, const struct sandbox *s);

#endif
