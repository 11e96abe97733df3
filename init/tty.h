/* SPDX-License-Identifier: Apache-2.0 */
/* A terminal for a process: a pty of the container's own devpts. */
#ifndef INIT_TTY_H
#define INIT_TTY_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/gspec.h"

/* Opens a pty through /dev/ptmx below root, of p's size and owner; console: shows it at
 * /dev/console too. */
int tty_open(int root, const struct gproc *p, bool console, int *ret_master, int *ret_slave,
	struct err *err);

/* Makes it the controlling terminal of the calling session leader. */
int tty_control(int slave, struct err *err);

#endif
