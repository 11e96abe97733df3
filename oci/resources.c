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
#include "oci/spec_ctx.h"

#define UNIFIED_MAX      64 /* entries of linux.resources.unified */
#define BLOCK_MAX        64 /* entries of each array of linux.resources.blockIO */
#define HOST_FILES_MAX   (GSPEC_CGFILES_MAX + 5 * BLOCK_MAX)
#define HUGEPAGES_MAX    16 /* entries of linux.resources.hugepageLimits */
#define CPU_NUMBER_MAX   65535
#define BLKIO_WEIGHT_MIN 10
#define BLKIO_WEIGHT_MAX 1000
#define CGROUP_VALUE_MAX 4095    /* kernfs takes one page */
#define CPU_PERIOD_US    100000u /* the kernel's default, admin-guide/cgroup-v2.rst */
#define CPU_SHARES_MIN   2u
#define CPU_SHARES_MAX   262144u
#define OCI_MINOR_PIDS_0 3u /* since 1.3 the spec takes a pids limit of 0 at its word */

enum { GUEST = 1, HOST = 2 };

/* Where a file's value belongs; "x." stands for all whose names begin so. The rest is the guest's. */
static const struct {
	const char *key;
	unsigned where;
} places[] = {
	{"cpu.idle", GUEST | HOST},
	{"cpu.max", GUEST | HOST},
	{"cpu.max.burst", GUEST | HOST},
	{"cpu.weight", GUEST | HOST},
	{"cpu.weight.nice", GUEST | HOST},
	{"cpuset.", HOST},
	{"hugetlb.", GUEST | HOST},
	{"io.", HOST},
	{"memory.low", GUEST | HOST},
	{"memory.max", GUEST | HOST},
	{"memory.min", GUEST | HOST},
	{"memory.swap.max", GUEST | HOST},
};

struct files {
	struct spec_ctx *c;
	struct resources *res;
	int r; /* first failure */
};

static unsigned place_of(const char *key, const char *value)
{
	if (!strcmp(key, "io.weight") && !strchr(value, ':')) /* names no device */
		return GUEST | HOST;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		size_t n = strlen(places[i].key);

		if (!strncmp(key, places[i].key, n) && (!key[n] || places[i].key[n - 1] == '.'))
			return places[i].where;
	}
	return GUEST;
}

static void put_in(struct files *f, unsigned where, const char *key, const char *value)
{
	const struct gkeyval kv = {.key = key, .value = value};
	struct resources *res = f->res;

	BUG_ON(res->n_guest == GSPEC_CGFILES_MAX || res->n_host == HOST_FILES_MAX);
	if (where & GUEST)
		res->guest[res->n_guest++] = kv;
	if (where & HOST)
		res->host[res->n_host++] = kv;
}

static void put_str(struct files *f, const char *key, const char *value)
{
	put_in(f, place_of(key, value), key, value);
}

/* NULL: no memory, noted in f. */
static const char *keep(struct files *f, const char *s)
{
	s = arena_strdup(f->c->arena, s, strlen(s));
	if (!s)
		f->r = spec_nomem(f->c);
	return s;
}

__attribute__((format(printf, 3, 4))) static void put(
	struct files *f, const char *key, const char *fmt, ...)
{
	char buf[80];
	const char *s;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	s = keep(f, buf);
	if (s)
		put_str(f, key, s);
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

uint64_t io_weight_of_blkio(uint64_t w)
{
	w = MAX(MIN(w, (uint64_t)BLKIO_WEIGHT_MAX), (uint64_t)BLKIO_WEIGHT_MIN);
	return 1 + (w - BLKIO_WEIGHT_MIN) * 9999 / (BLKIO_WEIGHT_MAX - BLKIO_WEIGHT_MIN);
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

static int parse_memory(struct files *f, const struct jnode *resources)
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

static int parse_block_device(
	struct files *f, const struct jnode *n, uint64_t *ret_major, uint64_t *ret_minor)
{
	int r = jnode_want_object(n, f->c->err);

	if (r || (r = jget_u64(n, "major", 0, UINT32_MAX, ret_major, f->c->err)))
		return r;
	return jget_u64(n, "minor", 0, UINT32_MAX, ret_minor, f->c->err);
}

/* The guest has no bfq, and no device of the host. */
static void put_guest_weight(struct files *f, uint64_t weight)
{
	char buf[32];
	const char *s;

	snprintf(buf, sizeof(buf), "%" PRIu64, io_weight_of_blkio(weight));
	s = keep(f, buf);
	if (s)
		put_in(f, GUEST, "io.weight", s);
}

/* As bfq takes them; whoever writes them knows what to do when the host has another scheduler. */
static int parse_block_weights(struct files *f, const struct jnode *n)
{
	uint64_t weight = 0, major, minor;
	struct jnode array, item;
	bool found;
	int r;

	if ((r = jopt_u64(n, "weight", 0, BLKIO_WEIGHT_MAX, &weight, f->c->err)))
		return r;
	if (weight && weight < BLKIO_WEIGHT_MIN)
		return jnode_err(n, f->c->err, "weight: expected %u to %u", BLKIO_WEIGHT_MIN,
			BLKIO_WEIGHT_MAX);
	if (weight) {
		put(f, "io.bfq.weight", "%" PRIu64, weight);
		put_guest_weight(f, weight);
	}
	if ((r = jopt_array(n, "weightDevice", BLOCK_MAX, &array, &found, f->c->err)) || !found)
		return r;
	for (struct jiter it = {0}; jiter_next(&it, &array, &item);) {
		if ((r = parse_block_device(f, &item, &major, &minor)) ||
			(r = jget_u64(&item, "weight", BLKIO_WEIGHT_MIN, BLKIO_WEIGHT_MAX, &weight,
				 f->c->err)))
			return r;
		put(f, "io.bfq.weight", "%" PRIu64 ":%" PRIu64 " %" PRIu64, major, minor, weight);
	}
	return 0;
}

static int parse_block_io(struct files *f, const struct jnode *resources)
{
	static const struct {
		const char *key, *name;
	} throttles[] = {
		{"throttleReadBpsDevice", "rbps"},
		{"throttleWriteBpsDevice", "wbps"},
		{"throttleReadIOPSDevice", "riops"},
		{"throttleWriteIOPSDevice", "wiops"},
	};
	uint64_t major, minor, rate;
	struct jnode n, array, item;
	bool found;
	int r;

	if ((r = jopt_object(resources, "blockIO", &n, &found, f->c->err)) || !found ||
		(r = parse_block_weights(f, &n)))
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(throttles); i++) {
		r = jopt_array(&n, throttles[i].key, BLOCK_MAX, &array, &found, f->c->err);
		for (struct jiter it = {0}; !r && found && jiter_next(&it, &array, &item);) {
			if ((r = parse_block_device(f, &item, &major, &minor)) ||
				(r = jget_u64(&item, "rate", 0, UINT64_MAX, &rate, f->c->err)))
				return r;
			if (rate)
				put(f, "io.max", "%" PRIu64 ":%" PRIu64 " %s=%" PRIu64, major,
					minor, throttles[i].name, rate);
			else /* none, as in cgroup v1 */
				put(f, "io.max", "%" PRIu64 ":%" PRIu64 " %s=max", major, minor,
					throttles[i].name);
		}
		if (r)
			return r;
	}
	return 0;
}

/* "2MB": what the kernel names its files by. */
static bool is_page_size(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n && n < 10 && *s != '0' && strchr("KMG", s[n]) && s[n] && !strcmp(s + n + 1, "B");
}

/* Pages that are in use and, as in runc, pages that are set aside. */
static int put_hugepages(struct files *f, const struct jnode *n)
{
	static const char *const names[] = {"max", "rsvd.max"};
	const char *size, *key;
	uint64_t limit;
	char buf[64];
	int r = jnode_want_object(n, f->c->err);

	if (r || (r = jget_str(n, "pageSize", 16, &size, f->c->err)) ||
		(r = jget_u64(n, "limit", 0, UINT64_MAX, &limit, f->c->err)))
		return r;
	if (!is_page_size(size))
		return jnode_err(
			n, f->c->err, "pageSize: expected a size such as 2MB, got '%s'", size);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(buf, sizeof(buf), "hugetlb.%s.%s", size, names[i]);
		key = keep(f, buf);
		if (key)
			put(f, key, "%" PRIu64, limit);
	}
	return 0;
}

static int parse_hugepages(struct files *f, const struct jnode *resources)
{
	struct jnode array, item;
	bool found;
	int r = jopt_array(resources, "hugepageLimits", HUGEPAGES_MAX, &array, &found, f->c->err);

	for (struct jiter it = {0}; !r && found && jiter_next(&it, &array, &item);)
		r = put_hugepages(f, &item);
	return r;
}

/* Other letters mean nothing to runc, which takes them without a word. */
static uint32_t parse_access(struct spec_ctx *c, const struct jnode *n, const char *s)
{
	uint32_t access = 0;

	if (s[strspn(s, "rwm")])
		spec_warn(c, n, "access: '%s' holds more than r, w, m, which says nothing", s);
	for (; *s; s++) {
		switch (*s) {
		case 'r': access |= BPF_DEVCG_ACC_READ; break;
		case 'w': access |= BPF_DEVCG_ACC_WRITE; break;
		case 'm': access |= BPF_DEVCG_ACC_MKNOD; break;
		default: break;
		}
	}
	return access;
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
		(r = jopt_str(n, "access", 8, &access, err)))
		return r;
	rule.access = parse_access(c, n, access);
	if (!*type)
		type = "a";
	if (strlen(type) != 1 || !strchr("abc", *type))
		return jnode_err(n, err, "type: expected 'a', 'b' or 'c', got '%s'", type);
	if (!rule.access && *type != 'a') /* as in runc: it would allow or deny nothing */
		return jnode_err(n, err, "access is missing or empty");
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

/* The last value that a file gets is the one that counts. */
static const char *last_value(const struct gkeyval *v, uint32_t n, const char *key)
{
	const char *value = NULL;

	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(v[i].key, key))
			value = v[i].value;
	return value;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* As the kernel's memparse() reads memory.max; 0: "max", or nothing that it would take. */
static uint64_t memory_bytes(const char *s)
{
	static const char units[] = "KMGTPE";
	uint64_t v = 0;
	const char *unit;

	for (; is_digit(*s); s++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
			__builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return 0;
	unit = *s ? strchr(units, *s & ~0x20) : NULL;
	if (unit && __builtin_mul_overflow(v, 1ull << (10 * (unit - units + 1)), &v))
		return 0;
	return v;
}

/* "QUOTA PERIOD", in whole CPUs. */
static uint32_t quota_cpus(const char *s)
{
	uint64_t quota, period = CPU_PERIOD_US;

	if (sscanf(s, "%" SCNu64 " %" SCNu64, &quota, &period) < 1 || !period)
		return 0;
	quota = quota / period + (quota % period != 0);
	return (uint32_t)MIN(quota, (uint64_t)CPU_NUMBER_MAX);
}

uint32_t cpu_list_count(const char *list)
{
	uint64_t count = 0;

	while (*list) {
		unsigned first, last;
		int n = 0;

		list += strspn(list, ", \n");
		if (!*list)
			break;
		if (!is_digit(*list) || sscanf(list, "%5u%n", &first, &n) != 1)
			return 0;
		last = first;
		list += n;
		if (*list == '-') {
			if (!is_digit(*++list) || sscanf(list, "%5u%n", &last, &n) != 1 ||
				last < first)
				return 0;
			list += n;
		}
		if (*list && !strchr(", \n", *list))
			return 0;
		count += last - first + 1;
	}
	return count > CPU_NUMBER_MAX ? 0 : (uint32_t)count;
}

static void sum_up(struct resources *res)
{
	const char *max = last_value(res->guest, res->n_guest, "memory.max");
	const char *quota = last_value(res->guest, res->n_guest, "cpu.max");
	const char *set = last_value(res->host, res->n_host, "cpuset.cpus");
	uint32_t n = set ? cpu_list_count(set) : 0;

	res->memory_limit = max ? memory_bytes(max) : 0;
	res->cpus = quota ? quota_cpus(quota) : 0;
	if (n && (!res->cpus || n < res->cpus))
		res->cpus = n;
}

int resources_parse(struct spec_ctx *c, const struct jnode *n, struct resources *ret)
{
	struct files f = {.c = c, .res = ret};
	int r;

	*ret = (struct resources){0};
	ret->guest = arena_alloc(c->arena, GSPEC_CGFILES_MAX, sizeof(*ret->guest));
	ret->host = arena_alloc(c->arena, HOST_FILES_MAX, sizeof(*ret->host));
	if (!ret->guest || !ret->host)
		return spec_nomem(c);
	if ((r = parse_memory(&f, n)) || (r = parse_cpu(&f, n)) || (r = parse_pids(&f, n)) ||
		(r = parse_block_io(&f, n)) || (r = parse_hugepages(&f, n)) ||
		(r = parse_unified(&f, n)))
		return r;
	sum_up(ret);
	return f.r;
}

int spec_resources(struct spec_ctx *c, const struct jnode *linux_node, struct container_spec *spec)
{
	struct jnode n;
	bool found = false;
	int r = 0;

	if (linux_node)
		r = jopt_object(linux_node, "resources", &n, &found, c->err);
	if (r || (r = parse_devices(c, found ? &n : NULL, &spec->guest)) || !found)
		return r;
	r = resources_parse(c, &n, &spec->resources);
	spec->guest.cgfiles = spec->resources.guest;
	spec->guest.n_cgfiles = spec->resources.n_guest;
	return r;
}
