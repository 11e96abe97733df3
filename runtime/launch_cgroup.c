/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/launch_cgroup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "oci/update.h"
#include "runtime/scope.h"
#include "runtime/vm_size.h"

static void forget(struct cstate *s)
{
	while (s->n_cgroups)
		free(s->cgroups[--s->n_cgroups]);
}

/* Noted before they are made, for `delete --force` to find them if we are killed meanwhile; and afresh behind it: some
 * may have been left out, and those that we did not come to make are not ours to remove. */
static int make(struct launch *l, const struct resources *res, struct container *c, struct err *err)
{
	int r = cgroup_note(&l->cgroup, &c->state, err);

	if (r == 0 && l->cgroup.n)
		r = container_save(c, err);
	if (r == 0)
		r = cgroup_make(&l->cgroup, res, vm_size_host_memory(c->state.memory_bytes), err);
	forget(&c->state);
	return r < 0 ? r : cgroup_note(&l->cgroup, &c->state, err);
}

int launch_cgroup_make(struct launch *l, const struct global *g, const struct container_spec *spec,
	struct container *c, struct err *err)
{
	const struct vm_host host = vm_host();
	struct scope scope;
	int r = update_note(&spec->doc, c->dir_fd, err);

	if (r < 0)
		return r;
	c->state.memory_bytes = vm_size_memory(spec, &host);
	if (g->systemd_cgroup) { /* what can be wrong about it is said before anything is made */
		r = scope_parse(spec->cgroups_path, c->id, &scope, err);
		return r < 0 ? r : scope_check(err);
	}
	r = cgroup_plan(&l->cgroup, spec->cgroups_path, c->id, err);
	return r < 0 ? r : make(l, &spec->resources, c, err);
}

/* The unit is noted before it is made: forgetting one that is not there does no harm. */
static int start_scope(
	const struct container_spec *spec, struct container *c, char **ret_group, struct err *err)
{
	struct scope scope;
	int r = scope_parse(spec->cgroups_path, c->id, &scope, err);

	if (r < 0)
		return r;
	c->state.scope = strdup(scope.unit);
	if (!c->state.scope)
		return err_set(err, ENOMEM, "cannot note the state");
	r = container_save(c, err);
	if (r < 0)
		return r;
	return scope_start(&scope, c->state.pid, &spec->resources,
		vm_size_host_memory(c->state.memory_bytes), ret_group, err);
}

int launch_cgroup_adopt(struct launch *l, const struct global *g, const struct container_spec *spec,
	struct container *c, struct err *err)
{
	autofree char *group = NULL;
	int r;

	if (!g->systemd_cgroup)
		return 0;
	r = start_scope(spec, c, &group, err);
	if (r == 0)
		r = cgroup_plan(&l->cgroup, group, c->id, err);
	if (r == 0)
		r = cgroup_adopt(&l->cgroup, &spec->resources,
			vm_size_host_memory(c->state.memory_bytes), err);
	if (r == 0)
		r = cgroup_note(&l->cgroup, &c->state, err);
	return r < 0 ? r : container_save(c, err);
}

int launch_cgroup_remove(const struct cstate *s, struct err *err)
{
	int r = cgroup_remove(s, err);

	if (s->scope)
		scope_stop(s->scope);
	return r;
}
