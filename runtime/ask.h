/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the guest (CTL_ASK). What comes back is the guest's: bounded here, checked by the caller. */
#ifndef RUNTIME_ASK_H
#define RUNTIME_ASK_H

#include <stddef.h>

#include "lib/err.h"
#include "lib/proto.h"
#include "runtime/container.h"

/* Takes one message of the answer; len is not 0. 0, or -errno with err set to give up. */
typedef int ask_take_fn(void *arg, const void *data, size_t len, struct err *err);

/* payload_fd: a sealed memfd, -1: none. take is called for every message of the answer, in order; an answer
 * that has none is an error unless take is NULL. */
int ask_guest(const struct container *c, enum proto_question what, int payload_fd,
	ask_take_fn *take, void *arg, struct err *err);

int ask_stats(const struct container *c, struct proto_stats *ret, struct err *err);

#endif
