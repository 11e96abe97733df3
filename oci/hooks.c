/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/hooks.h"

#include <errno.h>

#include "lib/base.h"
#include "oci/spec_ctx.h"

static const char *const names[HOOK_KINDS] = {
	[HOOK_PRESTART] = "prestart",
	[HOOK_CREATE_RUNTIME] = "createRuntime",
	[HOOK_CREATE_CONTAINER] = "createContainer",
	[HOOK_START_CONTAINER] = "startContainer",
	[HOOK_POSTSTART] = "poststart",
	[HOOK_POSTSTOP] = "poststop",
};

/* Those that run once the configuration is no longer looked at. */
static const enum hook_kind kept_kinds[] = {HOOK_POSTSTART, HOOK_POSTSTOP};

const char *hook_kind_name(enum hook_kind kind)
{
	BUG_ON((unsigned)kind >= HOOK_KINDS);
	return names[kind];
}

static int parse_hook(struct spec_ctx *c, const struct jnode *n, struct ghook *h)
{
	uint64_t timeout = 0;
	int r;

	if ((r = jnode_want_object(n, c->err)) ||
		(r = jget_str(n, "path", GSPEC_PATH_MAX, &h->path, c->err)) ||
		(r = spec_strings(c, n, "args", GSPEC_ARGS_MAX, GSPEC_STR_MAX - 1, &h->args)) ||
		(r = spec_strings(c, n, "env", GSPEC_ARGS_MAX, GSPEC_STR_MAX - 1, &h->env)) ||
		(r = jopt_u64(n, "timeout", 1, HOOK_TIMEOUT_MAX, &timeout, c->err)))
		return r;
	if (h->path[0] != '/')
		return jnode_err(n, c->err, "path: expected an absolute path, got '%s'", h->path);
	h->timeout_s = (uint32_t)timeout;
	return 0;
}

static int parse_list(
	struct spec_ctx *c, const struct jnode *n, const char *key, struct hook_list *ret)
{
	struct jnode array, item;
	struct ghook *v;
	bool found;
	int r;

	r = jopt_array(n, key, GSPEC_HOOKS_MAX, &array, &found, c->err);
	if (r || !found)
		return r;
	v = arena_alloc(c->arena, jnode_length(&array), sizeof(*v));
	if (!v)
		return spec_nomem(c);
	ret->v = v;
	for (struct jiter it = {0}; jiter_next(&it, &array, &item);) {
		r = parse_hook(c, &item, &v[ret->n]);
		if (r)
			return r;
		ret->n++;
	}
	return 0;
}

static int parse_lists(struct spec_ctx *c, const struct jnode *n, struct hooks *ret)
{
	int r = 0;

	for (int k = 0; k < HOOK_KINDS && !r; k++)
		r = parse_list(c, n, names[k], &ret->list[k]);
	return r;
}

int hooks_parse(struct spec_ctx *c, const struct jnode *n, struct hooks *ret)
{
	struct jnode object;
	bool found;
	int r;

	*ret = (struct hooks){0};
	r = jopt_object(n, "hooks", &object, &found, c->err);
	return r || !found ? r : parse_lists(c, &object, ret);
}

struct json_object *hooks_to_keep(const struct jnode *root, bool *ok)
{
	struct json_object *o;
	struct jnode n, list;
	size_t kept = 0;

	if (!jnode_member(root, "hooks", &n))
		return NULL;
	o = jnew_object(ok);
	for (size_t i = 0; i < ARRAY_SIZE(kept_kinds); i++) {
		if (!jnode_member(&n, names[kept_kinds[i]], &list) || !jnode_length(&list))
			continue;
		jput(o, names[kept_kinds[i]], json_object_get(list.obj), ok);
		kept++;
	}
	if (kept)
		return o;
	json_object_put(o);
	return NULL;
}

int hooks_kept(struct json_object *kept, struct arena *arena, struct hooks *ret, struct err *err)
{
	const struct spec_opts opts = {0};
	struct spec_ctx c = {.arena = arena, .opts = &opts, .err = err};
	struct jdoc doc = {.root = kept, .name = "state.json: hooks"};
	struct jnode n = jdoc_root(&doc);

	*ret = (struct hooks){0};
	if (!kept)
		return 0;
	return jnode_want_object(&n, err) < 0 ? -EINVAL : parse_lists(&c, &n, ret);
}
