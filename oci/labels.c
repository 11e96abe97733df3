/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/labels.h"

#include <string.h>

#include "lib/base.h"

#define LABEL_MAX 4096

/* Docker's, containerd's, CRI-O's, nerdctl's and Podman's (which carries a version). */
static const char *const profiles[] = {
	"docker-default", "cri-containerd.apparmor.d", "crio-default", "nerdctl-default"};
static const char podman_profile[] = "containers-default-";

/* Types of container-selinux's policy, and what they were called before. */
static const char *const process_types[] = {
	"container_t", "container_init_t", "container_kvm_t", "svirt_lxc_net_t"};
static const char *const file_types[] = {
	"container_file_t", "container_ro_file_t", "svirt_sandbox_file_t"};

static bool in_list(const char *const *list, size_t n, const char *s, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(list[i]) == len && !memcmp(list[i], s, len))
			return true;
	return false;
}

/* The type in "user:role:type:level". */
static bool has_type(const char *label, const char *const *types, size_t n)
{
	for (int i = 0; i < 2; i++) {
		label = strchr(label, ':');
		if (!label)
			return false;
		label++;
	}
	return in_list(types, n, label, strcspn(label, ":"));
}

static int not_applied(struct spec_ctx *c, const struct jnode *n, const char *label, bool engines,
	const char *what)
{
	if (!engines)
		return spec_refuse(
			c, n, "'%.200s' is not supported: the guest kernel has no %s", label, what);
	/* Not a warning: it would be in every container's log, on most hosts. */
	spec_debug(c, n, "'%.200s' is not applied: the guest kernel has no %s", label, what);
	return 0;
}

static int check_selinux(struct spec_ctx *c, const struct jnode *n, const char *key,
	const char *const *types, size_t n_types)
{
	const char *label = NULL;
	struct jnode node;
	int r = jopt_str(n, key, LABEL_MAX, &label, c->err);

	if (r || !label || !*label || !jnode_member(n, key, &node))
		return r;
	return not_applied(c, &node, label, has_type(label, types, n_types), "SELinux");
}

int labels_process(struct spec_ctx *c, const struct jnode *n)
{
	const char *label = NULL;
	struct jnode node;
	int r = jopt_str(n, "apparmorProfile", LABEL_MAX, &label, c->err);

	if (r)
		return r;
	if (label && *label && strcmp(label, "unconfined") != 0 &&
		jnode_member(n, "apparmorProfile", &node)) {
		bool engines = in_list(profiles, ARRAY_SIZE(profiles), label, strlen(label)) ||
			       !strncmp(label, podman_profile, strlen(podman_profile));

		r = not_applied(c, &node, label, engines, "AppArmor");
		if (r)
			return r;
	}
	return check_selinux(c, n, "selinuxLabel", process_types, ARRAY_SIZE(process_types));
}

int labels_mount(struct spec_ctx *c, const struct jnode *n)
{
	return check_selinux(c, n, "mountLabel", file_types, ARRAY_SIZE(file_types));
}
