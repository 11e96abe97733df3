/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fuse.h>
#include <linux/virtio_fs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/device/rows.h"
#include "vmm/virtio/devices.h"

static char dir[64];

/* A share with `rootfs/hello`. The worker makes it its root, so a test that is not root gets a user
 * namespace, where it may do that. */
static void setup(struct drv *d)
{
	struct virtio_fs_config c = {.tag = FS_TAG, .num_request_queues = FS_REQUEST_THREADS};
	char path[96];
	int fd;

	if (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0)
		drv_die("neither root nor a user namespace");
	strcpy(dir, "/tmp/fs-device-XXXXXX");
	if (!mkdtemp(dir))
		drv_die("cannot make a directory: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/rootfs", dir);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/rootfs/hello", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, "hello, guest", 12) != 12)
		drv_die("cannot write '%s': %s", path, strerror(errno));
	close(fd);
	d->dev.env.fd[FS_FD_ROOT] = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	memcpy(d->info.config, &c, sizeof(c));
	d->info.config_len = sizeof(c);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void teardown(struct drv *d)
{
	close(d->dev.env.fd[FS_FD_ROOT]);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void started(struct drv *d)
{
	struct fuse_in_header h = {.opcode = FUSE_INIT, .unique = 1};
	struct fuse_init_in in = {.major = 7, .minor = 41, .flags = ~0u};
	struct drv_buf bufs[3] = {
		{.gpa = drv_alloc(d, sizeof(h), 8), .len = sizeof(h)},
		{.gpa = drv_alloc(d, sizeof(in), 8), .len = sizeof(in)},
		{.gpa = drv_alloc(d, 80, 8), .len = 80, .in = true},
	};

	h.len = sizeof(h) + sizeof(in);
	memcpy(drv_ptr(d, bufs[0].gpa, sizeof(h)), &h, sizeof(h));
	memcpy(drv_ptr(d, bufs[1].gpa, sizeof(in)), &in, sizeof(in));
	if (drv_call(d, 1, bufs, 3) != 80)
		drv_die("FUSE_INIT is not answered");
}

/* LOOKUP of "rootfs" in the root: all of it in pieces, as a hostile driver may cut it. */
static unsigned request(struct drv *d, struct drv_buf bufs[DRV_BUFS_MAX])
{
	struct fuse_in_header h = {.opcode = FUSE_LOOKUP, .unique = 77, .nodeid = FUSE_ROOT_ID};

	h.len = sizeof(h) + 7;
	bufs[0] = (struct drv_buf){.gpa = drv_alloc(d, sizeof(h), 8), .len = sizeof(h)};
	bufs[1] = (struct drv_buf){.gpa = drv_alloc(d, 7, 1), .len = 7};
	bufs[2] = (struct drv_buf){.gpa = drv_alloc(d, 16, 8), .len = 16, .in = true};
	bufs[3] = (struct drv_buf){.gpa = drv_alloc(d, 128, 8), .len = 128, .in = true};
	memcpy(drv_ptr(d, bufs[0].gpa, sizeof(h)), &h, sizeof(h));
	memcpy(drv_ptr(d, bufs[1].gpa, 7), "rootfs", 7);
	return 4;
}

static bool check(struct drv *d, const struct drv_buf *bufs, unsigned n, uint32_t used_len)
{
	struct fuse_out_header out;
	struct fuse_entry_out e;

	memcpy(&out, drv_ptr(d, bufs[2].gpa, 16), sizeof(out));
	memcpy(&e, drv_ptr(d, bufs[3].gpa, 128), sizeof(e));
	return used_len == 144 && out.len == 144 && !out.error && out.unique == 77 &&
	       e.nodeid > 1 && S_ISDIR(e.attr.mode);
}

const struct device_row row_fs = {
	.ops = &vdev_fs,
	.queue = 1,
	.setup = setup,
	.teardown = teardown,
	.started = started,
	.request = request,
	.check = check,
};
