/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the guest's spec: what decodes must encode to the very same bytes again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/gspec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *data, size_t size)
{
	struct garena arena = {.cap = gspec_arena_bytes(size)};
	struct rbuf r = rbuf_of(data, size);
	const char *what = NULL;
	struct wbuf w = {0};
	struct gspec s;
	int ret;

	arena.mem = malloc(arena.cap);
	if (!arena.mem)
		return;
	ret = gspec_decode(&r, &arena, &s, &what);
	if (ret == -ENOMEM || arena.used > arena.cap)
		abort(); /* gspec_arena_bytes() promised enough */
	if (ret < 0) {
		if (!what || !what[0])
			abort();
		goto out;
	}
	w = wbuf_of(malloc(size), size);
	if (!w.data)
		goto out;
	gspec_encode(&w, &s);
	if (!wbuf_ok(&w) || w.len != size || memcmp(w.data, data, size) != 0)
		abort();
out:
	free(w.data);
	free(arena.mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check(data, size);
	return 0;
}
