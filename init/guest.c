/* SPDX-License-Identifier: Apache-2.0 */
#include "init/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

#include <linux/vm_sockets.h>

#include "init/fail.h"
#include "init/log.h"
#include "init/mounts.h"
#include "init/sys.h"
#include "lib/cleanup.h"
#include "lib/proto.h"

#define CONNECT_TIMEOUT_S \
	60 /* the kernel's 2 s are too short for a busy host, or an emulated one */

void guest_fill_stdio(void)
{
	int fd;

	do {
		fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	} while (fd >= 0 && fd <= 2);
	if (fd >= 0)
		close(fd);
}

int guest_connect(uint32_t port, struct err *err)
{
	struct sockaddr_vm addr = {
		.svm_family = AF_VSOCK, .svm_port = port, .svm_cid = VMADDR_CID_HOST};
	autofd int sock = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct timeval tv = {.tv_sec = CONNECT_TIMEOUT_S};

	if (sock < 0)
		return fail(err, errno, "cannot make a vsock socket");
	if (setsockopt(sock, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &tv, sizeof(tv)) < 0)
		return fail(err, errno, "SO_VM_SOCKETS_CONNECT_TIMEOUT");
	if (connect(sock, (void *)&addr, sizeof(addr)) < 0 && errno != EINPROGRESS)
		return fail(err, errno, "cannot connect to the host's port %u", port);
	return take_fd(&sock);
}

int guest_connected(int sock, struct err *err)
{
	struct pollfd pf = {.fd = sock, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int errnum = 0;

	while (poll(&pf, 1, -1) < 0 && errno == EINTR)
		;
	if (getsockopt(sock, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0)
		errnum = errno;
	if (errnum || fcntl(sock, F_SETFL, 0) < 0)
		return fail(err, errnum ? errnum : errno, "cannot reach the host");
	return 0;
}

int guest_read_spec(void *buf, size_t max, size_t *ret_len, struct err *err)
{
	autofd int fd = open("/spec", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return fail(err, errno, "/spec");
	do {
		n = read(fd, (char *)buf + len, max - len);
		if (n < 0)
			return fail(err, errno, "/spec");
		len += (size_t)n;
	} while (n > 0 && len < max);
	if (unlink("/spec") < 0)
		return fail(err, errno, "/spec");
	*ret_len = len;
	return 0;
}

int guest_make_base(struct init_env *env, bool debug, struct err *err)
{
	char why[128];
	autofd int base = mount_new_fs("tmpfs", "base", "mode=0700", 0, 0, why, sizeof(why));
	autofd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int kmsg;

	if (base < 0)
		return fail(err, -base, "cannot make a tmpfs: %s", why);
	if (root < 0 || sys_attach(base, root) < 0 || fchdir(base) < 0 || chroot(".") < 0)
		return fail(err, errno, "cannot enter the tmpfs");
	if (mknod("/kmsg", S_IFCHR | 0600, makedev(1, 11)) < 0 ||
		mknod("/null", S_IFCHR | 0666, makedev(1, 3)) < 0 || mkdir("/share", 0700) < 0)
		return fail(err, errno, "cannot fill the tmpfs");
	env->null = open("/null", O_RDWR | O_CLOEXEC);
	if (env->null < 0)
		return fail(err, errno, "null device");
	env->connect = guest_connect;
	kmsg = open("/kmsg", O_WRONLY | O_CLOEXEC);
	log_to(kmsg, debug); /* none: then nothing is logged */
	return 0;
}

static int mount_share(struct init_env *env, struct err *err)
{
	char why[128];
	autofd int mnt = mount_new_fs("virtiofs", SHARE_TAG, "", 0, 0, why, sizeof(why));
	autofd int target = -1;

	if (mnt < 0)
		return fail(err, -mnt, "mount virtiofs '" SHARE_TAG "': %s", why);
	target = open("/share", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target < 0 || sys_attach(mnt, target) < 0)
		return fail(err, errno, "mount virtiofs '" SHARE_TAG "'");
	env->share = take_fd(&mnt);
	return 0;
}

int guest_mount(struct init_env *env, struct err *err)
{
	char why[128];
	int r = mount_share(env, err);

	if (r < 0)
		return r;
	/* nsdelegate: the container may divide what it has, not raise its own limits. Stays
	 * detached. */
	env->cgroup = mount_new_fs(
		"cgroup2", "cgroup2", "nsdelegate,memory_recursiveprot", 0, 0, why, sizeof(why));
	return env->cgroup < 0 ? fail(err, -env->cgroup, "mount cgroup2: %s", why) : 0;
}
