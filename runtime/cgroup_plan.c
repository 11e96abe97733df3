/* SPDX-License-Identifier: Apache-2.0 */
/* Where the sandbox's cgroups are. */
#include "runtime/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"

#define PROC_CGROUP_MAX (64u << 10)

int cgroup_clean(const char *path, char *out, size_t cap, struct err *err)
{
	size_t len = 0;

	for (const char *p = path; *p;) {
		size_t n;

		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 2 && !strncmp(p, "..", 2)) {
			while (len && out[--len] != '/')
				;
		} else if (n && !(n == 1 && *p == '.')) {
			if (n > NAME_MAX || len + n + 2 > cap)
				return err_plain(err, ENAMETOOLONG,
					"linux.cgroupsPath: too long for a cgroup");
			out[len++] = '/';
			memcpy(out + len, p, n);
			len += n;
		}
		p += n;
	}
	out[len] = '\0';
	return 0;
}

/* Lines "N:CONTROLLERS:PATH"; v2's has none. controller: one of a line's, or "" for v2. */
bool cgroup_own(const char *text, const char *controller, char *out, size_t cap)
{
	size_t want = strlen(controller);

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t len = strcspn(line, "\n");
		const char *names = memchr(line, ':', len), *path;
		size_t n;

		if (!names)
			continue;
		names++;
		path = memchr(names, ':', len - (size_t)(names - line));
		if (!path)
			continue;
		n = (size_t)(path - names);
		if (n != want || strncmp(names, controller, n))
			continue;
		path++;
		n = len - (size_t)(path - line);
		if (n >= cap || *path != '/')
			return false;
		memcpy(out, path, n);
		out[n] = '\0';
		return true;
	}
	return false;
}

static bool is_fs(const char *path, unsigned long magic)
{
	struct statfs st;

	return statfs(path, &st) == 0 && (unsigned long)st.f_type == magic;
}

/* The directory above; "/" has none. */
static void cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = '\0';
}

static int add_dir(struct cgroup *cg, const char *mount, const char *names, const char *own,
	const char *given, const char *clean, struct err *err)
{
	struct cgroup_dir *d = &cg->dir[cg->n];
	char base[PATH_MAX] = "", cleaned_base[PATH_MAX] = "";
	int r = 0;

	if (cg->n == STATE_CGROUPS_MAX)
		return err_plain(err, E2BIG, "more cgroup hierarchies than %d", STATE_CGROUPS_MAX);
	*d = (struct cgroup_dir){.fd = -1, .v2 = !names};
	if (!given || *given != '/') {
		snprintf(base, sizeof(base), "%s", own);
		r = cgroup_clean(base, cleaned_base, sizeof(cleaned_base), err);
		/* The caller's group has processes, itself: v2 lets it have no groups with
		 * controllers below. */
		if (d->v2)
			cut_last(cleaned_base);
	}
	if (r < 0)
		return r;
	snprintf(d->names, sizeof(d->names), "%s", names ? names : "");
	d->mount = strdup(mount);
	if (!d->mount || asprintf(&d->path, "%s%s%s", mount, cleaned_base, clean) < 0) {
		d->path = NULL;
		r = err_set(err, ENOMEM, "cannot name the cgroup");
	} else if (strlen(d->path) >= PATH_MAX) {
		r = err_plain(err, ENAMETOOLONG, "linux.cgroupsPath: too long");
	}
	cg->n++;
	return r;
}

/* One per line of /proc/self/cgroup whose hierarchy is mounted where everybody mounts it. */
static int add_v1(
	struct cgroup *cg, char *text, const char *given, const char *clean, struct err *err)
{
	char *save = NULL;
	int r = 0;

	for (char *line = strtok_r(text, "\n", &save); line && r == 0;
		line = strtok_r(NULL, "\n", &save)) {
		char *names = strchr(line, ':'), *own = names ? strchr(names + 1, ':') : NULL;
		char mount[PATH_MAX];
		bool v2;

		if (!own || own[1] != '/')
			continue;
		*own++ = '\0';
		names++;
		v2 = !*names;
		snprintf(mount, sizeof(mount), CGROUP_MOUNT "/%s",
			v2                            ? "unified"
			: !strncmp(names, "name=", 5) ? names + 5
						      : names);
		if (!is_fs(mount, v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
			continue;
		r = add_dir(cg, mount, v2 ? NULL : names, own, given, clean, err);
	}
	return r;
}

int cgroup_plan(struct cgroup *cg, const char *cgroups_path, const char *id, struct err *err)
{
	const char *given = cgroups_path && *cgroups_path ? cgroups_path : NULL;
	char clean[PATH_MAX], own[PATH_MAX];
	autofree char *text = NULL;
	autofd int fd = -1;
	size_t len;
	int r;

	*cg = (struct cgroup){.asked = given};
	r = cgroup_clean(given ? given : id, clean, sizeof(clean), err);
	if (r < 0)
		return r;
	if (!*clean)
		return err_plain(err, EINVAL,
			"linux.cgroupsPath: '%s' is the root cgroup, which cannot be a container's",
			given);
	fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : read_file(fd, PROC_CGROUP_MAX, &text, &len);
	if (r < 0)
		return err_set(err, -r, "cannot read /proc/self/cgroup");
	if (!is_fs(CGROUP_MOUNT, CGROUP2_SUPER_MAGIC))
		return add_v1(cg, text, given, clean, err);
	if (!cgroup_own(text, "", own, sizeof(own)))
		return err_plain(err, EINVAL, "/proc/self/cgroup names no group of cgroup v2");
	return add_dir(cg, CGROUP_MOUNT, NULL, own, given, clean, err);
}

void cgroup_release(struct cgroup *cg)
{
	for (unsigned i = 0; i < cg->n; i++) {
		free(cg->dir[i].path);
		free(cg->dir[i].mount);
		close_fd(&cg->dir[i].fd);
	}
	cg->n = 0;
}

int cgroup_note(const struct cgroup *cg, struct cstate *s, struct err *err)
{
	for (unsigned i = 0; i < cg->n; i++) {
		if (cg->dir[i].skipped)
			continue;
		s->cgroups[s->n_cgroups] = strdup(cg->dir[i].path);
		if (!s->cgroups[s->n_cgroups])
			return err_set(err, ENOMEM, "cannot note the state");
		s->n_cgroups++;
	}
	return 0;
}
