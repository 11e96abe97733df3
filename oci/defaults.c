/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/defaults.h"

#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "oci/json.h"
#include "oci/spec.h"

#define NOFILE_DEFAULT 1024

static struct json_object *process_json(bool *ok)
{
	static const char *const args[] = {"sh"};
	static const char *const env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"};
	static const char *const caps[] = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
	static const char *const sets[] = {"bounding", "effective", "permitted"};
	struct json_object *process = jnew_object(ok), *user = jnew_object(ok);
	struct json_object *capabilities = jnew_object(ok), *limits = jnew_array(ok);
	struct json_object *limit = jnew_object(ok);

	jput_bool(process, "terminal", true, ok);
	jput_u64(user, "uid", 0, ok);
	jput_u64(user, "gid", 0, ok);
	jput(process, "user", user, ok);
	jput_strs(process, "args", args, ARRAY_SIZE(args), ok);
	jput_strs(process, "env", env, ARRAY_SIZE(env), ok);
	jput_str(process, "cwd", "/", ok);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		jput_strs(capabilities, sets[i], caps, ARRAY_SIZE(caps), ok);
	jput(process, "capabilities", capabilities, ok);
	jput_str(limit, "type", "RLIMIT_NOFILE", ok);
	jput_u64(limit, "hard", NOFILE_DEFAULT, ok);
	jput_u64(limit, "soft", NOFILE_DEFAULT, ok);
	jadd(limits, limit, ok);
	jput(process, "rlimits", limits, ok);
	jput_bool(process, "noNewPrivileges", true, ok);
	return process;
}

/* The options of a mount; rootless: without ids, for those of other users are not mapped. */
static void put_options(
	struct json_object *mount, const char *const *options, bool rootless, bool *ok)
{
	const char *kept[8];
	size_t n = 0;

	for (; *options; options++)
		if (!rootless || (strncmp(*options, "gid=", 4) && strncmp(*options, "uid=", 4)))
			kept[n++] = *options;
	if (n)
		jput_strs(mount, "options", kept, n, ok);
}

static struct json_object *mounts_json(bool rootless, bool *ok)
{
	static const struct {
		const char *dest, *type, *source, *options[8]; /* NULL at the end */
	} mounts[] = {
		{"/proc", "proc", "proc", {NULL}},
		{"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{"/dev/pts", "devpts", "devpts",
			{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{"/dev/shm", "tmpfs", "shm",
			{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}},
		{"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}},
		{"/sys/fs/cgroup", "cgroup", "cgroup",
			{"nosuid", "noexec", "nodev", "relatime", "ro"}},
	};
	struct json_object *array = jnew_array(ok);

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		struct json_object *m = jnew_object(ok);

		jput_str(m, "destination", mounts[i].dest, ok);
		jput_str(m, "type", mounts[i].type, ok);
		jput_str(m, "source", mounts[i].source, ok);
		put_options(m, mounts[i].options, rootless, ok);
		jadd(array, m, ok);
	}
	return array;
}

/* No access to any device but those that a container always has. */
static struct json_object *resources_json(bool *ok)
{
	struct json_object *resources = jnew_object(ok), *devices = jnew_array(ok);
	struct json_object *rule = jnew_object(ok);

	jput_bool(rule, "allow", false, ok);
	jput_str(rule, "access", "rwm", ok);
	jadd(devices, rule, ok);
	jput(resources, "devices", devices, ok);
	return resources;
}

/* One id: root in the container, id outside. */
static struct json_object *mapping_json(uint32_t id, bool *ok)
{
	struct json_object *list = jnew_array(ok), *m = jnew_object(ok);

	jput_u64(m, "containerID", 0, ok);
	jput_u64(m, "hostID", id, ok);
	jput_u64(m, "size", 1, ok);
	jadd(list, m, ok);
	return list;
}

static struct json_object *linux_json(bool rootless, bool *ok)
{
	static const char *const namespaces[] = {
		"pid", "network", "ipc", "uts", "mount", "cgroup", "user"};
	static const char *const masked[] = {"/proc/acpi", "/proc/asound", "/proc/kcore",
		"/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
		"/proc/sched_debug", "/sys/firmware", "/proc/scsi"};
	static const char *const readonly[] = {
		"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	struct json_object *o = jnew_object(ok), *list = jnew_array(ok);

	if (rootless) {
		jput(o, "uidMappings", mapping_json(geteuid(), ok), ok);
		jput(o, "gidMappings", mapping_json(getegid(), ok), ok);
	} else {
		jput(o, "resources", resources_json(ok), ok);
	}
	for (size_t i = 0; i < ARRAY_SIZE(namespaces) - !rootless; i++) {
		struct json_object *ns = jnew_object(ok);

		jput_str(ns, "type", namespaces[i], ok);
		jadd(list, ns, ok);
	}
	jput(o, "namespaces", list, ok);
	jput_strs(o, "maskedPaths", masked, ARRAY_SIZE(masked), ok);
	jput_strs(o, "readonlyPaths", readonly, ARRAY_SIZE(readonly), ok);
	return o;
}

struct json_object *defaults_json(bool rootless)
{
	bool ok = true;
	struct json_object *o = jnew_object(&ok), *root = jnew_object(&ok);

	jput_str(o, "ociVersion", SPEC_OCI_VERSION, &ok);
	jput(o, "process", process_json(&ok), &ok);
	jput_str(root, "path", "rootfs", &ok);
	jput_bool(root, "readonly", true, &ok);
	jput(o, "root", root, &ok);
	jput_str(o, "hostname", "coracle", &ok);
	jput(o, "mounts", mounts_json(rootless, &ok), &ok);
	jput(o, "linux", linux_json(rootless, &ok), &ok);
	if (ok)
		return o;
	json_object_put(o);
	return NULL;
}
