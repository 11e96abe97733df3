/* SPDX-License-Identifier: Apache-2.0 */
/* One process of a container, as `ps -ef` shows one, or `ps -ex`. */
#ifndef RUNTIME_PS_TABLE_H
#define RUNTIME_PS_TABLE_H

#include <stdint.h>
#include <stdio.h>

#include "lib/proto.h"

#define PS_TABLE_HEAD "UID          PID    PPID  C STIME TTY          TIME CMD"

#define PS_STATES_HEAD "    PID TTY      STAT   TIME COMMAND"

/* p is the guest's word: every text is cut and made printable. now_s: wall clock. */
void ps_table_row(FILE *f, const struct proto_process *p, uint64_t now_s);
void ps_states_row(FILE *f, const struct proto_process *p);

#endif
