/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile shapes of rings, descriptors and registers, for any device: one table. What takes a second
 * vCPU is in test_hostile.c. */
#ifndef TESTS_DEVICE_SHAPES_H
#define TESTS_DEVICE_SHAPES_H

#include "tests/device/driver.h"

/* What a shape leads to, besides the VFAULT_* that it names. */
enum { HARMLESS = 0, ANY = -1 /* depends on the device or on who wins a race */, NO_START = -2 };

struct shape {
	const char *name;
	int expect;
	void (*attack)(struct drv *d, int arg);
	int arg;
};

extern const struct shape ring_shapes[];
extern const unsigned n_ring_shapes;

/* The queue under attack; its descriptor i; a chain made available there, with a kick. */
struct drv_queue *shape_queue(struct drv *d);
void shape_desc(
	struct drv *d, unsigned i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);
void shape_submit(struct drv *d, uint16_t head);

#endif
