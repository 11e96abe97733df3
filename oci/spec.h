/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json, read, checked and translated: what the guest is to do becomes a struct gspec, ready
 * for gspec_encode(); what the host is to do stands beside it. Whatever the file says that is not
 * supported is an error that names it (a warning when lenient); see oci/support.h and
 * docs/oci-support.md.
 *
 * Strings and arrays belong to the container_spec (they point into its JSON tree or its arena) and
 * live until container_spec_free(). Pointers that may be NULL say so.
 */
#ifndef OCI_SPEC_H
#define OCI_SPEC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/gspec.h"
#include "oci/arena.h"
#include "oci/hooks.h"
#include "oci/json.h"
#include "oci/resources.h"

#define SPEC_OCI_VERSION     "1.3.0" /* newest version of the runtime spec we know all fields of */
#define SPEC_OCI_VERSION_MIN "1.0.0"
#define SPEC_SHARE_ROOT      "rootfs" /* share entry of the root file system */
#define SPEC_SHARE_NAME_MAX  16
#define SPEC_ANNOTATIONS_MAX 4096

/* Annotations that size the VM: bytes or with a suffix (K, M, G, KiB, MiB, GiB), count, path. */
#define SPEC_ANNOTATION_MEMORY "coracle.vm.memory"
#define SPEC_ANNOTATION_VCPUS  "coracle.vm.vcpus"
#define SPEC_ANNOTATION_KERNEL "coracle.vm.kernel"

/* And one that says what its device workers are. */
#define SPEC_ANNOTATION_ISOLATION "coracle.vm.isolation"
#define SPEC_ISOLATION_EXPECTED   "'thread' or 'process'"

enum spec_isolation { SPEC_ISOLATION_NOT_GIVEN, SPEC_ISOLATION_THREAD, SPEC_ISOLATION_PROCESS };

struct spec_opts {
	bool lenient;        /* unsupported fields are warnings */
	bool allow_terminal; /* process.terminal is accepted: the caller provides the terminal */
	void (*warn)(void *arg, const char *msg); /* one line, no newline; may be NULL */
	void *warn_arg;
	void (*debug)(void *arg, const char *msg); /* what only a debugger of profiles wants; may be
						      NULL; gets warn_arg */
};

/* One bind mount: host source -> `name` at the top of the share tree, or `name`/`leaf`. */
struct spec_share {
	const char *source;             /* as given: absolute, or relative to the bundle */
	char name[SPEC_SHARE_NAME_MAX]; /* "m0", "m1"... */
	const char
		*leaf; /* the source's last name, "" when it has none; gmount.source is "m0/leaf" */
	bool readonly; /* enforced by the file server as well as in the guest */
	bool writable; /* rrw: read-only mounts of the host become writable */
	bool recursive;              /* rbind: with the mounts below it */
	bool idmap, idmap_recursive; /* the host maps its ids, from the source's to the mount's */
	uint32_t n_uid_maps, n_gid_maps; /* with idmap; inside is the source's id */
	const struct gidmap *uid_maps, *gid_maps;
	int fd;         /* O_PATH, opened by spec_open_sources(); -1 before */
	mode_t mode;    /* st_mode, valid with fd */
	uint32_t mount; /* index into gspec.mounts */
};

struct spec_vm {
	uint64_t memory_bytes; /* multiple of 2 MiB; 0: not given, the caller decides (see
				  memory_limit) */
	uint32_t vcpus;        /* 0: not given */
	const char *kernel;    /* path on the host; NULL: not given */
	enum spec_isolation isolation;
};

struct container_spec {
	struct jdoc doc; /* config.json itself: hooks, annotations, state */
	struct arena arena;
	const char *oci_version;
	struct gspec guest;
	struct gmount *mounts; /* the same array as guest.mounts, to be completed */
	const char *root_path; /* as given: absolute, or relative to the bundle */
	int root_fd;           /* O_PATH directory, opened by spec_open_sources(); -1 before */
	bool root_readonly;
	struct spec_share *shares; /* n_shares */
	uint32_t n_shares;
	struct spec_vm vm;
	struct resources
		resources; /* linux.resources without devices; guest's files are in guest, too */
	const char *netns_path;          /* network namespace to join; NULL: a new, empty one */
	const char *cgroups_path;        /* NULL: not given */
	struct hooks hooks;              /* those of startContainer are in guest as well */
	struct json_object *annotations; /* object of strings; NULL: none; borrowed from doc */
};

/* Reads config.json in the open bundle directory, checks and translates it, and opens the root file
 * system and all bind sources by descriptor (CLOEXEC), so that nothing is looked up by path later.
 * Errors: one sentence, e.g. "config.json: process.cwd is missing"; ENOENT when there is no
 * config.json. */
int spec_load(struct container_spec **ret_spec, int bundle_fd, const struct spec_opts *opts,
	struct err *err);

/* The same from memory, without touching the file system: for tests and fuzzing. text[len] is NUL.
 * Every bind source counts as a directory until spec_open_sources() looked. */
int spec_parse(struct container_spec **ret_spec, const char *text, size_t len,
	const struct spec_opts *opts, struct err *err);

/* Opens root_fd and the shares' fds and completes gspec's is_dir. */
int spec_open_sources(struct container_spec *spec, int bundle_fd, struct err *err);

void container_spec_free(struct container_spec *spec);

static inline void cleanup_container_spec(struct container_spec **spec)
{
	container_spec_free(*spec);
}
#define autospec __attribute__((cleanup(cleanup_container_spec)))

/* The encoded gspec, to be put in a memfd: *ret_buf is malloc'd, the caller frees it. */
int spec_encode(
	const struct container_spec *spec, uint8_t **ret_buf, size_t *ret_len, struct err *err);

/* A value of that annotation, and of the option --isolation. -EINVAL: none (SPEC_ISOLATION_EXPECTED). */
int spec_isolation_parse(const char *s, enum spec_isolation *ret);

/* Value of an annotation, or NULL. Borrowed. */
const char *spec_annotation(const struct container_spec *spec, const char *key);

#endif
