/* SPDX-License-Identifier: Apache-2.0 */
/* The container's first process: its phases, and what is said to the host about them. */
#ifndef INIT_FIRST_H
#define INIT_FIRST_H

#include <stdbool.h>

#include "init/container.h"
#include "init/proc.h"
#include "lib/err.h"
#include "lib/gspec.h"

enum first_phase {
	FIRST_PREPARING, /* the child works on the container */
	FIRST_CREATED,   /* READY sent; waiting for START */
	FIRST_STARTING,  /* told to execute */
	FIRST_RUNNING,   /* STARTED sent */
	FIRST_OVER,      /* EXITED or FAILED sent; only the control channel's end is awaited */
};

struct first {
	const struct init_env *env;
	const struct gspec *spec;
	struct container c; /* but for what p has taken */
	struct proc p;
	enum first_phase phase;
	uint64_t rootfs_ns;
};

/* Makes the container; a failure is said to the host. Both are borrowed for good. */
void first_spawn(struct first *f, const struct init_env *env, const struct gspec *spec);

/* START has come. */
void first_start(struct first *f);

/* wait(2) has given its end. */
void first_ended(struct first *f, int wait_status);

/* True when the process has ended and all it wrote is with the host. */
bool first_done(const struct first *f);

/* Gives the host what files have still to be written, and says EXITED: the last thing it waits for. */
void first_exit(struct first *f);

#endif
