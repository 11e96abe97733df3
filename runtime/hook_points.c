/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/hook_points.h"

#include <errno.h>
#include <stdio.h>

#include "lib/cleanup.h"
#include "oci/spec.h"
#include "oci/version.h"
#include "runtime/hooks.h"
#include "runtime/log.h"

#define MINOR_POSTSTART_FAILS 3 /* of the spec: poststart's failure is an error since 1.3.0 */

static int no_memory(struct err *err)
{
	return err_set(err, ENOMEM, "cannot run the hooks");
}

int hook_points_create(
	const struct hooks *hooks, const struct container *c, int signal_fd, struct err *err)
{
	/* Up to 1.0.1 of the spec prestart hooks ran in start, and some still want to hear so. */
	autofree char *created = hooks_state(&c->state, container_status_name(CONTAINER_CREATED));
	autofree char *state = hooks_state(&c->state, container_status_name(CONTAINER_CREATING));
	autofree char *rootfs = NULL;
	struct hook_env env = {
		.dir = c->state.bundle, .watch = c->state.pid, .signal_fd = signal_fd};
	int r;

	if (!created || !state ||
		asprintf(&rootfs, "/proc/%d/cwd/" SPEC_SHARE_ROOT, c->state.pid) < 0)
		return no_memory(err);
	r = hooks_run(&hooks->list[HOOK_PRESTART], HOOK_PRESTART, created, &env, err);
	if (r == 0)
		r = hooks_run(
			&hooks->list[HOOK_CREATE_RUNTIME], HOOK_CREATE_RUNTIME, state, &env, err);
	env.enter = c->state.pid;
	env.dir = rootfs;
	if (r == 0)
		r = hooks_run(&hooks->list[HOOK_CREATE_CONTAINER], HOOK_CREATE_CONTAINER, state,
			&env, err);
	return r;
}

static int run_started(
	const struct hook_list *list, const struct container *c, int signal_fd, struct err *err)
{
	const struct hook_env env = {.dir = c->state.bundle, .signal_fd = signal_fd};
	autofree char *state = hooks_state(&c->state, container_status_name(CONTAINER_RUNNING));
	struct oci_version v = {0};

	if (!state)
		return no_memory(err);
	oci_version_parse(c->state.oci_version, &v); /* checked when it was read */
	if (v.minor >= MINOR_POSTSTART_FAILS)
		return hooks_run(list, HOOK_POSTSTART, state, &env, err);
	hooks_run_all(list, HOOK_POSTSTART, state, &env);
	return 0;
}

int hook_points_started(const struct container *c, int signal_fd, struct err *err)
{
	struct arena arena = {0};
	struct hooks hooks;
	int r = hooks_kept(c->state.hooks, &arena, &hooks, err);

	if (r == 0 && hooks.list[HOOK_POSTSTART].n)
		r = run_started(&hooks.list[HOOK_POSTSTART], c, signal_fd, err);
	arena_release(&arena);
	return r;
}

void hook_points_deleted(const struct container *c)
{
	const struct hook_env env = {.dir = c->state.bundle, .signal_fd = -1};
	struct arena arena = {0};
	struct err err = ERR_INIT;
	struct hooks hooks;
	autofree char *state = NULL;

	if (!c->state.hooks)
		return;
	state = hooks_state(&c->state, container_status_name(CONTAINER_STOPPED));
	if (hooks_kept(c->state.hooks, &arena, &hooks, &err) < 0)
		log_msg(LOG_LEVEL_WARNING, "%s", err.msg);
	else if (state)
		hooks_run_all(&hooks.list[HOOK_POSTSTOP], HOOK_POSTSTOP, state, &env);
	arena_release(&arena);
}
