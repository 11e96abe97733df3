/* SPDX-License-Identifier: Apache-2.0 */
#include "init/procfs.h"

#include "init/mounts.h"
#include "init/sysctl.h"

static int dir = -1;

void procfs_forget(void)
{
	dir = -1;
}

int procfs_dir(void)
{
	char why[128];

	if (dir < 0)
		dir = mount_new_fs("proc", "proc", "", 0, 0, why, sizeof(why));
	return dir;
}

int procfs_read(const char *path, char *buf, size_t buf_bytes)
{
	int r = procfs_dir();

	return r < 0 ? r : file_get(r, path, buf, buf_bytes);
}
