/* SPDX-License-Identifier: Apache-2.0 */
/* The few macros everything uses. */
#ifndef LIB_BASE_H
#define LIB_BASE_H

#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

#define container_of(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* Our own mistake, never something a guest, a bundle or a peer controls. */
#define BUG_ON(cond)                               \
	do {                                       \
		if (__builtin_expect(!!(cond), 0)) \
			__builtin_trap();          \
	} while (0)

#define BIT(n)   (1u << (n))
#define BIT64(n) (1ull << (n))

#endif
