/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The size of the container's terminal (VM_FLAG_TERMINAL). The terminal itself is in the guest; what we
 * have in place of the standard streams is a byte pipe in raw mode, whose size is the user's window:
 *
 *  - the slave of a pty made for the container: it becomes our controlling terminal, so the kernel tells
 *    us of a new size (SIGWINCH) and of the master's end (SIGHUP, which goes on to the process)
 *
 *  - a terminal of somebody else's session: whoever that is says the size with CTL_RESIZE
 */
#ifndef VMM_LIFE_TTY_H
#define VMM_LIFE_TTY_H

#include "lib/control.h"
#include "lib/err.h"

struct life;

/* Takes standard input as controlling terminal, if it is to be had. 0 or -errno. */
int life_tty_init(struct life *l, struct err *err);
/* The terminal may have a new size. */
void life_tty_changed(struct life *l);
/* Sends the size, if the process has not heard of it and there is a process. */
void life_tty_push(struct life *l);
bool life_tty_request(struct life *l, uint32_t arg, struct ctl_reply *reply); /* CTL_RESIZE; true */

#endif
