/* SPDX-License-Identifier: Apache-2.0 */
#include "init/nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "init/devices.h"
#include "init/fail.h"
#include "init/mounts.h"
#include "init/sys.h"
#include "init/userns.h"
#include "lib/cleanup.h"
#include "lib/path.h"

#define NAME_BYTES 16

/* The spec's device i: a number is no default one's name. */
static const char *node_name(uint32_t i, char out[NAME_BYTES])
{
	snprintf(out, NAME_BYTES, "%u", i);
	return out;
}

/* A fifo can be made in there. */
static bool is_node(const struct gdevice *d)
{
	return d->type != S_IFIFO;
}

static int make_one(int nodes, const char *name, const struct gspec *spec, const struct gdevice *d,
	struct err *err)
{
	uint32_t uid, gid;

	if (!userns_uid(spec, d->uid, &uid) || !userns_gid(spec, d->gid, &gid))
		return err_plain(err, EINVAL,
			"cannot create device node %s: its owner is not mapped in the user "
			"namespace",
			d->path);
	if (mknodat(nodes, name, d->type | d->mode, makedev(d->major, d->minor)) < 0 ||
		fchownat(nodes, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(err, errno, "cannot create device node %s", d->path);
	return 0;
}

static int make_all(int nodes, const struct gspec *spec, struct err *err)
{
	char name[NAME_BYTES];
	int r = 0;

	for (size_t i = 0; i < device_defaults_n && r == 0; i++) {
		const struct device_default *n = &device_defaults[i];
		struct gdevice d = {.path = n->name,
			.type = S_IFCHR,
			.mode = 0666,
			.major = n->major,
			.minor = n->minor};

		r = make_one(nodes, n->name, spec, &d, err);
	}
	for (uint32_t i = 0; i < spec->n_devices && r == 0; i++)
		if (is_node(&spec->devices[i]))
			r = make_one(nodes, node_name(i, name), spec, &spec->devices[i], err);
	return r;
}

int nodes_make(const struct gspec *spec, struct err *err)
{
	char why[128];
	autofd int nodes = mount_new_fs("tmpfs", "devices", "mode=0755", 0, 0, why, sizeof(why));
	mode_t mask;
	int r;

	if (nodes < 0)
		return fail(err, -nodes, "cannot make a tmpfs for device nodes");
	mask = umask(0);
	r = make_all(nodes, spec, err);
	umask(mask);
	return r < 0 ? r : take_fd(&nodes);
}

static int bind_one(int root, int nodes, const char *name, const char *path)
{
	bool made;
	autofd int target = path_make(root, path, false, &made);
	autofd int mnt = -1;
	struct stat st;

	if (target < 0)
		return target == -EROFS ? 0 : target;
	if (fstat(target, &st) < 0)
		return -errno;
	if (!made && !S_ISREG(st.st_mode))
		return 0;
	mnt = sys_open_tree(nodes, name, OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
	return mnt < 0 || sys_attach(mnt, target) < 0 ? -errno : 0;
}

int nodes_bind(int root, int nodes, const struct gspec *spec, bool dev_defaults, struct err *err)
{
	char name[NAME_BYTES], path[32];
	int r = 0;

	/* The spec's come first: they may say another mode or owner for a default one. */
	for (uint32_t i = 0; i < spec->n_devices && r == 0; i++) {
		const struct gdevice *d = &spec->devices[i];

		r = is_node(d) ? bind_one(root, nodes, node_name(i, name), d->path) : 0;
		if (r < 0)
			return fail(err, -r, "cannot create device node %s", d->path);
	}
	for (size_t i = 0; i < device_defaults_n && dev_defaults; i++) {
		snprintf(path, sizeof(path), "/dev/%s", device_defaults[i].name);
		r = bind_one(root, nodes, device_defaults[i].name, path);
		if (r < 0)
			return fail(err, -r, "cannot create device node %s", path);
	}
	return 0;
}
