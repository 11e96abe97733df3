/* SPDX-License-Identifier: Apache-2.0 */
/* The container's mounts, as its first process sees them. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "tests/init/harness.h"
#include "tests/tap.h"

/* has_str() for an expression that runs a container: evaluates it once. */
static void says(const char *text, const char *part)
{
	if (!ok(strstr(text, part) != NULL, "says '%.*s'", (int)strcspn(part, "\n"), part))
		printf("# got '%s'\n", text);
}

#define OPTS(path) "grep ' " path " ' /proc/self/mounts | cut -d' ' -f4;"

static void test_mounts(void)
{
	struct gspec *s = fresh(OPTS("/sys") OPTS("/dev/shm") OPTS("/t")
			OPTS("/d") "cat /d/f /file; stat -c %a /t; "
				   "touch /d/g /t/g || echo ro; touch /file 2>&1; grep -c ' - "
				   "mqueue ' /proc/self/mountinfo");
	const char *out;
	char path[128];

	snprintf(path, sizeof(path), "%s/m1", share_path);
	mkdir(path, 0755);
	put("m1/f", "in m1\n", 0644);
	put("m2", "file m2\n", 0644);
	put("m3", "hidden\n", 0644);
	add_mount(s, (struct gmount){.kind = GMOUNT_FS,
			     .dest = "/t",
			     .fstype = "tmpfs",
			     .flags = MS_NOATIME | MS_NODEV,
			     .data = "size=1m,mode=1770"});
	add_mount(s, (struct gmount){.kind = GMOUNT_BIND,
			     .dest = "/d",
			     .source = "m1",
			     .is_dir = 1,
			     .flags = MS_RDONLY | MS_NOEXEC});
	add_mount(s,
		(struct gmount){
			.kind = GMOUNT_BIND, .dest = "/file", .source = "m2", .flags = MS_NOSUID});
	out = output(s);
	says(out, "ro,nosuid,nodev,noexec,relatime\n");
	says(out, "rw,nosuid,nodev,noexec,relatime,size=65536k");
	says(out, "rw,nodev,noatime,size=1024k,mode=1770");
	says(out, "ro,noexec,relatime,");
	says(out, "in m1\nfile m2\n1770\nro\n1\n");
}

static void test_mount_errors(void)
{
	struct gspec *s = fresh("true");
	struct guest *g;

	add_mount(
		s, (struct gmount){
			   .kind = GMOUNT_FS, .dest = "/x", .fstype = "nosuchfs", .source = "src"});
	g = run(s, NULL);
	eq_str(g->fail.text,
		"error mounting \"src\" to rootfs at \"/x\": the guest has no file system "
		"\"nosuchfs\": no such device",
		"unknown type");
	s = fresh("true");
	add_mount(
		s, (struct gmount){
			   .kind = GMOUNT_FS, .dest = "/x", .fstype = "tmpfs", .data = "size=foo"});
	says(run(s, NULL)->fail.text, "error mounting \"none\" to rootfs at \"/x\": ");
	s = fresh("true");
	put("m1", "", 0644);
	add_mount(s, (struct gmount){.kind = GMOUNT_BIND, .dest = "/tmp", .source = "m1"});
	says(run(s, NULL)->fail.text, "not a directory");
	s = fresh("true");
	put("m1", "", 0644);
	add_mount(s,
		(struct gmount){.kind = GMOUNT_BIND, .dest = "/proc/self/attr/x", .source = "m1"});
	says(run(s, NULL)->fail.text, "cannot be mounted because it is inside /proc");
	s = fresh("true");
	add_mount(
		s, (struct gmount){
			   .kind = GMOUNT_FS, .dest = "/x", .fstype = "tmpfs", .flags = 1u << 30});
	says(run(s, NULL)->fail.text, "unknown mount flags 0x40000000");
	s = fresh("true");
	s->root = "elsewhere";
	says(run(s, NULL)->fail.text, "cannot open the root file system");
}

static void test_readonly_tmpfs(void)
{
	struct gspec *s = fresh("echo x > /ro/f || echo no; echo x > /dev/f || echo no; ls -d "
				"/dev/pts/ptmx /ro/in; "
				"stat -c %a /ro");
	char path[128];

	((struct gmount *)s->mounts)[1].flags |= MS_RDONLY; /* /dev */
	snprintf(path, sizeof(path), "%s/rootfs/ro", share_path);
	mkdir(path, 0);
	chmod(path, 0751);
	add_mount(s,
		(struct gmount){
			.kind = GMOUNT_FS, .dest = "/ro", .fstype = "tmpfs", .flags = MS_RDONLY});
	add_mount(s, (struct gmount){.kind = GMOUNT_FS, .dest = "/ro/in", .fstype = "tmpfs"});
	eq_str(output(s), "no\nno\n/dev/pts/ptmx\n/ro/in\n751\n",
		"read-only after all was made in it; its mode kept");
}

static void test_copy_up(void)
{
	struct gspec *s = fresh("cat /up/a /up/sub/b /up/l; stat -c '%a %u' /up/a /up/sub; echo "
				"new > /up/a; cat /up/a");
	autofd int fd = -1;
	char path[128], c = 0;

	snprintf(path, sizeof(path), "%s/rootfs/up", share_path);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/rootfs/up/sub", share_path);
	mkdir(path, 0710);
	put("rootfs/up/a", "A\n", 0604);
	put("rootfs/up/sub/b", "B\n", 0644);
	snprintf(path, sizeof(path), "%s/rootfs/up/l", share_path);
	if (symlink("sub/b", path) < 0)
		ok(false, "symlink");
	snprintf(path, sizeof(path), "%s/rootfs/up/a", share_path);
	if (chown(path, 5, 5) < 0)
		ok(false, "chown");
	add_mount(s,
		(struct gmount){.kind = GMOUNT_FS, .dest = "/up", .fstype = "tmpfs", .copy_up = 1});
	eq_str(output(s), "A\nB\nB\n604 5\n710 0\nnew\n", "tmpcopyup");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ok(read(fd, &c, 1) == 1 && c == 'A', "the file underneath is unchanged");
}

static void link_in_root(const char *target, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/rootfs/%s", share_path, name);
	unlink(path);
	if (symlink(target, path) < 0)
		ok(false, "symlink %s", name);
}

static void test_links(void)
{
	struct gspec *s =
		fresh("cat /run/real/file; readlink /etc/resolv.conf; ls /esc /etc/up; ls /tmp");
	char path[128];
	struct stat st;

	put("m1", "bound\n", 0644);
	link_in_root("../run/real/file", "etc/resolv.conf"); /* dangling: made inside */
	link_in_root("../../../../../../../../../../tmp/outside", "esc");
	link_in_root("/proc/1/root/tmp", "magic");
	add_mount(s,
		(struct gmount){.kind = GMOUNT_BIND, .dest = "/etc/resolv.conf", .source = "m1"});
	add_mount(s, (struct gmount){.kind = GMOUNT_FS, .dest = "/esc/x", .fstype = "tmpfs"});
	add_mount(
		s, (struct gmount){
			   .kind = GMOUNT_FS, .dest = "/etc/../../../etc/./up", .fstype = "tmpfs"});
	eq_str(output(s), "bound\n../run/real/file\n/esc:\nx\n\n/etc/up:\noutside\n",
		"links and dots in a destination stay inside");
	ok(lstat("/tmp/outside", &st) < 0, "nothing was made outside");
	s = fresh("true");
	link_in_root("/proc/self/root", "magic");
	add_mount(s, (struct gmount){.kind = GMOUNT_FS, .dest = "/magic/tmp", .fstype = "tmpfs"});
	says(run(s, NULL)->fail.text, "too many levels of symbolic links");
	s = fresh("true");
	link_in_root("loop2", "loop1");
	link_in_root("loop1", "loop2");
	add_mount(s, (struct gmount){.kind = GMOUNT_FS, .dest = "/loop1/x", .fstype = "tmpfs"});
	says(run(s, NULL)->fail.text, "too many levels of symbolic links");
	s = fresh("true");
	link_in_root("/tmp", "proc");
	says(run(s, NULL)->fail.text, "filesystem \"proc\" must be mounted on ordinary directory");
	s = fresh("true");
	snprintf(path, sizeof(path), "%s/rootlink", share_path);
	unlink(path);
	if (symlink("/", path) < 0)
		ok(false, "symlink");
	s->root = "rootlink";
	says(run(s, NULL)->fail.text, "not a directory");
}

static void test_propagation(void)
{
	struct gspec *s =
		fresh("grep -E ' / / ' /proc/self/mountinfo | grep -c shared:; grep ' /t ' "
		      "/proc/self/mountinfo "
		      "| grep -c shared:; mkdir /x; mount -t tmpfs none /x && echo mounted");

	s->root_propagation = MS_SHARED;
	add_mount(s, (struct gmount){.kind = GMOUNT_FS,
			     .dest = "/t",
			     .fstype = "tmpfs",
			     .n_propagation = 1,
			     .propagation = {MS_SHARED}});
	says(output(s), "1\nmounted\n");
	s = fresh("grep -E ' /(a|b) ' /proc/self/mountinfo | grep -o -E ' /[ab] "
		  "|shared|unbindable' | "
		  "tr -d '\\n'");
	add_mount(s, (struct gmount){.kind = GMOUNT_FS,
			     .dest = "/a",
			     .fstype = "tmpfs",
			     .n_propagation = 2,
			     .propagation = {MS_SHARED, MS_UNBINDABLE}});
	add_mount(s, (struct gmount){.kind = GMOUNT_FS,
			     .dest = "/b",
			     .fstype = "tmpfs",
			     .n_propagation = 3,
			     .propagation = {MS_UNBINDABLE, MS_PRIVATE, MS_SHARED | MS_REC}});
	eq_str(output(s), " /a unbindable /b shared", "several, one after the other");
}

static void test_remount(void)
{
	struct gspec *s = fresh(
		"touch /t/new 2>/dev/null || echo ro; grep -E ' /(t|u|v) ' /proc/self/mounts | "
		"cut -d' ' -f2,4; touch /v/new && echo rw");
	struct gmount tmpfs = {.kind = GMOUNT_FS,
		.dest = "/t",
		.fstype = "tmpfs",
		.data = "size=8k,mode=0700",
		.flags = MS_NOSUID};

	add_mount(s, tmpfs);
	add_mount(s, (struct gmount){.kind = GMOUNT_REMOUNT_BIND,
			     .dest = "/t",
			     .flags = MS_RDONLY | MS_NOEXEC,
			     .clear_flags = MS_NOSUID});
	tmpfs.dest = "/u";
	add_mount(s, tmpfs);
	add_mount(s, (struct gmount){.kind = GMOUNT_REMOUNT,
			     .dest = "/u",
			     .data = "size=16k",
			     .flags = MS_NOATIME});
	tmpfs.dest = "/v";
	tmpfs.flags = MS_RDONLY;
	add_mount(s, tmpfs);
	add_mount(s, (struct gmount){
			     .kind = GMOUNT_REMOUNT_BIND, .dest = "/v", .clear_flags = MS_RDONLY});
	eq_str(output(s),
		"ro\n/t ro,noexec,relatime,size=8k,mode=700\n"
		"/u rw,nosuid,noatime,size=16k,mode=700\n"
		"/v rw,relatime,size=8k,mode=700\nrw\n",
		"a mount's flags, its file system's options, read-only taken back");
	s = fresh("true");
	add_mount(s,
		(struct gmount){.kind = GMOUNT_REMOUNT_BIND, .dest = "/tmp", .flags = MS_RDONLY});
	ok(strstr(run(s, NULL)->fail.text, "remount: invalid argument"), "of what is no mount");
	s = fresh("true");
	add_mount(s, (struct gmount){.kind = GMOUNT_REMOUNT, .dest = "/dev", .data = "size=x"});
	ok(strstr(run(s, NULL)->fail.text, "tmpfs: Bad value for 'size'"),
		"the kernel's own words");
}

/* What runtime-tools' linux_rootfs_propagation does. */
static void test_root_propagation(void)
{
	static const struct {
		uint64_t flags;
		const char *want;
	} rows[] = {{MS_SHARED, "f\nbin\n"}, {MS_SLAVE, "bin\n"}, {MS_PRIVATE, "bin\n"},
		{MS_UNBINDABLE, "unbindable\n"}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct gspec *s =
			fresh("mkdir /1 /2 /3; touch /3/f; "
			      "mount -o rbind / /1 2>/dev/null || { echo unbindable; exit; }; "
			      "mount -o rbind /3 /2; ls /1/2; umount -l /2; rmdir /2; umount -l "
			      "/1; rmdir /1; ls / | grep bin");

		s->root_propagation = rows[i].flags;
		eq_str(output(s), rows[i].want, "what is exposed, and the root is whole");
	}
}

int main(void)
{
	const char *why = harness_open();

	if (why) {
		skip(why);
		return tap_done();
	}
	test_mounts();
	test_mount_errors();
	test_readonly_tmpfs();
	test_copy_up();
	test_links();
	test_propagation();
	test_root_propagation();
	test_remount();
	harness_close();
	return tap_done();
}
