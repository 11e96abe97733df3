/* SPDX-License-Identifier: Apache-2.0 */
/* coracle state: one container as JSON. */
#include <errno.h>

#include "lib/base.h"
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/options.h"

static int print_state(const struct container *c, struct err *err)
{
	struct json_object *o;
	int r;

	if (!c->has_state)
		return err_plain(
			err, ENOENT, "container does not exist: %s (it is being created)", c->id);
	o = cstate_json(&c->state, container_status_name(container_status(c)));
	if (!o)
		return err_set(err, ENOMEM, "cannot print the state");
	r = json_print(stdout, o, JSON_INDENT);
	json_object_put(o);
	return r < 0 ? err_set(err, -r, "cannot print the state") : 0;
}

int cmd_state(const struct global *g, int argc, char **argv, struct err *err)
{
	const struct usage u = {"state ID", "Prints the container's state as JSON.", NULL, 0};
	struct container c = CONTAINER_INIT;
	int first = options_parse(&u, argc, argv, err);
	int r;

	if (first <= 0)
		return first;
	r = options_operands(&u, argc, first, 1, 1, err);
	if (r < 0)
		return r;
	r = container_open(&c, g->root, argv[first], false, err);
	if (r >= 0)
		r = print_state(&c, err);
	container_release(&c);
	return r;
}
