/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"

#define ARENA_ALIGN 16u
#define ARENA_BLOCK (16u << 10)

struct arena_block {
	struct arena_block *prev;
	size_t cap, used;
	_Alignas(ARENA_ALIGN) uint8_t mem[];
};

static struct arena_block *block_new(struct arena *a, size_t bytes)
{
	size_t cap = MAX(bytes, (size_t)ARENA_BLOCK), total;
	struct arena_block *b;

	if (__builtin_add_overflow(cap, sizeof(*b), &total))
		return NULL;
	b = calloc(1, total);
	if (!b)
		return NULL;
	b->prev = a->last;
	b->cap = cap;
	a->last = b;
	return b;
}

void *arena_alloc(struct arena *a, size_t n, size_t size)
{
	struct arena_block *b = a->last;
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes) ||
		__builtin_add_overflow(bytes, ARENA_ALIGN - 1, &bytes))
		return NULL;
	bytes &= ~(size_t)(ARENA_ALIGN - 1);
	if (!b || bytes > b->cap - b->used) {
		b = block_new(a, bytes);
		if (!b)
			return NULL;
	}
	p = b->mem + b->used;
	b->used += bytes;
	return p;
}

char *arena_strdup(struct arena *a, const char *s, size_t len)
{
	char *p = len < SIZE_MAX ? arena_alloc(a, len + 1, 1) : NULL;

	if (p)
		memcpy(p, s, len); /* the block is zeroed: the NUL is there */
	return p;
}

void arena_release(struct arena *a)
{
	while (a->last) {
		struct arena_block *b = a->last;

		a->last = b->prev;
		free(b);
	}
}
