/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cgroup_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "oci/resources.h"

#define VALUE_MAX 4096 /* kernfs takes one page */

struct write {
	const struct cgroup *cg;
	uint64_t memory_max;
	struct err *err;
};

int cgroup_put(int dir, const char *file, const char *value)
{
	autofd int fd = openat(dir, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t len = strlen(value);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = write(fd, value, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (size_t)n == len ? 0 : -EIO;
}

int cgroup_get(int dir, const char *file, char *buf, size_t cap)
{
	autofd int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, cap - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

uint64_t cgroup_shares_of_weight(uint64_t w)
{
	w = MAX(MIN(w, (uint64_t)10000), (uint64_t)1);
	return 2 + (w - 1) * 262142 / 9999;
}

static int failed(
	struct write *w, int r, const struct cgroup_dir *d, const char *file, const char *value)
{
	if (r == -ENOENT && d->v2)
		return err_plain(w->err, ENOENT,
			"cannot set %s: controller %.*s is not available in cgroup '%s'", file,
			(int)strcspn(file, "."), file, d->path);
	return err_set(w->err, -r, "cannot write '%s' to '%s/%s'", value, d->path, file);
}

/* What every group has from the start needs no file to say so. */
static bool is_default(const char *value)
{
	return !strncmp(value, "max", 3) || !strcmp(value, "0") || !strcmp(value, "-1");
}

static bool is_hugetlb(const char *file)
{
	return !strncmp(file, "hugetlb.", 8);
}

static int put_at(struct write *w, const struct cgroup_dir *d, const char *file, const char *value)
{
	int r = cgroup_put(d->fd, file, value);

	/* The VMM has no huge pages: that limit holds in the guest. */
	if (r == -ENOENT && (is_default(value) || is_hugetlb(file)))
		return 0;
	return r < 0 ? failed(w, r, d, file, value) : 0;
}

/* Several devices in one value: the kernel takes one at a time. */
static int put_lines(
	struct write *w, const struct cgroup_dir *d, const char *file, const char *value)
{
	char line[VALUE_MAX];
	int r = 0;

	while (*value && r == 0) {
		size_t n = strcspn(value, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)n, value);
		if (n)
			r = put_at(w, d, file, line);
		value += n + (value[n] == '\n');
	}
	return r;
}

/* "WEIGHT" or "MAJOR:MINOR WEIGHT" in bfq's scale; without bfq, in io.weight's. */
static int put_weight(struct write *w, const struct cgroup_dir *d, const char *value)
{
	const char *number = strrchr(value, ' ');
	char text[80];
	int r = cgroup_put(d->fd, "io.bfq.weight", value);

	if (r != -ENOENT)
		return r < 0 ? failed(w, r, d, "io.bfq.weight", value) : 0;
	number = number ? number + 1 : value;
	snprintf(text, sizeof(text), "%.*s%" PRIu64, (int)MIN(number - value, 40),
		number == value ? "" : value, io_weight_of_blkio(strtoull(number, NULL, 10)));
	return put_at(w, d, "io.weight", text);
}

/* The text to write for kv; NULL: none. */
static const char *limit_text(struct write *w, const struct gkeyval *kv, char buf[32])
{
	if (strcmp(kv->key, "memory.max") || !strncmp(kv->value, "max", 3))
		return kv->value;
	if (!w->memory_max)
		return NULL;
	snprintf(buf, 32, "%" PRIu64, w->memory_max);
	return buf;
}

static int write_v2(struct write *w, const struct cgroup_dir *d, const struct gkeyval *kv)
{
	char buf[32];
	const char *value = limit_text(w, kv, buf);

	if (!value)
		return 0;
	if (!strcmp(kv->key, "io.bfq.weight"))
		return put_weight(w, d, value);
	return put_lines(w, d, kv->key, value);
}

/* --- cgroup v1 ---------------------------------------------------------------------------------- */

/* v2's file, the hierarchy and v1's file, for values that can be written as they are. */
static const struct {
	const char *v2, *controller, *v1;
} same[] = {
	{"cpu.idle", "cpu", "cpu.idle"},
	{"cpu.max.burst", "cpu", "cpu.cfs_burst_us"},
	{"cpuset.cpus", "cpuset", "cpuset.cpus"},
	{"cpuset.mems", "cpuset", "cpuset.mems"},
	{"memory.low", "memory", "memory.soft_limit_in_bytes"},
	{"memory.max", "memory", "memory.limit_in_bytes"},
};

static const struct {
	const char *key, *v1;
} throttles[] = {
	{"rbps=", "blkio.throttle.read_bps_device"},
	{"wbps=", "blkio.throttle.write_bps_device"},
	{"riops=", "blkio.throttle.read_iops_device"},
	{"wiops=", "blkio.throttle.write_iops_device"},
};

static bool has_name(const char *names, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = names; *p; p += strcspn(p, ","), p += *p == ',')
		if (!strncmp(p, name, len) && (!p[len] || p[len] == ','))
			return true;
	return false;
}

static const struct cgroup_dir *v1_dir(const struct cgroup *cg, const char *controller)
{
	for (unsigned i = 0; i < cg->n; i++)
		if (!cg->dir[i].v2 && !cg->dir[i].skipped && has_name(cg->dir[i].names, controller))
			return &cg->dir[i];
	return NULL;
}

static int put_v1(struct write *w, const char *controller, const char *file, const char *value)
{
	const struct cgroup_dir *d = v1_dir(w->cg, controller);

	if (d)
		return put_at(w, d, file, value);
	if (is_default(value))
		return 0;
	return err_plain(
		w->err, ENOENT, "cannot set %s: no cgroup of controller %s", file, controller);
}

static int put_number(struct write *w, const char *controller, const char *file, uint64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	return put_v1(w, controller, file, text);
}

static int put_quota(struct write *w, const char *value)
{
	const char *space = strchr(value, ' ');
	char quota[32];
	int r = 0;

	snprintf(quota, sizeof(quota), "%.*s", (int)strcspn(value, " "), value);
	if (space)
		r = put_v1(w, "cpu", "cpu.cfs_period_us", space + 1);
	if (r < 0)
		return r;
	return put_v1(w, "cpu", "cpu.cfs_quota_us", strcmp(quota, "max") ? quota : "-1");
}

/* Memory and swap together; a kernel that does not count swap has no such file. */
static int put_memsw(struct write *w, const char *value)
{
	const struct cgroup_dir *d = v1_dir(w->cg, "memory");
	uint64_t swap = strtoull(value, NULL, 10);

	if (!strncmp(value, "max", 3) || !w->memory_max || !d ||
		faccessat(d->fd, "memory.memsw.limit_in_bytes", F_OK, 0) < 0)
		return 0;
	/* The two limits must never cross: memory's is at its new value by then, or unlimited. */
	(void)put_number(w, "memory", "memory.limit_in_bytes", w->memory_max);
	return put_number(w, "memory", "memory.memsw.limit_in_bytes", w->memory_max + swap);
}

/* "MAJOR:MINOR rbps=N". */
static int put_throttle(struct write *w, const char *value)
{
	const char *space = strchr(value, ' ');
	char text[80];

	for (size_t i = 0; space && i < ARRAY_SIZE(throttles); i++) {
		size_t n = strlen(throttles[i].key);

		if (strncmp(space + 1, throttles[i].key, n))
			continue;
		snprintf(text, sizeof(text), "%.*s %s", (int)MIN(space - value, 40), value,
			strcmp(space + 1 + n, "max") ? space + 1 + n : "0");
		return put_v1(w, "blkio", throttles[i].v1, text);
	}
	return err_plain(w->err, EINVAL, "io.max: cgroup v1 has no '%s'", value);
}

static int write_v1(struct write *w, const struct gkeyval *kv)
{
	char buf[32];
	const char *value = limit_text(w, kv, buf);

	if (!value)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		if (!strcmp(kv->key, same[i].v2))
			return put_v1(w, same[i].controller, same[i].v1,
				strcmp(value, "max") ? value : "-1");
	if (!strcmp(kv->key, "cpu.max"))
		return put_quota(w, value);
	if (!strcmp(kv->key, "cpu.weight"))
		return put_number(
			w, "cpu", "cpu.shares", cgroup_shares_of_weight(strtoull(value, NULL, 10)));
	if (!strcmp(kv->key, "memory.swap.max"))
		return put_memsw(w, value);
	if (!strcmp(kv->key, "io.bfq.weight"))
		return put_v1(w, "blkio",
			strchr(value, ' ') ? "blkio.bfq.weight_device" : "blkio.bfq.weight", value);
	if (!strcmp(kv->key, "io.max"))
		return put_throttle(w, value);
	if (is_hugetlb(kv->key))
		return 0;
	return err_plain(w->err, EOPNOTSUPP, "cannot set %s: the host has cgroup v1", kv->key);
}

int cgroup_write(const struct cgroup *cg, const struct gkeyval *files, uint32_t n,
	uint64_t memory_max, struct err *err)
{
	struct write w = {.cg = cg, .memory_max = memory_max, .err = err};
	bool v2 = cg->n == 1 && cg->dir[0].v2;
	int r = 0;

	if (!cg->n)
		return 0;
	for (uint32_t i = 0; i < n && r == 0; i++)
		r = v2 ? write_v2(&w, &cg->dir[0], &files[i]) : write_v1(&w, &files[i]);
	return r;
}
