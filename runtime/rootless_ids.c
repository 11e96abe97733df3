/* SPDX-License-Identifier: Apache-2.0 */
/* The ids of a bundle in the user namespace that was made for it. */
#include "runtime/rootless.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

#define MAP_TEXT_MAX (64u << 10)

struct ids {
	struct gidmap map[GSPEC_IDMAPS_MAX];
	unsigned n;
};

static int read_ids(const char *path, struct ids *ret, struct err *err)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	autofree char *text = NULL;
	size_t len;
	int r = fd < 0 ? -errno : read_file(fd, MAP_TEXT_MAX, &text, &len);

	if (r == 0)
		r = subid_map_parse(text, ret->map, ARRAY_SIZE(ret->map));
	if (r < 0)
		return err_set(err, -r, "cannot read %s", path);
	ret->n = (unsigned)r;
	return 0;
}

static int check_id(const struct ids *ids, const char *field, uint32_t id, struct err *err)
{
	for (unsigned i = 0; i < ids->n; i++)
		if (id >= ids->map[i].inside && id - ids->map[i].inside < ids->map[i].count)
			return 0;
	return err_plain(err, EINVAL, "%s: %u is not in the user namespace%s", field, id,
		ids->n == 1 && ids->map[0].count == 1
			? ", which has one id only: ranges in /etc/subuid and /etc/subgid, and "
			  "newuidmap, "
			  "give it more"
			: "");
}

static int translate(struct container_spec *spec, const struct ids *ids, const char *field,
	const struct gidmap **map, uint32_t *n, struct err *err)
{
	struct gidmap *out = arena_alloc(&spec->arena, GSPEC_IDMAPS_MAX, sizeof(*out));
	uint32_t missing = 0;
	int r;

	if (!out)
		return err_set(err, ENOMEM, "cannot translate %s", field);
	r = subid_translate(ids->map, ids->n, *map, *n, out, GSPEC_IDMAPS_MAX, &missing);
	if (r == -ENOENT)
		return err_plain(err, EINVAL,
			"%s: hostID %u is neither the caller's own nor in his ranges", field,
			missing);
	if (r < 0)
		return err_plain(err, -r,
			"%s: in the caller's user namespace these are more than %u mappings", field,
			GSPEC_IDMAPS_MAX);
	*map = out;
	*n = (uint32_t)r;
	return 0;
}

int rootless_translate(struct container_spec *spec, struct err *err)
{
	struct gspec *g = &spec->guest;
	struct ids uids, gids;
	int r;

	if (!rootless_in_userns())
		return 0;
	r = read_ids("/proc/self/uid_map", &uids, err);
	if (r == 0)
		r = read_ids("/proc/self/gid_map", &gids, err);
	if (r < 0)
		return r;
	if (!(g->namespaces & GNS_USER)) {
		r = check_id(&uids, "process.user.uid", g->proc.uid, err);
		return r < 0 ? r : check_id(&gids, "process.user.gid", g->proc.gid, err);
	}
	if (!rootless_entered()) /* they are those of the namespace already */
		return 0;
	r = translate(spec, &uids, "linux.uidMappings", &g->uid_maps, &g->n_uid_maps, err);
	return r < 0 ? r
		     : translate(
			       spec, &gids, "linux.gidMappings", &g->gid_maps, &g->n_gid_maps, err);
}
