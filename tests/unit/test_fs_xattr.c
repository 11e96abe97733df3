/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes and ACLs: which names pass, and what an ACL does to new files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "tests/unit/fs_client.h"

#define ARGS(...) ((const struct fsc_arg[]){__VA_ARGS__, {0}})
#define STRUCT(v)               \
	{                       \
		&(v), sizeof(v) \
	}
#define host(...) fsc_host(c, __VA_ARGS__)

static struct fsc *c;

static uint64_t make_file(const char *name)
{
	struct fuse_entry_out e = {0};

	fsc_mknod(c, c->rootfs, name, S_IFREG | 0644, 0, &e);
	return e.nodeid;
}

static mode_t host_mode(const char *name)
{
	struct stat st;

	return lstat(host("rootfs/%s", name), &st) < 0 ? 0 : st.st_mode & 07777;
}

static void test_xattrs(void)
{
	uint64_t n = make_file("mine"), l;
	struct fuse_getxattr_in in = {.size = 1000};
	struct fuse_entry_out e;
	int r;

	r = fsc_setxattr(c, n, "user.colour", "green", 0);
	if (r == -EOPNOTSUPP) {
		skip("the file system has no user.* attributes");
	} else {
		eq_int(r, 0, "SETXATTR");
		eq_int(fsc_setxattr(c, n, "user.colour", "red", 1 /* create */), -EEXIST,
			"SETXATTR create");
		eq_int(fsc_getxattr(c, n, "user.colour", 100), 5, "GETXATTR");
		ok(!memcmp(c->reply, "green", 5), "the value");
		eq_int(fsc_getxattr(c, n, "user.colour", 3), -ERANGE,
			"GETXATTR with too little room");
		eq_int(fsc_getxattr(c, n, "user.colour", 0), 8, "GETXATTR of the length");
		eq_int(((struct fuse_getxattr_out *)(void *)c->reply)->size, 5, "is it");
		eq_int(fsc_call(c, FUSE_LISTXATTR, n, ARGS(STRUCT(in)), 1000), 0, "LISTXATTR");
		ok(c->out_len == 12 && !strcmp((char *)c->reply, "user.colour"),
			"names what may pass");
		eq_int(fsc_remove(c, FUSE_REMOVEXATTR, n, "user.colour"), 0, "REMOVEXATTR");
		eq_int(fsc_getxattr(c, n, "user.colour", 100), -ENODATA, "it is gone");
	}
	eq_int(fsc_setxattr(c, n, "security.selinux", "x", 0), -EOPNOTSUPP,
		"the host's labels are, too");
	fsc_symlink(c, c->rootfs, "xlink", "mine", &e);
	l = e.nodeid;
	eq_int(fsc_setxattr(c, l, "user.a", "b", 0), -EPERM,
		"user.* on a link: the kernel's answer");
	ok(fsc_getxattr(c, n, "user.a", 10) < 0, "and the target has none");
	fsc_forget(c, n, 1);
}

static bool listed(uint64_t n, const char *name)
{
	struct fuse_getxattr_in in = {.size = 2000};

	if (fsc_call(c, FUSE_LISTXATTR, n, ARGS(STRUCT(in)), 2000) < 0)
		return false;
	for (uint32_t pos = 0; pos < c->out_len;) {
		if (!strcmp((char *)c->reply + pos, name))
			return true;
		pos += (uint32_t)strlen((char *)c->reply + pos) + 1;
	}
	return false;
}

/* One name of which the host has an attribute, the guest another. */
static int apart(uint64_t n, const char *name)
{
	char kept[300], value[4];
	const char *path = host("rootfs/layer");
	int r;

	snprintf(kept, sizeof(kept), "user.coracle.%s", name);
	if (setxattr(path, name, "h", 1, 0) < 0)
		return -1;
	if (fsc_getxattr(c, n, name, 10) != -ENODATA || listed(n, name))
		return 1;
	if (fsc_remove(c, FUSE_REMOVEXATTR, n, name) != -ENODATA)
		return 2;
	if (fsc_setxattr(c, n, name, "guest", 0) || fsc_getxattr(c, n, name, 10) != 5)
		return 3;
	if (memcmp(c->reply, "guest", 5) != 0 || !listed(n, name) || listed(n, kept))
		return 4;
	if (getxattr(path, name, value, 4) != 1 || value[0] != 'h' ||
		getxattr(path, kept, NULL, 0) != 5)
		return 5;
	if (fsc_remove(c, FUSE_REMOVEXATTR, n, name) || listed(n, name))
		return 6;
	r = getxattr(path, name, value, 4) == 1 && value[0] == 'h' ? 0 : 7;
	removexattr(path, name);
	return r;
}

/* How the host's programs mark their layers is not the guest's to see or to say; it can mark its own. */
static void test_apart(void)
{
	static const char *const names[] = {"user.overlay.opaque", "user.fuseoverlayfs.origin",
		"user.containers.override_stat", "trusted.overlay.opaque", "trusted.x"};
	uint64_t n = make_file("layer");
	char longest[XATTR_NAME_MAX + 1];
	struct fuse_entry_out link;

	if (setxattr(host("rootfs/layer"), "user.a", "y", 1, 0) < 0) {
		skip("the file system has no user.* attributes");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int r = apart(n, names[i]);

		if (r < 0)
			skip("the host cannot set one of them here");
		else
			eq_int(r, 0, names[i]);
	}
	setxattr(host("rootfs/layer"), "user.coracle.user.b", "y", 1, 0);
	ok(!listed(n, "user.b") && !listed(n, "user.coracle.user.b"), "a forged one is not shown");
	eq_int(fsc_setxattr(c, n, "user.coracle.user.b", "zz", 0), 0, "the prefix can be used");
	eq_int(getxattr(host("rootfs/layer"), "user.coracle.user.b", NULL, 0), 1, "is kept apart");
	ok(listed(n, "user.coracle.user.b"), "and shown");
	eq_int(fsc_setxattr(c, n, "user.overlays", "z", 0), 0, "a name that only looks like it");
	eq_int(getxattr(host("rootfs/layer"), "user.overlays", NULL, 0), 1, "passes");
	memset(longest, 'l', sizeof(longest));
	memcpy(longest, "trusted.", 8);
	longest[XATTR_NAME_MAX] = '\0';
	eq_int(fsc_setxattr(c, n, longest, "z", 0), -ERANGE, "a name without room for the prefix");
	fsc_symlink(c, c->rootfs, "layer-link", "x", &link);
	/* overlayfs expects this answer and goes on */
	eq_int(fsc_setxattr(c, link.nodeid, "trusted.overlay.origin", "", 0), -EPERM,
		"none on a link");
	fsc_forget(c, link.nodeid, 1);
	fsc_forget(c, n, 1);
}

static int set_acl(uint64_t node, const char *name, const struct fsc_acl *a, uint32_t flags)
{
	struct fuse_setxattr_in in = {.size = sizeof(*a), .setxattr_flags = flags};

	return fsc_call(
		c, FUSE_SETXATTR, node, ARGS(STRUCT(in), {name, strlen(name) + 1}, STRUCT(*a)), 0);
}

static void test_acls(void)
{
	struct fsc_acl dflt = fsc_acl_of(5, 0), access = fsc_acl_of(4, 0);
	struct fuse_entry_out d, e;
	uint64_t n;
	int r;

	fsc_mkdir(c, c->rootfs, "acl", 0755, &d);
	r = set_acl(d.nodeid, "system.posix_acl_default", &dflt, 0);
	if (r == -EOPNOTSUPP) {
		skip("the file system has no ACLs");
		return;
	}
	eq_int(r, 0, "a default ACL");
	eq_int(fsc_mknod(c, d.nodeid, "f", S_IFREG | 0666, 0, &e), 0, "MKNOD with umask 022");
	eq_int(host_mode("acl/f"), 0660, "the default ACL wins over the umask");
	eq_int(fsc_getxattr(c, e.nodeid, "system.posix_acl_access", 100), sizeof(struct fsc_acl),
		"the file has it as its own");
	fsc_forget(c, e.nodeid, 1);
	eq_int(fsc_create(c, d.nodeid, "g", O_RDWR, 0666, &e, NULL), 0, "CREATE");
	eq_int(host_mode("acl/g"), 0660, "the same");
	fsc_forget(c, e.nodeid, 1);
	eq_int(fsc_mkdir(c, d.nodeid, "sub", 0777, &e), 0, "MKDIR");
	eq_int(host_mode("acl/sub"), 0770, "the same");
	eq_int(fsc_getxattr(c, e.nodeid, "system.posix_acl_default", 100), sizeof(struct fsc_acl),
		"a directory passes it on");
	fsc_forget(c, e.nodeid, 1);
	fsc_forget(c, d.nodeid, 1);
	n = make_file("access");
	chmod(host("rootfs/access"), 02700);
	eq_int(set_acl(n, "system.posix_acl_access", &access, 0), 0, "an ACL of a file");
	eq_int(host_mode("access"), 02770, "its mask is the mode's group");
	eq_int(set_acl(n, "system.posix_acl_access", &access, FUSE_SETXATTR_ACL_KILL_SGID), 0,
		"by somebody who is not in its group");
	eq_int(host_mode("access"), 0770, "takes the set-group-id bit");
	fsc_forget(c, n, 1);
}

static void run_on(const char *base, bool mounts)
{
	printf("# on %s\n", base ? base : "/tmp");
	c = fsc_new(base);
	test_xattrs();
	test_apart();
	test_acls();
	fsc_free(c);
}

int main(void)
{
	if (geteuid() != 0)
		skip("needs root");
	else if (fsc_on_file_systems(run_on) < FSC_FILE_SYSTEMS)
		skip("not all file systems can be mounted here");
	return tap_done();
}
