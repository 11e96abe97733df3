/* SPDX-License-Identifier: Apache-2.0 */
/* Names of systemd units for --systemd-cgroup. */
#include "runtime/scope.h"

#include <errno.h>
#include <unistd.h>

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
	return tap_done();
}
