/* SPDX-License-Identifier: Apache-2.0 */
/* coracle state: one container as JSON. */
#include <errno.h>

#include "lib/base.h"
#include "runtime/command.h"

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
	const struct usage u = {"state ID", "Prints the container's state as JSON.", NULL, 0, 1, 1};
	struct container c = CONTAINER_INIT;
	int r = command_open(&u, g, argc, argv, false, &c, err);

	if (r <= 0)
		return r;
	r = print_state(&c, err);
	container_release(&c);
	return r;
}
