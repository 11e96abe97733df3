/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/mounts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "lib/base.h"
#include "oci/idmap.h"

#define MOUNT_OPTIONS_MAX 256  /* of one mount */
#define MOUNT_DATA_MAX    4095 /* mount(2) takes one page with the NUL */

/* clang-format off */
const struct mount_option mount_options[] = {
	{"async", MOPT_CLEAR, MS_SYNCHRONOUS},
	{"atime", MOPT_CLEAR, MS_NOATIME},
	{"bind", MOPT_BIND, 0},
	{"defaults", MOPT_SET, 0},
	{"dev", MOPT_CLEAR, MS_NODEV},
	{"diratime", MOPT_CLEAR, MS_NODIRATIME},
	{"dirsync", MOPT_SET, MS_DIRSYNC},
	{"exec", MOPT_CLEAR, MS_NOEXEC},
	{"idmap", MOPT_IDMAP, 0},
	{"iversion", MOPT_SET, MS_I_VERSION},
	{"lazytime", MOPT_SET, MS_LAZYTIME},
	{"loud", MOPT_CLEAR, MS_SILENT},
	{"mand", MOPT_SET, MS_MANDLOCK},
	{"noatime", MOPT_SET, MS_NOATIME},
	{"nodev", MOPT_SET, MS_NODEV},
	{"nodiratime", MOPT_SET, MS_NODIRATIME},
	{"noexec", MOPT_SET, MS_NOEXEC},
	{"noiversion", MOPT_CLEAR, MS_I_VERSION},
	{"nolazytime", MOPT_CLEAR, MS_LAZYTIME},
	{"nomand", MOPT_CLEAR, MS_MANDLOCK},
	{"norelatime", MOPT_CLEAR, MS_RELATIME},
	{"nostrictatime", MOPT_CLEAR, MS_STRICTATIME},
	{"nosuid", MOPT_SET, MS_NOSUID},
	{"nosymfollow", MOPT_SET, MS_NOSYMFOLLOW},
	{"private", MOPT_PROPAGATION, MS_PRIVATE},
	{"ratime", MOPT_CLEAR_REC, MS_NOATIME},
	{"rbind", MOPT_BIND, MS_REC},
	{"rdev", MOPT_CLEAR_REC, MS_NODEV},
	{"rdiratime", MOPT_CLEAR_REC, MS_NODIRATIME},
	{"relatime", MOPT_SET, MS_RELATIME},
	{"remount", MOPT_REMOUNT, 0},
	{"rexec", MOPT_CLEAR_REC, MS_NOEXEC},
	{"ridmap", MOPT_IDMAP, MS_REC},
	{"rnoatime", MOPT_SET_REC, MS_NOATIME},
	{"rnodev", MOPT_SET_REC, MS_NODEV},
	{"rnodiratime", MOPT_SET_REC, MS_NODIRATIME},
	{"rnoexec", MOPT_SET_REC, MS_NOEXEC},
	{"rnorelatime", MOPT_CLEAR_REC, MS_RELATIME},
	{"rnostrictatime", MOPT_CLEAR_REC, MS_STRICTATIME},
	{"rnosuid", MOPT_SET_REC, MS_NOSUID},
	{"rnosymfollow", MOPT_SET_REC, MS_NOSYMFOLLOW},
	{"ro", MOPT_SET, MS_RDONLY},
	{"rprivate", MOPT_PROPAGATION, MS_PRIVATE | MS_REC},
	{"rrelatime", MOPT_SET_REC, MS_RELATIME},
	{"rro", MOPT_SET_REC, MS_RDONLY},
	{"rrw", MOPT_CLEAR_REC, MS_RDONLY},
	{"rshared", MOPT_PROPAGATION, MS_SHARED | MS_REC},
	{"rslave", MOPT_PROPAGATION, MS_SLAVE | MS_REC},
	{"rstrictatime", MOPT_SET_REC, MS_STRICTATIME},
	{"rsuid", MOPT_CLEAR_REC, MS_NOSUID},
	{"rsymfollow", MOPT_CLEAR_REC, MS_NOSYMFOLLOW},
	{"runbindable", MOPT_PROPAGATION, MS_UNBINDABLE | MS_REC},
	{"rw", MOPT_CLEAR, MS_RDONLY},
	{"shared", MOPT_PROPAGATION, MS_SHARED},
	{"silent", MOPT_SET, MS_SILENT},
	{"slave", MOPT_PROPAGATION, MS_SLAVE},
	{"strictatime", MOPT_SET, MS_STRICTATIME},
	{"suid", MOPT_CLEAR, MS_NOSUID},
	{"symfollow", MOPT_CLEAR, MS_NOSYMFOLLOW},
	{"sync", MOPT_SET, MS_SYNCHRONOUS},
	{"tmpcopyup", MOPT_COPY_UP, 0},
	{"unbindable", MOPT_PROPAGATION, MS_UNBINDABLE},
};
/* clang-format on */

const size_t mount_options_n = ARRAY_SIZE(mount_options);

const struct mount_option *mount_option_find(const char *name)
{
	for (size_t i = 0; i < mount_options_n; i++)
		if (!strcmp(mount_options[i].name, name))
			return &mount_options[i];
	return NULL;
}

/* What the options of one mount come to. */
struct options {
	struct gmount *m;
	bool bind, recursive, remount;
	bool writable; /* rrw: also what is read-only on the host */
	bool idmap, idmap_recursive;
	const struct gidmap *uid_maps, *gid_maps;
	uint32_t n_uid_maps, n_gid_maps;
	char *data; /* MOUNT_DATA_MAX + 1 bytes */
	size_t data_len;
};

static int add_data(struct spec_ctx *c, const struct jnode *n, struct options *o, const char *s)
{
	size_t len = strlen(s), sep = o->data_len > 0;

	if (!len)
		return 0;
	if (len > MOUNT_DATA_MAX || o->data_len + sep + len > MOUNT_DATA_MAX)
		return jnode_err(
			n, c->err, "more than %d bytes of file-system options", MOUNT_DATA_MAX);
	if (sep)
		o->data[o->data_len++] = ',';
	memcpy(o->data + o->data_len, s, len + 1);
	o->data_len += len;
	return 0;
}

static int add_propagation(
	struct spec_ctx *c, const struct jnode *n, struct options *o, const struct mount_option *mo)
{
	struct gmount *m = o->m;

	/* mount(2) wants a call for each, in order: "rshared, rslave" is not the same as "rslave". */
	if (m->n_propagation == GSPEC_PROPAGATION_MAX)
		return jnode_err(
			n, c->err, "more than %u propagation options", GSPEC_PROPAGATION_MAX);
	m->propagation[m->n_propagation++] = (uint32_t)mo->value;
	return 0;
}

static int add_option(
	struct spec_ctx *c, const struct jnode *n, struct options *o, const char *name)
{
	const struct mount_option *mo = mount_option_find(name);

	if (!mo)
		return add_data(c, n, o, name);
	switch (mo->kind) {
	/* A new mount has none below it; what a bind brings along comes through the same share and
	 * takes on the mount's flags in the guest. */
	case MOPT_SET:
	case MOPT_SET_REC:
		if (mo->value & MS_RDONLY)
			o->writable = false;
		o->m->flags |= mo->value;
		o->m->clear_flags &= ~mo->value;
		return 0;
	case MOPT_CLEAR:
	case MOPT_CLEAR_REC:
		if (mo->value & MS_RDONLY)
			o->writable = mo->kind == MOPT_CLEAR_REC;
		o->m->flags &= ~mo->value;
		o->m->clear_flags |= mo->value;
		return 0;
	case MOPT_PROPAGATION: return add_propagation(c, n, o, mo);
	case MOPT_BIND:
		o->bind = true;
		o->recursive = o->recursive || mo->value;
		return 0;
	case MOPT_COPY_UP: o->m->copy_up = 1; return 0;
	case MOPT_IDMAP:
		o->idmap = true;
		o->idmap_recursive = mo->value;
		return 0;
	case MOPT_REMOUNT: o->remount = true; break;
	}
	return 0;
}

static int parse_options(struct spec_ctx *c, const struct jnode *n, struct options *o)
{
	struct gstrv v = {0};
	struct jnode array = {.doc = n->doc, .up = n, .key = "options"};
	int r = spec_strings(c, n, "options", MOUNT_OPTIONS_MAX, MOUNT_DATA_MAX, &v);

	for (uint32_t i = 0; !r && i < v.n; i++) {
		struct jnode item = {.doc = n->doc, .up = &array, .index = i};

		r = add_option(c, &item, o, v.v[i]);
	}
	return r;
}

static int set_dest(struct spec_ctx *c, const struct jnode *n, struct gmount *m)
{
	char *abs;
	size_t len;
	int r = jget_str(n, "destination", GSPEC_PATH_MAX - 1, &m->dest, c->err);

	if (r)
		return r;
	if (!*m->dest)
		return jnode_err(n, c->err, "destination is empty");
	if (m->dest[0] == '/')
		return 0;
	/* config.md: deprecated, but to be taken relative to "/" */
	spec_warn(c, n, "destination '%s' is not absolute; taken from /", m->dest);
	len = strlen(m->dest);
	abs = arena_alloc(c->arena, len + 2, 1);
	if (!abs)
		return spec_nomem(c);
	abs[0] = '/';
	memcpy(abs + 1, m->dest, len + 1);
	m->dest = abs;
	return 0;
}

/* The guest's /proc/self/mountinfo has, as on a host, a root that ends as the source does. */
static const char *leaf_of(struct spec_ctx *c, const char *source)
{
	size_t end = strlen(source), start;

	while (end && source[end - 1] == '/')
		end--;
	for (start = end; start && source[start - 1] != '/';)
		start--;
	if (end == start || end - start > NAME_MAX || !strncmp(source + start, ".", end - start) ||
		!strncmp(source + start, "..", end - start))
		return "";
	return arena_strdup(c->arena, source + start, end - start);
}

static int set_bind(struct spec_ctx *c, const struct jnode *n, struct container_spec *spec,
	struct options *o, const char *source)
{
	struct spec_share *s = &spec->shares[spec->n_shares];
	char path[SPEC_SHARE_NAME_MAX + NAME_MAX + 1], *name;

	if (!source || !*source)
		return jnode_err(n, c->err, "source is missing");
	/* config.md has unknown options passed as mount(2)'s data, which means nothing for a bind. */
	if (o->data_len)
		spec_warn(c, n, "'%.200s' has no effect on a bind mount", o->data);
	if (o->m->copy_up)
		return jnode_err(n, c->err, "tmpcopyup is for tmpfs only");
	snprintf(s->name, sizeof(s->name), "m%u", spec->n_shares);
	s->leaf = leaf_of(c, source);
	if (!s->leaf)
		return spec_nomem(c);
	snprintf(path, sizeof(path), "%s%s%s", s->name, *s->leaf ? "/" : "", s->leaf);
	name = arena_strdup(c->arena, path, strlen(path));
	if (!name)
		return spec_nomem(c);
	s->source = source;
	s->readonly = o->m->flags & MS_RDONLY;
	s->recursive = o->recursive;
	s->writable = o->writable;
	s->idmap = o->idmap;
	s->idmap_recursive = o->idmap_recursive;
	s->uid_maps = o->uid_maps;
	s->n_uid_maps = o->n_uid_maps;
	s->gid_maps = o->gid_maps;
	s->n_gid_maps = o->n_gid_maps;
	s->fd = -1;
	s->mount = spec->guest.n_mounts;
	spec->n_shares++;
	o->m->kind = GMOUNT_BIND;
	o->m->source = name;
	o->m->is_dir = 1; /* until spec_open_sources() looked */
	return 0;
}

static int set_data(struct spec_ctx *c, struct options *o)
{
	if (!o->data_len)
		return 0;
	o->m->data = arena_strdup(c->arena, o->data, o->data_len);
	return o->m->data ? 0 : spec_nomem(c);
}

static int set_fs(struct spec_ctx *c, const struct jnode *n, struct options *o, const char *type,
	const char *source)
{
	struct gmount *m = o->m;

	if (o->idmap)
		return jnode_err(n, c->err, "id-mapped mounts are only supported for bind-mounts");
	if (!type || !*type)
		return jnode_err(n, c->err, "type is missing");
	if (!strcmp(type, "none"))
		return jnode_err(n, c->err, "type 'none' without the option bind or rbind");
	m->kind = GMOUNT_FS;
	m->fstype = type;
	m->source = source && *source ? source : type;
	if (!strcmp(type, "cgroup") || !strcmp(type, "cgroup2")) {
		m->kind = GMOUNT_CGROUP;
		m->fstype = "cgroup2";
		if (o->data_len)
			return spec_refuse(
				c, n, "cgroup option '%.200s' is not supported", o->data);
		return 0;
	}
	if (m->copy_up && strcmp(type, "tmpfs"))
		return jnode_err(n, c->err, "tmpcopyup is for tmpfs only");
	return set_data(c, o);
}

/* mount(8): with bind only the mount's own flags, else its file system's as well. The source is not looked at. */
static int set_remount(struct spec_ctx *c, const struct jnode *n, struct options *o, bool bind)
{
	if (o->idmap)
		return jnode_err(n, c->err, "an id-mapping cannot be changed by remount");
	if (o->m->copy_up)
		return jnode_err(n, c->err, "tmpcopyup is for a new tmpfs only");
	o->m->kind = bind ? GMOUNT_REMOUNT_BIND : GMOUNT_REMOUNT;
	o->m->source = "remount";
	if (!bind)
		return set_data(c, o);
	if (o->data_len)
		spec_warn(c, n, "'%.200s' has no effect on a bind mount", o->data);
	return 0;
}

/* Its own mappings mean idmap, as in runc. */
static int parse_idmaps(struct spec_ctx *c, const struct jnode *n, struct options *o)
{
	int r;

	if ((r = idmap_parse(c, n, "uidMappings", &o->uid_maps, &o->n_uid_maps)) ||
		(r = idmap_parse(c, n, "gidMappings", &o->gid_maps, &o->n_gid_maps)))
		return r;
	if (!o->n_uid_maps != !o->n_gid_maps)
		return jnode_err(n, c->err, "uidMappings and gidMappings want each other");
	if (o->n_uid_maps)
		o->idmap = true;
	return 0;
}

static int parse_mount(
	struct spec_ctx *c, const struct jnode *n, struct container_spec *spec, struct gmount *m)
{
	char data[MOUNT_DATA_MAX + 1] = "";
	struct options o = {.m = m, .data = data};
	const char *type = NULL, *source = NULL;
	bool bind;
	int r;

	if ((r = jnode_want_object(n, c->err)) || (r = set_dest(c, n, m)) ||
		(r = jopt_str(n, "type", 64, &type, c->err)) ||
		(r = jopt_str(n, "source", GSPEC_PATH_MAX, &source, c->err)) ||
		(r = parse_options(c, n, &o)) || (r = parse_idmaps(c, n, &o)))
		return r;
	bind = o.bind || (type && !strcmp(type, "bind"));
	if (o.remount)
		return set_remount(c, n, &o, bind);
	if (bind)
		return set_bind(c, n, spec, &o, source);
	return set_fs(c, n, &o, type, source);
}

int spec_mounts(struct spec_ctx *c, const struct jnode *root, struct container_spec *spec)
{
	struct jnode array, item;
	size_t len;
	bool found;
	int r;

	r = jopt_array(root, "mounts", GSPEC_MOUNTS_MAX, &array, &found, c->err);
	if (r || !found)
		return r;
	len = jnode_length(&array);
	spec->mounts = arena_alloc(c->arena, len, sizeof(*spec->mounts));
	spec->shares = arena_alloc(c->arena, len, sizeof(*spec->shares));
	if (!spec->mounts || !spec->shares)
		return spec_nomem(c);
	spec->guest.mounts = spec->mounts;
	for (struct jiter it = {0}; jiter_next(&it, &array, &item);) {
		r = parse_mount(c, &item, spec, &spec->mounts[spec->guest.n_mounts]);
		if (r)
			return r;
		spec->guest.n_mounts++;
	}
	return 0;
}
