/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "lab-root.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#define ROOT "/newroot"

void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0) {
		/* a knob this kernel does not have */
	}
	close(fd);
}

static void make_dirs(const char *path)
{
	char buf[4096], *p = buf;

	if (snprintf(buf, sizeof(buf), "%s", path) >= (int)sizeof(buf))
		fail("path too long: '%s'", path);
	while ((p = strchr(p + 1, '/'))) {
		*p = '\0';
		mkdir(buf, 0755);
		*p = '/';
	}
	if (mkdir(buf, 0755) < 0 && errno != EEXIST)
		fail("cannot make directory '%s': %m", path);
}

void do_mount(const char *what, const char *where, const char *type, unsigned long flags,
	const char *options)
{
	make_dirs(where);
	if (mount(what, where, type, flags, options) < 0)
		fail("cannot mount %s (%s) at '%s': %m", what, type ? type : "bind", where);
}

static void mount_root(void)
{
	do_mount("root", "/lower", "virtiofs", MS_RDONLY, NULL);
	do_mount("lab", "/upper", "tmpfs", 0, "size=75%,mode=755");
	make_dirs("/upper/up");
	make_dirs("/upper/work");
	do_mount("lab", ROOT, "overlay", 0,
		"lowerdir=/lower,upperdir=/upper/up,workdir=/upper/work,redirect_dir=on,volatile");
}

/* A fresh file system where the outside's content would be wrong, or where overlayfs would not do
 * as the place of another overlay's upper directory. */
static void mount_fresh(void)
{
	static const struct {
		const char *path, *options;
	} tmpfs[] = {
		{ROOT "/tmp", "size=75%,mode=1777"},
		{ROOT "/run", "size=75%,mode=755"},
		{ROOT "/var/tmp", "size=75%,mode=1777"},
		{ROOT "/var/lib/containers", "size=75%,mode=700"},
		{ROOT "/var/lib/containerd", "size=75%,mode=711"},
		{ROOT "/var/lib/docker", "size=75%,mode=710"},
	};

	for (size_t i = 0; i < sizeof(tmpfs) / sizeof(tmpfs[0]); i++)
		do_mount("tmpfs", tmpfs[i].path, "tmpfs", MS_NOSUID | MS_NODEV, tmpfs[i].options);
	make_dirs(ROOT "/run/lock");
	do_mount("/dev", ROOT "/dev", NULL, MS_MOVE, NULL);
	do_mount("/proc", ROOT "/proc", NULL, MS_MOVE, NULL);
	do_mount("/sys", ROOT "/sys", NULL, MS_MOVE, NULL);
}

/* A detached copy of the mount at path, to be shown elsewhere; -1 when there is no such path. */
static int tree_clone(const char *path)
{
	int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
		fail("cannot bind '%s': %m", path);
	return fd;
}

static void tree_attach(int fd, const char *path)
{
	make_dirs(path);
	if (move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		fail("cannot bind a directory at '%s': %m", path);
	close(fd);
}

static char *in_root(const char *path)
{
	char *s;

	if (asprintf(&s, ROOT "%s", path) < 0)
		abort();
	return s;
}

static const char *modules_dir(void)
{
	static char dir[256];
	struct utsname uts;

	uname(&uts);
	snprintf(dir, sizeof(dir), "/lib/modules/%s", uts.release);
	return dir;
}

/* Paths of the outside that fresh file systems would hide stay visible when the host asks for them.
 */
void set_up_root(const struct lab_paths *paths)
{
	static const char *const hidden[] = {"/tmp/", "/run/", "/var/tmp/"};
	int fds[64], modules_fd = -1;

	mount_root();
	for (size_t i = 0; i < paths->n_keeps; i++) {
		fds[i] = -1;
		for (size_t j = 0; j < sizeof(hidden) / sizeof(hidden[0]); j++)
			if (strncmp(paths->keeps[i], hidden[j], strlen(hidden[j])) == 0)
				fds[i] = tree_clone(in_root(paths->keeps[i]));
	}
	if (paths->modules)
		modules_fd = tree_clone(in_root(paths->modules));
	mount_fresh();
	for (size_t i = 0; i < paths->n_keeps; i++)
		if (fds[i] >= 0)
			tree_attach(fds[i], in_root(paths->keeps[i]));
	if (paths->share)
		do_mount("share", in_root(paths->share), "virtiofs", 0, NULL);
	if (modules_fd >= 0)
		tree_attach(modules_fd, in_root(modules_dir()));
}

void enter_root(void)
{
	if (chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
		chdir("/") < 0)
		fail("cannot enter the root file system: %m");
}

void mount_virtual(void)
{
	do_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		"gid=5,mode=620,ptmxmode=666");
	do_mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	do_mount("mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	do_mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		"nsdelegate,memory_recursiveprot");
	mount("bpf", "/sys/fs/bpf", "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700");
	mount("securityfs", "/sys/kernel/security", "securityfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		NULL);
}

void enable_controllers(void)
{
	char list[512] = "", *save = NULL;
	int fd = open("/sys/fs/cgroup/cgroup.controllers", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, list, sizeof(list) - 1) < 0)
		fail("cannot read the cgroup controllers: %m");
	close(fd);
	for (char *name = strtok_r(list, " \n", &save); name; name = strtok_r(NULL, " \n", &save)) {
		char text[64];

		snprintf(text, sizeof(text), "+%s", name);
		put("/sys/fs/cgroup/cgroup.subtree_control", text);
	}
}

/* Device nodes whose first open loads their module: /dev/net/tun, /dev/loop-control,
 * /dev/vhost-net... */
static void make_module_nodes(const char *dir)
{
	char path[4096], name[128], kind;
	unsigned int major_nr, minor_nr;
	FILE *f;

	snprintf(path, sizeof(path), "%s/modules.devname", dir);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(path, sizeof(path), f)) {
		char node[256], *slash;

		if (sscanf(path, "%*s %127s %c%u:%u", name, &kind, &major_nr, &minor_nr) != 4)
			continue;
		snprintf(node, sizeof(node), "/dev/%s", name);
		slash = strrchr(node, '/');
		*slash = '\0';
		make_dirs(node);
		*slash = '/';
		mknod(node, (kind == 'b' ? S_IFBLK : S_IFCHR) | 0600, makedev(major_nr, minor_nr));
	}
	fclose(f);
	chmod("/dev/net/tun", 0666);
	chmod("/dev/fuse", 0666);
}

void set_up_dev(void)
{
	if (symlink("/proc/self/fd", "/dev/fd") < 0 || symlink("fd/0", "/dev/stdin") < 0 ||
		symlink("fd/1", "/dev/stdout") < 0 || symlink("fd/2", "/dev/stderr") < 0)
		fail("cannot make the links in /dev: %m");
	make_module_nodes(modules_dir());
}

void set_up_network(void)
{
	static const char hosts[] = "127.0.1.1 lab\n";
	struct ifreq ifr = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		fail("no loopback interface: %m");
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		fail("cannot bring the loopback interface up: %m");
	close(fd);
	sethostname("lab", 3);
	fd = open("/etc/hosts", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, hosts, sizeof(hosts) - 1) < 0)
		fail("cannot write '/etc/hosts': %m");
	close(fd);
}
