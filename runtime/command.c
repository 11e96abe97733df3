/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/command.h"

int command_open(const struct usage *u, const struct global *g, int argc, char **argv, bool lock,
	struct container *c, struct err *err)
{
	int first = options_parse(u, argc, argv, err);
	int r;

	if (first <= 0)
		return first;
	r = container_open(c, g->root, argv[first], lock, err);
	if (r < 0) {
		container_release(c);
		return r;
	}
	return first;
}
