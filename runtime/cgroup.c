/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "runtime/cgroup_files.h"
#include "runtime/rootless.h"
#include "runtime/trial.h"
#include "runtime/vm_size.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)

/* All at once, else one by one: which of them can be had depends on who gave us the group. What is
 * missing in the end shows when a limit needs it. */
static void enable_controllers(int dir)
{
	char have[512], all[1024] = "", one[64], *save = NULL;
	size_t len = 0;

	if (cgroup_get(dir, "cgroup.controllers", have, sizeof(have)) < 0)
		return;
	for (int pass = 0; pass < 2; pass++) {
		char text[512];

		memcpy(text, have, sizeof(text));
		for (char *c = strtok_r(text, " \n", &save); c; c = strtok_r(NULL, " \n", &save)) {
			snprintf(one, sizeof(one), "+%.60s", c);
			if (pass)
				(void)cgroup_put(dir, "cgroup.subtree_control", one);
			else if (len + strlen(one) + 2 < sizeof(all))
				len += (size_t)sprintf(all + len, "%s ", one);
		}
		if (!len || (!pass && cgroup_put(dir, "cgroup.subtree_control", all) == 0))
			return;
	}
}

/* v1: a new cpuset group is empty and takes no process. */
static void inherit_cpuset(int parent, int dir)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	char buf[4096];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		if (cgroup_get(dir, files[i], buf, sizeof(buf)) < 0 || (*buf && *buf != '\n'))
			continue;
		if (cgroup_get(parent, files[i], buf, sizeof(buf)) == 0)
			(void)cgroup_put(dir, files[i], buf);
	}
}

/* From the directory *fd to its entry `name`, made if need be. */
static int step(struct cgroup_dir *d, int *fd, const char *name, bool *ret_made)
{
	autofd int next = -1;

	if (d->v2)
		enable_controllers(*fd);
	*ret_made = mkdirat(*fd, name, 0755) == 0;
	if (!*ret_made && errno != EEXIST)
		return -errno;
	next = openat(*fd, name, OPEN_DIR);
	if (next < 0)
		return -errno;
	if (!d->v2)
		inherit_cpuset(*fd, next);
	close_fd(fd);
	*fd = take_fd(&next);
	return 0;
}

static int make_path(struct cgroup_dir *d)
{
	char rest[PATH_MAX], *save = NULL;
	int r = 0;

	d->reached = strlen(d->mount);
	snprintf(rest, sizeof(rest), "%s", d->path + strlen(d->mount));
	d->fd = open(d->mount, OPEN_DIR);
	if (d->fd < 0)
		return -errno;
	for (char *name = strtok_r(rest, "/", &save); name && r == 0;
		name = strtok_r(NULL, "/", &save)) {
		bool made = false;

		r = step(d, &d->fd, name, &made);
		if (made)
			d->made++; /* what is below a new one is new */
		if (r == 0 || made)
			d->reached += 1 + strlen(name);
	}
	return r;
}

/* A group that was there may be anybody's. */
static int check_old(const struct cgroup_dir *d, struct err *err)
{
	unsigned n = 0;
	struct stat st;
	char buf[4096];

	if (cgroup_get(d->fd, "cgroup.procs", buf, sizeof(buf)) < 0)
		buf[0] = '\0'; /* a threaded group: entering it will say so */
	for (const char *p = buf; *p; p++)
		n += *p == '\n';
	if (n)
		return err_plain(
			err, EBUSY, "container's cgroup is not empty: %u process(es) found", n);
	if (!d->v2) /* nothing tells whether those below are empty: one link each, and two of its own */
		return fstat(d->fd, &st) == 0 && st.st_nlink > 2
			       ? err_plain(err, EBUSY, "container's cgroup has groups below: '%s'",
					 d->path)
			       : 0;
	if (cgroup_get(d->fd, "cgroup.events", buf, sizeof(buf)) == 0 && strstr(buf, "populated 1"))
		return err_plain(err, EBUSY, "container's cgroup is not empty: '%s'", d->path);
	return 0;
}

/* Who enters it stops there, new or old: both versions say here what is frozen above it, too. */
static bool is_frozen(const struct cgroup_dir *d)
{
	char buf[4096];

	if (!d->v2)
		return cgroup_get(d->fd, "freezer.state", buf, sizeof(buf)) == 0 &&
		       strncmp(buf, "THAWED", strlen("THAWED")) != 0;
	if (cgroup_get(d->fd, "cgroup.events", buf, sizeof(buf)) == 0 && strstr(buf, "frozen 1"))
		return true;
	return cgroup_get(d->fd, "cgroup.freeze", buf, sizeof(buf)) == 0 && *buf == '1';
}

static bool no_right(int r)
{
	return r == -EACCES || r == -EPERM || r == -EROFS;
}

/* 0, or why no process of ours can be moved to it. */
static int may_enter(const struct cgroup_dir *d)
{
	autofd int fd = openat(d->fd, "cgroup.procs", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 && no_right(-errno) ? -errno : 0; /* what else it may be shows in its turn */
}

static int refused(const struct cgroup *cg, const struct cgroup_dir *d, int r, struct err *err)
{
	if (!d->made && d->reached == strlen(d->path))
		return err_set(err, -r,
			"the cgroup '%s' is there already and cannot be entered: %s", d->path,
			cg->asked ? "linux.cgroupsPath must name another"
				  : "limits take another id, or a delegated cgroup "
				    "(docs/rootless.md)");
	if (rootless_in_userns() && !cg->asked)
		return err_set(err, -r,
			"rootless needs no limits + no cgrouppath when no permission is granted "
			"for cgroups: mkdir %s",
			d->path);
	return err_set(err, -r, "mkdir %s", d->path);
}

static int make_dir(struct cgroup *cg, struct cgroup_dir *d, bool needed, struct err *err)
{
	int r = make_path(d);

	if (r == 0 && !d->made)
		r = may_enter(d);
	if (no_right(r) && !needed && !cg->asked) {
		close_fd(&d->fd);
		d->skipped = true;
		return 0;
	}
	if (r < 0)
		return refused(cg, d, r, err);
	r = d->made ? 0 : check_old(d, err);
	if (r == 0 && is_frozen(d))
		r = err_plain(err, EBUSY, "container's cgroup unexpectedly frozen: '%s'", d->path);
	return r;
}

/* The values that limit processor time, or all others. */
static int write_limits(const struct cgroup *cg, const struct resources *res, bool time,
	uint64_t memory_max, struct err *err)
{
	int r = 0;

	for (uint32_t i = 0; i < res->n_host && r == 0; i++)
		if (!strncmp(res->host[i].key, "cpu.max", strlen("cpu.max")) == time)
			r = cgroup_write(cg, &res->host[i], 1, memory_max, err);
	return r < 0 ? err_wrap(err, "unable to apply cgroup configuration") : 0;
}

/* All descriptors but `pipe` and those of the groups. */
static void close_others(const struct cgroup *cg, int pipe)
{
	unsigned from = 0, next;

	do {
		next = (unsigned)pipe >= from ? (unsigned)pipe : UINT_MAX;
		for (unsigned i = 0; i < cg->n; i++)
			if (cg->dir[i].fd >= 0 && (unsigned)cg->dir[i].fd >= from)
				next = MIN(next, (unsigned)cg->dir[i].fd);
		if (next > from)
			close_range(from, next - 1, 0);
		from = next + 1;
	} while (next != UINT_MAX);
}

/* Should it be frozen it holds nothing of ours: no lock, nor the streams that somebody reads. */
static void enter_alone(void *arg, int pipe, struct err *said)
{
	const struct cgroup *cg = arg;

	close_others(cg, pipe);
	(void)cgroup_enter(cg, said);
}

/* An ordinary user may make groups that he may not move processes to: that takes the right to write cgroup.procs of
 * the group above both, too (cgroups(7), "Delegation"). A process that ends at once finds out. */
static int try_enter(struct cgroup *cg, bool needed, struct err *err)
{
	struct err said = ERR_INIT;
	int r = trial(enter_alone, cg, &said);

	if (r == -ETIMEDOUT)
		return err_plain(err, EBUSY,
			"container's cgroup lets nobody in: no answer in %d s (is it frozen?)",
			TRIAL_WAIT_MS / 1000);
	if (r < 0)
		return err_set(err, -r, "cannot try to enter the cgroup");
	if (!said.errnum)
		return 0;
	if (needed || cg->asked || !no_right(-said.errnum)) {
		*err = said;
		return -said.errnum;
	}
	cgroup_undo(cg);
	for (unsigned i = 0; i < cg->n; i++)
		cg->dir[i].skipped = true;
	return 0;
}

int cgroup_make(
	struct cgroup *cg, const struct resources *res, uint64_t memory_max, struct err *err)
{
	int r = 0;

	for (unsigned i = 0; i < cg->n && r == 0; i++)
		r = make_dir(cg, &cg->dir[i], res->n_host > 0, err);
	if (r == 0 && rootless_in_userns())
		r = try_enter(cg, res->n_host > 0, err);
	if (r == 0 && cg->n == 1 && cg->dir[0].skipped)
		cgroup_release(cg);
	if (r == 0 && !cg->n && (res->n_host || cg->asked))
		r = err_plain(err, ENOENT, "no cgroup file system at " CGROUP_MOUNT);
	if (r < 0)
		return err_wrap(err, "unable to apply cgroup configuration");
	return write_limits(cg, res, false, memory_max, err);
}

int cgroup_throttle(const struct cgroup *cg, const struct resources *res, struct err *err)
{
	return write_limits(cg, res, true, 0, err);
}

int cgroup_adopt(
	struct cgroup *cg, const struct resources *res, uint64_t memory_max, struct err *err)
{
	for (unsigned i = 0; i < cg->n; i++) {
		cg->dir[i].fd = open(cg->dir[i].path, OPEN_DIR);
		/* systemd makes groups in those v1 hierarchies only that it uses itself. */
		cg->dir[i].skipped = cg->dir[i].fd < 0 && errno == ENOENT && !cg->dir[i].v2;
		if (cg->dir[i].fd < 0 && !cg->dir[i].skipped)
			return err_set(err, errno, "cannot open cgroup '%s'", cg->dir[i].path);
	}
	return write_limits(cg, res, false, memory_max, err);
}

void cgroup_undo(struct cgroup *cg)
{
	for (unsigned i = 0; i < cg->n; i++) {
		struct cgroup_dir *d = &cg->dir[i];

		if (d->made)
			d->path[d->reached] = '\0';
		for (; d->made && (rmdir(d->path) == 0 || errno == ENOENT); d->made--)
			*strrchr(d->path, '/') = '\0';
		d->made = 0;
	}
}

int cgroup_enter(const struct cgroup *cg, struct err *err)
{
	for (unsigned i = 0; i < cg->n; i++) {
		const struct cgroup_dir *d = &cg->dir[i];
		int r = d->skipped ? 0 : cgroup_put(d->fd, "cgroup.procs", "0");

		if (r < 0)
			return err_set(err, -r, "the cgroup '%s' cannot be entered", d->path);
	}
	return 0;
}

/* The same as cgroup_make() left it, from the state. */
static int reopen(struct cgroup *cg, const struct cstate *s, struct err *err)
{
	*cg = (struct cgroup){0};
	for (unsigned i = 0; i < s->n_cgroups; i++) {
		const char *names = s->cgroups[i] + strlen(CGROUP_MOUNT) + 1;
		struct cgroup_dir *d = &cg->dir[i];
		struct statfs st;

		*d = (struct cgroup_dir){
			.fd = open(s->cgroups[i], OPEN_DIR), .path = strdup(s->cgroups[i])};
		cg->n++;
		if (d->fd < 0 || fstatfs(d->fd, &st) < 0)
			return err_set(err, errno, "cannot open cgroup '%s'", s->cgroups[i]);
		if (!d->path)
			return err_set(err, ENOMEM, "cannot open cgroup '%s'", s->cgroups[i]);
		d->v2 = st.f_type == CGROUP2_SUPER_MAGIC;
		/* The state may be anybody's text: nothing but a cgroup's files is written by it. */
		if (!d->v2 && st.f_type != CGROUP_SUPER_MAGIC)
			return err_plain(err, EINVAL, "'%s' is no cgroup", s->cgroups[i]);
		if (!d->v2 && !strncmp(s->cgroups[i], CGROUP_MOUNT "/", strlen(CGROUP_MOUNT) + 1))
			snprintf(d->names, sizeof(d->names), "%.*s", (int)strcspn(names, "/"),
				names);
	}
	return 0;
}

int cgroup_update(const struct cstate *s, const struct gkeyval *files, uint32_t n, struct err *err)
{
	struct cgroup cg;
	int r = reopen(&cg, s, err);

	if (r == 0 && n && !cg.n)
		r = err_plain(err, ENOENT, "the container has no cgroup on the host");
	if (r == 0)
		r = cgroup_write(&cg, files, n,
			s->memory_bytes ? vm_size_host_memory(s->memory_bytes) : 0, err);
	cgroup_release(&cg);
	return r;
}
