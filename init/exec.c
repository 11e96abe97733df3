/* SPDX-License-Identifier: Apache-2.0 */
#include "init/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "init/fail.h"
#include "init/sys.h"

static int exec_status(int errnum)
{
	return errnum == ENOENT ? EXEC_NOT_FOUND : EXEC_NOT_EXECUTABLE;
}

const char *env_get(const struct gstrv *env, const char *name)
{
	size_t len = strlen(name);
	const char *value = NULL;

	for (uint32_t i = 0; i < env->n; i++)
		if (!strncmp(env->v[i], name, len) && env->v[i][len] == '=')
			value = env->v[i] + len + 1;
	return value;
}

/* A profile may well be older than faccessat2(2). faccessat(2) asks for the real user, who is the
 * effective one, but without the capabilities of one that is not root; and if a profile has neither,
 * execve(2) will tell. */
static int check_access(const char *path, mode_t mode)
{
	if (sys_faccessat2(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return 0;
	if (errno != ENOSYS && errno != EPERM)
		return errno;
	if (syscall(SYS_faccessat, AT_FDCWD, path, X_OK) == 0)
		return 0;
	if (errno != ENOSYS && errno != EPERM)
		return errno;
	return mode & 0111 ? 0 : EACCES;
}

/* 0, or the errno why this user cannot execute path; *ret_stat: it was stat(2) that failed. */
static int check(const char *path, bool *ret_stat)
{
	struct stat st;

	*ret_stat = false;
	if (stat(path, &st) < 0) {
		*ret_stat = true;
		return errno;
	}
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	return check_access(path, st.st_mode);
}

static int find_along(const char *name, const char *dirs, char ret_path[PATH_BYTES])
{
	bool stat_failed;

	for (const char *p = dirs; *name;) {
		size_t n = strcspn(p, ":");
		int len = snprintf(
			ret_path, PATH_BYTES, "%.*s/%s", n ? (int)n : 1, n ? p : ".", name);

		if (len < PATH_BYTES && check(ret_path, &stat_failed) == 0)
			return 0;
		if (!p[n])
			break;
		p += n + 1;
	}
	return -ENOENT;
}

int exec_find(const char *name, const struct gstrv *env, char ret_path[PATH_BYTES], struct err *err)
{
	const char *dirs = env_get(env, "PATH");
	bool stat_failed;
	int errnum;

	if (!strchr(name, '/')) {
		if (find_along(name, dirs ? dirs : EXEC_DEFAULT_PATH, ret_path) == 0)
			return 0;
		err_plain(err, ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
		err->exit_status = EXEC_NOT_FOUND;
		return -ENOENT;
	}
	errnum = strlen(name) < PATH_BYTES ? check(name, &stat_failed) : ENAMETOOLONG;
	if (!errnum) {
		memcpy(ret_path, name, strlen(name) + 1);
		return 0;
	}
	if (errnum != ENAMETOOLONG && stat_failed)
		fail(err, errnum, "exec: \"%s\": stat %s", name, name);
	else
		fail(err, errnum, "exec: \"%.512s\"", name);
	err->exit_status = exec_status(errnum);
	return -errnum;
}

int exec_run(const char *path, const char *const *argv, const char *const *envp, struct err *err)
{
	int errnum;

	execve(path, (char *const *)argv, (char *const *)envp);
	errnum = errno;
	fail(err, errnum, "exec %s", path);
	err->exit_status = exec_status(errnum);
	return -errnum;
}
