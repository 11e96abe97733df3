/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/events.h"

#include "lib/base.h"
#include "oci/json.h"

#define NS_PER_US 1000ull

static struct json_object *event(const char *type, const char *id, bool *ok)
{
	struct json_object *o = jnew_object(ok);

	jput_str(o, "type", type, ok);
	jput_str(o, "id", id, ok);
	return o;
}

static struct json_object *finish(struct json_object *o, bool ok)
{
	if (ok)
		return o;
	json_object_put(o);
	return NULL;
}

struct json_object *event_oom_json(const char *id)
{
	bool ok = true;
	struct json_object *o = event("oom", id, &ok);

	return finish(o, ok);
}

/* The guest's numbers may be anything: they saturate. */
static uint64_t ns_of_us(uint64_t us)
{
	uint64_t ns;

	return __builtin_mul_overflow(us, NS_PER_US, &ns) ? UINT64_MAX : ns;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static struct json_object *cpu_json(const struct proto_stats *s, bool *ok)
{
	struct json_object *cpu = jnew_object(ok);
	struct json_object *usage = jnew_object(ok), *throttling = jnew_object(ok);

	jput_u64(usage, "total", ns_of_us(s->cpu_usage_us), ok);
	jput_u64(usage, "kernel", ns_of_us(s->cpu_system_us), ok);
	jput_u64(usage, "user", ns_of_us(s->cpu_user_us), ok);
	jput(cpu, "usage", usage, ok);
	jput_u64(throttling, "periods", s->cpu_periods, ok);
	jput_u64(throttling, "throttledPeriods", s->cpu_throttled, ok);
	jput_u64(throttling, "throttledTime", ns_of_us(s->cpu_throttled_us), ok);
	jput(cpu, "throttling", throttling, ok);
	return cpu;
}

static struct json_object *entry(
	uint64_t limit, uint64_t usage, uint64_t max, uint64_t failcnt, bool *ok)
{
	struct json_object *o = jnew_object(ok);

	jput_u64(o, "limit", limit, ok);
	jput_u64(o, "usage", usage, ok);
	if (max)
		jput_u64(o, "max", max, ok);
	jput_u64(o, "failcnt", failcnt, ok);
	return o;
}

static struct json_object *raw_json(const struct proto_stats *s, bool *ok)
{
	struct json_object *o = jnew_object(ok);

	jput_u64(o, "anon", s->memory_anon, ok);
	jput_u64(o, "file", s->memory_file, ok);
	jput_u64(o, "file_mapped", s->memory_mapped, ok);
	jput_u64(o, "kernel", s->memory_kernel, ok);
	jput_u64(o, "pgfault", s->pgfault, ok);
	jput_u64(o, "pgmajfault", s->pgmajfault, ok);
	jput_u64(o, "sock", s->memory_sock, ok);
	return o;
}

/* swap: memory and swap together, as in cgroup v1, which is what runc reports. */
static struct json_object *memory_json(const struct proto_stats *s, bool *ok)
{
	struct json_object *o = jnew_object(ok);
	uint64_t swap_limit = UINT64_MAX;

	if (s->swap_limit != UINT64_MAX && s->memory_limit != UINT64_MAX)
		swap_limit = plus(s->swap_limit, s->memory_limit);
	jput_u64(o, "cache", s->memory_file, ok);
	jput(o, "usage",
		entry(s->memory_limit, s->memory_usage, s->memory_peak, s->memory_failcnt, ok), ok);
	jput(o, "swap", entry(swap_limit, plus(s->swap_usage, s->memory_usage), 0, 0, ok), ok);
	jput(o, "kernel", entry(UINT64_MAX, s->memory_kernel, 0, 0, ok), ok);
	jput(o, "kernelTCP", entry(UINT64_MAX, s->memory_sock, 0, 0, ok), ok);
	jput(o, "raw", raw_json(s, ok), ok);
	return o;
}

static struct json_object *pids_json(const struct proto_stats *s, bool *ok)
{
	struct json_object *o = jnew_object(ok);

	jput_u64(o, "current", s->pids, ok);
	if (s->pids_limit != UINT64_MAX)
		jput_u64(o, "limit", s->pids_limit, ok);
	return o;
}

/* What the VM boundary leaves empty stays in its place: readers expect the keys. */
struct json_object *event_stats_json(const char *id, const struct proto_stats *s)
{
	bool ok = true;
	struct json_object *o = event("stats", id, &ok), *data = jnew_object(&ok);

	jput(data, "cpu", cpu_json(s, &ok), &ok);
	jput(data, "cpuset", jnew_object(&ok), &ok);
	jput(data, "memory", memory_json(s, &ok), &ok);
	jput(data, "pids", pids_json(s, &ok), &ok);
	jput(data, "blkio", jnew_object(&ok), &ok);
	jput(data, "hugetlb", jnew_object(&ok), &ok);
	jput(data, "intel_rdt", jnew_object(&ok), &ok);
	jput(data, "network_interfaces", jnew_array(&ok), &ok);
	jput(o, "data", data, &ok);
	return finish(o, ok);
}
