/* SPDX-License-Identifier: Apache-2.0 */
/* coracle delete: removes a stopped container; with --force any, whatever state a crash left it in.
 */
#include <errno.h>

#include "lib/base.h"
#include "runtime/command.h"
#include "runtime/hook_points.h"
#include "runtime/launch_cgroup.h"

/* A state file that cannot be read must not make a container undeletable; whose lock another has is in use. */
static int open_for_delete(struct container *c, const struct global *g, const char *id, bool lock,
	bool force, struct err *err)
{
	int r = container_open(c, g->root, id, lock, err);

	if (r < 0 && force && c->dir_fd >= 0 && c->locked == lock && r != -ENOENT) {
		*err = (struct err)ERR_INIT;
		return 0;
	}
	return r;
}

/* First without the lock: a `create` that is still booting holds it, and ends when its VMM does. */
static int end_vmm(const struct global *g, const char *id, struct err *err)
{
	struct container c = CONTAINER_INIT;
	int r = open_for_delete(&c, g, id, false, true, err);

	if (r >= 0 && !c.has_state)
		container_end_unknown(&c);
	if (r >= 0)
		r = container_kill(&c, err);
	container_release(&c);
	return r;
}

/* A VMM whose program has ended still writes what that has written, for as long as somebody reads it. */
static int wait_stopped(const struct container *c, const char *id, struct err *err)
{
	enum container_status status = container_status(c);
	const char *why = container_status_name(status);
	int r = -ETIMEDOUT;

	if (status == CONTAINER_STOPPED) {
		why = "its output is still being read";
		r = container_wait_gone(c, err);
	}
	return r != -ETIMEDOUT
		       ? r
		       : err_plain(err, EBUSY, "cannot delete container %s that is not stopped: %s",
				 id, why);
}

static int delete_locked(const struct global *g, const char *id, bool force, struct err *err)
{
	struct container c = CONTAINER_INIT;
	int r = open_for_delete(&c, g, id, true, force, err);

	if (r >= 0 && force)
		r = container_kill(&c, err);
	if (r >= 0 && !force && c.has_state)
		r = wait_stopped(&c, id, err);
	if (r >= 0)
		r = launch_cgroup_remove(&c.state, err);
	if (r >= 0)
		r = container_remove(&c, err);
	if (r >= 0 && c.has_state)
		hook_points_deleted(&c);
	container_release(&c);
	return r;
}

int cmd_delete(const struct global *g, int argc, char **argv, struct err *err)
{
	bool force = false;
	const struct option_def options[] = {
		{"force", 'f', OPTION_FLAG, NULL, "kill it first; no error when it is not there",
			&force},
	};
	const struct usage u = {"delete [OPTION]... ID", "Removes a stopped container.", options,
		ARRAY_SIZE(options), 1, 1};
	int first = options_parse(&u, argc, argv, err);
	int r;

	if (first <= 0)
		return first;
	r = cstate_check_id(argv[first], err);
	if (r < 0)
		return r;
	if (force)
		r = end_vmm(g, argv[first], err);
	if (r >= 0)
		r = delete_locked(g, argv[first], force, err);
	return r == -ENOENT && force ? 0 : r;
}
