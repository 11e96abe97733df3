/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/spec_ctx.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "oci/json_gate.h"

typedef void tell_fn(void *arg, const char *msg);

__attribute__((format(printf, 4, 0))) static void tell_va(
	struct spec_ctx *c, tell_fn *tell, const struct jnode *n, const char *fmt, va_list ap)
{
	char path[256], what[512], msg[1024];

	if (!tell)
		return;
	jnode_path(n, path, sizeof(path));
	vsnprintf(what, sizeof(what), fmt, ap);
	snprintf(msg, sizeof(msg), "%s: %s%s%s", n->doc->name, path, *path ? ": " : "", what);
	json_printable(msg);
	tell(c->opts->warn_arg, msg);
}

void spec_warn(struct spec_ctx *c, const struct jnode *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell_va(c, c->opts->warn, n, fmt, ap);
	va_end(ap);
}

void spec_debug(struct spec_ctx *c, const struct jnode *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell_va(c, c->opts->debug, n, fmt, ap);
	va_end(ap);
}

int spec_refuse(struct spec_ctx *c, const struct jnode *n, const char *fmt, ...)
{
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	if (c->opts->lenient)
		tell_va(c, c->opts->warn, n, fmt, ap);
	else
		vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (c->opts->lenient)
		return 0;
	jnode_err(n, c->err, "%s (use --lenient to go on without it)", what);
	if (c->err)
		c->err->errnum = ENOTSUP;
	return -ENOTSUP;
}

int spec_nomem(struct spec_ctx *c)
{
	return err_set(c->err, ENOMEM, "cannot translate config.json");
}

int spec_strings(struct spec_ctx *c, const struct jnode *n, const char *key, uint32_t max_n,
	size_t max_len, struct gstrv *ret_v)
{
	struct jnode array, item;
	const char **v;
	bool found;
	size_t len;
	int r;

	r = jopt_array(n, key, max_n, &array, &found, c->err);
	if (r || !found)
		return r;
	len = jnode_length(&array);
	v = arena_alloc(c->arena, len + 1, sizeof(*v));
	if (!v)
		return spec_nomem(c);
	for (size_t i = 0; i < len; i++) {
		if (!jnode_element(&array, i, &item))
			return jnode_err(&array, c->err, "element %zu is null", i);
		r = jnode_str(&item, max_len, &v[i], c->err);
		if (r)
			return r;
	}
	ret_v->n = (uint32_t)len;
	ret_v->v = v;
	return 0;
}

int spec_paths(struct spec_ctx *c, const struct jnode *n, const char *key, struct gstrv *ret_v)
{
	struct jnode array = {.doc = n->doc, .up = n, .key = key};
	int r = spec_strings(c, n, key, GSPEC_PATHS_MAX, GSPEC_PATH_MAX, ret_v);

	if (r)
		return r;
	for (uint32_t i = 0; i < ret_v->n; i++) {
		struct jnode item = {.doc = n->doc, .up = &array, .index = i};

		if (ret_v->v[i][0] != '/')
			return jnode_err(
				&item, c->err, "expected an absolute path, got '%s'", ret_v->v[i]);
	}
	return 0;
}
