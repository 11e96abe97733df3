/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ids that an ordinary user may use beside his own: subuid(5), subgid(5), and the map of a user
 * namespace that is made of them. The files belong to root and name what newuidmap(1) will allow; it
 * checks for itself, so nothing here is a security boundary.
 */
#ifndef RUNTIME_SUBID_H
#define RUNTIME_SUBID_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/gspec.h"

#define SUBID_RANGES_MAX 64 /* of one user; more are left out */
#define SUBID_MAP_MAX    (2u * SUBID_RANGES_MAX + 1)

struct subid_range {
	uint32_t first, count; /* count > 0; first + count - 1 is an id */
};

struct subid_ranges {
	struct subid_range v[SUBID_RANGES_MAX];
	unsigned n;
};

/* The lines "OWNER:FIRST:COUNT" of a user, who is named there by name or by number. name may be NULL.
 * Lines that are not of that form are nobody's, as they are to newuidmap. */
void subid_parse(const char *text, const char *name, uint32_t uid, struct subid_ranges *ret);
/* The same of a file; one that is not there has no ranges. */
int subid_read(const char *path, const char *name, uint32_t uid, struct subid_ranges *ret,
	struct err *err);

/* 0 is the caller's own id, from 1 on the ranges, in their order. What is in two ranges is taken once, as the
 * kernel wants it. Returns the number of entries, at least 1. */
unsigned subid_map(
	uint32_t own, const struct subid_ranges *ranges, struct gidmap ret_map[SUBID_MAP_MAX]);

/* The map that the text of /proc/PID/uid_map or gid_map says. The number of entries, or -EINVAL. */
int subid_map_parse(const char *text, struct gidmap *ret_map, unsigned cap);

/* The same ids, seen from inside `ns`: what `in` has as outside is an outside of ns, and becomes the inside of it.
 * Returns the number of entries; -ENOENT with *ret_missing: an id that ns does not have; -E2BIG. */
int subid_translate(const struct gidmap *ns, unsigned n_ns, const struct gidmap *in, unsigned n_in,
	struct gidmap *out, unsigned cap, uint32_t *ret_missing);

/* Whether the text of /proc/PID/uid_map or gid_map says exactly this map. */
bool subid_map_is(const char *text, const struct gidmap *map, unsigned n);

#endif
