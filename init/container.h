/* SPDX-License-Identifier: Apache-2.0 */
/* The container's first process: forked, prepared up to the point where execve(2) is all that is
 * left. */
#ifndef INIT_CONTAINER_H
#define INIT_CONTAINER_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/gspec.h"
#include "lib/proto.h"

/* What init needs of its surroundings; nothing below knows whether it is in a VM. */
struct init_env {
	int control;    /* stream socket, connected, blocking */
	int streams[3]; /* stdin, stdout, stderr: stream sockets, non-blocking, perhaps still
			   connecting; -1: none */
	int share;      /* O_PATH directory in init's mount namespace: the share's top level */
	int null;   /* /dev/null, read-write, on a mount of init's mount namespace without nodev */
	int cgroup; /* cgroup v2 directory in which the container's group is made */
	/* A further stream socket to the host, non-blocking, perhaps still connecting; or -errno. */
	int (*connect)(uint32_t port, struct err *err);
};

struct container {
	pid_t pid;
	int sock;     /* reports, and one byte to it: execute. taken by whoever listens */
	int group;    /* cgroup directory */
	int stdio[3]; /* init's ends of the pipes, non-blocking; -1: none (null, or a terminal: see
			 below) */
};

/* Makes cgroup, pipes and process. The child's report follows on c->sock. After a failure c may be
 * half made; nothing of it is released, as the guest ends. */
int container_spawn(
	const struct init_env *env, const struct gspec *spec, struct container *c, struct err *err);

/* CLOCK_BOOTTIME in nanoseconds: the protocol's time. */
uint64_t boot_ns(void);

#endif
