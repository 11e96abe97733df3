/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.resources.devices as one BPF_PROG_TYPE_CGROUP_DEVICE program. The rules mean what runc
 * makes of them: applied in order as cgroup v1's devices controller would; a rule of type "a" (or
 * without a type) resets everything to allow or deny; at the end runc's default devices are
 * allowed. A rule that would cut a hole into a wider one is refused, as in runc: cgroup v1 would
 * silently not do it.
 */
#ifndef OCI_DEVICES_BPF_H
#define OCI_DEVICES_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define DEVICE_RULES_MAX \
	448             /* with the default ones; the longest program stays below GSPEC_BPF_MAX */
#define DEVICE_ALL (-1) /* any major or minor number */

/* device_rule.access: BPF_DEVCG_ACC_* of linux/bpf.h */
struct device_rule {
	bool allow;
	char type;            /* 'a', 'b', 'c' */
	int64_t major, minor; /* 0..2^32-1, or DEVICE_ALL */
	uint32_t access;
};

/* What the rules come to: everything of `rules` is an exception to deny-all or allow-all. */
struct device_policy {
	bool default_allow;
	unsigned n;
	struct device_rule rules[DEVICE_RULES_MAX];
};

void device_policy_init(struct device_policy *p); /* deny all */

/* 0; -EINVAL: would cut a hole into a wider rule; -E2BIG: too many rules. err names the rule. */
int device_policy_apply(struct device_policy *p, const struct device_rule *r, struct err *err);

/* Allows the devices that every container gets. */
int device_policy_add_defaults(struct device_policy *p, struct err *err);

/* Writes the program into insns (cap of them) and returns how many; 0 when everything is allowed.
 */
unsigned device_policy_compile(const struct device_policy *p, uint64_t *insns, unsigned cap);

#endif
