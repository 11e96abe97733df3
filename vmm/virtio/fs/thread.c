/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a worker thread: arguments' memory, umask, capabilities, its way back to its
 * descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "vmm/virtio/fs/request.h"

int fs_thread_init(struct fs_thread *t, struct fs_server *fs, struct err *err)
{
	memset(t, 0, sizeof(*t));
	t->fs = fs;
	t->proc_fd = -1;
	t->arg = malloc(FS_ARG_MAX + 1);
	t->reply = malloc(FS_REPLY_MAX);
	t->dents = malloc(FS_DENTS_MAX);
	if (!t->arg || !t->reply || !t->dents) {
		fs_thread_release(t);
		return err_set(err, ENOMEM, "cannot allocate the file server's buffers");
	}
	return 0;
}

void fs_thread_release(struct fs_thread *t)
{
	free(t->arg);
	free(t->reply);
	free(t->dents);
	if (t->fs)
		fs_thread_leave(t);
	memset(t, 0, sizeof(*t));
	t->proc_fd = -1;
}

void fs_thread_leave(struct fs_thread *t)
{
	close_fd(&t->proc_fd);
}

static struct __user_cap_header_struct cap_header(void)
{
	return (struct __user_cap_header_struct){.version = _LINUX_CAPABILITY_VERSION_3};
}

/*
 * Jailed: as a mount of its own that hangs nowhere, so that ".." from there leads nowhere; the directory itself lies
 * outside of the thread's root, and from it ".." would lead through /proc to the host's root.
 */
int fs_thread_open(struct fs_thread *t, bool jailed, struct err *err)
{
	if (jailed)
		t->proc_fd = open_tree(
			AT_FDCWD, "/proc/thread-self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	else
		t->proc_fd = open("/proc/thread-self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return t->proc_fd < 0 ? err_set(err, errno, "cannot open '/proc/thread-self/fd'") : 0;
}

/* device.c says what each is for. */
static int drop_caps(void)
{
	struct __user_cap_header_struct hdr = cap_header();
	struct __user_cap_data_struct caps[2] = {{0}};
	const uint32_t keep = BIT(CAP_CHOWN) | BIT(CAP_FOWNER) | BIT(CAP_DAC_OVERRIDE) |
			      BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FSETID) | BIT(CAP_MKNOD) |
			      BIT(CAP_SETFCAP);

	if (syscall(SYS_capget, &hdr, caps) < 0)
		return -1;
	caps[0].permitted &= keep;
	caps[0].effective = caps[0].permitted;
	caps[1].permitted = caps[1].effective = 0; /* SETFCAP, 31, is the highest we keep */
	caps[0].inheritable = caps[1].inheritable = 0;
	return (int)syscall(SYS_capset, &hdr, caps);
}

/* capget(2), unshare(2), chroot(2): before the jail closes. */
int fs_thread_enter(struct fs_thread *t, int jail_fd, struct err *err)
{
	struct __user_cap_header_struct hdr = cap_header();
	sigset_t set;

	/* umask, root and working directory belong to all threads of a process otherwise */
	if (unshare(CLONE_FS) < 0)
		return err_set(err, errno, "cannot take the file server's thread its own umask");
	if (t->proc_fd < 0 && fs_thread_open(t, jail_fd >= 0, err) < 0)
		return -err->errnum;
	if (jail_fd >= 0 && (fchdir(jail_fd) < 0 || chroot(".") < 0))
		return err_set(err, errno, "cannot make the share the file server's root");
	if (fchdir(t->proc_fd) < 0)
		return err_set(err, errno, "cannot change to '/proc/thread-self/fd'");
	if (jail_fd >= 0 && drop_caps() < 0)
		return err_set(err, errno, "cannot drop the file server's capabilities");
	if (syscall(SYS_capget, &hdr, t->caps) < 0)
		return err_set(err, errno, "cannot read the file server's capabilities");
	t->uid = geteuid();
	umask(0);
	t->umask = 0;
	/* a write past RLIMIT_FSIZE is the guest's EFBIG, not our end */
	sigemptyset(&set);
	sigaddset(&set, SIGXFSZ);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return err_plain(err, EINVAL, "cannot block SIGXFSZ");
	return 0;
}

void fs_set_umask(struct fs_thread *t, mode_t mask)
{
	mask &= 0777;
	if (mask != t->umask) {
		umask(mask);
		t->umask = mask;
	}
}

void fs_fd_name(int fd, char ret_name[16])
{
	snprintf(ret_name, 16, "%d", fd);
}

int fs_open_again(struct fs_thread *t, int fd, int flags)
{
	char name[16];
	int r;

	fs_fd_name(fd, name);
	r = openat(t->proc_fd, name, flags | O_CLOEXEC | O_NOCTTY);
	return r < 0 ? -errno : r;
}

int fs_fsetid_drop(struct fs_thread *t)
{
	struct __user_cap_header_struct hdr = cap_header();
	struct __user_cap_data_struct caps[2] = {t->caps[0], t->caps[1]};

	caps[CAP_TO_INDEX(CAP_FSETID)].effective &= ~CAP_TO_MASK(CAP_FSETID);
	return syscall(SYS_capset, &hdr, caps) < 0 ? -errno : 0;
}

void fs_fsetid_restore(struct fs_thread *t)
{
	struct __user_cap_header_struct hdr = cap_header();

	/* Raising what is permitted cannot fail; were it to, files lose suid bits: the safe side.
	 */
	(void)syscall(SYS_capset, &hdr, t->caps);
}
