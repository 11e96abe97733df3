/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/subid.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "oci/process.h"

#define FILE_MAX (16u << 20) /* a site with many users */

/* Digits up to `end`, and nothing else. */
static bool number(const char *s, char end, uint64_t *ret, const char **ret_end)
{
	char *stop;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*ret = strtoull(s, &stop, 10);
	*ret_end = stop;
	return !errno && (*stop == end || (end == '\n' && !*stop));
}

static bool owned_by(const char *line, size_t len, const char *name, uint32_t uid)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", uid);
	return (name && strlen(name) == len && !strncmp(line, name, len)) ||
	       (strlen(text) == len && !strncmp(line, text, len));
}

static bool parse_line(
	const char *line, const char *name, uint32_t uid, struct subid_range *ret_range)
{
	size_t len = strcspn(line, ":\n");
	uint64_t first, count;
	const char *p;

	if (line[len] != ':' || !len || !owned_by(line, len, name, uid))
		return false;
	if (!number(line + len + 1, ':', &first, &p) || !number(p + 1, '\n', &count, &p))
		return false;
	if (!count || first > OCI_ID_MAX || count > OCI_ID_MAX - first + 1)
		return false;
	*ret_range = (struct subid_range){(uint32_t)first, (uint32_t)count};
	return true;
}

void subid_parse(const char *text, const char *name, uint32_t uid, struct subid_ranges *ret)
{
	ret->n = 0;
	for (const char *line = text; *line && ret->n < SUBID_RANGES_MAX;) {
		ret->n += parse_line(line, name, uid, &ret->v[ret->n]);
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
}

int subid_read(
	const char *path, const char *name, uint32_t uid, struct subid_ranges *ret, struct err *err)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	autofree char *text = NULL;
	size_t len;
	int r;

	ret->n = 0;
	if (fd < 0 && errno == ENOENT)
		return 0;
	r = fd < 0 ? -errno : read_file(fd, FILE_MAX, &text, &len);
	if (r < 0)
		return err_set(err, -r, "cannot read '%s'", path);
	subid_parse(text, name, uid, ret);
	return 0;
}

/* From `first` on up to `end`: how many ids the map does not have yet. 0: it has the first; *ret_skip is then how
 * many of them. */
static uint64_t unused(
	const struct gidmap *map, unsigned n, uint64_t first, uint64_t end, uint64_t *ret_skip)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t from = map[i].outside, to = from + map[i].count;

		if (first >= from && first < to) {
			*ret_skip = MIN(to, end) - first;
			return 0;
		}
		if (from > first)
			end = MIN(end, from);
	}
	return end - first;
}

unsigned subid_map(
	uint32_t own, const struct subid_ranges *ranges, struct gidmap ret_map[SUBID_MAP_MAX])
{
	uint64_t inside = 1;
	unsigned n = 1;

	ret_map[0] = (struct gidmap){.inside = 0, .outside = own, .count = 1};
	for (unsigned i = 0; i < ranges->n; i++) {
		uint64_t first = ranges->v[i].first, end = first + ranges->v[i].count;

		while (first < end && n < SUBID_MAP_MAX && inside <= OCI_ID_MAX) {
			uint64_t skip = 0, count = unused(ret_map, n, first, end, &skip);

			count = MIN(count, OCI_ID_MAX - inside + 1);
			if (count)
				ret_map[n++] = (struct gidmap){.inside = (uint32_t)inside,
					.outside = (uint32_t)first,
					.count = (uint32_t)count};
			inside += count;
			first += count + skip;
		}
	}
	return n;
}

int subid_map_parse(const char *text, struct gidmap *ret_map, unsigned cap)
{
	unsigned n = 0;

	for (const char *p = text; *p; n++) {
		int used = 0;

		if (n == cap ||
			sscanf(p, "%" SCNu32 " %" SCNu32 " %" SCNu32 "%n", &ret_map[n].inside,
				&ret_map[n].outside, &ret_map[n].count, &used) != 3)
			return -EINVAL;
		p += used;
		p += strspn(p, " \n");
	}
	return (int)n;
}

bool subid_map_is(const char *text, const struct gidmap *map, unsigned n)
{
	struct gidmap its[GSPEC_IDMAPS_MAX];

	return subid_map_parse(text, its, ARRAY_SIZE(its)) == (int)n &&
	       !memcmp(its, map, n * sizeof(*map));
}

static const struct gidmap *find_outside(const struct gidmap *ns, unsigned n, uint32_t id)
{
	for (unsigned i = 0; i < n; i++)
		if (id >= ns[i].outside && id - ns[i].outside < ns[i].count)
			return &ns[i];
	return NULL;
}

int subid_translate(const struct gidmap *ns, unsigned n_ns, const struct gidmap *in, unsigned n_in,
	struct gidmap *out, unsigned cap, uint32_t *ret_missing)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_in; i++) {
		struct gidmap rest = in[i];

		while (rest.count) {
			const struct gidmap *e = find_outside(ns, n_ns, rest.outside);
			uint32_t skip, count;

			*ret_missing = rest.outside;
			if (!e)
				return -ENOENT;
			if (n == cap)
				return -E2BIG;
			skip = rest.outside - e->outside;
			count = MIN(rest.count, e->count - skip);
			out[n++] = (struct gidmap){rest.inside, e->inside + skip, count};
			rest.inside += count;
			rest.outside += count;
			rest.count -= count;
		}
	}
	return (int)n;
}
