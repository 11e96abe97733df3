/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's cgroup on the host (docs/resources.md): where linux.cgroupsPath says, made before
 * the VMM's process, which enters it first thing, and removed when the container is deleted. With
 * cgroup v2 it is one directory; with v1, or v1 and v2 beside each other, one in each hierarchy.
 *
 * What is limited here is the VMM: guest RAM as far as it was touched, the VMM's own memory, its
 * threads' processor time, its file server's block I/O. What the container is limited to stands in
 * the guest's cgroup; the two are set so that the guest's is met first.
 */
#ifndef RUNTIME_CGROUP_H
#define RUNTIME_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"
#include "oci/resources.h"
#include "oci/state.h"

struct cgroup_dir {
	char *path;  /* absolute */
	char *mount; /* the prefix of it that is the hierarchy's root */
	bool v2;
	char names[64]; /* v1: its controllers, "cpu,cpuacct" */
	int fd;         /* once made */
	unsigned made;  /* so many of the last components of path did not exist */
	size_t reached; /* length of the part of path that is there: all of it unless making it failed */
	bool skipped; /* not for us, and nobody asked for it */
};

struct cgroup {
	struct cgroup_dir dir[STATE_CGROUPS_MAX];
	unsigned n; /* 0: no cgroup: none is mounted, or not for us and nobody asked */
	bool asked; /* linux.cgroupsPath was given */
};

#define CGROUP_MOUNT "/sys/fs/cgroup"

/* Where the groups are to be, as runc has it: an absolute path counts from the hierarchy's root; a
 * relative one, or `id` when none is given, from the parent of the caller's own group (v2) or from
 * that group (v1). "." and ".." are resolved in the text, at most to the root. */
int cgroup_plan(struct cgroup *cg, const char *cgroups_path, const char *id, struct err *err);

/* The two parts of it that look at nothing: cleans a path; a caller's group in /proc/self/cgroup. */
int cgroup_clean(const char *path, char *out, size_t cap, struct err *err);
bool cgroup_own(const char *proc_self_cgroup, const char *controller, char *out, size_t cap);

/* Makes them, with every controller that can be had, and writes the limits but for processor time. memory_max: what
 * memory.max becomes on the host where one is set (cgroup_memory_max()). A group that is there and
 * holds processes is refused, and one that is frozen, itself or by a group above it. Takes 11 s at most where a group is
 * frozen meanwhile. After a failure cgroup_undo(). */
int cgroup_make(
	struct cgroup *cg, const struct resources *res, uint64_t memory_max, struct err *err);
/* The same for groups that somebody else has made for us, which the VMM is in already. */
int cgroup_adopt(
	struct cgroup *cg, const struct resources *res, uint64_t memory_max, struct err *err);
/* The rest of either: limits of processor time. For a VM that is up: a guest that boots in a twentieth of a
 * processor takes twenty times as long. */
int cgroup_throttle(const struct cgroup *cg, const struct resources *res, struct err *err);
/* Takes away what cgroup_make() has made, as far as nobody uses it. */
void cgroup_undo(struct cgroup *cg);
void cgroup_release(struct cgroup *cg); /* memory and descriptors only */

/* Moves the calling process. For a child before it is anything. */
int cgroup_enter(const struct cgroup *cg, struct err *err);

/* Notes the directories in a state. */
int cgroup_note(const struct cgroup *cg, struct cstate *s, struct err *err);

/* Writes further values to the groups of a running container, as `update` does. */
int cgroup_update(const struct cstate *s, const struct gkeyval *files, uint32_t n, struct err *err);

/* Removes the groups of a container whose VMM is gone, with what was made below them. A group that others are
 * in by now (another container of the same cgroupsPath) is left to them, after 2 s; nothing is killed. So is
 * one that the caller may not remove, for he has not made it: the state names it when a command was killed before it found that
 * out. */
int cgroup_remove(const struct cstate *s, struct err *err);

#endif
