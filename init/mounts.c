/* SPDX-License-Identifier: Apache-2.0 */
#include "init/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "init/copyup.h"
#include "init/fail.h"
#include "init/log.h"
#include "init/sys.h"
#include "lib/cleanup.h"
#include "lib/path.h"

#define SEAL_MAX \
	64 /* read-only tmpfs mounts of one container; each holds a descriptor until mounts_seal() \
	    */

static struct {
	int fd[SEAL_MAX];
	const char *dest[SEAL_MAX];
	unsigned n;
} to_seal;

bool mount_inside_proc(const char *dest)
{
	/* What lxcfs and CRIU put there; runc's list. */
	static const char *const allowed[] = {
		"/proc/cpuinfo",
		"/proc/diskstats",
		"/proc/meminfo",
		"/proc/stat",
		"/proc/swaps",
		"/proc/uptime",
		"/proc/loadavg",
		"/proc/slabinfo",
		"/proc/net/dev",
		"/proc/sys/kernel/ns_last_pid",
		"/proc/sys/crypto/fips_enabled",
	};

	if (strncmp(dest, "/proc/", 6) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (!strcmp(dest, allowed[i]))
			return false;
	return true;
}

int mount_propagation(int dir, const char *path, uint64_t ms_flags)
{
	struct mount_attr attr = {.propagation = ms_flags & ~(uint64_t)MS_REC};

	if (!attr.propagation)
		return 0;
	if (sys_mount_setattr(dir, path,
		    (unsigned)AT_EMPTY_PATH | (ms_flags & MS_REC ? AT_RECURSIVE : 0), &attr) < 0)
		return -errno;
	return 0;
}

/* proc and sysfs go onto an ordinary directory only: a link at /proc has been used to fool later
 * steps. */
static int find_target(int root, const struct gmount *m, const char *dest, bool dir, int *ret_fd,
	bool *ret_made, struct err *err)
{
	bool strict =
		m->kind == GMOUNT_FS && (!strcmp(m->fstype, "proc") || !strcmp(m->fstype, "sysfs"));
	struct stat st;
	int fd;

	if (strict) {
		fd = path_open_nolink(root, dest, O_PATH);
		if (fd == -ELOOP)
			return err_plain(err, ELOOP,
				"filesystem \"%s\" must be mounted on ordinary directory",
				m->fstype);
		if (fd >= 0)
			close(fd);
	}
	fd = path_make(root, dest, dir, ret_made);
	if (fd < 0)
		return fail(err, -fd, "cannot make mount point");
	*ret_fd = fd;
	if (fstat(fd, &st) < 0)
		return fail(err, errno, "fstat");
	if (S_ISDIR(st.st_mode) != dir)
		return fail(
			err, ENOTDIR, dir ? "mount point is a file" : "mount point is a directory");
	return 0;
}

/* What a tmpfs takes from the directory it covers: its mode unless the spec says one, and with
 * tmpcopyup its content. */
static int fill_tmpfs(int mnt, int target, const struct gmount *m, bool made, struct err *err)
{
	struct stat st;

	if (!made && !mount_has_option(m->data, "mode")) {
		autofd int top = openat(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fstat(target, &st) < 0 || top < 0 || fchmod(top, st.st_mode & 07777) < 0)
			return fail(err, errno, "cannot take over the directory's mode");
	}
	return m->copy_up ? copy_up(target, mnt, err) : 0;
}

static int seal_later(int mnt, const char *dest, struct err *err)
{
	if (to_seal.n == SEAL_MAX)
		return err_plain(err, E2BIG, "more than %d read-only tmpfs mounts", SEAL_MAX);
	to_seal.fd[to_seal.n] = mnt;
	to_seal.dest[to_seal.n++] = dest;
	return 0;
}

/* A tmpfs that was to become read-only is to be writable after all. */
static void unseal(const char *dest)
{
	for (unsigned i = 0; i < to_seal.n; i++)
		if (!strcmp(to_seal.dest[i], dest)) {
			close(to_seal.fd[i]);
			to_seal.n--;
			to_seal.fd[i] = to_seal.fd[to_seal.n];
			to_seal.dest[i--] = to_seal.dest[to_seal.n];
		}
}

static int set_propagation(int mnt, const struct gmount *m, struct err *err)
{
	int r = 0;

	for (uint32_t i = 0; i < m->n_propagation && r == 0; i++)
		r = mount_propagation(mnt, "", m->propagation[i]);
	return r < 0 ? fail(err, -r, "cannot set propagation") : 0;
}

/* -EINVAL: nothing is mounted just there. */
static int check_mount(int target)
{
	autofd int fs = sys_fspick(target);

	return fs < 0 ? -errno : 0;
}

/* Read-only comes last, as for a new tmpfs. */
static int remount(int root, const struct gmount *m, const char *dest, uint64_t set, uint64_t clr,
	struct err *err)
{
	autofd int target = path_open(root, dest, O_PATH);
	struct mount_attr attr = {.attr_set = set & ~(uint64_t)MOUNT_ATTR_RDONLY, .attr_clr = clr};
	char why[256] = "";
	int r = MIN(target, 0);

	if (r == 0)
		r = check_mount(target);
	if (r == 0 && (attr.attr_set || attr.attr_clr) &&
		sys_mount_setattr(target, "", AT_EMPTY_PATH, &attr) < 0)
		r = -errno;
	if (r == 0 && m->kind == GMOUNT_REMOUNT)
		r = mount_change_fs(target, m->data, m->flags, m->clear_flags, why, sizeof(why));
	if (r < 0)
		return err_plain(err, -r, "remount: %s%s%s", why, *why ? ": " : "", errno_text(-r));
	r = set_propagation(target, m, err);
	if (r < 0)
		return r;
	if (clr & MOUNT_ATTR_RDONLY)
		unseal(m->dest);
	return set & MOUNT_ATTR_RDONLY ? seal_later(take_fd(&target), m->dest, err) : 0;
}

static int make_fs(const struct gmount *m, uint64_t attrs, int *ret_mnt, struct err *err)
{
	const char *fstype = m->kind == GMOUNT_CGROUP ? "cgroup2" : m->fstype;
	char why[256];

	*ret_mnt = mount_new_fs(fstype, m->source, m->kind == GMOUNT_CGROUP ? "" : m->data,
		m->flags, attrs, why, sizeof(why));
	if (*ret_mnt >= 0)
		return 0;
	if (why[0])
		return fail(err, -*ret_mnt, "%s", why);
	return err_plain(err, -*ret_mnt, "%s", errno_text(-*ret_mnt));
}

static int make_bind(
	const struct gmount *m, uint64_t set, uint64_t clr, int *ret_mnt, struct err *err)
{
	struct mount_attr attr = {.attr_set = set, .attr_clr = clr};

	*ret_mnt = sys_open_tree(AT_FDCWD, m->source, OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
	if (*ret_mnt < 0)
		return fail(err, errno, "cannot open the shared source");
	if ((set || clr) && sys_mount_setattr(*ret_mnt, "", AT_EMPTY_PATH, &attr) < 0)
		return fail(err, errno, "cannot set its options");
	return 0;
}

static int make_one(int root, const struct gmount *m, const char *dest, struct err *err)
{
	bool tmpfs = m->kind == GMOUNT_FS && !strcmp(m->fstype, "tmpfs");
	bool late = tmpfs && (m->flags & MS_RDONLY), made = false;
	autofd int mnt = -1, target = -1;
	uint64_t set, clr;
	int r;

	if (mount_attrs(m->flags, m->clear_flags, &set, &clr) < 0)
		return err_plain(err, EINVAL, "unknown mount flags 0x%llx",
			(unsigned long long)(m->flags | m->clear_flags));
	if (mount_inside_proc(dest))
		return err_plain(
			err, EPERM, "\"%s\" cannot be mounted because it is inside /proc", dest);
	if (m->kind == GMOUNT_REMOUNT || m->kind == GMOUNT_REMOUNT_BIND)
		return remount(root, m, dest, set, clr, err);
	if (late)
		set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	r = find_target(root, m, dest, m->kind != GMOUNT_BIND || m->is_dir, &target, &made, err);
	if (r == 0)
		r = m->kind == GMOUNT_BIND ? make_bind(m, set, clr, &mnt, err)
					   : make_fs(m, set, &mnt, err);
	if (r == 0 && tmpfs)
		r = fill_tmpfs(mnt, target, m, made, err);
	if (r < 0)
		return r;
	if (sys_attach(mnt, target) < 0)
		return err_plain(err, errno, "%s", errno_text(errno));
	r = set_propagation(mnt, m, err);
	if (r < 0)
		return r;
	return late ? seal_later(take_fd(&mnt), m->dest, err) : 0;
}

int mounts_make(int root, const struct gspec *spec, bool *ret_dev_defaults, struct err *err)
{
	static char dest[PATH_BYTES];

	*ret_dev_defaults = true;
	for (uint32_t i = 0; i < spec->n_mounts; i++) {
		const struct gmount *m = &spec->mounts[i];
		int r = path_clean(m->dest, dest);

		log_step("mount %s on %s", m->kind == GMOUNT_FS ? m->fstype : m->source, m->dest);
		if (r < 0)
			fail(err, -r, "destination");
		else
			r = make_one(root, m, dest, err);
		if (r < 0)
			return err_wrap(err, "error mounting \"%s\" to rootfs at \"%s\"",
				m->source[0] ? m->source : m->fstype, m->dest);
		if (!strcmp(dest, "/dev") && m->kind != GMOUNT_REMOUNT &&
			m->kind != GMOUNT_REMOUNT_BIND)
			*ret_dev_defaults = m->kind == GMOUNT_FS && !strcmp(m->fstype, "tmpfs");
	}
	return 0;
}

int mounts_seal(struct err *err)
{
	struct mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY};

	for (unsigned i = 0; i < to_seal.n; i++) {
		if (sys_mount_setattr(to_seal.fd[i], "", AT_EMPTY_PATH, &ro) < 0)
			return fail(err, errno, "cannot make \"%s\" read-only", to_seal.dest[i]);
		close(to_seal.fd[i]);
	}
	to_seal.n = 0;
	return 0;
}
