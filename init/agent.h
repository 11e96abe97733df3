/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: prepares the container, then serves the control channel (lib/proto.h), relays the
 * standard streams and reaps, until the peer closes the control channel.
 */
#ifndef INIT_AGENT_H
#define INIT_AGENT_H

#include "init/container.h"
#include "lib/gspec.h"

/* Says FAILED before there is an agent. */
void agent_fail(int control, const struct err *err);

/* HELLO has been sent. Returns when the control channel has ended; everything else is reported
 * through it. All signals are blocked by then. */
void agent_run(const struct init_env *env, const struct gspec *spec);

/* Only waits for the control channel's end: after agent_fail(). */
void agent_wait(int control);

#endif
