/* SPDX-License-Identifier: Apache-2.0 */
/* coracle start: runs the program of a created container. */
#include <errno.h>

#include "lib/base.h"
#include "runtime/command.h"
#include "runtime/hook_points.h"

static int execute(struct container *c, struct err *err)
{
	struct err ignored = ERR_INIT;
	int r = container_request(c, CTL_START, 0, -1, NULL, err);

	if (r < 0)
		return r;
	r = hook_points_started(c, -1, err);
	if (r < 0)
		container_kill(c, &ignored);
	return r;
}

static int start(struct container *c, struct err *err)
{
	switch (container_status(c)) {
	case CONTAINER_CREATED: return execute(c, err);
	case CONTAINER_STOPPED:
		return err_plain(err, EINVAL, "cannot start a container that has stopped");
	case CONTAINER_RUNNING:
	case CONTAINER_PAUSED:
		return err_plain(err, EINVAL, "cannot start an already running container");
	case CONTAINER_CREATING: break;
	}
	return err_plain(err, EINVAL, "cannot start a container that is still being created");
}

int cmd_start(const struct global *g, int argc, char **argv, struct err *err)
{
	const struct usage u = {
		"start ID", "Runs the program of a created container.", NULL, 0, 1, 1};
	struct container c = CONTAINER_INIT;
	int r = command_open(&u, g, argc, argv, false, &c, err);

	if (r <= 0)
		return r;
	r = start(&c, err);
	container_release(&c);
	return r;
}
