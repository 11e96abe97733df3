/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and executing the user's program. */
#ifndef INIT_EXEC_H
#define INIT_EXEC_H

#include "lib/err.h"
#include "lib/gspec.h"
#include "lib/path.h"

#define EXEC_NOT_FOUND      127
#define EXEC_NOT_EXECUTABLE 126

/* What runc assumes when the container's environment has no PATH. */
#define EXEC_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Value of `name` in the environment (of several the last, as runc's setenv leaves it), or NULL. */
const char *env_get(const struct gstrv *env, const char *name);

/*
 * Where the program `name` is, looked up as the calling user: itself when it holds a slash, else
 * along PATH of env. Errors have runc's (Go's exec.LookPath) wording; err->exit_status is 127 or
 * 126.
 */
int exec_find(
	const char *name, const struct gstrv *env, char ret_path[PATH_BYTES], struct err *err);

/* execve(2); returns only on failure, with err->exit_status as above. argv and envp end in NULL. */
int exec_run(const char *path, const char *const *argv, const char *const *envp, struct err *err);

#endif
