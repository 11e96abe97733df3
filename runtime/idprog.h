/* SPDX-License-Identifier: Apache-2.0 */
/*
 * newuidmap(1) and newgidmap(1): programs with root's rights that write the maps of an ordinary user's
 * user namespaces, as far as subuid(5) and subgid(5) allow.
 */
#ifndef RUNTIME_IDPROG_H
#define RUNTIME_IDPROG_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/gspec.h"

#define IDPROG_WAIT_MS 30000

/* Finds `name` in the directories of path_env ($PATH; NULL: the usual ones). An element that is empty or no
 * absolute path is not searched: what lies in the working directory is not to be executed by surprise.
 * Returns 0 or -ENOENT. */
int idprog_find(const char *path_env, const char *name, char *out, size_t out_bytes);

struct idprog {
	const char *path; /* of idprog_find() */
	pid_t target;     /* a process of the caller's, in the namespace */
	const struct gidmap *map;
	unsigned n;
	int timeout_ms; /* IDPROG_WAIT_MS; less for tests */
	int stop_fd;    /* hung up: the wait is over; -1: none */
};

/* Runs it, with next to no environment and no descriptors of ours, and waits. -ETIMEDOUT, -EINTR (stop_fd), or
 * what it says itself, the beginning of that: err quotes it. It has ended in any case, as far as the caller
 * may end it. That the map is written is for the caller to check. */
int idprog_run(const struct idprog *p, struct err *err);

#endif
