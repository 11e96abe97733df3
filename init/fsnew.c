/* SPDX-License-Identifier: Apache-2.0 */
/* mount_new_fs() and the meaning of mount flags; mounts.c says where things go. */
#include "init/mounts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "init/sys.h"
#include "lib/cleanup.h"

struct flag_attr {
	uint64_t ms, attr;
};

static const struct flag_attr flag_attrs[] = {
	{MS_RDONLY, MOUNT_ATTR_RDONLY},
	{MS_NOSUID, MOUNT_ATTR_NOSUID},
	{MS_NODEV, MOUNT_ATTR_NODEV},
	{MS_NOEXEC, MOUNT_ATTR_NOEXEC},
	{MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
	{MS_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW},
	{MS_NOATIME, MOUNT_ATTR_NOATIME},
	{MS_STRICTATIME, MOUNT_ATTR_STRICTATIME},
	{MS_RELATIME, MOUNT_ATTR_RELATIME},
};

struct fs_flag {
	uint64_t ms;
	const char *key, *not_key; /* NULL: the kernel has none */
};

/* Those of the file system, as fsconfig(2) calls them. */
static const struct fs_flag fs_flags[] = {
	{MS_SYNCHRONOUS, "sync", "async"},
	{MS_DIRSYNC, "dirsync"},
	{MS_MANDLOCK, "mand", "nomand"},
	{MS_LAZYTIME, "lazytime", "nolazytime"},
};

#define ATIME_FLAGS  ((uint64_t)(MS_NOATIME | MS_STRICTATIME | MS_RELATIME))
#define FLAGS_NO_USE ((uint64_t)(MS_SILENT | MS_I_VERSION)) /* nothing to do for them */

int mount_attrs(uint64_t flags, uint64_t clear, uint64_t *ret_set, uint64_t *ret_clr)
{
	uint64_t set = 0, clr = 0, known = FLAGS_NO_USE;

	for (size_t i = 0; i < ARRAY_SIZE(fs_flags); i++)
		known |= fs_flags[i].ms;
	for (size_t i = 0; i < ARRAY_SIZE(flag_attrs); i++) {
		known |= flag_attrs[i].ms;
		if (flags & flag_attrs[i].ms)
			set |= flag_attrs[i].attr;
		else if (clear & flag_attrs[i].ms & ~ATIME_FLAGS)
			clr |= flag_attrs[i].attr;
	}
	if ((flags | clear) & ~known)
		return -EINVAL;
	/* The kernel wants the whole atime field cleared before it is set; relatime, its default,
	 * is 0. Of several given, mount(2) lets strictatime win over noatime. */
	if ((flags | clear) & ATIME_FLAGS)
		clr |= MOUNT_ATTR__ATIME;
	if (flags & MS_STRICTATIME)
		set &= ~(uint64_t)MOUNT_ATTR_NOATIME;
	*ret_set = set;
	*ret_clr = clr;
	return 0;
}

bool mount_has_option(const char *data, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = data; *p;) {
		size_t n = strcspn(p, ",");

		if (n >= len && !strncmp(p, name, len) && (n == len || p[len] == '='))
			return true;
		p += n;
		p += *p == ',';
	}
	return false;
}

/* File systems whose one super block many mounts share, or that have no use for a read-only one:
 * read-only is the mount's affair there. */
static bool pseudo_fs(const char *fstype)
{
	static const char *const names[] = {
		"proc",
		"sysfs",
		"mqueue",
		"devpts",
		"cgroup2",
		"tmpfs",
		"devtmpfs",
		"bpf",
		"tracefs",
		"debugfs",
		"securityfs",
		"binfmt_misc",
		"ramfs",
		"hugetlbfs",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(fstype, names[i]))
			return true;
	return false;
}

static int set_option(int fs, const char *text, size_t n)
{
	char opt[4096]; /* fsconfig(2) itself takes strings of at most 256 bytes */
	char *value;
	int r;

	if (!n)
		return 0;
	if (n >= sizeof(opt))
		return -EINVAL;
	memcpy(opt, text, n);
	opt[n] = '\0';
	value = strchr(opt, '=');
	if (value)
		*value++ = '\0';
	r = sys_fsconfig(fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, opt, value);
	return r < 0 ? -errno : 0;
}

static int set_options(int fs, const char *data)
{
	while (*data) {
		size_t n = strcspn(data, ",");
		int r = set_option(fs, data, n);

		if (r < 0)
			return r;
		data += n;
		data += *data == ',';
	}
	return 0;
}

static int set_flags(int fs, uint64_t ms_flags, uint64_t clear_flags)
{
	for (size_t i = 0; i < ARRAY_SIZE(fs_flags); i++) {
		const struct fs_flag *f = &fs_flags[i];
		const char *key = ms_flags & f->ms      ? f->key
				  : clear_flags & f->ms ? f->not_key
							: NULL;

		if (key && sys_fsconfig(fs, FSCONFIG_SET_FLAG, key, NULL) < 0)
			return -errno;
	}
	return 0;
}

/* The kernel's message, "e tmpfs: Bad value for 'size'\n", without its ends. */
static void read_why(int fs, char *why, size_t why_bytes)
{
	int saved = errno;
	ssize_t n = read(fs, why, why_bytes - 1);

	if (n > 2 && why[1] == ' ') {
		n -= 2;
		memmove(why, why + 2, (size_t)n);
		n -= why[n - 1] == '\n';
		why[n] = '\0';
	} else {
		why[0] = '\0';
	}
	errno = saved;
}

int mount_new_fs(const char *fstype, const char *source, const char *data, uint64_t ms_flags,
	uint64_t attrs, char *why, size_t why_bytes)
{
	autofd int fs = sys_fsopen(fstype);
	int r, mnt;

	why[0] = '\0';
	if (fs < 0) {
		int errnum = errno;

		snprintf(why, why_bytes, "the guest has no file system \"%s\"", fstype);
		return -errnum;
	}
	/* A few take no source at all: what they do not know is only a label. */
	if (source[0] && sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", source) < 0 &&
		errno != EINVAL)
		return -errno;
	r = set_options(fs, data);
	if (r == 0 && (ms_flags & MS_RDONLY) && !pseudo_fs(fstype) &&
		sys_fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL) < 0)
		r = -errno;
	if (r == 0)
		r = set_flags(fs, ms_flags, 0);
	if (r == 0 && sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		r = -errno;
	if (r < 0) {
		read_why(fs, why, why_bytes);
		return r;
	}
	mnt = sys_fsmount(fs, (unsigned)attrs);
	return mnt < 0 ? -errno : mnt;
}

int mount_change_fs(int mnt, const char *data, uint64_t ms_flags, uint64_t clear_flags, char *why,
	size_t why_bytes)
{
	autofd int fs = sys_fspick(mnt);
	int r;

	why[0] = '\0';
	if (fs < 0)
		return -errno;
	r = set_options(fs, data);
	if (r == 0)
		r = set_flags(fs, ms_flags, clear_flags);
	if (r == 0 && sys_fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL) < 0)
		r = -errno;
	if (r < 0)
		read_why(fs, why, why_bytes);
	return r;
}
