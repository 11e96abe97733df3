/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/fd.h"

int pid_file_write(const char *path, pid_t pid, struct err *err)
{
	autofree char *tmp = NULL;
	autofd int fd = -1;
	char text[16];
	int n, r;

	if (!path)
		return 0;
	if (asprintf(&tmp, "%s.XXXXXX", path) < 0)
		return err_set(err, ENOMEM, "cannot write the pid file");
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "cannot make the pid file '%s'", path);
	n = snprintf(text, sizeof(text), "%d", pid);
	r = write_full(fd, text, (size_t)n);
	if (r == 0 && (fchmod(fd, 0644) < 0 || rename(tmp, path) < 0))
		r = -errno;
	if (r == 0)
		return 0;
	unlink(tmp);
	return err_set(err, -r, "cannot write the pid file '%s'", path);
}
