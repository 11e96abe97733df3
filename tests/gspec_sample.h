/* SPDX-License-Identifier: Apache-2.0 */
/* A guest spec that uses every field: for the codec's tests and for the fuzz targets' seeds. */
#ifndef TESTS_GSPEC_SAMPLE_H
#define TESTS_GSPEC_SAMPLE_H

#include <sys/stat.h>

#include "lib/gspec.h"

__attribute__((unused)) static const struct gspec *gspec_sample(void)
{
	static const char *args[] = {"sh", "-c", "echo \"x\"; exit 1", ""};
	static const char *env[] = {"PATH=/bin", "E="};
	static const char *masked[] = {"/proc/kcore", "/proc/keys"}, *readonly[] = {"/proc/sys"};
	static const uint32_t groups[] = {1, 20, 4294967294u};
	static const struct grlimit rlimits[] = {{7, 1024, 4096}, {4, 0, UINT64_MAX}};
	static const struct gkeyval sysctls[] = {
		{"net/ipv4/ip_forward", "1"}, {"kernel/msgmax", "65536"}};
	static const struct gkeyval cgfiles[] = {{"memory.max", "67108864"}, {"pids.max", "100"}};
	static const uint64_t devprog[] = {0x1000000b7ull, 0x95};
	static const struct gdevice devices[] = {
		{"/dev/fuse", S_IFCHR, 10, 229, 0666, 0, 0},
		{"/dev/my/fifo", S_IFIFO, 0, 7, 0640, 1, 2},
	};
	static const struct gmount mounts[] = {
		{GMOUNT_FS, "proc", "/proc", "proc", "", 14, 0, 0, {0}, 0, 0},
		{GMOUNT_FS, "tmpfs", "/dev", "tmpfs", "mode=755,size=65536k", 2, 8, 1, {1 << 18}, 0,
			1},
		{GMOUNT_BIND, "m1", "/data", "", "", 1, 4, 2, {(1 << 20) | 16384, 1 << 19}, 1, 0},
		{GMOUNT_CGROUP, "cgroup", "/sys/fs/cgroup", "", "", 15, 0, 0, {0}, 0, 0},
	};
	static const char *hook_args[] = {"ldconfig", "-v"}, *hook_env[] = {"PATH=/sbin"};
	static const struct ghook hooks[] = {
		{"/sbin/ldconfig", {2, hook_args}, {1, hook_env}, 30},
		{"/bin/true", {0, NULL}, {0, NULL}, 0},
	};
	static const uint64_t seccomp[] = {0x2000000000020ull, 0x7fff000000000006ull};
	static const struct gidmap uid_maps[] = {{0, 100000, 65536}, {70000, 4294967294u, 1}};
	static const struct gidmap gid_maps[] = {{0, 200000, 1}};
	static const struct gspec s = {
		.flags = GSPEC_ROOT_READONLY | GSPEC_PERSONALITY | GSPEC_SECCOMP,
		.namespaces = GNS_ALL | GNS_USER,
		.root = "rootfs",
		.hostname = "boat",
		.domainname = "sea.example",
		.root_propagation = 1 << 18,
		.n_mounts = 4,
		.mounts = mounts,
		.masked_paths = {2, masked},
		.readonly_paths = {1, readonly},
		.n_sysctls = 2,
		.sysctls = sysctls,
		.n_devices = 2,
		.devices = devices,
		.n_cgfiles = 2,
		.cgfiles = cgfiles,
		.n_devprog = 2,
		.devprog = devprog,
		.n_hooks = 2,
		.hooks = hooks,
		.hook_state = "{\"id\":\"x\",\"pid\":",
		.personality = 8,
		.time_offset = {{-86400, 5}, {1ll << 40, 999999999}},
		.seccomp_flags = 6,
		.n_seccomp = 2,
		.seccomp = seccomp,
		.n_uid_maps = 2,
		.uid_maps = uid_maps,
		.n_gid_maps = 1,
		.gid_maps = gid_maps,
		.proc =
			{
				.args = {4, args},
				.env = {2, env},
				.cwd = "/work",
				.cgroup = "/a/b",
				.uid = 1000,
				.gid = 100,
				.n_groups = 3,
				.groups = groups,
				.umask = 027,
				.flags = GPROC_HAS_CAPS | GPROC_HAS_UMASK | GPROC_HAS_OOM_SCORE |
					 GPROC_HAS_SCHED | GPROC_HAS_IOPRIO | GPROC_CPUS_FIRST |
					 GPROC_CPUS_FINAL,
				.oom_score_adj = -500,
				.caps = {0x1ffffffffffull, 2, 4, 8, 16},
				.n_rlimits = 2,
				.rlimits = rlimits,
				.rows = 24,
				.cols = 80,
				.sched = {6, -20, 7, 1, 1000000, 1ull << 40, 3},
				.ioprio = 2 << 13 | 7,
				.cpus_first = 1,
				.cpus_final = 1ull << 63,
			},
	};

	return &s;
}

#endif
