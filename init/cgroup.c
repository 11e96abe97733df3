/* SPDX-License-Identifier: Apache-2.0 */
#include "init/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <linux/bpf.h>

#include "init/fail.h"
#include "init/procfs.h"
#include "init/sys.h"
#include "init/sysctl.h"
#include "init/userns.h"
#include "lib/cleanup.h"
#include "lib/path.h"

#define GROUP_NAME "container"

void cgroup_enable_text(const char *controllers, char *out, size_t out_bytes)
{
	size_t len = 0;

	out[0] = '\0';
	for (const char *p = controllers; *p;) {
		size_t n = strcspn(p, " \n");
		int w;

		if (n) {
			w = snprintf(
				out + len, out_bytes - len, "%s+%.*s", len ? " " : "", (int)n, p);
			if (w < 0 || (size_t)w >= out_bytes - len) {
				out[len] = '\0';
				return;
			}
			len += (size_t)w;
		}
		p += n;
		p += *p != '\0';
	}
}

static int enable_controllers(int base, struct err *err)
{
	char have[512], want[1024];
	autofd int fd = openat(base, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int r;

	if (fd < 0)
		return fail(err, errno, "cgroup.controllers");
	n = read(fd, have, sizeof(have) - 1);
	if (n < 0)
		return fail(err, errno, "cgroup.controllers");
	have[n] = '\0';
	cgroup_enable_text(have, want, sizeof(want));
	if (!want[0])
		return 0;
	r = file_put(base, "cgroup.subtree_control", want);
	return r < 0 ? fail(err, -r, "cannot enable controllers %s", want) : 0;
}

/* Engines limit all page sizes of the host. Of one that this CPU has not no page can be had: any limit is met.
 * Every x86-64 has 2 MiB, so the controller is there when that file is. */
static bool is_foreign_page_size(int group, const char *file)
{
	return !strncmp(file, "hugetlb.", 8) && faccessat(group, "hugetlb.2MB.max", F_OK, 0) == 0;
}

int cgroup_put(int group, const struct gkeyval *kv, struct err *err)
{
	int r;

	if (!kv->key[0] || strchr(kv->key, '/') || kv->key[0] == '.')
		return err_plain(err, EINVAL, "\"%s\" is not a cgroup file", kv->key);
	r = file_put(group, kv->key, kv->value);
	if (r == -ENOENT && is_foreign_page_size(group, kv->key))
		return 0;
	return r < 0 ? fail(err, -r, "cannot write \"%s\" to cgroup file %s", kv->value, kv->key)
		     : 0;
}

static int write_values(int group, const struct gspec *spec, struct err *err)
{
	for (uint32_t i = 0; i < spec->n_cgfiles; i++) {
		int r = cgroup_put(group, &spec->cgfiles[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

int cgroup_attach_devices(int group, const struct gspec *spec, struct err *err)
{
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insn_cnt = spec->n_devprog,
		.insns = (uintptr_t)spec->devprog,
		.license = (uintptr_t) "Apache-2.0",
	};
	autofd int prog = -1;

	if (!spec->n_devprog)
		return 0;
	prog = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (prog < 0)
		return fail(err, errno, "cannot load the device program");
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)group;
	attr.attach_bpf_fd = (uint32_t)prog;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0)
		return fail(err, errno, "cannot attach the device program");
	return 0;
}

static bool writable_mount(const struct gspec *spec)
{
	for (uint32_t i = 0; i < spec->n_mounts; i++) {
		const struct gmount *m = &spec->mounts[i];

		if (m->kind == GMOUNT_CGROUP && !strcmp(m->dest, "/sys/fs/cgroup"))
			return !(m->flags & MS_RDONLY);
	}
	return false;
}

/* Who may divide the group besides the guest's root: in a user namespace container root, as in crun;
 * else the container's user when it can reach it (config-linux.md, "Cgroup ownership"). */
static bool find_owner(const struct gspec *spec, uint32_t *ret_uid, uint32_t *ret_gid)
{
	*ret_uid = spec->proc.uid;
	*ret_gid = UINT32_MAX; /* stays */
	if (spec->namespaces & GNS_USER)
		return userns_uid(spec, 0, ret_uid) && userns_gid(spec, 0, ret_gid);
	return spec->proc.uid && (spec->namespaces & GNS_CGROUP) && writable_mount(spec);
}

/* What /sys/kernel/cgroup/delegate lists. */
static int give_away(int group, const struct gspec *spec, struct err *err)
{
	static const char *const files[] = {"cgroup.procs", "cgroup.threads",
		"cgroup.subtree_control", "memory.oom.group", "memory.reclaim"};
	uint32_t uid, gid;

	if (!find_owner(spec, &uid, &gid))
		return spec->namespaces & GNS_USER
			       ? err_plain(err, EINVAL, "container root has no mapping")
			       : 0;
	if (fchown(group, uid, gid) < 0)
		return fail(err, errno, "cannot give the group to user %u", uid);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (fchownat(group, files[i], uid, gid, 0) < 0 && errno != ENOENT)
			return fail(err, errno, "cannot give %s to user %u", files[i], uid);
	return 0;
}

int cgroup_make(int base, const struct gspec *spec, int *ret_group, struct err *err)
{
	autofd int group = -1;
	int r = enable_controllers(base, err);

	if (r == 0 && mkdirat(base, GROUP_NAME, 0755) < 0 && errno != EEXIST)
		r = fail(err, errno, "cannot make the group");
	if (r < 0)
		return err_wrap(err, "cgroup");
	group = openat(base, GROUP_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (group < 0)
		r = fail(err, errno, "cannot open the group");
	if (r == 0)
		r = write_values(group, spec, err);
	if (r == 0)
		r = give_away(group, spec, err);
	if (r < 0)
		return err_wrap(err, "cgroup");
	*ret_group = take_fd(&group);
	return 0;
}

int cgroup_kill(int group)
{
	return file_put(group, "cgroup.kill", "1");
}

int cgroup_of(int group, pid_t pid)
{
	char name[64], text[PATH_BYTES];
	char *at;
	int r;

	snprintf(name, sizeof(name), "%d/cgroup", pid);
	r = procfs_read(name, text, sizeof(text));
	if (r < 0)
		return r;
	/* "0::/container/a/b" after v1's lines: what the container has made is below its group. */
	at = strstr(text, "0::/");
	if (!at)
		return -ENOENT;
	at[strcspn(at, "\n")] = '\0';
	at = strstr(at, "/" GROUP_NAME);
	if (!at)
		return -ENOENT;
	at += sizeof("/" GROUP_NAME) - 1;
	r = sys_openat2(group, *at == '/' && at[1] ? at + 1 : ".",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	return r < 0 ? -errno : r;
}

int cgroup_join(int group, const char *path, struct err *err)
{
	autofd int fd = sys_openat2(group, path[1] ? path + 1 : ".",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	int r = fd < 0 ? -errno : file_put(fd, "cgroup.procs", "0");

	if (path[1] == '\0')
		path = "";
	return r < 0 ? fail(err, -r, "adding pid %d to cgroups %s: %s/cgroup.procs", getpid(), path,
			       path)
		     : 0; /* runc's words */
}
