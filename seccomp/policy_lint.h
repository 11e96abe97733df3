/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What no policy may say, however it is written: calls with too little said of their arguments, rules
 * that another makes pointless, conditions that are never or always true.
 */
#ifndef SECCOMP_POLICY_LINT_H
#define SECCOMP_POLICY_LINT_H

#include <stddef.h>

#include "seccomp/policy_parse.h"

/* True when p may have this rule as well; else msg says why not, without file and line. */
bool policy_lint_rule(
	const struct policy *p, const struct policy_rule *rule, char *msg, size_t msg_size);

/* NULL, or what is wrong with the condition itself. */
const char *policy_lint_cond(const struct policy_cond *c);

#endif
