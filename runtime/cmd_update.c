/* SPDX-License-Identifier: Apache-2.0 */
/* coracle update: other limits for a container that is there. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "oci/update.h"
#include "runtime/ask.h"
#include "runtime/command.h"
#include "runtime/limits.h"
#include "runtime/log.h"

struct options {
	const char *resources;
	struct update_flags flags;
	const char *kernel_memory, *kernel_memory_tcp, *l3_cache, *mem_bw;
};

static int check_options(const struct options *o, struct err *err)
{
	if (o->kernel_memory)
		log_msg(LOG_LEVEL_WARNING, "Setting --kernel-memory is ignored: there is no such "
					   "limit in cgroup v2");
	if (o->kernel_memory_tcp)
		log_msg(LOG_LEVEL_WARNING, "Setting --kernel-memory-tcp is ignored: there is no "
					   "such limit in cgroup v2");
	if (o->l3_cache && *o->l3_cache)
		return err_plain(err, EOPNOTSUPP, "Intel RDT/CAT: l3 cache schema is not enabled");
	if (o->mem_bw && *o->mem_bw)
		return err_plain(
			err, EOPNOTSUPP, "Intel RDT/MBA: memory bandwidth schema is not enabled");
	return 0;
}

static int load_change(struct update *u, const struct options *o, struct err *err)
{
	autofd int fd = -1;

	if (!o->resources || !*o->resources)
		return update_from_flags(u, &o->flags, err);
	if (!strcmp(o->resources, "-"))
		return update_read(u, STDIN_FILENO, err);
	fd = open(o->resources, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_set(err, errno, "cannot open '%s'", o->resources);
	return update_read(u, fd, err);
}

static bool changes(const struct update *u, const char *file)
{
	for (uint32_t i = 0; i < u->n_guest; i++)
		if (!strcmp(u->guest[i].key, file))
			return true;
	return false;
}

/* The VM's memory is what it was made with; a limit below holds in the guest. */
static int check_memory(const struct update *u, const struct container *c, struct err *err)
{
	uint64_t limit = u->resources.memory_limit;
	struct proto_stats s;
	int r;

	if (!limit || !changes(u, "memory.max"))
		return 0;
	r = ask_stats(c, &s, err);
	if (r < 0)
		return r;
	if (limit > s.guest_total)
		return err_plain(err, EINVAL,
			"a memory limit of %" PRIu64
			" bytes is more than the container's VM has (%" PRIu64
			"): a running VM does not grow",
			limit, s.guest_total);
	if (u->check_usage && limit < s.memory_usage)
		return err_plain(err, EINVAL,
			"unable to set memory limit to %" PRIu64 " (current usage: %" PRIu64 ")",
			limit, s.memory_usage);
	return 0;
}

/* Nothing can be asked of a paused guest: the limit is held against what the VM was made with. */
static int check_paused(const struct update *u, const struct container *c, struct err *err)
{
	static const char *const named_by_caller[] = {"unified", "hugepageLimits"};
	uint64_t limit = u->resources.memory_limit;

	for (size_t i = 0; i < ARRAY_SIZE(named_by_caller); i++)
		if (json_object_object_get_ex(u->change.root, named_by_caller[i], NULL))
			return err_plain(err, EINVAL,
				"the container is paused: whether it has the files that %s names "
				"cannot be asked for",
				named_by_caller[i]);
	if (!limit || !changes(u, "memory.max"))
		return 0;
	if (u->check_usage)
		return err_plain(err, EINVAL,
			"the container is paused: how much memory it uses cannot be asked for");
	return limit > c->state.memory_bytes
		       ? err_plain(err, EINVAL,
				 "a memory limit of %" PRIu64
				 " bytes is more than the container's VM has (%" PRIu64
				 "): a running VM does not grow",
				 limit, c->state.memory_bytes)
		       : 0;
}

static int update(struct container *c, const struct options *o, const struct global *g, bool paused,
	struct update *u, struct err *err)
{
	const struct spec_opts opts = {.lenient = g->lenient, .warn = log_warn_cb};
	int r;

	if ((r = update_load(u, c->dir_fd, err)) < 0 || (r = load_change(u, o, err)) < 0 ||
		(r = update_merge(u, &opts, err)) < 0)
		return r;
	if (!u->n_guest && !u->n_host)
		return 0; /* nothing is otherwise than it was */
	r = paused ? check_paused(u, c, err) : check_memory(u, c, err);
	return r < 0 ? r : limits_write(u, c, paused, err);
}

static int update_container(
	struct container *c, const struct options *o, const struct global *g, struct err *err)
{
	enum container_status status = container_status(c);
	struct update u = {0};
	int r;

	switch (status) {
	case CONTAINER_CREATED:
	case CONTAINER_RUNNING:
	case CONTAINER_PAUSED: break;
	case CONTAINER_CREATING:
	case CONTAINER_STOPPED: return err_plain(err, ESRCH, "container not running");
	}
	r = update(c, o, g, status == CONTAINER_PAUSED, &u, err);
	update_release(&u);
	return r;
}

int cmd_update(const struct global *g, int argc, char **argv, struct err *err)
{
	struct options o = {0};
	struct update_flags *f = &o.flags;
	const struct option_def options[] = {
		{"resources", 'r', OPTION_STRING, "FILE",
			"read linux.resources from FILE (- : standard input) instead of flags",
			&o.resources},
		{"memory", 0, OPTION_STRING, "BYTES", "memory limit (512m; -1: none)", &f->memory},
		{"memory-reservation", 0, OPTION_STRING, "BYTES", "memory that is protected",
			&f->memory_reservation},
		{"memory-swap", 0, OPTION_STRING, "BYTES", "memory and swap together",
			&f->memory_swap},
		{"cpu-quota", 0, OPTION_STRING, "US", "processor time per period", &f->cpu_quota},
		{"cpu-period", 0, OPTION_STRING, "US", "the period", &f->cpu_period},
		{"cpu-share", 0, OPTION_STRING, "N", "weight, 2 to 262144", &f->cpu_share},
		{"cpu-burst", 0, OPTION_STRING, "US", "quota that may be saved up", &f->cpu_burst},
		{"cpu-idle", 0, OPTION_STRING, "0|1", "only when nothing else runs", &f->cpu_idle},
		{"cpu-rt-period", 0, OPTION_STRING, "US", "refused: not in cgroup v2",
			&f->cpu_rt_period},
		{"cpu-rt-runtime", 0, OPTION_STRING, "US", "refused: not in cgroup v2",
			&f->cpu_rt_runtime},
		{"cpuset-cpus", 0, OPTION_STRING, "LIST", "processors, such as 0-1",
			&f->cpuset_cpus},
		{"cpuset-mems", 0, OPTION_STRING, "LIST", "memory nodes", &f->cpuset_mems},
		{"pids-limit", 0, OPTION_STRING, "N", "processes (-1: no limit)", &f->pids_limit},
		{"blkio-weight", 0, OPTION_STRING, "N", "weight of block I/O, 10 to 1000",
			&f->blkio_weight},
		{"kernel-memory", 0, OPTION_STRING, "BYTES", "ignored, as in runc",
			&o.kernel_memory},
		{"kernel-memory-tcp", 0, OPTION_STRING, "BYTES", "ignored, as in runc",
			&o.kernel_memory_tcp},
		{"l3-cache-schema", 0, OPTION_STRING, "TEXT", "refused", &o.l3_cache},
		{"mem-bw-schema", 0, OPTION_STRING, "TEXT", "refused", &o.mem_bw},
	};
	const struct usage u = {"update [OPTION]... ID", "Changes the limits of a container.",
		options, ARRAY_SIZE(options), 1, 1};
	struct container c = CONTAINER_INIT;
	int first = command_open(&u, g, argc, argv, true, &c, err);
	int r;

	if (first <= 0)
		return first;
	r = check_options(&o, err);
	if (r >= 0)
		r = update_container(&c, &o, g, err);
	container_release(&c);
	return r;
}
