/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations that live and die together: what a translated spec points to. */
#ifndef OCI_ARENA_H
#define OCI_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *last;
};

/* n zeroed items of size bytes, 16-byte aligned; NULL when out of memory or n * size overflows.
 * n may be 0: the result is then a valid pointer to nothing. */
void *arena_alloc(struct arena *a, size_t n, size_t size);

/* A NUL-terminated copy of len bytes; NULL when out of memory. */
char *arena_strdup(struct arena *a, const char *s, size_t len);

void arena_release(struct arena *a);

#endif
