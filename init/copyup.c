/* SPDX-License-Identifier: Apache-2.0 */
#include "init/copyup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "init/fail.h"
#include "init/sys.h"
#include "lib/cleanup.h"

struct dent { /* linux_dirent64 of getdents64(2): no header exports it */
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static int copy_dir(int from, int to, dev_t dev, unsigned depth, struct err *err);

static int copy_file(int from, int to, const char *name, const struct stat *st)
{
	autofd int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	autofd int out =
		openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	ssize_t n;

	if (in < 0 || out < 0)
		return -errno;
	do {
		n = sendfile(out, in, NULL, 1 << 20);
	} while (n > 0);
	if (n < 0 || fchown(out, st->st_uid, st->st_gid) < 0 ||
		fchmod(out, st->st_mode & 07777) < 0)
		return -errno;
	return 0;
}

static int copy_link(int from, int to, const char *name, const struct stat *st)
{
	char text[4096];
	ssize_t n = readlinkat(from, name, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (symlinkat(text, to, name) < 0 ||
		fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_subdir(
	int from, int to, const char *name, const struct stat *st, unsigned depth, struct err *err)
{
	autofd int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	autofd int out = -1;
	int r;

	if (in < 0 || mkdirat(to, name, 0700) < 0)
		return fail(err, errno, "%s", name);
	out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out < 0)
		return fail(err, errno, "%s", name);
	r = copy_dir(in, out, st->st_dev, depth + 1, err);
	if (r < 0)
		return err_wrap(err, "%s", name);
	if (fchown(out, st->st_uid, st->st_gid) < 0 || fchmod(out, st->st_mode & 07777) < 0)
		return fail(err, errno, "%s", name);
	return 0;
}

static int copy_entry(
	int from, int to, const char *name, dev_t dev, unsigned depth, struct err *err)
{
	struct stat st;
	int r = 0;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(err, errno, "%s", name);
	if (st.st_dev != dev)
		return 0; /* a mount below: its own affair */
	if (S_ISDIR(st.st_mode))
		return copy_subdir(from, to, name, &st, depth, err);
	if (S_ISREG(st.st_mode))
		r = copy_file(from, to, name, &st);
	else if (S_ISLNK(st.st_mode))
		r = copy_link(from, to, name, &st);
	else if (mknodat(to, name, st.st_mode, st.st_rdev) < 0 ||
		 fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r < 0 ? fail(err, -r, "%s", name) : 0;
}

static int copy_dir(int from, int to, dev_t dev, unsigned depth, struct err *err)
{
	_Alignas(struct dent) char buf[2048];

	if (depth > COPYUP_DEPTH_MAX)
		return err_plain(err, ELOOP, "more than %d directories deep", COPYUP_DEPTH_MAX);
	for (;;) {
		long n = syscall(SYS_getdents64, from, buf, sizeof(buf));

		if (n < 0)
			return fail(err, errno, "cannot read the directory");
		if (n == 0)
			return 0;
		for (long at = 0; at < n;) {
			struct dent *d = (void *)(buf + at);
			int r = 0;

			if (strcmp(d->name, ".") != 0 && strcmp(d->name, "..") != 0)
				r = copy_entry(from, to, d->name, dev, depth, err);
			if (r < 0)
				return r;
			at += d->reclen;
		}
	}
}

int copy_up(int from, int to, struct err *err)
{
	autofd int in = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofd int out = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r;

	if (in < 0 || out < 0 || fstat(in, &st) < 0)
		return fail(err, errno, "cannot copy up");
	r = copy_dir(in, out, st.st_dev, 0, err);
	return r < 0 ? err_wrap(err, "cannot copy up") : 0;
}
