/* SPDX-License-Identifier: Apache-2.0 */
/* What the container's control group counts, and the guest's memory. */
#ifndef INIT_STATS_H
#define INIT_STATS_H

#include "lib/proto.h"

/* What the kernel does not count is 0, or no limit. */
void stats_read(int group, struct proto_stats *ret_s);

/* The value of `key` in lines of "key value"; key NULL: of the whole text. "max" is UINT64_MAX. 0, or
 * -ENOENT. */
int stats_value(const char *text, const char *key, uint64_t *ret_v);

#endif
