/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "tests/tap.h"

static char text[IDMAP_TEXT_BYTES];

static void test_text(void)
{
	static const struct gidmap root[] = {{1000, 0, 1}, {5, 7, 4294967290u}};
	static const struct gidmap other[] = {{0, 100000, 65536}};
	static const struct gidmap top[] = {{4294967294u, 9, 1}, {4294967290u, 20, 4}};
	static struct gidmap many[GSPEC_IDMAPS_MAX];

	eq_int(idmap_text(root, 2, text, sizeof(text)), 0, "mappings with the mount's id 0");
	eq_str(text, "1000 0 1\n5 7 4294967290\n", "are all");
	eq_int(idmap_text(other, 1, text, sizeof(text)), 0, "without it");
	eq_str(text, "0 100000 65536\n4294967294 0 1\n", "0 is kept as the last id");
	eq_int(idmap_text(top, 2, text, sizeof(text)), 0, "when that is taken");
	eq_str(text, "4294967294 9 1\n4294967290 20 4\n4294967289 0 1\n", "as the last free one");
	for (uint32_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct gidmap){4000000000u + i, 4000000000u + i, 1};
	eq_int(idmap_text(many, ARRAY_SIZE(many), text, sizeof(text)), -E2BIG,
		"no room for one more than the kernel takes");
	many[0].outside = 0;
	eq_int(idmap_text(many, ARRAY_SIZE(many), text, sizeof(text)), 0, "as many as that");
	eq_int(idmap_text(root, 2, text, 10), -E2BIG, "a short buffer");
}

/* A detached tmpfs, which its maker may map. */
static int new_tmpfs(void)
{
	autofd int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return fsmount(fs, FSMOUNT_CLOEXEC, 0);
}

static void test_mount(void)
{
	static const struct gidmap uids[] = {{0, 100000, 10}}, gids[] = {{0, 200000, 10}};
	const struct idmaps maps = {1, 1, uids, gids};
	struct err err = ERR_INIT;
	autofd int mnt = new_tmpfs();
	autofd int file = -1;
	struct stat st;
	int r;

	if (mnt < 0) {
		skip("no tmpfs can be made");
		return;
	}
	r = idmap_mount(mnt, &maps, false, &err);
	if (r == -EINVAL || r == -EPERM) { /* tmpfs can since Linux 6.3 */
		has_str(err.msg, "maybe the file system does not support idmapped mounts");
		skip("no tmpfs can be mapped");
		return;
	}
	ok(r == 0, "a tmpfs is mapped: '%s'", err.msg);
	ok(fstat(mnt, &st) == 0 && st.st_uid == 100000 && st.st_gid == 200000,
		"its root's owner in it");
	file = openat(mnt, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ok(file >= 0 && fstat(file, &st) == 0 && st.st_uid == 0, "root makes a file in it: %s",
		strerror(errno));
	ok(fchown(file, 100003, 200004) == 0, "and gives it away");
	ok(fchown(file, 3, -1) < 0 && errno == EOVERFLOW, "not to an id that is not mapped");
	err = (struct err)ERR_INIT;
	ok(idmap_mount(mnt, &maps, false, &err) < 0, "nothing is mapped twice: '%s'", err.msg);
}

int main(void)
{
	test_text();
	test_mount();
	return tap_done();
}
