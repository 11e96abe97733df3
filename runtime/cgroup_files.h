/* SPDX-License-Identifier: Apache-2.0 */
/* Values for the files of a cgroup on the host, in cgroup v2's terms, written to either version. */
#ifndef RUNTIME_CGROUP_FILES_H
#define RUNTIME_CGROUP_FILES_H

#include "runtime/cgroup.h"

/* memory_max: what a number for memory.max becomes; 0: such a value is left out. */
int cgroup_write(const struct cgroup *cg, const struct gkeyval *files, uint32_t n,
	uint64_t memory_max, struct err *err);

/* One file of the directory dir; -errno. A value ends up in it in one write(2). */
int cgroup_put(int dir, const char *file, const char *value);
/* The beginning of a file, NUL-terminated; -errno. */
int cgroup_get(int dir, const char *file, char *buf, size_t cap);

/* cpu.weight to cpu.shares. */
uint64_t cgroup_shares_of_weight(uint64_t weight);

#endif
