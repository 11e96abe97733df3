/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/idmap.h"

#include "oci/process.h"

static bool overlap(uint32_t a, uint32_t a_size, uint32_t b, uint32_t b_size)
{
	return a < b ? b - a < a_size : a - b < b_size;
}

static int check(struct spec_ctx *c, const struct jnode *n, const struct gidmap *v, uint32_t i)
{
	const struct gidmap *m = &v[i];

	if (m->count > UINT32_MAX - m->inside || m->count > UINT32_MAX - m->outside)
		return jnode_err(n, c->err, "%u ids from %u and %u on go past the last one",
			m->count, m->inside, m->outside);
	for (uint32_t j = 0; j < i; j++) {
		if (overlap(m->inside, m->count, v[j].inside, v[j].count))
			return jnode_err(n, c->err, "containerID: overlaps that of element %u", j);
		if (overlap(m->outside, m->count, v[j].outside, v[j].count))
			return jnode_err(n, c->err, "hostID: overlaps that of element %u", j);
	}
	return 0;
}

static int parse_one(struct spec_ctx *c, const struct jnode *n, struct gidmap *ret)
{
	uint64_t container = UINT64_MAX, host = UINT64_MAX, size = 0;
	int r;

	if ((r = jnode_want_object(n, c->err)) ||
		(r = jopt_u64(n, "containerID", 0, OCI_ID_MAX, &container, c->err)) ||
		(r = jopt_u64(n, "hostID", 0, OCI_ID_MAX, &host, c->err)) ||
		(r = jopt_u64(n, "size", 1, UINT32_MAX, &size, c->err)))
		return r;
	if (container == UINT64_MAX || host == UINT64_MAX || !size)
		return jnode_err(n, c->err, "%s is missing",
			container == UINT64_MAX ? "containerID"
			: host == UINT64_MAX    ? "hostID"
						: "size");
	*ret = (struct gidmap){(uint32_t)container, (uint32_t)host, (uint32_t)size};
	return 0;
}

int idmap_parse(struct spec_ctx *c, const struct jnode *n, const char *key,
	const struct gidmap **ret_maps, uint32_t *ret_n)
{
	struct jnode array, item;
	struct gidmap *v;
	uint32_t count = 0;
	bool found;
	int r = jopt_array(n, key, GSPEC_IDMAPS_MAX, &array, &found, c->err);

	if (r || !found || !jnode_length(&array))
		return r;
	v = arena_alloc(c->arena, jnode_length(&array), sizeof(*v));
	if (!v)
		return spec_nomem(c);
	for (struct jiter it = {0}; jiter_next(&it, &array, &item); count++)
		if ((r = parse_one(c, &item, &v[count])) || (r = check(c, &item, v, count)))
			return r;
	*ret_maps = v;
	*ret_n = count;
	return 0;
}

static bool maps_root(const struct gidmap *m, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!m[i].inside)
			return true;
	return false;
}

int spec_idmaps(struct spec_ctx *c, const struct jnode *n, struct gspec *g)
{
	int r;

	if ((r = idmap_parse(c, n, "uidMappings", &g->uid_maps, &g->n_uid_maps)) ||
		(r = idmap_parse(c, n, "gidMappings", &g->gid_maps, &g->n_gid_maps)))
		return r;
	if (!(g->namespaces & GNS_USER))
		return g->n_uid_maps || g->n_gid_maps
			       ? jnode_err(n, c->err,
					 "user namespace mappings specified, but user namespace "
					 "isn't enabled in the config")
			       : 0;
	/* Container root makes the container. */
	if (!maps_root(g->uid_maps, g->n_uid_maps))
		return jnode_err(n, c->err,
			"uidMappings: user namespaces enabled, but no mapping found for uid 0");
	if (!maps_root(g->gid_maps, g->n_gid_maps))
		return jnode_err(n, c->err,
			"gidMappings: user namespaces enabled, but no mapping found for gid 0");
	/* One that it does not ask for would be the guest's, in which its root has no say. */
	g->namespaces |= GNS_ALL & ~GNS_TIME;
	return 0;
}

int spec_mount_idmaps(struct spec_ctx *c, const struct jnode *root, struct container_spec *spec)
{
	const struct gspec *g = &spec->guest;
	struct jnode mounts = {.doc = root->doc, .up = root, .key = "mounts"};

	for (uint32_t i = 0; i < spec->n_shares; i++) {
		struct spec_share *s = &spec->shares[i];
		struct jnode n = {.doc = root->doc, .up = &mounts, .index = s->mount};

		if (!s->idmap || s->n_uid_maps)
			continue;
		if (!(g->namespaces & GNS_USER))
			return jnode_err(&n, c->err,
				"an id-mapped mount wants uidMappings and gidMappings of its own, "
				"or a user namespace");
		s->uid_maps = g->uid_maps;
		s->n_uid_maps = g->n_uid_maps;
		s->gid_maps = g->gid_maps;
		s->n_gid_maps = g->n_gid_maps;
	}
	return 0;
}
