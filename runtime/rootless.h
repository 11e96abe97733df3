/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers of ordinary users (docs/rootless.md). Who is not root becomes root of a new user namespace before
 * anything of a container is made: with the ranges that subuid(5) and subgid(5) give him, or with his own id
 * alone. All that follows, the VMM included, is then as it is for root, as far as the host's kernel lets that root.
 */
#ifndef RUNTIME_ROOTLESS_H
#define RUNTIME_ROOTLESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"
#include "oci/spec.h"
#include "runtime/subid.h"

/* Whether this process is in another user namespace than the machine's first: one of ours, or anybody's. */
bool rootless_in_userns(void);
/* Whether process 1 is in the same one: on a machine of one's own, or in a container that has an init (LXC, systemd-nspawn). */
bool rootless_has_init(void);
/* Whether rootless_enter() has made the user namespace that this process is in. */
bool rootless_entered(void);
/* The effective uid, or the one before rootless_enter(). */
uid_t rootless_caller(void);

#define ROOTLESS_NOTE_BYTES 640

/* How the caller's ids are to be mapped. */
struct rootless_plan {
	uint32_t uid, gid;
	struct gidmap uids[SUBID_MAP_MAX], gids[SUBID_MAP_MAX];
	unsigned n_uids, n_gids;             /* 1: one id only */
	char newuidmap[256], newgidmap[256]; /* "": one id only */
	bool other_group; /* the caller's group is not that of his entry in passwd(5), which they want */
	char note[ROOTLESS_NOTE_BYTES]; /* why it is one id only; "": it is not */
};

/* Looks; changes nothing. path_env: $PATH. */
int rootless_plan(struct rootless_plan *p, const char *path_env, struct err *err);

/*
 * Does nothing for root. Who is root of another user namespace already, gets a mount namespace that it owns,
 * if he is in none. Everybody else gets both, and is then uid and gid 0. For a process of one thread.
 * signal_fd: of signals_open(), interrupts the wait for newuidmap; -1: none. *note as in the plan, with
 * *ret_warn when it is news to who has set up his ranges.
 */
int rootless_enter(int signal_fd, char note[ROOTLESS_NOTE_BYTES], bool *ret_warn, struct err *err);

/* Behind rootless_enter(): the ids of the bundle's uidMappings and gidMappings are the caller's view; they become
 * those of the namespace. Also checks that the process's own ids are in it. */
int rootless_translate(struct container_spec *spec, struct err *err);

/* Whether rootless_enter() would come through, but for ranges: a child tries. 0, or err says why not. */
int rootless_probe(struct err *err);

/* What user namespaces are refused for, where the machine's settings say so; else "". */
const char *rootless_refusal(void);
/* The same of a directory like /proc/sys. */
const char *rootless_refusal_at(const char *dir);

#endif
