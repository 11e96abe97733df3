/* SPDX-License-Identifier: Apache-2.0 */
#include "init/procfs.h"

#include "init/mounts.h"
#include "init/sysctl.h"

int procfs_dir(void)
{
	static int dir = -1;
	char why[128];

	if (dir < 0)
		dir = mount_new_fs("proc", "proc", "", 0, 0, why, sizeof(why));
	return dir;
}

int procfs_read(const char *path, char *buf, size_t buf_bytes)
{
	int dir = procfs_dir();

	return dir < 0 ? dir : file_get(dir, path, buf, buf_bytes);
}
