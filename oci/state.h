/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's state.json, in its state directory, and what `coracle state` and `coracle list`
 * print. The file is ours, but read as hostile: bounded, typed, every string checked. Writing is
 * temporary file, fsync, rename: a reader sees the old file or the new one, whole.
 *
 * Whether the container is created, running or stopped is not in the file: it is asked of the VMM
 * (control socket) once pid and pid_start_ticks say the VMM is still that process.
 */
#ifndef OCI_STATE_H
#define OCI_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "lib/err.h"
#include "oci/json.h"

#define STATE_FILE        "state.json"
#define STATE_FORMAT      1   /* our own version number in the file */
#define STATE_ID_MAX      255 /* bytes: it names a directory */
#define STATE_CGROUPS_MAX 16  /* directories: one, or with cgroup v1 one per hierarchy */
#define STATE_CREATED_MAX 40  /* "2026-01-02T03:04:05.123456789Z" with the NUL */

struct cstate {
	char *oci_version, *id, *bundle, *rootfs; /* malloc'd; bundle and rootfs are absolute */
	pid_t pid;                                /* of the VMM; 0: none yet */
	uint64_t pid_start_ticks;                 /* field 22 of /proc/PID/stat; 0: none yet */
	char created[STATE_CREATED_MAX];          /* RFC 3339, UTC, nanoseconds */
	uint32_t owner;                           /* uid of who created the container */
	struct json_object *annotations;          /* object of strings, or NULL; owned */
	struct json_object *hooks;                /* hooks_to_keep(), or NULL; owned */
	uint64_t memory_bytes;                    /* guest RAM; 0: not noted */
	char *cgroups[STATE_CGROUPS_MAX]; /* malloc'd: absolute paths of the sandbox's cgroups */
	unsigned n_cgroups;
	char *scope; /* malloc'd: the systemd unit that holds them, or NULL */
};

/* An id as runc takes it: 1..STATE_ID_MAX of [A-Za-z0-9_+.-], not "." or "..". 0 or -EINVAL. */
int cstate_check_id(const char *id, struct err *err);

/* Sets `created` to now. */
void cstate_set_created(struct cstate *s);

/* Field 22 of /proc/PID/stat. -ESRCH when there is no such process. */
int cstate_pid_start(pid_t pid, uint64_t *ret_ticks);

/* True when `pid` is alive (not a zombie) and is the process that was recorded; also when that cannot be found
 * out (no /proc, no descriptor left): what may live is not to be forgotten. */
bool cstate_pid_alive(const struct cstate *s);

/* Whether it could be read again once written: paths in UTF-8 and not too long. The error names the field. */
int cstate_check(const struct cstate *s, struct err *err);

/* dir_fd: the container's state directory. write: only what read takes, see cstate_check(). read:
 * -ENOENT when there is no file. */
int cstate_write(const struct cstate *s, int dir_fd, struct err *err);
int cstate_read(struct cstate *ret_s, int dir_fd, struct err *err);
int cstate_parse(struct cstate *ret_s, const char *text, size_t len, struct err *err);
void cstate_release(struct cstate *s);

/* runc's `state` JSON. status: "creating", "created", "running", "stopped", "paused". Pid is 0 when
 * stopped. This is also what hooks get on standard input (compact). New reference, NULL when out of
 * memory. */
struct json_object *cstate_json(const struct cstate *s, const char *status);

/* runc's `list`: one object of the JSON array (cstate_json() with the owner's name), and the table.
 */
struct cstate_row {
	const struct cstate *state;
	const char *status;
};
int cstate_list_table(FILE *f, const struct cstate_row *rows, size_t n);
int cstate_list_json(FILE *f, const struct cstate_row *rows, size_t n);

#endif
