/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/spec_linux.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/stat.h>

#include "lib/base.h"
#include "oci/idmap.h"
#include "oci/labels.h"
#include "oci/mounts.h"
#include "oci/process.h"
#include "oci/resources.h"
#include "oci/seccomp.h"
#include "oci/support.h"

#define SYSCTL_NAME_MAX  255
#define SYSCTL_VALUE_MAX 4095
#define DEV_MAJOR_MAX    4095    /* linux/kdev_t.h: 12 bits */
#define DEV_MINOR_MAX    1048575 /* 20 bits */

const struct namespace_kind namespace_kinds[] = {
	{"cgroup", GNS_CGROUP},
	{"ipc", GNS_IPC},
	{"mount", GNS_MOUNT},
	{"network", GNS_NET},
	{"pid", GNS_PID},
	{"time", GNS_TIME},
	{"user", GNS_USER},
	{"uts", GNS_UTS},
};
const size_t namespace_kinds_n = ARRAY_SIZE(namespace_kinds);

static int find_namespace(const char *name)
{
	for (size_t i = 0; i < namespace_kinds_n; i++)
		if (!strcmp(namespace_kinds[i].name, name))
			return (int)i;
	return -1;
}

static int parse_namespace(
	struct spec_ctx *c, const struct jnode *n, struct container_spec *spec, uint32_t *seen)
{
	const char *type, *path = NULL;
	uint32_t bit;
	int i, r;

	if ((r = jnode_want_object(n, c->err)) || (r = jget_str(n, "type", 64, &type, c->err)) ||
		(r = jopt_str(n, "path", GSPEC_PATH_MAX, &path, c->err)))
		return r;
	i = find_namespace(type);
	if (i < 0)
		return jnode_err(n, c->err, "unknown namespace type '%s'", type);
	if (*seen & BIT(i))
		return jnode_err(n, c->err, "namespace '%s' a second time", type);
	*seen |= BIT(i);
	bit = namespace_kinds[i].guest_bit;
	spec->guest.namespaces |= bit;
	if (!path || !*path)
		return 0;
	if (path[0] != '/')
		return jnode_err(n, c->err, "path: expected an absolute path, got '%s'", path);
	if (bit != GNS_NET)
		return spec_refuse(c, n, "joining a %s namespace by path is not supported", type);
	spec->netns_path = path;
	return 0;
}

static int parse_namespaces(struct spec_ctx *c, const struct jnode *n, struct container_spec *spec)
{
	struct jnode array, item;
	uint32_t seen = 0;
	bool found = false;
	int r = 0;

	r = jopt_array(n, "namespaces", 64, &array, &found, c->err);
	if (r)
		return r;
	for (struct jiter it = {0}; found && jiter_next(&it, &array, &item);) {
		r = parse_namespace(c, &item, spec, &seen);
		if (r)
			return r;
	}
	if (spec->guest.namespaces & GNS_NET)
		return 0;
	return spec_refuse(c, found ? &array : n,
		"no network namespace, and the host's network cannot be shared with a VM");
}

int sysctl_path(const char *name, char *out, size_t cap)
{
	const char *first = strpbrk(name, "./");
	char sep = first ? *first : '.';
	size_t len = strlen(name);

	if (!len || len >= cap)
		return -EINVAL;
	for (size_t i = 0; i <= len; i++) {
		if (name[i] == sep)
			out[i] = '/';
		else
			out[i] = sep == '.' && name[i] == '/' ? '.' : name[i];
	}
	for (const char *p = out;;) {
		size_t n = strcspn(p, "/");

		if (!n || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return -EINVAL;
		if (!p[n])
			return 0;
		p += n + 1;
	}
}

static int parse_sysctls(struct spec_ctx *c, const struct jnode *n, struct gspec *g)
{
	char path[SYSCTL_NAME_MAX + 1];
	struct jnode map, item;
	struct gkeyval *v;
	bool found;
	int r;

	if ((r = jopt_object(n, "sysctl", &map, &found, c->err)) || !found)
		return r;
	if (jnode_length(&map) > GSPEC_SYSCTLS_MAX)
		return jnode_err(&map, c->err, "more than %u entries", GSPEC_SYSCTLS_MAX);
	v = arena_alloc(c->arena, jnode_length(&map), sizeof(*v));
	if (!v)
		return spec_nomem(c);
	g->sysctls = v;
	for (struct jiter it = {0}; jiter_next(&it, &map, &item);) {
		struct gkeyval *kv = &v[g->n_sysctls];

		if (sysctl_path(item.key, path, sizeof(path)))
			return jnode_err(&item, c->err, "not the name of a sysctl");
		r = jnode_str(&item, SYSCTL_VALUE_MAX, &kv->value, c->err);
		if (r)
			return r;
		kv->key = arena_strdup(c->arena, path, strlen(path));
		if (!kv->key)
			return spec_nomem(c);
		g->n_sysctls++;
	}
	return 0;
}

static int device_type(const char *s, uint32_t *ret)
{
	if (!s[0] || s[1])
		return -EINVAL;
	switch (s[0]) {
	case 'c':
	case 'u': *ret = S_IFCHR; return 0;
	case 'b': *ret = S_IFBLK; return 0;
	case 'p': *ret = S_IFIFO; return 0;
	}
	return -EINVAL;
}

static int parse_device(struct spec_ctx *c, const struct jnode *n, struct gdevice *d)
{
	uint64_t major = 0, minor = 0, mode = 0666, uid = 0, gid = 0;
	struct err *err = c->err;
	const char *type;
	int r;

	if ((r = jnode_want_object(n, err)) || (r = jget_str(n, "type", 8, &type, err)) ||
		(r = jget_str(n, "path", GSPEC_PATH_MAX, &d->path, err)) ||
		(r = jopt_u64(n, "fileMode", 0, UINT32_MAX, &mode, err)) ||
		(r = jopt_u64(n, "uid", 0, OCI_ID_MAX, &uid, err)) ||
		(r = jopt_u64(n, "gid", 0, OCI_ID_MAX, &gid, err)))
		return r;
	if (device_type(type, &d->type))
		return jnode_err(n, err, "type: expected 'b', 'c', 'u' or 'p', got '%s'", type);
	if (d->path[0] != '/')
		return jnode_err(n, err, "path: expected an absolute path, got '%s'", d->path);
	if (d->type == S_IFIFO) {
		if ((r = jopt_u64(n, "major", 0, DEV_MAJOR_MAX, &major, err)) ||
			(r = jopt_u64(n, "minor", 0, DEV_MINOR_MAX, &minor, err)))
			return r;
		major = minor = 0;
	} else if ((r = jget_u64(n, "major", 0, DEV_MAJOR_MAX, &major, err)) ||
		   (r = jget_u64(n, "minor", 0, DEV_MINOR_MAX, &minor, err))) {
		return r;
	}
	d->major = (uint32_t)major;
	d->minor = (uint32_t)minor;
	d->mode = mode & 07777; /* engines leave the file type in */
	d->uid = (uint32_t)uid;
	d->gid = (uint32_t)gid;
	return 0;
}

static int parse_devices(struct spec_ctx *c, const struct jnode *n, struct gspec *g)
{
	struct jnode array, item;
	struct gdevice *v;
	bool found;
	int r;

	r = jopt_array(n, "devices", GSPEC_DEVICES_MAX, &array, &found, c->err);
	if (r || !found)
		return r;
	v = arena_alloc(c->arena, jnode_length(&array), sizeof(*v));
	if (!v)
		return spec_nomem(c);
	g->devices = v;
	for (struct jiter it = {0}; jiter_next(&it, &array, &item);) {
		r = parse_device(c, &item, &v[g->n_devices]);
		if (r)
			return r;
		g->n_devices++;
	}
	return 0;
}

static int parse_propagation(struct spec_ctx *c, const struct jnode *n, struct gspec *g)
{
	const struct mount_option *mo;
	const char *s = NULL;
	struct jnode node;
	int r = jopt_str(n, "rootfsPropagation", 64, &s, c->err);

	if (r || !s || !*s)
		return r;
	mo = mount_option_find(s);
	if ((!mo || mo->kind != MOPT_PROPAGATION) && jnode_member(n, "rootfsPropagation", &node))
		return jnode_err(&node, c->err,
			"expected private, slave, shared, unbindable or an r-form, got '%s'", s);
	g->root_propagation = mo->value;
	return 0;
}

static int parse_personality(struct spec_ctx *c, const struct jnode *n, struct gspec *g)
{
	const char *domain = NULL;
	struct jnode o;
	bool found;
	int r;

	if ((r = jopt_object(n, "personality", &o, &found, c->err)) || !found ||
		(r = jget_str(&o, "domain", 64, &domain, c->err)))
		return r;
	if (!strcmp(domain, "LINUX32"))
		g->personality = PER_LINUX32;
	else if (!strcmp(domain, "LINUX"))
		g->personality = PER_LINUX;
	else
		return jnode_err(&o, c->err, "domain: expected LINUX or LINUX32, got '%s'", domain);
	g->flags |= GSPEC_PERSONALITY;
	return 0;
}

/* item: one clock of linux.timeOffsets. */
static int parse_time_offset(struct spec_ctx *c, const struct jnode *item, struct gspec *g)
{
	struct gtime_offset o = {0};
	uint64_t nanosecs = 0;
	int r;

	if ((r = jnode_want_object(item, c->err)) ||
		(r = jopt_i64(item, "secs", INT64_MIN, INT64_MAX, &o.secs, c->err)) ||
		(r = jopt_u64(item, "nanosecs", 0, 999999999, &nanosecs, c->err)))
		return r;
	o.nanosecs = (uint32_t)nanosecs;
	if (!strcmp(item->key, "monotonic"))
		g->time_offset[GTIME_MONOTONIC] = o;
	else if (!strcmp(item->key, "boottime"))
		g->time_offset[GTIME_BOOTTIME] = o;
	else
		return jnode_err(item, c->err, "expected the clock monotonic or boottime");
	return 0;
}

static int parse_time_offsets(struct spec_ctx *c, const struct jnode *n, struct gspec *g)
{
	struct jnode map, item;
	bool found;
	int r = jopt_object(n, "timeOffsets", &map, &found, c->err);

	if (r || !found)
		return r;
	for (struct jiter it = {0}; jiter_next(&it, &map, &item);) {
		r = parse_time_offset(c, &item, g);
		if (r)
			return r;
	}
	if (!(g->namespaces & GNS_TIME) && !json_is_empty(map.obj))
		return jnode_err(&map, c->err, "wants a time namespace in linux.namespaces");
	return 0;
}

int spec_linux(struct spec_ctx *c, const struct jnode *root, struct container_spec *spec)
{
	struct gspec *g = &spec->guest;
	struct jnode n;
	bool found;
	int r;

	r = jopt_object(root, "linux", &n, &found, c->err);
	if (r)
		return r;
	if (!found) {
		n = (struct jnode){.doc = root->doc, .up = root, .key = "linux"};
		r = parse_namespaces(c, &n, spec);
		return r ? r : spec_resources(c, NULL, spec);
	}
	if ((r = parse_namespaces(c, &n, spec)) || (r = spec_idmaps(c, &n, g)) ||
		(r = parse_sysctls(c, &n, g)) || (r = parse_devices(c, &n, g)) ||
		(r = parse_propagation(c, &n, g)) || (r = spec_seccomp(c, &n, g)) ||
		(r = parse_personality(c, &n, g)) || (r = parse_time_offsets(c, &n, g)) ||
		(r = labels_mount(c, &n)) ||
		(r = spec_paths(c, &n, "maskedPaths", &g->masked_paths)) ||
		(r = spec_paths(c, &n, "readonlyPaths", &g->readonly_paths)) ||
		(r = jopt_str(&n, "cgroupsPath", GSPEC_PATH_MAX, &spec->cgroups_path, c->err)))
		return r;
	return spec_resources(c, &n, spec);
}
