/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON: the gate, the tree, and the getters. Everything `coracle` reads as JSON comes through here
 * and is hostile.
 *
 * The gate (yajl and a scan of our own) accepts only strict JSON whose root is an object: valid
 * UTF-8, no NUL (raw or \u0000), no lone surrogate, no duplicate key, bounded size, depth, string
 * length and number of values, integers within -2^63 .. 2^64-1. Its errors carry line and column
 * (both from 1, columns in bytes): "config.json:12:7: duplicate key 'args'".
 *
 * The tree is json-c's. A struct jnode is a value together with the way it was reached, so that a
 * getter can say: "config.json: process.user.uid: expected an integer from 0 to 4294967295, got a
 * string". Nodes are small, live on the stack, allocate nothing, and point to their parent, which
 * must outlive them. JSON null counts as absent, as Go's decoders (the engines) take it. A number
 * written with a fraction or exponent is never an integer.
 */
#ifndef OCI_JSON_H
#define OCI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include "lib/err.h"

#define JSON_CONFIG_MAX (1u << 20)   /* bytes of config.json or process.json */
#define JSON_STATE_MAX  (2u << 20)   /* bytes of our state.json: it carries the annotations */
#define JSON_DEPTH_MAX  32           /* objects and arrays open at once */
#define JSON_STRING_MAX (128u << 10) /* bytes of one string, like the kernel's MAX_ARG_STRLEN */
#define JSON_KEY_MAX    4096         /* bytes of one key */
#define JSON_VALUES_MAX 131072       /* values in one document, keys not counted */
#define JSON_NAME_MAX   64           /* bytes of a document's name in messages, with the NUL */

struct jdoc {
	struct json_object *root; /* owned */
	char name[JSON_NAME_MAX]; /* "config.json" */
};

struct jnode {
	const struct jdoc *doc;
	const struct jnode *up; /* NULL: the root */
	const char *key;        /* member of an object; NULL: element `index` of an array */
	size_t index;
	struct json_object *obj; /* borrowed; NULL: JSON null, seen by jiter_next() only */
};

/* Passes text (len bytes, text[len] is NUL) through the gate and builds the tree. max: JSON_*_MAX.
 */
int jdoc_parse(struct jdoc *ret_doc, const char *name, const char *text, size_t len, size_t max,
	struct err *err);

/* Reads `file`, a regular file directly in the directory dir_fd, and parses it. Symbolic links in
 * the last component are followed within the directory only. name: what messages call it. */
int jdoc_read_at(struct jdoc *ret_doc, int dir_fd, const char *file, const char *name, size_t max,
	struct err *err);

/* The same from an open descriptor of any kind: a file, a pipe, standard input. */
int jdoc_read_fd(struct jdoc *ret_doc, int fd, const char *name, size_t max, struct err *err);

void jdoc_release(struct jdoc *doc);

struct jnode jdoc_root(const struct jdoc *doc);

/* Member `key` of the object n, or element i of the array n. False when absent or null (or n is no
 * object or no array: check that before). */
bool jnode_member(const struct jnode *n, const char *key, struct jnode *ret);
bool jnode_element(const struct jnode *n, size_t i, struct jnode *ret);
size_t jnode_length(const struct jnode *n); /* of an array or object, else 0 */

/* The path, "process.args[0]"; annotations["a.b"] when a key is no plain word. Cut to cap. */
void jnode_path(const struct jnode *n, char *buf, size_t cap);

/* "<name>: <path>: <fmt>", control characters made '?'. Returns -EINVAL. */
__attribute__((format(printf, 3, 4))) int jnode_err(
	const struct jnode *n, struct err *err, const char *fmt, ...);

/* Typed getters: 0, or -EINVAL with err set. min <= value <= max, in bytes for strings. */
int jnode_want_object(const struct jnode *n, struct err *err);
int jnode_want_array(const struct jnode *n, size_t max, struct err *err);
int jnode_str(const struct jnode *n, size_t max, const char **ret, struct err *err);
int jnode_bool(const struct jnode *n, bool *ret, struct err *err);
int jnode_u64(const struct jnode *n, uint64_t min, uint64_t max, uint64_t *ret, struct err *err);
int jnode_i64(const struct jnode *n, int64_t min, int64_t max, int64_t *ret, struct err *err);

/* The same for a member of the object n. Absent: the required ones fail ("process.cwd is missing"),
 * the optional ones leave *ret alone and return 0. The object and array ones set *ret_found. */
int jget_str(const struct jnode *n, const char *key, size_t max, const char **ret, struct err *err);
int jget_u64(const struct jnode *n, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
	struct err *err);
int jget_i64(const struct jnode *n, const char *key, int64_t min, int64_t max, int64_t *ret,
	struct err *err);
int jopt_str(const struct jnode *n, const char *key, size_t max, const char **ret, struct err *err);
int jopt_bool(const struct jnode *n, const char *key, bool *ret, struct err *err);
int jopt_u64(const struct jnode *n, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
	struct err *err);
int jopt_i64(const struct jnode *n, const char *key, int64_t min, int64_t max, int64_t *ret,
	struct err *err);
int jopt_object(const struct jnode *n, const char *key, struct jnode *ret, bool *ret_found,
	struct err *err);
int jopt_array(const struct jnode *n, const char *key, size_t max, struct jnode *ret,
	bool *ret_found, struct err *err);

/* Walks an array or an object in order: `struct jiter it = {0}; while (jiter_next(&it, &n, &x))`.
 * Null members of an object are skipped; a null element of an array is given out with x.obj NULL,
 * which no typed getter takes. */
struct jiter {
	struct lh_entry *entry; /* object */
	size_t index;           /* array */
	bool started;
};
bool jiter_next(struct jiter *it, const struct jnode *n, struct jnode *ret);

/*
 * Writing. Out of memory in json-c shows as a NULL object: the jput_* functions note it in *ok
 * (never set it to true), and the caller asks once at the end.
 */
struct json_object *jnew_object(bool *ok);
struct json_object *jnew_array(bool *ok);
void jput(struct json_object *o, const char *key, struct json_object *value,
	bool *ok); /* takes value */
void jput_str(struct json_object *o, const char *key, const char *s, bool *ok);
void jput_bool(struct json_object *o, const char *key, bool v, bool *ok);
void jput_i64(struct json_object *o, const char *key, int64_t v, bool *ok);
void jput_u64(struct json_object *o, const char *key, uint64_t v, bool *ok);
void jput_strs(struct json_object *o, const char *key, const char *const *v, size_t n, bool *ok);
void jadd(struct json_object *array, struct json_object *value, bool *ok); /* takes value */
void jadd_str(struct json_object *array, const char *s, bool *ok);

enum json_style { JSON_COMPACT, JSON_INDENT, JSON_TABS };

/* Writes o and a newline. 0 or -errno. */
int json_print(FILE *f, struct json_object *o, enum json_style style);

#endif
