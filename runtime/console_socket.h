/* SPDX-License-Identifier: Apache-2.0 */
/* --console-socket: an engine gets the master of a terminal over a Unix socket it listens on. */
#ifndef RUNTIME_CONSOLE_SOCKET_H
#define RUNTIME_CONSOLE_SOCKET_H

#include <stdbool.h>

#include "lib/err.h"

/* What runc says of options that do not fit together. detach: also `create`. */
int console_socket_check(const char *path, bool terminal, bool detach, struct err *err);

/* Sends the master to who listens at path: one message with the slave's name as data and the descriptor,
 * as runc does. -ETIMEDOUT: it takes no connection. */
int console_socket_send(const char *path, int master, struct err *err);

#endif
