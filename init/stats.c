/* SPDX-License-Identifier: Apache-2.0 */
#include "init/stats.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "init/procfs.h"
#include "init/sysctl.h"
#include "lib/base.h"

#define FIELD(name, file, key)                                       \
	{                                                            \
		file, key, offsetof(struct proto_stats, name), false \
	}
#define LIMIT(name, file)                                            \
	{                                                            \
		file, NULL, offsetof(struct proto_stats, name), true \
	}

/* Files stand together, so that each is read once. */
static const struct {
	const char *file, *key;
	size_t offset;
	bool limit;
} fields[] = {
	FIELD(cpu_usage_us, "cpu.stat", "usage_usec"),
	FIELD(cpu_user_us, "cpu.stat", "user_usec"),
	FIELD(cpu_system_us, "cpu.stat", "system_usec"),
	FIELD(cpu_periods, "cpu.stat", "nr_periods"),
	FIELD(cpu_throttled, "cpu.stat", "nr_throttled"),
	FIELD(cpu_throttled_us, "cpu.stat", "throttled_usec"),
	FIELD(memory_usage, "memory.current", NULL),
	FIELD(memory_peak, "memory.peak", NULL),
	LIMIT(memory_limit, "memory.max"),
	FIELD(swap_usage, "memory.swap.current", NULL),
	LIMIT(swap_limit, "memory.swap.max"),
	FIELD(memory_anon, "memory.stat", "anon"),
	FIELD(memory_file, "memory.stat", "file"),
	FIELD(memory_kernel, "memory.stat", "kernel"),
	FIELD(memory_sock, "memory.stat", "sock"),
	FIELD(memory_mapped, "memory.stat", "file_mapped"),
	FIELD(pgfault, "memory.stat", "pgfault"),
	FIELD(pgmajfault, "memory.stat", "pgmajfault"),
	FIELD(memory_failcnt, "memory.events", "max"),
	FIELD(oom, "memory.events", "oom"),
	FIELD(oom_kill, "memory.events", "oom_kill"),
	FIELD(pids, "pids.current", NULL),
	LIMIT(pids_limit, "pids.max"),
};

static const struct {
	const char *key;
	size_t offset;
} meminfo[] = {
	{"MemTotal:", offsetof(struct proto_stats, guest_total)},
	{"MemFree:", offsetof(struct proto_stats, guest_free)},
	{"MemAvailable:", offsetof(struct proto_stats, guest_available)},
};

int stats_value(const char *text, const char *key, uint64_t *ret_v)
{
	size_t len = key ? strlen(key) : 0;
	const char *p = text;
	char *end;

	while (key && (strncmp(p, key, len) != 0 || (p[len] != ' ' && p[len] != '\t'))) {
		p = strchr(p, '\n');
		if (!p)
			return -ENOENT;
		p++;
	}
	p += len;
	p += strspn(p, " \t");
	if (!strncmp(p, "max", 3)) {
		*ret_v = UINT64_MAX;
		return 0;
	}
	*ret_v = strtoull(p, &end, 10);
	return end == p ? -ENOENT : 0;
}

static void set(struct proto_stats *s, size_t offset, uint64_t v)
{
	memcpy((char *)s + offset, &v, sizeof(v));
}

void stats_read(int group, struct proto_stats *ret_s)
{
	const char *have = "";
	char text[8192];
	uint64_t v;

	memset(ret_s, 0, sizeof(*ret_s));
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (strcmp(have, fields[i].file) != 0 &&
			file_get(group, fields[i].file, text, sizeof(text)) < 0)
			text[0] = '\0';
		have = fields[i].file;
		if (stats_value(text, fields[i].key, &v) < 0)
			v = fields[i].limit ? UINT64_MAX : 0;
		set(ret_s, fields[i].offset, v);
	}
	if (procfs_read("meminfo", text, sizeof(text)) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(meminfo); i++)
		if (stats_value(text, meminfo[i].key, &v) == 0)
			set(ret_s, meminfo[i].offset, v * 1024);
}
