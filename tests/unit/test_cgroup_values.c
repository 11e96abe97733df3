/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's cgroup: paths and values, and what is written where. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_files.h"
#include "runtime/vm_size.h"
#include "tests/tap.h"

static struct err err;

static void cleans(const char *path, const char *want)
{
	char out[PATH_MAX];

	err = (struct err)ERR_INIT;
	ok(cgroup_clean(path, out, sizeof(out), &err) == 0 && !strcmp(out, want), "'%s' is '%s'",
		path, out);
}

static void test_clean(void)
{
	char name[NAME_MAX + 3] = "", out[16];

	cleans("/a/b", "/a/b");
	cleans("a//b/", "/a/b");
	cleans("./a/./b", "/a/b");
	cleans("a/../b", "/b");
	cleans("../../b", "/b");
	cleans("/../..", "");
	cleans("/", "");
	cleans("", "");
	cleans("a/..", "");
	cleans("..a/.b", "/..a/.b");
	memset(name, 'x', NAME_MAX + 1);
	eq_int(cgroup_clean(name, out, sizeof(out), &err), -ENAMETOOLONG, "a name too long");
	eq_int(cgroup_clean("0123456789/01234", out, sizeof(out), &err), -ENAMETOOLONG,
		"a path too long");
}

static void test_own(void)
{
	static const char text[] = "9:name=systemd:/s\n4:cpu,cpuacct:/c:d\n1:memory:rel\n0::/u/v\n";
	char out[64];

	ok(cgroup_own(text, "", out, sizeof(out)) && !strcmp(out, "/u/v"), "v2");
	ok(cgroup_own(text, "cpu,cpuacct", out, sizeof(out)) && !strcmp(out, "/c:d"), "v1");
	ok(!cgroup_own(text, "cpu", out, sizeof(out)), "not a part of a name");
	ok(!cgroup_own(text, "memory", out, sizeof(out)), "not an absolute path");
	ok(!cgroup_own(text, "", out, 4), "too long");
	ok(!cgroup_own("", "", out, sizeof(out)), "nothing");
	ok(!cgroup_own("garbage\n0:x", "", out, sizeof(out)), "garbage");
	ok(cgroup_own("0::/last", "", out, sizeof(out)) && !strcmp(out, "/last"),
		"without newline");
}

static void test_values(void)
{
	eq_int((intmax_t)cgroup_shares_of_weight(1), 2, "the least shares");
	eq_int((intmax_t)cgroup_shares_of_weight(10000), 262144, "the most");
	ok(vm_size_host_memory(64 << 20) > 64 << 20, "the host's limit is above the VM's memory");
}

/* A cgroup v2 of plain files, to see what is written. */
static void test_write(void)
{
	char dir[] = "/tmp/test_cgroup.XXXXXX", path[64], buf[256];
	static const char *const names[] = {"memory.max", "memory.low", "cpu.max", "io.weight",
		"io.max", "cpuset.cpus", "hugetlb.2MB.max"};
	const struct gkeyval files[] = {
		{"memory.max", "1000"}, {"memory.low", "10"},
		{"memory.swap.max", "max"},                          /* not there, and not needed */
		{"cpu.max", "max 100000"}, {"io.bfq.weight", "500"}, /* not there: io.weight */
		{"io.max", "8:0 rbps=1\n8:16 rbps=2"}, {"cpuset.cpus", "0-1"},
		{"hugetlb.2MB.max", "2097152"},
		{"hugetlb.2MB.rsvd.max", "2097152"}, /* not there: the guest's is enough */
	};
	const struct gkeyval missing = {"cpu.weight", "77"}, weight = {"io.bfq.weight", "8:0 10"};
	const struct gkeyval unlimited = {"memory.max", "max"};
	struct cgroup cg = {.n = 1};

	BUG_ON(!mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	}
	cg.dir[0] = (struct cgroup_dir){
		.path = dir, .v2 = true, .fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	err = (struct err)ERR_INIT;
	eq_int(cgroup_write(&cg, files, ARRAY_SIZE(files), 5000, &err), 0, "values");
	eq_str(err.msg, "", "no error");
	cgroup_get(cg.dir[0].fd, "memory.max", buf, sizeof(buf));
	eq_str(buf, "5000", "memory.max is the host's");
	cgroup_get(cg.dir[0].fd, "memory.low", buf, sizeof(buf));
	eq_str(buf, "10", "memory.low is as given");
	cgroup_get(cg.dir[0].fd, "io.weight", buf, sizeof(buf));
	eq_str(buf, "4950", "io.weight");
	cgroup_get(cg.dir[0].fd, "io.max", buf, sizeof(buf));
	eq_str(buf, "8:16 rbps=2", "line by line");
	cgroup_get(cg.dir[0].fd, "hugetlb.2MB.max", buf, sizeof(buf));
	eq_str(buf, "2097152", "huge pages");
	cgroup_write(&cg, &weight, 1, 0, &err);
	cgroup_get(cg.dir[0].fd, "io.weight", buf, sizeof(buf));
	eq_str(buf, "8:0 1", "a device's weight");
	cgroup_write(&cg, &files[0], 1, 0, &err);
	cgroup_get(cg.dir[0].fd, "memory.max", buf, sizeof(buf));
	eq_str(buf, "5000", "left alone when the VM's memory is not known");
	cgroup_write(&cg, &unlimited, 1, 0, &err);
	cgroup_get(cg.dir[0].fd, "memory.max", buf, sizeof(buf));
	eq_str(buf, "max0", "unlimited stays unlimited");
	eq_int(cgroup_write(&cg, &missing, 1, 0, &err), -ENOENT, "a controller that is not there");
	has_str(err.msg, "cannot set cpu.weight: controller cpu is not available in cgroup '/tmp/");
	close(cg.dir[0].fd);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

int main(void)
{
	test_clean();
	test_own();
	test_values();
	test_write();
	return tap_done();
}
