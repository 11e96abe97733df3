/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/resources.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base.h"
#include "oci/devices_bpf.h"

#define UNIFIED_MAX      64      /* entries of linux.resources.unified */
#define CGROUP_VALUE_MAX 4095    /* kernfs takes one page */
#define CPU_PERIOD_US    100000u /* the kernel's default, admin-guide/cgroup-v2.rst */
#define CPU_SHARES_MIN   2u
#define CPU_SHARES_MAX   262144u
#define OCI_MINOR_PIDS_0 3u /* since 1.3 the spec takes a pids limit of 0 at its word */

struct files {
	struct spec_ctx *c;
	struct gkeyval *v;
	uint32_t n;
	int r; /* first failure */
};

static void put_str(struct files *f, const char *key, const char *value)
{
	BUG_ON(f->n == GSPEC_CGFILES_MAX);
	f->v[f->n++] = (struct gkeyval){.key = key, .value = value};
}

__attribute__((format(printf, 3, 4))) static void put(
	struct files *f, const char *key, const char *fmt, ...)
{
	char buf[80];
	va_list ap;
	char *s;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	s = arena_strdup(f->c->arena, buf, strlen(buf));
	if (s)
		put_str(f, key, s);
	else
		f->r = spec_nomem(f->c);
}

static void put_limit(struct files *f, const char *key, int64_t v)
{
	if (v < 0)
		put(f, key, "max");
	else
		put(f, key, "%" PRId64, v);
}

uint64_t cpu_weight_of_shares(uint64_t shares)
{
	shares = MAX(MIN(shares, (uint64_t)CPU_SHARES_MAX), (uint64_t)CPU_SHARES_MIN);
	return 1 + ((shares - CPU_SHARES_MIN) * 9999) / (CPU_SHARES_MAX - CPU_SHARES_MIN);
}

/* The spec's swap is memory plus swap, as in cgroup v1; cgroup v2 counts swap alone. */
static int put_swap(struct files *f, const struct jnode *n, int64_t limit, int64_t swap)
{
	if (swap == 0 && limit != -1)
		return 0;
	if (swap <= 0) {
		put(f, "memory.swap.max", "max");
		return 0;
	}
	if (limit == 0)
		return jnode_err(n, f->c->err, "a swap limit needs a memory limit");
	if (limit > 0 && swap < limit)
		return jnode_err(n, f->c->err, "swap (memory plus swap) is below limit");
	put_limit(f, "memory.swap.max", limit > 0 ? swap - limit : swap);
	return 0;
}

static int parse_memory(struct files *f, const struct jnode *resources, struct container_spec *spec)
{
	int64_t limit = 0, swap = 0, reservation = 0;
	bool ignored = false, found;
	struct err *err = f->c->err;
	struct jnode n;
	int r;

	if ((r = jopt_object(resources, "memory", &n, &found, err)) || !found)
		return r;
	if ((r = jopt_i64(&n, "limit", -1, INT64_MAX, &limit, err)) ||
		(r = jopt_i64(&n, "swap", -1, INT64_MAX, &swap, err)) ||
		(r = jopt_i64(&n, "reservation", -1, INT64_MAX, &reservation, err)) ||
		(r = jopt_bool(&n, "useHierarchy", &ignored, err)) ||
		(r = jopt_bool(&n, "checkBeforeUpdate", &ignored, err)))
		return r;
	r = put_swap(f, &n, limit, swap);
	if (r)
		return r;
	if (limit)
		put_limit(f, "memory.max", limit);
	if (reservation)
		put_limit(f, "memory.low", reservation);
	spec->memory_limit = limit > 0 ? (uint64_t)limit : 0;
	return 0;
}

/* "0-3,7": the kernel checks the numbers. */
static int put_cpulist(struct files *f, const struct jnode *n, const char *key, const char *file)
{
	const char *s = NULL;
	struct jnode node;
	int r = jopt_str(n, key, CGROUP_VALUE_MAX, &s, f->c->err);

	if (r || !s || !*s)
		return r;
	if (s[strspn(s, "0123456789-, ")] && jnode_member(n, key, &node))
		return jnode_err(
			&node, f->c->err, "expected a list such as '0-3,7', got '%.100s'", s);
	put_str(f, file, s);
	return 0;
}

static int parse_cpu(struct files *f, const struct jnode *resources)
{
	uint64_t shares = 0, period = 0, burst = UINT64_MAX;
	int64_t quota = 0, idle = -1;
	struct err *err = f->c->err;
	struct jnode n;
	bool found;
	int r;

	if ((r = jopt_object(resources, "cpu", &n, &found, err)) || !found)
		return r;
	if ((r = jopt_u64(&n, "shares", 0, UINT64_MAX, &shares, err)) ||
		(r = jopt_i64(&n, "quota", INT64_MIN, INT64_MAX, &quota, err)) ||
		(r = jopt_u64(&n, "period", 0, UINT64_MAX, &period, err)) ||
		(r = jopt_u64(&n, "burst", 0, INT64_MAX, &burst, err)) ||
		(r = jopt_i64(&n, "idle", 0, 1, &idle, err)) ||
		(r = put_cpulist(f, &n, "cpus", "cpuset.cpus")) ||
		(r = put_cpulist(f, &n, "mems", "cpuset.mems")))
		return r;
	if (idle >= 0)
		put(f, "cpu.idle", "%" PRId64, idle);
	if (shares && idle != 1) /* an idle cgroup has no weight: writing one fails */
		put(f, "cpu.weight", "%" PRIu64, cpu_weight_of_shares(shares));
	if (quota > 0)
		put(f, "cpu.max", "%" PRId64 " %" PRIu64, quota, period ? period : CPU_PERIOD_US);
	else if (quota || period)
		put(f, "cpu.max", "max %" PRIu64, period ? period : CPU_PERIOD_US);
	if (burst != UINT64_MAX) /* behind cpu.max: it must not exceed the quota */
		put(f, "cpu.max.burst", "%" PRIu64, burst);
	return 0;
}

static int parse_pids(struct files *f, const struct jnode *resources)
{
	int64_t limit = INT64_MIN;
	struct jnode n;
	bool found;
	int r;

	if ((r = jopt_object(resources, "pids", &n, &found, f->c->err)) || !found ||
		(r = jopt_i64(&n, "limit", INT64_MIN + 1, INT64_MAX, &limit, f->c->err)))
		return r;
	if (limit == INT64_MIN || (!limit && f->c->oci_minor < OCI_MINOR_PIDS_0))
		return 0;
	put_limit(f, "pids.max", limit ? limit : 1);
	return 0;
}

static int parse_unified(struct files *f, const struct jnode *resources)
{
	struct jnode n, item;
	const char *value;
	bool found;
	int r;

	if ((r = jopt_object(resources, "unified", &n, &found, f->c->err)) || !found)
		return r;
	if (jnode_length(&n) > UNIFIED_MAX)
		return jnode_err(&n, f->c->err, "more than %u entries", UNIFIED_MAX);
	for (struct jiter it = {0}; jiter_next(&it, &n, &item);) {
		if (strchr(item.key, '/') || item.key[0] == '.' || !strchr(item.key, '.') ||
			strlen(item.key) > 255)
			return jnode_err(&item, f->c->err,
				"expected the name of a cgroup file, such as 'memory.high'");
		r = jnode_str(&item, CGROUP_VALUE_MAX, &value, f->c->err);
		if (r)
			return r;
		put_str(f, item.key, value);
	}
	return 0;
}

static int parse_access(struct spec_ctx *c, const struct jnode *n, const char *s, uint32_t *ret)
{
	*ret = 0;
	for (; *s; s++) {
		switch (*s) {
		case 'r': *ret |= BPF_DEVCG_ACC_READ; break;
		case 'w': *ret |= BPF_DEVCG_ACC_WRITE; break;
		case 'm': *ret |= BPF_DEVCG_ACC_MKNOD; break;
		default: return jnode_err(n, c->err, "access: expected some of r, w, m");
		}
	}
	return 0;
}

static int parse_rule(struct spec_ctx *c, const struct jnode *n, struct device_policy *p)
{
	struct device_rule rule = {.major = DEVICE_ALL, .minor = DEVICE_ALL};
	const char *type = "a", *access = "";
	struct err *err = c->err;
	struct err why = ERR_INIT;
	int r;

	if ((r = jnode_want_object(n, err)) || (r = jopt_bool(n, "allow", &rule.allow, err)) ||
		(r = jopt_str(n, "type", 8, &type, err)) ||
		(r = jopt_i64(n, "major", -1, UINT32_MAX, &rule.major, err)) ||
		(r = jopt_i64(n, "minor", -1, UINT32_MAX, &rule.minor, err)) ||
		(r = jopt_str(n, "access", 8, &access, err)) ||
		(r = parse_access(c, n, access, &rule.access)))
		return r;
	if (!*type)
		type = "a";
	if (strlen(type) != 1 || !strchr("abc", *type))
		return jnode_err(n, err, "type: expected 'a', 'b' or 'c', got '%s'", type);
	rule.type = *type;
	if (device_policy_apply(p, &rule, &why))
		return jnode_err(n, err, "%s", why.msg);
	return 0;
}

static int parse_devices(struct spec_ctx *c, const struct jnode *resources, struct gspec *g)
{
	struct device_policy p;
	struct jnode n, item;
	struct err why = ERR_INIT;
	bool found = false;
	uint64_t *insns;
	int r = 0;

	device_policy_init(&p);
	if (resources)
		r = jopt_array(resources, "devices", 4096, &n, &found, c->err);
	if (r)
		return r;
	for (struct jiter it = {0}; found && jiter_next(&it, &n, &item);) {
		r = parse_rule(c, &item, &p);
		if (r)
			return r;
	}
	if (device_policy_add_defaults(&p, &why)) {
		BUG_ON(!found);
		return jnode_err(&n, c->err, "every container's default devices: %s", why.msg);
	}
	insns = arena_alloc(c->arena, GSPEC_BPF_MAX, sizeof(*insns));
	if (!insns)
		return spec_nomem(c);
	g->n_devprog = device_policy_compile(&p, insns, GSPEC_BPF_MAX);
	g->devprog = insns;
	return 0;
}

int spec_resources(struct spec_ctx *c, const struct jnode *linux_node, struct container_spec *spec)
{
	struct files f = {.c = c};
	struct jnode n;
	bool found = false;
	int r = 0;

	if (linux_node)
		r = jopt_object(linux_node, "resources", &n, &found, c->err);
	if (r || (r = parse_devices(c, found ? &n : NULL, &spec->guest)) || !found)
		return r;
	f.v = arena_alloc(c->arena, GSPEC_CGFILES_MAX, sizeof(*f.v));
	if (!f.v)
		return spec_nomem(c);
	if ((r = parse_memory(&f, &n, spec)) || (r = parse_cpu(&f, &n)) ||
		(r = parse_pids(&f, &n)) || (r = parse_unified(&f, &n)))
		return r;
	spec->guest.cgfiles = f.v;
	spec->guest.n_cgfiles = f.n;
	return f.r;
}
