/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/features.h"

#include <linux/capability.h>

#include "lib/base.h"
#include "oci/json.h"
#include "oci/mounts.h"
#include "oci/process.h"
#include "oci/seccomp.h"
#include "oci/spec.h"
#include "oci/spec_linux.h"
#include "oci/support.h"

static bool supported(const char *path)
{
	const struct field *f = support_find(path);

	BUG_ON(!f);
	return f->support != SUPPORT_REFUSED && f->support != SUPPORT_FOREIGN &&
	       f->support != SUPPORT_MOOT;
}

static struct json_object *hooks_json(bool *ok)
{
	static const char *const kinds[] = {"prestart", "createRuntime", "createContainer",
		"startContainer", "poststart", "poststop"};
	struct json_object *a = jnew_array(ok);
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(path, sizeof(path), "hooks.%s", kinds[i]);
		if (supported("hooks") && supported(path))
			jadd_str(a, kinds[i], ok);
	}
	return a;
}

static struct json_object *mount_options_json(bool *ok)
{
	struct json_object *a = jnew_array(ok);

	for (size_t i = 0; i < mount_options_n; i++)
		jadd_str(a, mount_options[i].name, ok);
	return a;
}

static struct json_object *namespaces_json(bool *ok)
{
	struct json_object *a = jnew_array(ok);

	for (size_t i = 0; i < namespace_kinds_n; i++)
		jadd_str(a, namespace_kinds[i].name, ok);
	return a;
}

static struct json_object *capabilities_json(bool *ok)
{
	struct json_object *a = jnew_array(ok);
	char name[CAPABILITY_NAME_MAX];

	for (int v = 0; v <= CAP_LAST_CAP; v++)
		if (capability_name(v, name))
			jadd_str(a, name, ok);
	return a;
}

static void put_enabled(struct json_object *o, const char *key, bool enabled, bool *ok)
{
	struct json_object *e = jnew_object(ok);

	jput_bool(e, "enabled", enabled, ok);
	jput(o, key, e, ok);
}

static struct json_object *seccomp_names(
	const struct seccomp_name *v, size_t n, bool refused_too, bool *ok)
{
	struct json_object *a = jnew_array(ok);

	for (size_t i = 0; i < n; i++)
		if (refused_too || !v[i].refused)
			jadd_str(a, v[i].name, ok);
	return a;
}

static struct json_object *seccomp_json(bool *ok)
{
	struct json_object *o = jnew_object(ok);

	jput_bool(o, "enabled", supported("linux.seccomp"), ok);
	jput(o, "actions", seccomp_names(seccomp_actions, seccomp_actions_n, false, ok), ok);
	jput(o, "operators", seccomp_names(seccomp_operators, seccomp_operators_n, false, ok), ok);
	jput(o, "archs", seccomp_names(seccomp_archs, seccomp_archs_n, false, ok), ok);
	jput(o, "knownFlags", seccomp_names(seccomp_flags, seccomp_flags_n, true, ok), ok);
	jput(o, "supportedFlags", seccomp_names(seccomp_flags, seccomp_flags_n, false, ok), ok);
	return o;
}

static struct json_object *linux_json(bool *ok)
{
	struct json_object *o = jnew_object(ok), *cgroup = jnew_object(ok);
	struct json_object *extensions = jnew_object(ok);

	jput(o, "namespaces", namespaces_json(ok), ok);
	jput(o, "capabilities", capabilities_json(ok), ok);
	/* The host's. The container's own cgroup is the guest's, and v2. */
	jput_bool(cgroup, "v1", true, ok);
	jput_bool(cgroup, "v2", true, ok);
	jput_bool(cgroup, "systemd", CORACLE_SYSTEMD, ok);
	jput_bool(cgroup, "systemdUser", false, ok);
	jput_bool(cgroup, "rdma", supported("linux.resources.rdma"), ok);
	jput(o, "cgroup", cgroup, ok);
	jput(o, "seccomp", seccomp_json(ok), ok);
	put_enabled(o, "apparmor", supported("process.apparmorProfile"), ok);
	put_enabled(o, "selinux", supported("process.selinuxLabel"), ok);
	put_enabled(o, "intelRdt", supported("linux.intelRdt"), ok);
	put_enabled(extensions, "idmap", supported("mounts[].uidMappings"), ok);
	jput(o, "mountExtensions", extensions, ok);
	put_enabled(o, "netDevices", supported("linux.netDevices"), ok);
	return o;
}

struct json_object *features_json(void)
{
	/* They pick a file of the host's, or take its memory: not for an untrusted user to set. */
	static const char *const unsafe[] = {
		SPEC_ANNOTATION_KERNEL, SPEC_ANNOTATION_MEMORY, SPEC_ANNOTATION_VCPUS};
	bool ok = true;
	struct json_object *o = jnew_object(&ok), *annotations = jnew_object(&ok);

	jput_str(o, "ociVersionMin", SPEC_OCI_VERSION_MIN, &ok);
	jput_str(o, "ociVersionMax", SPEC_OCI_VERSION, &ok);
	jput(o, "hooks", hooks_json(&ok), &ok);
	jput(o, "mountOptions", mount_options_json(&ok), &ok);
	jput(o, "linux", linux_json(&ok), &ok);
	jput_str(annotations, "coracle.version", CORACLE_VERSION, &ok);
	jput(o, "annotations", annotations, &ok);
	jput_strs(o, "potentiallyUnsafeConfigAnnotations", unsafe, ARRAY_SIZE(unsafe), &ok);
	if (ok)
		return o;
	json_object_put(o);
	return NULL;
}
