/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's user namespace. init stays outside: what takes privileges over the guest itself
 * (maps, limits, sysctls, device nodes) it does for the process that has been forked into it.
 */
#ifndef INIT_USERNS_H
#define INIT_USERNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/err.h"
#include "lib/gspec.h"

/* An id of the container as the guest has it; false: it has no mapping. Without a user namespace an
 * id is itself. */
bool userns_uid(const struct gspec *spec, uint32_t uid, uint32_t *ret_uid);
bool userns_gid(const struct gspec *spec, uint32_t gid, uint32_t *ret_gid);

/* uid_map's or gid_map's text: "0 100000 65536\n" for each. 0 or -E2BIG. */
int userns_map_text(const struct gidmap *m, uint32_t n, char *out, size_t out_bytes);

/* What the container's first process takes along, as it could not make it in there; -1: none. */
struct userns_outside {
	int share; /* detached clone of the share: no mount of it has locked options */
	int nodes; /* detached tmpfs with the device nodes: nodes_make() */
};

/* Before the process is forked: proc and sysfs can only be mounted in there where the mount
 * namespace it comes from shows them whole. */
int userns_prepare(
	int share, const struct gspec *spec, struct userns_outside *ret_o, struct err *err);

/* For the new process, which waits for a byte on the other end of sock: maps, hard limits, OOM
 * score, sysctls, loopback device; then the byte. */
int userns_complete(const struct gspec *spec, pid_t pid, int sock, struct err *err);

/* In the new process: waits for the byte, and becomes root in there. */
int userns_enter_new(int sock, struct err *err);

/* After setns(2) into it. */
int userns_become_root(struct err *err);

/* runc's words for a user or group that has no mapping. */
int userns_check(const struct gspec *spec, const struct gproc *p, struct err *err);

#endif
