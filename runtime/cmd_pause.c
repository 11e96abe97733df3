/* SPDX-License-Identifier: Apache-2.0 */
/* coracle pause, coracle resume: the VM's processors stop and go on. */
#include <errno.h>

#include "runtime/command.h"
#include "runtime/limits.h"

#define PAUSE_WAIT_MS 10000

static int ask(const struct usage *u, const struct global *g, int argc, char **argv,
	int (*act)(const struct container *c, struct err *err), struct err *err)
{
	struct container c = CONTAINER_INIT;
	int r = command_open(u, g, argc, argv, true, &c, err);

	if (r <= 0)
		return r;
	r = act(&c, err);
	container_release(&c);
	return r;
}

static int pause_it(const struct container *c, struct err *err)
{
	switch (container_status(c)) {
	case CONTAINER_CREATED:
	case CONTAINER_RUNNING: return container_request(c, CTL_PAUSE, 0, PAUSE_WAIT_MS, NULL, err);
	case CONTAINER_CREATING:
	case CONTAINER_PAUSED:
	case CONTAINER_STOPPED: break;
	}
	return err_plain(
		err, EINVAL, "container not running"); /* as runc says in all three cases */
}

static int resume_it(const struct container *c, struct err *err)
{
	int r;

	if (container_status(c) != CONTAINER_PAUSED)
		return err_plain(err, EINVAL, "container not paused");
	r = container_request(c, CTL_RESUME, 0, PAUSE_WAIT_MS, NULL, err);
	return r < 0 ? r : limits_catch_up(c, err);
}

int cmd_pause(const struct global *g, int argc, char **argv, struct err *err)
{
	const struct usage u = {
		"pause ID", "Stops all of a container until `coracle resume ID`.", NULL, 0, 1, 1};

	return ask(&u, g, argc, argv, pause_it, err);
}

int cmd_resume(const struct global *g, int argc, char **argv, struct err *err)
{
	const struct usage u = {"resume ID", "Lets a paused container go on.", NULL, 0, 1, 1};

	return ask(&u, g, argc, argv, resume_it, err);
}
