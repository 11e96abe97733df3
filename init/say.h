/* SPDX-License-Identifier: Apache-2.0 */
/* What init sends on the control channel. */
#ifndef INIT_SAY_H
#define INIT_SAY_H

#include <stdint.h>

#include "lib/err.h"
#include "lib/proto.h"

/* Everything below goes there: a connected, blocking stream socket, borrowed. */
void say_to(int control);

/* A peer that does not listen any more is noticed by the agent's loop; there is no other to tell. */
void say(enum proto_type type, const void *payload, uint32_t len);

/* Why something failed, as FAILED and EXEC_FAILED carry it. */
struct proto_failed say_why(const struct err *err);

#endif
