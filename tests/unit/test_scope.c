/* SPDX-License-Identifier: Apache-2.0 */
/* Names of systemd units for --systemd-cgroup. */
#include "runtime/scope.h"

#include <errno.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"

static struct err err;

static void is(const char *path, const char *slice, const char *unit)
{
	struct scope s;

	err = (struct err)ERR_INIT;
	ok(scope_parse(path, "id", &s, &err) == 0 && !strcmp(s.slice, slice) &&
			!strcmp(s.unit, unit),
		"'%s': %s, %s", path ? path : "(none)", s.slice, s.unit);
}

static void is_not(const char *path, const char *why)
{
	struct scope s;

	err = (struct err)ERR_INIT;
	ok(scope_parse(path, "id", &s, &err) == -err.errnum && err.errnum && strstr(err.msg, why),
		"'%s': %s", path, err.msg);
}

static void test_properties(void)
{
	static const struct gkeyval files[] = {{"memory.max", "67108864"},
		{"memory.low", "1048576"}, {"memory.swap.max", "max"}, {"cpu.max", "50000 75000"},
		{"cpu.weight", "39"}, {"cpuset.cpus", "0-1,3"}, {"io.max", "8:0 rbps=1"}};
	static const struct gkeyval none[] = {{"memory.max", "max"}, {"cpu.max", "max 100000"}};
	static const char *const want[] = {"MemoryMax=134217728", "MemoryLow=1048576",
		"MemorySwapMax=infinity", "CPUQuotaPeriodUSec=75000", "CPUQuotaPerSecUSec=670000",
		"CPUWeight=39", "AllowedCPUs=0-1,3", "MemoryMax=infinity",
		"CPUQuotaPeriodUSec=100000", "CPUQuotaPerSecUSec=infinity"};
	struct scope_args a = {0};

	eq_int(scope_properties(&a, files, ARRAY_SIZE(files), 134217728), 0, "limits");
	eq_int(scope_properties(&a, none, ARRAY_SIZE(none), 134217728), 0, "no limits");
	eq_int(a.n, ARRAY_SIZE(want), "as many as systemd knows");
	for (unsigned i = 0; i < MIN(a.n, ARRAY_SIZE(want)); i++)
		eq_str(a.v[i], want[i], "a property");
	ok(!a.v[a.n], "the end of an argument list");
	scope_args_release(&a);
	eq_int(scope_properties(&a, files, 1, 0), 0, "an unknown size of the VM");
	eq_int(a.n, 0, "is no limit");
	for (int i = 0; i < 300; i++)
		if (scope_properties(&a, files + 1, 1, 0) < 0)
			break;
	ok(a.n == ARRAY_SIZE(a.v) - 1 && !a.v[a.n], "never too many");
	scope_args_release(&a);
}

int main(void)
{
	char name[400] = "a.slice:p:";

	is("system.slice:docker:1234", "system.slice", "docker-1234.scope");
	is("machine-x.slice:libpod:ab_c.d", "machine-x.slice", "libpod-ab_c.d.scope");
	is(":p:n", "system.slice", "p-n.scope");
	is("a.slice::n", "a.slice", "n.scope");
	is(NULL, "system.slice", "coracle-id.scope");
	is("", "system.slice", "coracle-id.scope");
	is_not("/a/b", "expected cgroupsPath to be of format \"slice:prefix:name\"");
	is_not("a.slice:b", "got \"a.slice:b\" instead");
	is_not("a.slice:b:c:d", "of format");
	is_not("a:b:c", "'a' is not the name of a slice");
	is_not("a.slice:b:c.slice", "a scope, not a slice");
	is_not("../a.slice:b:c", "cannot be the name of a unit");
	is_not("a.slice:b:x/y", "cannot be the name of a unit");
	is_not("a.slice:b y:c", "cannot be the name of a unit");
	memset(name + strlen(name), 'x', 300);
	is_not(name, "cannot be the name of a unit");
	err = (struct err)ERR_INIT;
	if (access("/run/systemd/system", F_OK) == 0)
		skip("systemd runs here");
	else
		ok(scope_check(&err) < 0 && strstr(err.msg, "--systemd-cgroup: "), "%s", err.msg);
	scope_stop("nonexistent-coracle-test.scope");
	ok(true, "stopping a unit that is not there does no harm");
	test_properties();
	return tap_done();
}
