/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/files.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"

static const char *libexec_dir(void)
{
	static char path[PATH_MAX];
	ssize_t n;
	char *slash;

	if (path[0])
		return path;
	n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	if (n > 0) {
		path[n] = '\0';
		for (int up = 0; up < 2 && (slash = strrchr(path, '/')); up++)
			*slash = '\0';
		strcat(path, "/libexec/coracle");
		if (access(path, F_OK) == 0)
			return path;
	}
	snprintf(path, sizeof(path), "%s", CORACLE_LIBEXECDIR);
	return path;
}

int files_open(const char *name, struct err *err)
{
	char path[PATH_MAX + 64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", libexec_dir(), name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "cannot open our own program '%s'", path);
	return fd;
}

int files_open_checked(const char *path, mode_t type)
{
	autofd int node = open(path, O_PATH | O_CLOEXEC);
	char self[32];
	struct stat st;
	int fd;

	if (node < 0)
		return -errno;
	if (fstat(node, &st) < 0)
		return -errno;
	if ((st.st_mode & S_IFMT) != type)
		return -EINVAL;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", node);
	fd = open(self, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

int files_open_kernel(const char *annotation, const char **ret_path, struct err *err)
{
	static char path[PATH_MAX + 64];
	const char *env = getenv("CORACLE_KERNEL");
	autofd int fd = -1;

	if (annotation)
		snprintf(path, sizeof(path), "%s", annotation);
	else if (env && *env)
		snprintf(path, sizeof(path), "%s", env);
	else
		snprintf(path, sizeof(path), "%s/vmlinux", libexec_dir());
	if (ret_path)
		*ret_path = path;
	fd = files_open_checked(path, S_IFREG);
	if (fd == -EINVAL)
		return err_plain(err, EINVAL, "the guest kernel '%s' is not a regular file", path);
	if (fd < 0)
		return err_set(err, -fd,
			"cannot open the guest kernel '%s' (kernel/build makes one; "
			"$CORACLE_KERNEL or "
			"the annotation coracle.vm.kernel names another)",
			path);
	return take_fd(&fd);
}

int files_kvm_is_software(void)
{
	return access("/sys/module/kvm_pvm", F_OK) == 0 &&
	       access("/sys/module/kvm_intel", F_OK) < 0 && access("/sys/module/kvm_amd", F_OK) < 0;
}

const char *files_kvm_group(void)
{
	static char name[64];
	static bool known;
	const struct group *gr = NULL;
	struct stat st;

	if (!known && stat("/dev/kvm", &st) == 0 && (st.st_mode & 0060) == 0060)
		gr = getgrgid(st.st_gid);
	if (gr)
		snprintf(name, sizeof(name), "%s", gr->gr_name);
	known = true;
	return name;
}

int files_open_kvm(struct err *err)
{
	autofd int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int errnum = errno;
	const char *group = fd < 0 ? files_kvm_group() : "";

	errno = errnum;
	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return err_set(err, errno,
			"no /dev/kvm: this machine offers no hardware virtualization to us "
			"(`coracle "
			"check` tells more)");
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return err_set(err, errno,
			"no right to use /dev/kvm: be root or join the group that owns it%s%s",
			*group ? ", " : "", group);
	if (fd < 0)
		return err_set(err, errno, "cannot open /dev/kvm");
	if (files_kvm_is_software())
		return err_plain(err, ENODEV,
			"this machine's KVM is a software one (kvm_pvm), which cannot run a Linux "
			"guest: "
			"hardware virtualization (VMX or SVM) is needed (`coracle check` tells "
			"more)");
	return take_fd(&fd);
}
