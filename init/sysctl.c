/* SPDX-License-Identifier: Apache-2.0 */
#include "init/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "init/fail.h"
#include "init/log.h"
#include "init/sys.h"
#include "lib/cleanup.h"
#include "lib/path.h"

bool sysctl_key_ok(const char *key)
{
	const char *p = key;

	for (;;) {
		size_t n = strcspn(p, "/");

		if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && !strncmp(p, "..", 2)))
			return false;
		if (!p[n])
			return true;
		p += n + 1;
	}
}

int file_put(int dir, const char *path, const char *text)
{
	size_t len = strlen(text);
	autofd int fd = sys_openat2(
		dir, path, O_WRONLY | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, len);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int file_get(int dir, const char *path, char *buf, size_t buf_bytes)
{
	autofd int fd = sys_openat2(
		dir, path, O_RDONLY | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, buf + len, buf_bytes - 1 - len);
		if (n < 0)
			return -errno;
		len += (size_t)n;
	} while (n > 0 && len < buf_bytes - 1);
	buf[len] = '\0';
	return (int)len;
}

static int write_one(int proc, const struct gkeyval *kv, struct err *err)
{
	char path[PATH_BYTES];
	int r;

	if (!sysctl_key_ok(kv->key))
		return err_plain(
			err, EINVAL, "write sysctl key \"%s\": not the name of a sysctl", kv->key);
	if (snprintf(path, sizeof(path), "sys/%s", kv->key) >= (int)sizeof(path))
		return fail(err, ENAMETOOLONG, "write sysctl key %.64s...", kv->key);
	log_step("sysctl %s", kv->key);
	r = file_put(proc, path, kv->value);
	return r < 0 ? fail(err, -r, "write sysctl key %s: /proc/%s", kv->key, path) : 0;
}

int sysctls_write(int proc, const struct gkeyval *kv, uint32_t n, struct err *err)
{
	for (uint32_t i = 0; i < n; i++) {
		int r = write_one(proc, &kv[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}
