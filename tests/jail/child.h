/* SPDX-License-Identifier: Apache-2.0 */
/* A child under a policy, and what became of it. */
#ifndef TESTS_JAIL_CHILD_H
#define TESTS_JAIL_CHILD_H

#include <stdbool.h>

struct outcome {
	int status; /* of waitpid() */
	char report[2048];
};

/* Calls fn in a thread "jailed-one" of a process of its own, under policy `kind`; its status is 0 when fn
 * returns. */
void in_child(const char *kind, bool json, void (*fn)(void), struct outcome *o);

/* It ended as one that has made a forbidden call. */
bool was_trapped(const struct outcome *o);

#endif
