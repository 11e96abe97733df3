/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that the host has executed in the container beside the first one: EXEC of
 * lib/proto.h. */
#ifndef INIT_EXECS_H
#define INIT_EXECS_H

#include <stdbool.h>
#include <sys/types.h>

#include "init/first.h"
#include "lib/proto.h"

/* The container whose processes these are, borrowed for good. Raises init's limit of descriptors: to
 * be called after the first process was forked. */
void execs_open(const struct first *first);

/* False when the host does not keep to the protocol. What cannot be executed is said to it. */
bool execs_start(const struct proto_exec *m);

/* The one with this id, or NULL. */
struct proc *execs_find(uint32_t id);

/* wait(2) has given a process's end: true when it was one of these. */
bool execs_ended(pid_t pid, int wait_status);

/* At the end of each turn: says what has come to its end, and frees its slot. */
void execs_settle(void);

/* True when there are none. */
bool execs_none(void);

/* The container has ended and their streams have had their time: what is still on the way is lost, and who lives is
 * killed. */
void execs_abandon(void);

#endif
