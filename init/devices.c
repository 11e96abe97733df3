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

const struct device_default device_defaults[] = {
	{"null", 1, 3},
	{"zero", 1, 5},
	{"full", 1, 7},
	{"random", 1, 8},
	{"urandom", 1, 9},
	{"tty", 5, 0},
};
const size_t device_defaults_n = ARRAY_SIZE(device_defaults);

struct link {
	const char *name, *target;
};

static const struct link default_links[] = {
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
};

/* A /dev of the root file system's own may be read-only: then what it holds has to do. */
static bool bearable(int errnum)
{
	return errnum == EEXIST || errnum == EROFS;
}

static int make_defaults(int root, struct err *err)
{
	autofd int dev = path_make(root, "/dev", true, NULL);

	if (dev == -EROFS)
		return 0;
	if (dev < 0)
		return fail(err, -dev, "/dev");
	for (size_t i = 0; i < device_defaults_n; i++) {
		const struct device_default *n = &device_defaults[i];

		if (mknodat(dev, n->name, S_IFCHR | 0666, makedev(n->major, n->minor)) < 0 &&
			!bearable(errno))
			return fail(err, errno, "/dev/%s", n->name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(default_links); i++)
		if (symlinkat(default_links[i].target, dev, default_links[i].name) < 0 &&
			!bearable(errno))
			return fail(err, errno, "/dev/%s", default_links[i].name);
	/* Always the link: a ptmx node of the guest's own would reach another devpts instance. */
	if (unlinkat(dev, "ptmx", 0) < 0 && errno != ENOENT && errno != EROFS)
		return fail(err, errno, "/dev/ptmx");
	if (symlinkat("pts/ptmx", dev, "ptmx") < 0 && !bearable(errno))
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

/* config-linux.md: a file at the path that is not this device is an error. Its mode and owner stay:
 * it may be the host's own, in a directory that is bound. */
static int check_present(int dir, const char *name, const struct gdevice *d)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if ((st.st_mode & S_IFMT) != d->type)
		return -EEXIST;
	return d->type == S_IFIFO || st.st_rdev == makedev(d->major, d->minor) ? 0 : -EEXIST;
}

static int make_device(int root, const struct gdevice *d)
{
	const char *name;
	autofd int dir = open_parent(root, d->path, &name);

	if (dir < 0)
		return dir;
	if (mknodat(dir, name, d->type | d->mode, makedev(d->major, d->minor)) < 0)
		return errno == EEXIST ? check_present(dir, name, d) : -errno;
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
