/* SPDX-License-Identifier: Apache-2.0 */
/* `features` and `spec`: what we print is what we parse, and what runc and crun print we parse as
 * well. */
#include "oci/features.h"

#include "lib/base.h"
#include "oci/defaults.h"
#include "oci/mounts.h"
#include "oci/process.h"
#include "oci/spec_linux.h"
#include "tests/tap.h"
#include "tests/unit/oci_config.h"

static struct json_object *at(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) ? v : NULL;
}

static bool has(struct json_object *array, const char *s)
{
	for (size_t i = 0; array && i < json_object_array_length(array); i++)
		if (!strcmp(json_object_get_string(json_object_array_get_idx(array, i)), s))
			return true;
	return false;
}

static const char *str(struct json_object *o, const char *key)
{
	return json_object_get_string(at(o, key));
}

static void test_seccomp(struct json_object *s)
{
	struct json_object *actions = at(s, "actions");

	ok(json_object_get_boolean(at(s, "enabled")), "seccomp");
	ok(has(actions, "SCMP_ACT_KILL_PROCESS") && !has(actions, "SCMP_ACT_NOTIFY"), "actions");
	ok(has(at(s, "operators"), "SCMP_CMP_MASKED_EQ"), "operators");
	ok(has(at(s, "archs"), "SCMP_ARCH_X32"), "architectures");
	ok(has(at(s, "knownFlags"), "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") &&
			!has(at(s, "supportedFlags"), "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") &&
			has(at(s, "supportedFlags"), "SECCOMP_FILTER_FLAG_LOG"),
		"flags");
}

static void test_features(void)
{
	struct json_object *f = features_json(), *l = at(f, "linux"), *a;
	unsigned refused = 0;

	eq_str(str(f, "ociVersionMin"), "1.0.0", "oldest version");
	eq_str(str(f, "ociVersionMax"), "1.3.0", "newest version");
	eq_int(json_object_array_length(at(f, "hooks")), 6, "all kinds of hooks");
	a = at(f, "mountOptions");
	ok(has(a, "rbind") && has(a, "ro") && has(a, "tmpcopyup") && has(a, "rslave"),
		"mount options");
	for (size_t i = 0; i < mount_options_n; i++)
		if (!has(a, mount_options[i].name))
			refused++;
	eq_int(refused, 0, "just those that the parser takes");
	a = at(l, "namespaces");
	ok(has(a, "pid") && has(a, "network") && has(a, "user") && has(a, "time"), "namespaces");
	a = at(l, "capabilities");
	eq_int(json_object_array_length(a), 41, "capabilities");
	for (size_t i = 0; i < json_object_array_length(a); i++)
		if (capability_number(json_object_get_string(json_object_array_get_idx(a, i))) !=
			(int)i)
			ok(false, "capability %zu", i);
	ok(json_object_get_boolean(at(at(l, "cgroup"), "v1")), "cgroup v1");
	ok(json_object_get_boolean(at(at(l, "cgroup"), "systemd")) == CORACLE_SYSTEMD,
		"systemd as it was built");
	ok(json_object_get_boolean(at(at(l, "cgroup"), "v2")), "cgroup v2");
	test_seccomp(at(l, "seccomp"));
	ok(!json_object_get_boolean(at(at(l, "apparmor"), "enabled")), "no AppArmor");
	ok(!json_object_get_boolean(at(at(l, "selinux"), "enabled")), "no SELinux");
	ok(json_object_get_boolean(at(at(at(l, "mountExtensions"), "idmap"), "enabled")),
		"id-mapped mounts");
	ok(has(at(f, "potentiallyUnsafeConfigAnnotations"), "coracle.vm.kernel"),
		"unsafe annotations");
	json_object_put(f);
}

/* Text of a `spec` command with terminal off. */
static void accepts(const char *text, const char *what, unsigned want_warnings)
{
	char *edited = config_edit(text, "process.terminal", "false");
	struct container_spec *spec = config_parse(edited);

	ok(spec && n_warnings == want_warnings, "%s is accepted: '%s' '%s'", what, last_err.msg,
		warnings);
	if (spec) {
		eq_int(spec->guest.n_mounts, 7, "its mounts");
		eq_int(spec->guest.mounts[6].kind, GMOUNT_CGROUP, "the last is the cgroup");
		eq_int(spec->guest.masked_paths.n, 10, "its masked paths");
		ok(spec->guest.n_devprog > 0, "its devices");
	}
	container_spec_free(spec);
	free(edited);
}

static void test_defaults(void)
{
	struct json_object *o = defaults_json(false);
	const char *text = json_object_to_json_string(o);

	accepts(text, "coracle spec", 0);
	container_spec_free(config_parse(text));
	has_str(last_err.msg, "process.terminal: terminals are not supported yet");
	ok(json_object_get_boolean(at(at(o, "process"), "terminal")), "a terminal, as runc's");
	eq_str(str(at(o, "process"), "cwd"), "/", "cwd");
	json_object_put(o);
}

/* Runs `PROGRAM spec` in an empty directory and gives what it wrote, or NULL when it is not
 * installed. */
static char *spec_of(const char *program)
{
	char dir[] = "/tmp/test_features.XXXXXX", cmd[256], *text = NULL;
	FILE *f;

	BUG_ON(!mkdtemp(dir));
	snprintf(cmd, sizeof(cmd), "cd %s && %s spec >/dev/null 2>&1 && cat config.json; rm -rf %s",
		dir, program, dir);
	f = popen(cmd, "re");
	text = calloc(1, 65536);
	if (!f || !fread(text, 1, 65535, f)) {
		free(text);
		text = NULL;
	}
	if (f)
		pclose(f);
	return text;
}

static void test_others(void)
{
	static const char *const programs[] = {"runc", "crun"};

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		char *text = spec_of(programs[i]), what[32];

		snprintf(what, sizeof(what), "%s spec", programs[i]);
		/* Debian 12's versions ask for ambient capabilities that are not inheritable. */
		if (text)
			accepts(text, what, strstr(text, "\"ambient\"") ? 1 : 0);
		else
			skip("not installed");
		free(text);
	}
}

int main(void)
{
	test_features();
	test_defaults();
	test_others();
	return tap_done();
}
