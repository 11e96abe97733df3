/* SPDX-License-Identifier: Apache-2.0 */
/* The policy files, read again by a test that is linked to what policyc made of them. */
#ifndef TESTS_POLICY_TEXT_H
#define TESTS_POLICY_TEXT_H

#include "seccomp/policy_parse.h"

/* The number of a call, by the table that policyc made; -1: none. */
int policy_text_number(const char *name);

/* Reads and parses `dir`/`kind`.policy for the linked programs' architecture, with `more` (a line, or
 * NULL) at its end. 0 or -errno. */
int policy_text_parse(const char *dir, const char *kind, const char *more,
	struct policy *ret_policy, struct err *err);

#endif
