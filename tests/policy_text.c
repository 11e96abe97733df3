/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/policy_text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "seccomp/policy_program.h"

static const char *our_arch(void)
{
	return policy_programs[0].audit_arch == AUDIT_ARCH_AARCH64 ? "aarch64" : "x86_64";
}

int policy_text_number(const char *name)
{
	for (unsigned nr = 0; nr < policy_n_syscalls; nr++) {
		if (policy_syscalls[nr].name && !strcmp(policy_syscalls[nr].name, name))
			return (int)nr;
	}
	return -1;
}

static int nr_of(void *opaque, const char *arch, const char *name)
{
	int nr = policy_text_number(name);

	if (!strcmp(arch, our_arch()))
		return nr;
	return nr >= 0 && !policy_syscalls[nr].everywhere ? -1 : 0; /* it exists, if not here */
}

static int read_text(void *opaque, const char *name, char **ret_text, size_t *ret_len)
{
	const char *dir = opaque;
	char path[4096];
	autofd int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : read_file(fd, POLICY_TEXT_MAX, ret_text, ret_len);
}

int policy_text_parse(const char *dir, const char *kind, const char *more,
	struct policy *ret_policy, struct err *err)
{
	const struct policy_env env = {.arch = our_arch(),
		.syscall_nr = nr_of,
		.include = read_text,
		.opaque = (void *)(uintptr_t)dir};
	autofree char *text = NULL, *longer = NULL;
	char name[POLICY_FILE_MAX];
	size_t len;
	int r;

	memset(ret_policy, 0, sizeof(*ret_policy));
	snprintf(name, sizeof(name), "%s.policy", kind);
	r = read_text((void *)(uintptr_t)dir, name, &text, &len);
	if (r < 0)
		return err_set(err, -r, "cannot read '%s'", name);
	r = asprintf(&longer, "%s%s\n", text, more ? more : "");
	if (r < 0)
		return err_set(err, ENOMEM, "cannot read '%s'", name);
	return policy_parse(ret_policy, &env, name, longer, (size_t)r, err);
}
