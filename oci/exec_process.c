/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/exec_process.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "oci/json_gate.h"
#include "oci/process.h"
#include "oci/spec_ctx.h"
#include "oci/support.h"

/* n: the process object. Types first, so that a wrong one is called that, and not "not supported". */
static int translate(struct exec_process *p, const struct jnode *n, const struct spec_opts *opts,
	struct err *err)
{
	struct spec_ctx c = {.arena = &p->arena, .opts = opts, .err = err};
	int r = spec_process(&c, n, &p->proc);

	return r ? r : support_check(n, "process", opts->lenient, opts->warn, opts->warn_arg, err);
}

int exec_process_read(
	struct exec_process *ret_p, int fd, const struct spec_opts *opts, struct err *err)
{
	struct jnode root;
	int r;

	*ret_p = (struct exec_process){0};
	r = jdoc_read_fd(&ret_p->doc, fd, "process.json", JSON_CONFIG_MAX, err);
	if (r)
		return r;
	root = jdoc_root(&ret_p->doc);
	return translate(ret_p, &root, opts, err);
}

static int no_memory(struct err *err)
{
	return err_set(err, ENOMEM, "cannot translate the process");
}

/* Makes *v a new array with the more strings behind those it has, and a NULL at its end. */
static int append(struct exec_process *p, struct gstrv *v, const struct exec_strings *more,
	const char *what, struct err *err)
{
	const char **all;

	if (more->n > GSPEC_ARGS_MAX || v->n + more->n > GSPEC_ARGS_MAX)
		return err_plain(err, E2BIG, "%s: more than %u", what, GSPEC_ARGS_MAX);
	all = arena_alloc(&p->arena, v->n + more->n + 1, sizeof(*all));
	if (!all)
		return no_memory(err);
	if (v->n)
		memcpy(all, v->v, v->n * sizeof(*all));
	for (size_t i = 0; i < more->n; i++) {
		if (strlen(more->v[i]) >= GSPEC_STR_MAX)
			return err_plain(err, E2BIG, "%s: one of more than %u bytes", what,
				GSPEC_STR_MAX - 1);
		all[v->n + i] = more->v[i];
	}
	v->v = all;
	v->n += (uint32_t)more->n;
	return 0;
}

static int override_args(struct exec_process *p, const struct exec_overrides *o, struct err *err)
{
	p->proc.args = (struct gstrv){0};
	if (!o->args.n)
		return err_plain(err, EINVAL, "process args cannot be empty");
	return append(p, &p->proc.args, &o->args, "arguments", err);
}

static int override_env(struct exec_process *p, const struct exec_overrides *o, struct err *err)
{
	for (size_t i = 0; i < o->env.n; i++) {
		const char *eq = strchr(o->env.v[i], '=');

		if (!eq || eq == o->env.v[i])
			return err_plain(err, EINVAL, "--env: expected NAME=VALUE, got '%.100s'",
				o->env.v[i]);
	}
	if (o->env.n) {
		int r = append(p, &p->proc.env, &o->env, "--env", err);

		if (r < 0)
			return r;
	}
	return process_env_last(&p->arena, &p->proc.env) < 0 ? no_memory(err) : 0;
}

static int override_cwd(struct exec_process *p, const struct exec_overrides *o, struct err *err)
{
	if (!o->cwd || !*o->cwd)
		return 0;
	if (o->cwd[0] != '/')
		return err_plain(err, EINVAL, "--cwd: Cwd must be an absolute path");
	if (strlen(o->cwd) > GSPEC_PATH_MAX)
		return err_set(err, ENAMETOOLONG, "--cwd");
	p->proc.cwd = o->cwd;
	return 0;
}

static int parse_id(const char *s, size_t len, uint32_t *ret)
{
	uint64_t v = 0;

	if (!len || len > 10)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EINVAL;
		v = v * 10 + (uint64_t)(s[i] - '0');
	}
	if (v > OCI_ID_MAX)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

static int override_user(struct exec_process *p, const struct exec_overrides *o, struct err *err)
{
	const char *colon;
	size_t len;

	if (!o->user || !*o->user)
		return 0;
	colon = strchr(o->user, ':');
	len = colon ? (size_t)(colon - o->user) : strlen(o->user);
	if (colon && parse_id(colon + 1, strlen(colon + 1), &p->proc.gid))
		return err_plain(err, EINVAL, "parsing %.100s as int for gid failed", colon + 1);
	if (parse_id(o->user, len, &p->proc.uid))
		return err_plain(err, EINVAL, "parsing %.*s as int for uid failed",
			(int)MIN(len, 100u), o->user);
	return 0;
}

static int override_gids(struct exec_process *p, const struct exec_overrides *o, struct err *err)
{
	uint32_t *groups;

	if (!o->gids.n)
		return 0;
	if (o->gids.n > GSPEC_GROUPS_MAX || p->proc.n_groups + o->gids.n > GSPEC_GROUPS_MAX)
		return err_plain(
			err, E2BIG, "--additional-gids: more than %u groups", GSPEC_GROUPS_MAX);
	groups = arena_alloc(&p->arena, p->proc.n_groups + o->gids.n, sizeof(*groups));
	if (!groups)
		return no_memory(err);
	if (p->proc.n_groups)
		memcpy(groups, p->proc.groups, p->proc.n_groups * sizeof(*groups));
	for (size_t i = 0; i < o->gids.n; i++) {
		const char *s = o->gids.v[i];

		if (parse_id(s, strlen(s), &groups[p->proc.n_groups + i]))
			return err_plain(
				err, EINVAL, "additional-gids must be a positive number %.100s", s);
	}
	p->proc.groups = groups;
	p->proc.n_groups += (uint32_t)o->gids.n;
	return 0;
}

/* As runc: into every set but the inheritable one; the kernel then keeps the ambient one out of those that
 * are not inheritable, so here too. */
static void override_caps(
	struct exec_process *p, const struct exec_overrides *o, const struct spec_opts *opts)
{
	for (size_t i = 0; i < o->caps.n; i++) {
		int n = capability_number(o->caps.v[i]);
		char msg[160];

		if (n < 0 && opts->warn) {
			snprintf(msg, sizeof(msg), "--cap: unknown capability '%.100s' is ignored",
				o->caps.v[i]);
			json_printable(msg);
			opts->warn(opts->warn_arg, msg);
		}
		if (n < 0)
			continue;
		p->proc.flags |= GPROC_HAS_CAPS;
		p->proc.caps[GCAP_BOUNDING] |= BIT64(n);
		p->proc.caps[GCAP_EFFECTIVE] |= BIT64(n);
		p->proc.caps[GCAP_PERMITTED] |= BIT64(n);
		if (p->proc.caps[GCAP_INHERITABLE] & BIT64(n))
			p->proc.caps[GCAP_AMBIENT] |= BIT64(n);
	}
}

/* In the object, so that the same is made of them as of config.json's own. */
static int override_labels(struct jnode *n, const struct exec_overrides *o, struct err *err)
{
	bool ok = true;

	if (o->apparmor && *o->apparmor)
		jput_str(n->obj, "apparmorProfile", o->apparmor, &ok);
	if (o->label && *o->label)
		jput_str(n->obj, "selinuxLabel", o->label, &ok);
	return ok ? 0 : no_memory(err);
}

static int override(struct exec_process *p, const struct exec_overrides *o,
	const struct spec_opts *opts, struct err *err)
{
	int r;

	if ((r = override_args(p, o, err)) || (r = override_env(p, o, err)) ||
		(r = override_cwd(p, o, err)) || (r = override_user(p, o, err)) ||
		(r = override_gids(p, o, err)))
		return r;
	override_caps(p, o, opts);
	if (o->no_new_privs)
		p->proc.flags |= GPROC_NO_NEW_PRIVS;
	p->proc.flags &= ~GPROC_TERMINAL;
	if (o->terminal)
		p->proc.flags |= GPROC_TERMINAL;
	return 0;
}

int exec_process_from_bundle(struct exec_process *ret_p, int bundle_fd,
	const struct exec_overrides *o, const struct spec_opts *opts, struct err *err)
{
	struct jnode root, n;
	int r;

	*ret_p = (struct exec_process){0};
	r = jdoc_read_at(
		&ret_p->doc, bundle_fd, "config.json", "config.json", JSON_CONFIG_MAX, err);
	if (r == -ENOENT)
		return err_plain(err, ENOENT, "JSON specification file config.json not found");
	if (r)
		return r;
	root = jdoc_root(&ret_p->doc);
	if (!jnode_member(&root, "process", &n))
		return jnode_err(&root, err, "process is missing");
	r = jnode_want_object(&n, err);
	if (!r)
		r = override_labels(&n, o, err);
	if (!r)
		r = translate(ret_p, &n, opts, err);
	return r ? r : override(ret_p, o, opts, err);
}

void exec_process_release(struct exec_process *p)
{
	jdoc_release(&p->doc);
	arena_release(&p->arena);
}

int exec_process_encode(
	const struct exec_process *p, uint8_t **ret_buf, size_t *ret_len, struct err *err)
{
	autofree uint8_t *buf = malloc(GSPEC_BYTES_MAX);
	struct wbuf b = wbuf_of(buf, GSPEC_BYTES_MAX);

	if (!buf)
		return err_set(err, ENOMEM, "cannot encode the process");
	gproc_encode(&b, &p->proc);
	if (!wbuf_ok(&b))
		return err_plain(
			err, E2BIG, "the process takes more than %u bytes", GSPEC_BYTES_MAX);
	*ret_buf = take_ptr(&buf);
	*ret_len = b.len;
	return 0;
}
