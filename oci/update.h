/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `update`: a container's resources, changed in parts. The change is merged into what holds so far
 * (linux.resources as it was at `create`, or what earlier updates made of it, kept in the state directory), the whole
 * goes through the code that reads config.json, and what comes out otherwise than before is what is to be
 * written. So values that depend on each other, such as quota and period, are always seen together.
 */
#ifndef OCI_UPDATE_H
#define OCI_UPDATE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/gspec.h"
#include "oci/arena.h"
#include "oci/json.h"
#include "oci/resources.h"
#include "oci/spec.h"

/* In the state directory: what holds, and, while an update is at work or after one that failed half-way, a
 * mark that nobody knows what the files hold. Then the next one writes all of them. */
#define UPDATE_FILE   "resources.json"
#define UPDATE_UNSURE "resources.unsure"

/* runc's flags as given; NULL: not given. */
struct update_flags {
	const char *memory, *memory_reservation, *memory_swap; /* bytes, "512m", or -1 */
	const char *cpu_quota, *cpu_period, *cpu_share, *cpu_burst, *cpu_idle;
	const char *cpu_rt_period, *cpu_rt_runtime;
	const char *cpuset_cpus, *cpuset_mems;
	const char *pids_limit, *blkio_weight;
};

struct update {
	struct jdoc base, change;
	struct jnode base_node; /* its root */
	struct jdoc merged;
	struct arena arena;
	struct resources resources;         /* as merged */
	const struct gkeyval *guest, *host; /* files to be written */
	uint32_t n_guest, n_host;
	bool check_usage; /* refuse a memory limit below what is in use */
	bool unsure;      /* UPDATE_UNSURE is there */
};

/* At `create`: what holds at first. The bundle's config.json may be another later, or gone. */
int update_note(const struct jdoc *config, int state_dir, struct err *err);
/* Reads what holds so far. Release u also after a failure, here and below. */
int update_load(struct update *u, int state_dir, struct err *err);
/* The change: JSON as linux.resources, or flags. */
int update_read(struct update *u, int fd, struct err *err);
int update_from_flags(struct update *u, const struct update_flags *f, struct err *err);
/* Merges and translates. */
int update_merge(struct update *u, const struct spec_opts *opts, struct err *err);
/* To be called before the first file is written. */
int update_begin(int state_dir, struct err *err);
/* When all are: notes the merged resources for the next update. unsure: the mark stays, as not all are. */
int update_save(const struct update *u, int state_dir, bool unsure, struct err *err);
void update_release(struct update *u);

/* The guest's files as PROTO_ASK_UPDATE's payload. -E2BIG: they do not fit. */
int update_encode(
	const struct update *u, uint8_t *buf, size_t cap, size_t *ret_len, struct err *err);

/* Bytes as runc's command line takes them: "536870912", "512m", "1.5g", "512MiB"; or "-1". */
int update_parse_size(const char *text, int64_t *ret);

#endif
