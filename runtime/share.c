/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/share.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/path.h"
#include "runtime/idmap.h"
#include "runtime/rootless.h"

#define SHARE_ATTRS (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	return !strncmp(path, dir, n) && path[n] == '/';
}

/* The guest finds the directory there and would give its mode to the tmpfs; a tmpfs on a directory that was not
 * there is everybody's, as in runc. */
static int open_tmpfs(struct container_spec *spec, struct gmount *m, struct err *err)
{
	const char *old = m->data ? m->data : "";
	size_t len = strlen(old) + sizeof(",mode=1777");
	char *data;

	if (m->kind != GMOUNT_FS || strcmp(m->fstype, "tmpfs") || !strncmp(old, "mode=", 5) ||
		strstr(old, ",mode="))
		return 0;
	data = arena_alloc(&spec->arena, len, 1);
	if (!data)
		return err_set(err, ENOMEM, "cannot note the mode of '%s'", m->dest);
	snprintf(data, len, "%s%smode=1777", old, *old ? "," : "");
	m->data = data;
	return 0;
}

int share_make_mount_points(struct container_spec *spec, struct err *err)
{
	struct gmount *m = spec->mounts;

	if (!spec->root_readonly)
		return 0;
	for (uint32_t i = 0; i < spec->guest.n_mounts; i++) {
		bool hidden = false, made = false;
		int fd, r;

		if (m[i].kind == GMOUNT_REMOUNT || m[i].kind == GMOUNT_REMOUNT_BIND)
			continue; /* it is a mount point already */
		for (uint32_t j = 0; j < i && !hidden; j++)
			hidden = below(m[i].dest, m[j].dest);
		if (hidden)
			continue;
		fd = path_make(
			spec->root_fd, m[i].dest, m[i].kind != GMOUNT_BIND || m[i].is_dir, &made);
		if (fd < 0 && fd != -EROFS)
			return err_set(err, -fd,
				"cannot make the mount point '%s' in the root file system",
				m[i].dest);
		close_fd(&fd);
		r = made ? open_tmpfs(spec, &m[i], err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static int mount_tmpfs(int mount_point_fd, struct err *err)
{
	autofd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	autofd int mnt = -1;

	if (fs < 0)
		return err_set(err, errno, "cannot open a tmpfs");
	if (fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0) < 0 ||
		fsconfig(fs, FSCONFIG_SET_STRING, "size", "1M", 0) < 0 ||
		fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set(err, errno, "cannot make the share tree's tmpfs");
	mnt = fsmount(fs, FSMOUNT_CLOEXEC, SHARE_ATTRS);
	if (mnt < 0)
		return err_set(err, errno, "cannot mount the share tree's tmpfs");
	if (move_mount(mnt, "", mount_point_fd, "",
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_set(err, errno, "cannot attach the share tree");
	return take_fd(&mnt);
}

struct share_entry {
	int source_fd;
	const char *source, *name, *leaf;
	bool is_dir, readonly, writable, recursive;
	const struct spec_share *idmapped; /* NULL: its ids are the host's */
};

/* Entry 0 is the root file system, the others are the bind mounts. */
static struct share_entry entry_of(const struct container_spec *spec, uint32_t i)
{
	const struct spec_share *s;

	if (i == 0)
		return (struct share_entry){.source_fd = spec->root_fd,
			.source = spec->root_path,
			.name = SPEC_SHARE_ROOT,
			.leaf = "",
			.is_dir = true,
			.readonly = spec->root_readonly,
			.recursive = true};
	s = &spec->shares[i - 1];
	return (struct share_entry){.source_fd = s->fd,
		.source = s->source,
		.name = s->name,
		.leaf = s->leaf,
		.is_dir = S_ISDIR(s->mode),
		.readonly = s->readonly,
		.writable = s->writable,
		.recursive = s->recursive,
		.idmapped = s->idmap ? s : NULL};
}

static int map_ids(int clone, const struct spec_share *s, struct err *err)
{
	const struct idmaps m = {.n_uids = s->n_uid_maps,
		.uids = s->uid_maps,
		.n_gids = s->n_gid_maps,
		.gids = s->gid_maps};

	return idmap_mount(clone, &m, s->idmap_recursive, err);
}

static int clone_tree(int fd, const struct share_entry *e, struct err *err)
{
	int clone = open_tree(fd, "",
		AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
			(e->recursive ? AT_RECURSIVE : 0));

	if (clone >= 0)
		return clone;
	/* It would show what these mounts hide (mount_namespaces(7)). */
	if (errno == EINVAL && !e->recursive && rootless_in_userns())
		return err_set(err, errno,
			"cannot bind '%s': if mounts lie below it, an ordinary user can only have "
			"them too "
			"(rbind)",
			e->source);
	return err_set(err, errno, "cannot bind '%s'", e->source);
}

static int set_attributes(
	int clone, const struct share_entry *e, const struct mount_attr *attr, struct err *err)
{
	struct mount_attr copy = *attr;

	unsigned flags = AT_EMPTY_PATH | (e->recursive ? AT_RECURSIVE : 0);
	int r = mount_setattr(clone, "", flags, &copy, sizeof(copy));

	/* In a user namespace what the host has read-only is locked so (mount_namespaces(7)): it stays, as ever. */
	if (r < 0 && errno == EPERM && copy.attr_clr && rootless_in_userns()) {
		copy.attr_clr = 0;
		r = mount_setattr(clone, "", flags, &copy, sizeof(copy));
	}
	return r < 0 ? err_set(err, errno, "cannot set the mount attributes of '%s'", e->source)
		     : 0;
}

/* propagation: MS_PRIVATE, or 0 for what it has. */
static int clone_entry(int fd, const struct share_entry *e, uint64_t propagation, struct err *err)
{
	const struct mount_attr attr = {
		.attr_set = SHARE_ATTRS | (e->readonly ? MOUNT_ATTR_RDONLY : 0),
		.attr_clr = e->writable ? MOUNT_ATTR_RDONLY : 0,
		.propagation = propagation,
	};
	autofd int clone = clone_tree(fd, e, err);

	if (clone < 0 || set_attributes(clone, e, &attr, err) < 0)
		return -err->errnum;
	if (e->idmapped && map_ids(clone, e->idmapped, err) < 0)
		return err_wrap(err, "cannot id-map '%s'", e->source);
	return take_fd(&clone);
}

/* A peer of none of the host's mounts: private first, then shared anew. */
static int clone_peer(const struct share_entry *e, struct err *err)
{
	const struct mount_attr private = {.propagation = MS_PRIVATE},
				shared = {.propagation = MS_SHARED};
	autofd int clone = clone_tree(e->source_fd, e, err);

	if (clone < 0 || set_attributes(clone, e, &private, err) < 0 ||
		set_attributes(clone, e, &shared, err) < 0)
		return -err->errnum;
	return take_fd(&clone);
}

int share_clone(
	struct share *s, const struct container_spec *spec, const char *rootfs, struct err *err)
{
	s->spec = spec;
	s->n = 0;
	s->rootfs = rootfs;
	s->peer_fd = -1;
	s->clone = calloc((size_t)spec->n_shares + 1, sizeof(*s->clone));
	if (!s->clone)
		return err_set(err, ENOMEM, "cannot bind the mounts");
	for (uint32_t i = 0; i <= spec->n_shares; i++) {
		struct share_entry e = entry_of(spec, i);
		int fd = i == 0 && rootfs ? clone_peer(&e, err)
					  : clone_entry(e.source_fd, &e, MS_PRIVATE, err);

		if (fd < 0)
			return fd;
		s->clone[s->n++] = fd;
	}
	return 0;
}

void share_release(struct share *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		close(s->clone[i]);
	free(s->clone);
	close_fd(&s->peer_fd);
	*s = (struct share){.peer_fd = -1};
}

static bool same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

/* Mounts the peer over the root file system's own place, and makes the share tree's clone of it: a mount that
 * a hook makes there is made here, too. */
static int mount_peer(struct share *s, struct err *err)
{
	struct share_entry e = entry_of(s->spec, 0);
	autofd int place = open(s->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (place < 0)
		return err_set(err, errno, "cannot open '%s'", s->rootfs);
	if (!same_file(place, e.source_fd))
		return err_plain(err, ESTALE, "'%s' is another directory now", s->rootfs);
	if (move_mount(s->clone[0], "", place, "",
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_set(err, errno, "cannot show hooks the root file system");
	fd = clone_entry(s->clone[0], &e, 0, err);
	if (fd < 0)
		return fd;
	s->peer_fd = s->clone[0];
	s->clone[0] = fd;
	return 0;
}

static int attach_entry(int tree, const struct share_entry *e, int clone, struct err *err)
{
	char path[SPEC_SHARE_NAME_MAX + NAME_MAX + 1];

	snprintf(path, sizeof(path), "%s%s%s", e->name, *e->leaf ? "/" : "", e->leaf);
	if (*e->leaf && mkdirat(tree, e->name, 0755) < 0)
		return err_set(err, errno, "cannot make the share entry '%s'", e->name);
	if (e->is_dir ? mkdirat(tree, path, 0755) : mknodat(tree, path, S_IFREG | 0644, 0))
		return err_set(err, errno, "cannot make the share entry '%s'", path);
	if (move_mount(clone, "", tree, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set(err, errno, "cannot attach '%s' to the share tree", e->source);
	return 0;
}

int share_mount(struct share *s, int mount_point_fd, int *ret_fd, struct err *err)
{
	struct mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE};
	autofd int tree = mount_tmpfs(mount_point_fd, err);

	if (tree < 0)
		return tree;
	if (s->rootfs) {
		int r = mount_peer(s, err);

		if (r < 0)
			return r;
	}
	for (uint32_t i = 0; i < s->n; i++) {
		struct share_entry e = entry_of(s->spec, i);
		int r = attach_entry(tree, &e, s->clone[i], err);

		if (r < 0)
			return r;
	}
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &ro, sizeof(ro)) < 0)
		return err_set(err, errno, "cannot make the share tree read-only");
	*ret_fd = take_fd(&tree);
	return 0;
}

int share_settle(struct share *s, int tree_fd, struct err *err)
{
	/* What hooks have mounted may be anything. */
	struct mount_attr attr = {.attr_set = SHARE_ATTRS, .propagation = MS_PRIVATE};

	if (s->peer_fd < 0)
		return 0;
	/* first: what hangs below the peer is to stay in the tree */
	if (mount_setattr(tree_fd, SPEC_SHARE_ROOT, AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return err_set(err, errno, "cannot make the root file system's mount private");
	if (fchdir(s->peer_fd) < 0 || umount2(".", MNT_DETACH) < 0)
		return err_set(err, errno, "cannot take the root file system's peer away");
	close_fd(&s->peer_fd);
	return 0;
}
