/* SPDX-License-Identifier: Apache-2.0 */
#include "init/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "init/fail.h"
#include "lib/cleanup.h"
#include "lib/path.h"

struct node {
	const char *name;
	unsigned major, minor;
};

static const struct node default_nodes[] = {
	{"null", 1, 3},
	{"zero", 1, 5},
	{"full", 1, 7},
	{"random", 1, 8},
	{"urandom", 1, 9},
	{"tty", 5, 0},
};

struct link {
	const char *name, *target;
};

static const struct link default_links[] = {
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
};

static int make_defaults(int root, struct err *err)
{
	autofd int dev = path_open(root, "/dev", O_PATH | O_DIRECTORY);

	if (dev < 0)
		return fail(err, -dev, "/dev");
	for (size_t i = 0; i < ARRAY_SIZE(default_nodes); i++) {
		const struct node *n = &default_nodes[i];

		if (mknodat(dev, n->name, S_IFCHR | 0666, makedev(n->major, n->minor)) < 0 &&
			errno != EEXIST)
			return fail(err, errno, "/dev/%s", n->name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(default_links); i++)
		if (symlinkat(default_links[i].target, dev, default_links[i].name) < 0 &&
			errno != EEXIST)
			return fail(err, errno, "/dev/%s", default_links[i].name);
	/* Always the link: a ptmx node of the guest's own would reach another devpts instance. */
	if (unlinkat(dev, "ptmx", 0) < 0 && errno != ENOENT)
		return fail(err, errno, "/dev/ptmx");
	if (symlinkat("pts/ptmx", dev, "ptmx") < 0)
		return fail(err, errno, "/dev/ptmx");
	return 0;
}

/* Splits the clean path into its directory, made and opened, and its last name. */
static int open_parent(int root, const char *path, const char **ret_name)
{
	static char clean[PATH_BYTES];
	char *slash;
	int r = path_clean(path, clean);

	if (r < 0)
		return r;
	slash = strrchr(clean, '/');
	*ret_name = slash + 1;
	if (!slash[1])
		return -EISDIR;
	if (slash == clean)
		return path_open(root, "/", O_PATH | O_DIRECTORY);
	*slash = '\0';
	return path_make(root, clean, true, NULL);
}

static int make_device(int root, const struct gdevice *d)
{
	const char *name;
	autofd int dir = open_parent(root, d->path, &name);

	if (dir < 0)
		return dir;
	if (mknodat(dir, name, d->type | d->mode, makedev(d->major, d->minor)) < 0)
		return errno == EEXIST ? 0 : -errno;
	if (fchownat(dir, name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

int devices_make(int root, const struct gspec *spec, bool dev_defaults, struct err *err)
{
	int r;

	/* The spec's come first: they may say another mode or owner for a default one. */
	for (uint32_t i = 0; i < spec->n_devices; i++) {
		r = make_device(root, &spec->devices[i]);
		if (r < 0)
			return fail(err, -r, "cannot create device node %s", spec->devices[i].path);
	}
	if (!dev_defaults)
		return 0;
	r = make_defaults(root, err);
	return r < 0 ? err_wrap(err, "cannot create device node") : 0;
}
