/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host asks or wants done with the container as a whole: ASK, and SIGNAL to all. Each is
 * the work of a child of init's own, outside the container: what the container keeps in its groups
 * and processes may take long to go through, or get stuck. After 15 s the child is killed and the host told so
 * (ETIMEDOUT).
 */
#ifndef INIT_ASK_H
#define INIT_ASK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "init/first.h"
#include "lib/proto.h"

#define ASKS_MAX 16 /* at a time; a further one is answered with EAGAIN */

/* The container meant, borrowed for good. */
void ask_open(const struct first *first);

/* ASK with the len bytes that follow it. False when the host does not keep to the protocol. */
bool ask_start(const struct proto_ask *m, const void *payload, uint32_t len);

/* SIGNAL to PROTO_PROCESS_ALL; SIGNALED follows. */
void ask_signal_all(uint32_t id, uint32_t signo);

/* True while a SIGNAL to all has not been answered: that comes before the end it may bring. */
bool ask_signalling(void);

/* Every child that init has reaped. True when it was one of these. */
bool ask_reaped(pid_t pid);

/* The next deadline, in boot_ns(); UINT64_MAX: none. */
uint64_t ask_next_ns(void);

/* At the end of each turn: ends what has had its time, frees what is done. */
void ask_settle(void);

#endif
