/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "runtime/cgroup.h"
#include "runtime/check.h"
#include "runtime/container.h"
#include "runtime/rootless.h"

static void check_namespace(struct check_report *rep)
{
	struct check_row *row = check_add(rep, "privilege", true, false,
		"allow ordinary users to make user namespaces (docs/rootless.md), or be root");
	struct err err = ERR_INIT;

	if (geteuid() == 0) { /* of somebody's user namespace */
		row->ok = true;
		check_found(row, "root of a user namespace");
		return;
	}
	row->ok = rootless_probe(&err) == 0;
	if (row->ok)
		check_found(row, "uid %u, root of a user namespace", geteuid());
	else
		check_found(row, "%.250s", err.msg);
}

static uint64_t ids_of(const struct gidmap *map, unsigned n)
{
	uint64_t ids = 0;

	for (unsigned i = 0; i < n; i++)
		ids += map[i].count;
	return ids;
}

static void check_ids(struct check_report *rep)
{
	struct check_row *row = check_add(rep, "ids", false, false,
		"install newuidmap and newgidmap (Debian: uidmap); give ranges with usermod "
		"--add-subuids and --add-subgids");
	autofree struct rootless_plan *p = malloc(sizeof(*p));
	struct err err = ERR_INIT;

	if (!p || rootless_plan(p, getenv("PATH"), &err) < 0) {
		check_found(row, "%.250s", err.msg);
		return;
	}
	row->ok = !p->note[0] && !p->other_group;
	if (p->other_group)
		row->advice = "use the group of the user's entry in /etc/passwd: newgrp USER";
	if (p->note[0])
		check_found(row, "%.250s", p->note);
	else
		check_found(row, "%llu uids, %llu gids, by %.100s%s",
			(unsigned long long)ids_of(p->uids, p->n_uids),
			(unsigned long long)ids_of(p->gids, p->n_gids), p->newuidmap,
			p->other_group ? ", which refuses this group: not that of /etc/passwd"
				       : "");
}

static void check_state_root(struct check_report *rep, const struct global *g)
{
	struct check_row *row = check_add(rep, "state directory", true, g->root != NULL,
		"set XDG_RUNTIME_DIR, as a login by systemd does, or use --root DIR");
	char why[256];

	container_no_root(why, sizeof(why));
	check_found(row, "%.250s", g->root ? g->root : why);
}

/* To make groups, and to move processes from one to another below it. */
static bool may_use(const char *group)
{
	autofd int dir = open(group, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return dir >= 0 && faccessat(dir, ".", W_OK, AT_EACCESS) == 0 &&
	       faccessat(dir, "cgroup.procs", W_OK, AT_EACCESS) == 0;
}

/* Where the group of a container would be made that asks for no place of its own. */
static void check_delegation(struct check_report *rep)
{
	struct check_row *row = check_add(rep, "cgroup delegation", false, false,
		"for limits on the host: systemd-run --user --scope -p Delegate=yes coracle ...");
	struct cgroup cg;
	struct err err = ERR_INIT;

	if (cgroup_plan(&cg, NULL, "check", &err) < 0) {
		check_found(row, "%.250s", err.msg);
	} else if (!cg.n) {
		check_found(row, "no cgroup file system at " CGROUP_MOUNT);
	} else {
		*strrchr(cg.dir[0].path, '/') = '\0';
		row->ok = may_use(cg.dir[0].path);
		check_found(row, "%.200s %s", cg.dir[0].path,
			row->ok ? "is ours" : "is not ours to make groups in");
	}
	cgroup_release(&cg);
}

void check_right(struct check_report *rep, const struct global *g)
{
	struct check_row *row;

	if (geteuid() == 0 && !rootless_in_userns()) {
		row = check_add(rep, "privilege", true, true, "");
		check_found(row, "uid 0");
		return;
	}
	check_namespace(rep);
	if (geteuid() != 0)
		check_ids(rep);
	check_state_root(rep, g);
	check_delegation(rep);
}
