/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/process_sched.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <string.h>

#include "lib/base.h"
#include "oci/support.h"

#define CPU_LIST_MAX 4096 /* bytes of a list */
#define CPU_NR_MAX   1023 /* as sched_setaffinity(2)'s cpu_set_t has it */
#define SCHED_ISO_   4    /* <linux/sched.h>: reserved but not implemented yet */

struct name {
	const char *name;
	uint32_t value;
};

static const struct name policies[] = {
	{"SCHED_OTHER", SCHED_NORMAL},
	{"SCHED_FIFO", SCHED_FIFO},
	{"SCHED_RR", SCHED_RR},
	{"SCHED_BATCH", SCHED_BATCH},
	{"SCHED_ISO", SCHED_ISO_},
	{"SCHED_IDLE", SCHED_IDLE},
	{"SCHED_DEADLINE", SCHED_DEADLINE},
};

static const struct name flags[] = {
	{"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
	{"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
	{"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
	{"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
	{"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
	{"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
	{"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
};

static const struct name io_classes[] = {
	{"IOPRIO_CLASS_RT", IOPRIO_CLASS_RT},
	{"IOPRIO_CLASS_BE", IOPRIO_CLASS_BE},
	{"IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE},
};

static const struct name *find(const struct name *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].name, name))
			return &v[i];
	return NULL;
}

#define FIND(table, name) find(table, ARRAY_SIZE(table), name)

static int parse_flags(struct spec_ctx *c, const struct jnode *n, struct gsched *s)
{
	struct jnode array = {.doc = n->doc, .up = n, .key = "flags"};
	struct gstrv v = {0};
	int r = spec_strings(c, n, "flags", 64, 64, &v);

	for (uint32_t i = 0; !r && i < v.n; i++) {
		struct jnode item = {.doc = n->doc, .up = &array, .index = i};
		const struct name *f = FIND(flags, v.v[i]);

		if (!f)
			return jnode_err(&item, c->err, "unknown flag '%s'", v.v[i]);
		s->flags |= f->value;
	}
	return r;
}

/* What a policy has no use for is an error, as in runc; but for nice. */
static int check_policy(struct spec_ctx *c, const struct jnode *n, const struct gsched *s)
{
	bool real_time = s->policy == SCHED_FIFO || s->policy == SCHED_RR;

	if (s->policy == SCHED_ISO_)
		return jnode_err(n, c->err, "Linux does not have SCHED_ISO");
	if (s->priority && !real_time)
		return jnode_err(n, c->err, "priority is for SCHED_FIFO and SCHED_RR only");
	if (!s->priority && real_time)
		return jnode_err(n, c->err, "SCHED_FIFO and SCHED_RR want a priority from 1 to 99");
	if ((s->runtime || s->deadline || s->period) && s->policy != SCHED_DEADLINE)
		return jnode_err(
			n, c->err, "runtime, deadline and period are for SCHED_DEADLINE only");
	return 0;
}

static int parse_scheduler(struct spec_ctx *c, const struct jnode *process, struct gproc *p)
{
	const struct name *policy;
	const char *name = NULL;
	uint64_t priority = 0;
	int64_t nice = 0;
	struct jnode n;
	bool found;
	int r;

	if ((r = jopt_object(process, "scheduler", &n, &found, c->err)) || !found ||
		(r = jopt_str(&n, "policy", 64, &name, c->err)) ||
		(r = jopt_i64(&n, "nice", -20, 19, &nice, c->err)) ||
		(r = jopt_u64(&n, "priority", 0, 99, &priority, c->err)) ||
		(r = parse_flags(c, &n, &p->sched)) ||
		(r = jopt_u64(&n, "runtime", 0, UINT64_MAX, &p->sched.runtime, c->err)) ||
		(r = jopt_u64(&n, "deadline", 0, UINT64_MAX, &p->sched.deadline, c->err)) ||
		(r = jopt_u64(&n, "period", 0, UINT64_MAX, &p->sched.period, c->err)))
		return r;
	if ((!name || !*name) && json_is_empty(n.obj))
		return 0;
	policy = name ? FIND(policies, name) : NULL;
	if (!policy)
		return jnode_err(&n, c->err, "policy is missing or unknown");
	p->sched.policy = policy->value;
	p->sched.nice = (int32_t)nice;
	p->sched.priority = (uint32_t)priority;
	p->flags |= GPROC_HAS_SCHED;
	return check_policy(c, &n, &p->sched);
}

static int parse_io_priority(struct spec_ctx *c, const struct jnode *process, struct gproc *p)
{
	const struct name *class;
	const char *name = NULL;
	uint64_t priority = 0;
	struct jnode n;
	bool found;
	int r;

	if ((r = jopt_object(process, "ioPriority", &n, &found, c->err)) || !found ||
		(r = jopt_str(&n, "class", 64, &name, c->err)) ||
		(r = jopt_u64(&n, "priority", 0, 7, &priority, c->err)))
		return r;
	if ((!name || !*name) && json_is_empty(n.obj))
		return 0;
	class = name ? FIND(io_classes, name) : NULL;
	if (!class)
		return jnode_err(&n, c->err, "class is missing or unknown");
	p->ioprio = (uint32_t)IOPRIO_PRIO_VALUE(class->value, priority);
	p->flags |= GPROC_HAS_IOPRIO;
	return 0;
}

static bool cpu_number(const char **text, uint64_t *ret)
{
	size_t n = strspn(*text, "0123456789");

	*ret = 0;
	for (size_t i = 0; i < n && i < 5; i++)
		*ret = *ret * 10 + (uint64_t)((*text)[i] - '0');
	*text += n;
	return n && n <= 5 && *ret <= CPU_NR_MAX;
}

int cpu_list(const char *text, uint64_t *ret_cpus)
{
	*ret_cpus = 0;
	for (;;) {
		uint64_t first, last;

		if (!cpu_number(&text, &first))
			return -EINVAL;
		last = first;
		if (*text == '-') {
			text++;
			if (!cpu_number(&text, &last) || last < first)
				return -EINVAL;
		}
		for (uint64_t cpu = first; cpu <= last && cpu < 64; cpu++)
			*ret_cpus |= BIT64(cpu);
		if (!*text)
			return 0;
		if (*text++ != ',')
			return -EINVAL;
	}
}

static int parse_cpus(struct spec_ctx *c, const struct jnode *n, const char *key, uint32_t flag,
	struct gproc *p, uint64_t *ret)
{
	const char *text = NULL;
	struct jnode node;
	int r = jopt_str(n, key, CPU_LIST_MAX, &text, c->err);

	if (r || !text || !*text || !jnode_member(n, key, &node))
		return r;
	if (cpu_list(text, ret))
		return jnode_err(
			&node, c->err, "expected CPUs such as '0-3,7', got '%.100s'", text);
	p->flags |= flag;
	return 0;
}

int spec_sched(struct spec_ctx *c, const struct jnode *n, struct gproc *p)
{
	struct jnode cpus;
	bool found;
	int r;

	if ((r = parse_scheduler(c, n, p)) || (r = parse_io_priority(c, n, p)) ||
		(r = jopt_object(n, "execCPUAffinity", &cpus, &found, c->err)) || !found ||
		(r = parse_cpus(c, &cpus, "initial", GPROC_CPUS_FIRST, p, &p->cpus_first)))
		return r;
	return parse_cpus(c, &cpus, "final", GPROC_CPUS_FINAL, p, &p->cpus_final);
}
