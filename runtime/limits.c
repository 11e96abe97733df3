/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/limits.h"

#include <errno.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "runtime/ask.h"
#include "runtime/cgroup.h"
#include "runtime/log.h"
#include "runtime/scope.h"
#include "runtime/vm_size.h"

static int write_guest(const struct update *u, const struct container *c, struct err *err)
{
	uint8_t buf[PROTO_ASK_MAX];
	autofd int fd = -1;
	size_t len;
	int r = update_encode(u, buf, sizeof(buf), &len, err);

	if (r < 0)
		return r;
	fd = memfd_with("update", buf, len, 1);
	if (fd < 0)
		return err_set(err, -fd, "cannot make a memfd");
	return ask_guest(c, PROTO_ASK_UPDATE, fd, NULL, NULL, err);
}

static int write_host(const struct update *u, const struct container *c, struct err *err)
{
	uint64_t memory_max =
		c->state.memory_bytes ? vm_size_host_memory(c->state.memory_bytes) : 0;
	int r = 0;

	if (c->state.scope)
		r = scope_set(c->state.scope, u->host, u->n_host, memory_max, err);
	return r < 0 ? r : cgroup_update(&c->state, u->host, u->n_host, err);
}

int limits_write(const struct update *u, const struct container *c, bool paused, struct err *err)
{
	bool later = paused && (u->n_guest || u->unsure);
	int r = update_begin(c->dir_fd, err);

	/* The guest's first: it is the one that refuses what does not fit the container. */
	if (r == 0 && u->n_guest && !paused)
		r = write_guest(u, c, err);
	if (r == 0 && u->n_host)
		r = write_host(u, c, err);
	return r < 0 ? r : update_save(u, c->dir_fd, later, err);
}

int limits_catch_up(const struct container *c, struct err *err)
{
	/* It was checked when it was given; warnings were given then, too. */
	const struct spec_opts opts = {.lenient = true, .debug = log_debug_cb};
	struct update u;
	int r = update_load(&u, c->dir_fd, err);

	if (r == 0 && u.unsure)
		r = update_from_flags(&u, &(struct update_flags){0}, err);
	if (r == 0 && u.unsure)
		r = update_merge(&u, &opts, err);
	if (r == 0 && u.unsure)
		r = limits_write(&u, c, false, err);
	update_release(&u);
	return r < 0 ? err_wrap(err, "the container goes on, but its limits are not all set") : 0;
}
