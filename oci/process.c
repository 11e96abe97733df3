/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/resource.h>

#include "lib/base.h"
#include "oci/labels.h"
#include "oci/process_sched.h"

static const struct {
	const char *name;
	int number;
} rlimit_names[] = {
	{"RLIMIT_AS", RLIMIT_AS},
	{"RLIMIT_CORE", RLIMIT_CORE},
	{"RLIMIT_CPU", RLIMIT_CPU},
	{"RLIMIT_DATA", RLIMIT_DATA},
	{"RLIMIT_FSIZE", RLIMIT_FSIZE},
	{"RLIMIT_LOCKS", RLIMIT_LOCKS},
	{"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
	{"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
	{"RLIMIT_NICE", RLIMIT_NICE},
	{"RLIMIT_NOFILE", RLIMIT_NOFILE},
	{"RLIMIT_NPROC", RLIMIT_NPROC},
	{"RLIMIT_RSS", RLIMIT_RSS},
	{"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
	{"RLIMIT_RTTIME", RLIMIT_RTTIME},
	{"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
	{"RLIMIT_STACK", RLIMIT_STACK},
};

int rlimit_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rlimit_names); i++)
		if (!strcmp(rlimit_names[i].name, name))
			return rlimit_names[i].number;
	return -1;
}

int capability_number(const char *name)
{
	cap_value_t v;

	/* cap_from_name() also takes numbers and any case; the spec's names are one exact form. */
	if (strncmp(name, "CAP_", 4) || (name[4] >= '0' && name[4] <= '9') ||
		name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789")])
		return -1;
	if (cap_from_name(name, &v) < 0 || v < 0 || v > 63)
		return -1;
	return v;
}

bool capability_name(int number, char *buf)
{
	char *name = cap_to_name(number);
	/* libcap gives the bare number of one that it does not know. */
	bool known = name && !strncmp(name, "cap_", 4) && strlen(name) < CAPABILITY_NAME_MAX;

	for (size_t i = 0; known && i <= strlen(name); i++)
		buf[i] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 'a' + 'A' : name[i]);
	cap_free(name);
	return known;
}

static int parse_user(struct spec_ctx *c, const struct jnode *n, struct gproc *p)
{
	uint64_t uid = 0, gid = 0, umask = UINT64_MAX, gid_i;
	struct jnode user, array, item;
	uint32_t *groups;
	bool found;
	int r;

	r = jopt_object(n, "user", &user, &found, c->err);
	if (r || !found)
		return r;
	if ((r = jopt_u64(&user, "uid", 0, OCI_ID_MAX, &uid, c->err)) ||
		(r = jopt_u64(&user, "gid", 0, OCI_ID_MAX, &gid, c->err)) ||
		(r = jopt_u64(&user, "umask", 0, 0777, &umask, c->err)) ||
		(r = jopt_array(&user, "additionalGids", GSPEC_GROUPS_MAX, &array, &found, c->err)))
		return r;
	p->uid = (uint32_t)uid;
	p->gid = (uint32_t)gid;
	if (umask != UINT64_MAX) {
		p->umask = (uint32_t)umask;
		p->flags |= GPROC_HAS_UMASK;
	}
	if (!found)
		return 0;
	groups = arena_alloc(c->arena, jnode_length(&array), sizeof(*groups));
	if (!groups)
		return spec_nomem(c);
	p->groups = groups;
	for (struct jiter it = {0}; jiter_next(&it, &array, &item);) {
		r = jnode_u64(&item, 0, OCI_ID_MAX, &gid_i, c->err);
		if (r)
			return r;
		groups[p->n_groups++] = (uint32_t)gid_i;
	}
	return 0;
}

static int parse_rlimit(struct spec_ctx *c, const struct jnode *n, struct grlimit *ret)
{
	const char *type;
	int number, r;

	if ((r = jnode_want_object(n, c->err)) || (r = jget_str(n, "type", 64, &type, c->err)) ||
		(r = jget_u64(n, "soft", 0, UINT64_MAX, &ret->soft, c->err)) ||
		(r = jget_u64(n, "hard", 0, UINT64_MAX, &ret->hard, c->err)))
		return r;
	number = rlimit_number(type);
	if (number < 0)
		return jnode_err(n, c->err, "unknown type '%s'", type);
	if (ret->soft > ret->hard)
		return jnode_err(n, c->err, "%s: the soft limit is above the hard one", type);
	ret->resource = (uint32_t)number;
	return 0;
}

static int parse_rlimits(struct spec_ctx *c, const struct jnode *n, struct gproc *p)
{
	struct jnode array, item;
	struct grlimit *v;
	uint32_t seen = 0;
	bool found;
	int r;

	/* More than one of each type is an error, so the array is bounded; say it by name though.
	 */
	r = jopt_array(n, "rlimits", 2 * GSPEC_RLIMITS_MAX, &array, &found, c->err);
	if (r || !found)
		return r;
	v = arena_alloc(c->arena, jnode_length(&array), sizeof(*v));
	if (!v)
		return spec_nomem(c);
	for (struct jiter it = {0}; jiter_next(&it, &array, &item);) {
		struct grlimit *rl = &v[p->n_rlimits];

		r = parse_rlimit(c, &item, rl);
		if (r)
			return r;
		if (seen & BIT(rl->resource))
			return jnode_err(&item, c->err, "the same type a second time");
		seen |= BIT(rl->resource);
		p->n_rlimits++;
	}
	p->rlimits = v;
	return 0;
}

static const char *const cap_set_names[GCAP_SETS] = {
	[GCAP_BOUNDING] = "bounding",
	[GCAP_EFFECTIVE] = "effective",
	[GCAP_INHERITABLE] = "inheritable",
	[GCAP_PERMITTED] = "permitted",
	[GCAP_AMBIENT] = "ambient",
};

static int parse_cap_set(struct spec_ctx *c, const struct jnode *n, const char *key, uint64_t *ret)
{
	struct gstrv names = {0};
	struct jnode array;
	int r = spec_strings(c, n, key, 256, 64, &names);

	if (r || !jnode_member(n, key, &array))
		return r;
	for (uint32_t i = 0; i < names.n; i++) {
		int cap = capability_number(names.v[i]);

		if (cap >= 0)
			*ret |= BIT64(cap);
		else if (!c->oci_first)
			spec_warn(c, &array, "unknown capability '%s' is ignored", names.v[i]);
		else if ((r = spec_refuse(c, &array, "unknown capability '%s'", names.v[i])))
			return r; /* 1.0.x want an error, later versions a warning */
	}
	return 0;
}

/* config.md: a capability that cannot be granted is a warning. The kernel grants an ambient one
 * only if it is permitted and inheritable; an effective one that is not permitted makes capset(2)
 * fail. */
static int check_caps(struct spec_ctx *c, const struct jnode *caps, struct gproc *p)
{
	uint64_t stray = p->caps[GCAP_EFFECTIVE] & ~p->caps[GCAP_PERMITTED];
	uint64_t ambient = p->caps[GCAP_PERMITTED] & p->caps[GCAP_INHERITABLE];
	struct jnode set;

	if (stray && jnode_member(caps, "effective", &set)) {
		char name[CAPABILITY_NAME_MAX] = "?";

		capability_name(__builtin_ctzll(stray), name);
		spec_warn(c, &set, "%d of them ignored: not in permitted, such as %s",
			__builtin_popcountll(stray), name);
		p->caps[GCAP_EFFECTIVE] &= ~stray;
	}
	stray = p->caps[GCAP_AMBIENT] & ~ambient;
	if (stray && jnode_member(caps, "ambient", &set)) {
		spec_warn(c, &set, "%d of them ignored: not both permitted and inheritable",
			__builtin_popcountll(stray));
		p->caps[GCAP_AMBIENT] &= ambient;
	}
	return 0;
}

static int parse_caps(struct spec_ctx *c, const struct jnode *n, struct gproc *p)
{
	struct jnode caps;
	bool found;
	int r;

	r = jopt_object(n, "capabilities", &caps, &found, c->err);
	if (r || !found)
		return r;
	p->flags |= GPROC_HAS_CAPS;
	for (int i = 0; i < GCAP_SETS; i++) {
		r = parse_cap_set(c, &caps, cap_set_names[i], &p->caps[i]);
		if (r)
			return r;
	}
	return check_caps(c, &caps, p);
}

struct env_ref {
	const char *text;
	size_t name_len;
	uint32_t index;
};

static int by_name(const void *pa, const void *pb)
{
	const struct env_ref *a = pa, *b = pb;
	int r = memcmp(a->text, b->text, MIN(a->name_len, b->name_len));

	if (r || a->name_len != b->name_len)
		return r ? r : a->name_len < b->name_len ? -1 : 1;
	return a->index < b->index ? -1 : 1;
}

int process_env_last(struct arena *arena, struct gstrv *env)
{
	struct env_ref *ref = arena_alloc(arena, env->n, sizeof(*ref));
	uint32_t kept = 0;

	if (!ref)
		return -ENOMEM;
	for (uint32_t i = 0; i < env->n; i++)
		ref[i] = (struct env_ref){env->v[i], strcspn(env->v[i], "="), i};
	qsort(ref, env->n, sizeof(*ref), by_name);
	for (uint32_t i = 0; i + 1 < env->n; i++)
		if (ref[i].name_len == ref[i + 1].name_len &&
			!memcmp(ref[i].text, ref[i + 1].text, ref[i].name_len))
			env->v[ref[i].index] = NULL;
	for (uint32_t i = 0; i < env->n; i++)
		if (env->v[i])
			env->v[kept++] = env->v[i];
	if (kept < env->n)
		env->v[kept] = NULL;
	env->n = kept;
	return 0;
}

static int parse_env(struct spec_ctx *c, const struct jnode *n, struct gproc *p)
{
	struct jnode env = {.doc = n->doc, .up = n, .key = "env"};
	int r = spec_strings(c, n, "env", GSPEC_ARGS_MAX, GSPEC_STR_MAX - 1, &p->env);

	if (r)
		return r;
	for (uint32_t i = 0; i < p->env.n; i++) {
		struct jnode item = {.doc = n->doc, .up = &env, .index = i};
		const char *eq = strchr(p->env.v[i], '=');

		if (!eq || eq == p->env.v[i])
			return jnode_err(
				&item, c->err, "expected NAME=VALUE, got '%.100s'", p->env.v[i]);
	}
	return process_env_last(c->arena, &p->env) < 0 ? spec_nomem(c) : 0;
}

static int parse_console(struct spec_ctx *c, const struct jnode *n, struct gproc *p)
{
	uint64_t rows = 0, cols = 0;
	bool terminal = false, found;
	struct jnode box, node;
	int r;

	if ((r = jopt_bool(n, "terminal", &terminal, c->err)) ||
		(r = jopt_object(n, "consoleSize", &box, &found, c->err)))
		return r;
	if (found && ((r = jopt_u64(&box, "height", 0, UINT16_MAX, &rows, c->err)) ||
			     (r = jopt_u64(&box, "width", 0, UINT16_MAX, &cols, c->err))))
		return r;
	if (!terminal)
		return 0; /* config.md: consoleSize must then be ignored */
	if (!c->opts->allow_terminal && jnode_member(n, "terminal", &node))
		return spec_refuse(c, &node, "terminals are not supported yet");
	p->flags |= GPROC_TERMINAL;
	p->rows = (uint16_t)rows;
	p->cols = (uint16_t)cols;
	return 0;
}

static int parse_command(struct spec_ctx *c, const struct jnode *n, struct gproc *p)
{
	struct jnode node;
	int r;

	r = spec_strings(c, n, "args", GSPEC_ARGS_MAX, GSPEC_STR_MAX - 1, &p->args);
	if (r)
		return r;
	if (!jnode_member(n, "args", &node))
		return jnode_err(n, c->err, "args is missing");
	if (!p->args.n)
		return jnode_err(&node, c->err, "expected at least one argument");
	r = jget_str(n, "cwd", GSPEC_PATH_MAX, &p->cwd, c->err);
	if (r)
		return r;
	if (p->cwd[0] != '/' && jnode_member(n, "cwd", &node))
		return jnode_err(&node, c->err, "expected an absolute path, got '%s'", p->cwd);
	return 0;
}

int spec_process(struct spec_ctx *c, const struct jnode *n, struct gproc *ret_p)
{
	bool no_new_privs = false;
	int64_t oom = INT64_MAX;
	int r;

	*ret_p = (struct gproc){0};
	if ((r = jnode_want_object(n, c->err)) || (r = parse_command(c, n, ret_p)) ||
		(r = parse_env(c, n, ret_p)) || (r = parse_console(c, n, ret_p)) ||
		(r = parse_user(c, n, ret_p)) || (r = parse_rlimits(c, n, ret_p)) ||
		(r = parse_caps(c, n, ret_p)) || (r = spec_sched(c, n, ret_p)) ||
		(r = labels_process(c, n)) ||
		(r = jopt_bool(n, "noNewPrivileges", &no_new_privs, c->err)) ||
		(r = jopt_i64(n, "oomScoreAdj", -1000, 1000, &oom, c->err)))
		return r;
	if (no_new_privs)
		ret_p->flags |= GPROC_NO_NEW_PRIVS;
	if (oom != INT64_MAX) {
		ret_p->flags |= GPROC_HAS_OOM_SCORE;
		ret_p->oom_score_adj = (int32_t)oom;
	}
	return 0;
}
