/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory-mapped I/O dispatch: which window an exit's address belongs to. Windows are added before
 * the vCPUs run and never change afterwards, so lookups take no lock; handlers lock for themselves.
 */
#ifndef VMM_BUS_H
#define VMM_BUS_H

#include <stdint.h>

#include "lib/err.h"

#define BUS_WINDOWS_MAX 16

struct bus_ops {
	void (*read)(void *opaque, uint64_t off, void *data, uint32_t len);
	void (*write)(void *opaque, uint64_t off, const void *data, uint32_t len);
};

struct bus_window {
	uint64_t base, bytes;
	const struct bus_ops *ops;
	void *opaque;
};

struct bus {
	struct bus_window window[BUS_WINDOWS_MAX];
	unsigned n;
};

/* 0, -EINVAL (empty or wraps), -EEXIST (overlaps another), -ENOSPC. */
int bus_add(struct bus *b, uint64_t base, uint64_t bytes, const struct bus_ops *ops, void *opaque,
	struct err *err);

/* One access of len (1 to 8) bytes. An access that lies in no window, or only partly in one, reads
 * all ones and writes nothing. Guest-controlled: never fails, never logs. */
void bus_read(const struct bus *b, uint64_t gpa, void *data, uint32_t len);
void bus_write(const struct bus *b, uint64_t gpa, const void *data, uint32_t len);

#endif
