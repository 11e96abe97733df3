/* SPDX-License-Identifier: Apache-2.0 */
/* The container's processes as lib/proto.h describes them, read from init's procfs. What stands there
 * is the container's: names and arguments of its own choice. */
#ifndef INIT_PS_H
#define INIT_PS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/proto.h"

/* One process. own_pids: the container numbers its processes itself. False: it is gone. */
bool ps_read(pid_t pid, bool own_pids, struct proto_process *ret_p);

/* The pieces, for tests. /proc/N/stat: 0, or -EINVAL. ppid is as init numbers it. */
struct ps_stat {
	char comm[16], stat[8];
	uint32_t ppid, tty;
	uint64_t ticks, start_ticks; /* user and system time; since boot */
};

int ps_parse_stat(const char *text, struct ps_stat *ret_s);

/* Of /proc/N/status: the number of the line "<name>:" at that index; 0 if there is none. */
uint32_t ps_status_number(const char *text, const char *name, unsigned index);

/* /proc/N/cmdline, of len bytes, as one line of out_bytes: cut, control characters as '?'. */
void ps_args(const char *cmdline, size_t len, char *out, size_t out_bytes);

#endif
