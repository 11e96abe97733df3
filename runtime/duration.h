/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_DURATION_H
#define RUNTIME_DURATION_H

#include <stdint.h>

/* A duration as Go's command lines take it: "5s", "1m30s", "1.5h", "100ms" (h, m, s, ms, us, ns); "0". 0 or
 * -EINVAL; also for what is negative or longer than 290 years. */
int duration_parse(const char *text, uint64_t *ret_ns);

#endif
