/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/support.h"

#include <errno.h>
#include <string.h>

#include "lib/base.h"
#include "oci/json_gate.h"

#define SUPPORT_PATH_MAX     160 /* longest path of the table, with room */
#define SUPPORT_WARNINGS_MAX 32  /* about unknown fields, per document: a log must stay readable */

struct walk {
	bool lenient;
	support_warn_fn *warn;
	void *arg;
	struct err *err;
	unsigned unknown;
};

const char *support_name(enum support s)
{
	static const char *const names[SUPPORT_STATES] = {
		[SUPPORT_GUEST] = "guest",
		[SUPPORT_HOST] = "host",
		[SUPPORT_BOTH] = "both",
		[SUPPORT_REFUSED] = "refused",
		[SUPPORT_FOREIGN] = "other platform",
	};

	BUG_ON((unsigned)s >= SUPPORT_STATES);
	return names[s];
}

const struct field *support_find(const char *path)
{
	for (size_t i = 0; i < support_rows; i++)
		if (!strcmp(support_table[i].path, path))
			return &support_table[i];
	return NULL;
}

/* Is there a row for this path, or one below it? */
static bool known(const char *path)
{
	size_t n = strlen(path);

	for (size_t i = 0; i < support_rows; i++) {
		const char *p = support_table[i].path;

		if (!strncmp(p, path, n) && (p[n] == '\0' || p[n] == '.' || p[n] == '['))
			return true;
	}
	return false;
}

static bool has_rows_below(const char *path)
{
	size_t n = strlen(path);

	for (size_t i = 0; i < support_rows; i++) {
		const char *p = support_table[i].path;

		if (!n || (!strncmp(p, path, n) && (p[n] == '.' || p[n] == '[')))
			return true;
	}
	return false;
}

bool json_is_empty(struct json_object *o)
{
	switch (json_object_get_type(o)) {
	case json_type_null: return true;
	case json_type_boolean: return !json_object_get_boolean(o);
	case json_type_double: return false;
	case json_type_int: return !json_object_get_int64(o);
	case json_type_string: return !json_object_get_string_len(o);
	case json_type_array: return !json_object_array_length(o);
	case json_type_object: break;
	}
	json_object_object_foreach(o, key, value)
	{
		(void)key;
		if (!json_is_empty(value))
			return false;
	}
	return true;
}

static bool is_number(struct json_object *o)
{
	return json_object_is_type(o, json_type_int) || json_object_is_type(o, json_type_boolean);
}

static int refuse(struct walk *w, const struct jnode *n, const struct field *f)
{
	const char *why = f->support == SUPPORT_FOREIGN
				  ? "is not supported: it is for another platform"
				  : "is not supported yet";
	char path[256], msg[512];

	if (json_is_empty(n->obj) && !(f->zero_counts && is_number(n->obj)))
		return 0;
	jnode_path(n, path, sizeof(path));
	json_printable(path);
	if (!w->lenient)
		return err_plain(w->err, ENOTSUP, "%s: %s %s (use --lenient to go on without it)",
			n->doc->name, path, why);
	snprintf(msg, sizeof(msg), "%s: %s %s, going on without it", n->doc->name, path, why);
	if (w->warn)
		w->warn(w->arg, msg);
	return 0;
}

static void warn_unknown(struct walk *w, const struct jnode *n)
{
	char path[256], msg[512];

	if (++w->unknown > SUPPORT_WARNINGS_MAX || !w->warn)
		return;
	jnode_path(n, path, sizeof(path));
	json_printable(path);
	snprintf(msg, sizeof(msg), "%s: unknown field %s is ignored", n->doc->name, path);
	w->warn(w->arg, msg);
}

/* The table's path of member `key` of `path`: false when the table has no such thing. A key is one
 * word: "user.uid" in process is not process.user.uid. */
static bool member_path(const char *path, const char *key, char *ret)
{
	const char *dot = *path ? "." : "";
	int n = snprintf(ret, SUPPORT_PATH_MAX, "%s%s%s", path, dot, key);

	if (n > 0 && n < SUPPORT_PATH_MAX && !strpbrk(key, ".[*") && known(ret))
		return true;
	n = snprintf(ret, SUPPORT_PATH_MAX, "%s%s*", path, dot);
	return n > 0 && n < SUPPORT_PATH_MAX && known(ret);
}

/* Recursion is bounded: the gate let at most JSON_DEPTH_MAX levels pass, the table has fewer. */
static int walk(struct walk *w, const struct jnode *n, const char *path)
{
	const struct field *f = support_find(path);
	char below[SUPPORT_PATH_MAX];
	struct jiter it = {0};
	struct jnode child;

	if (f && (f->support == SUPPORT_REFUSED || f->support == SUPPORT_FOREIGN))
		return refuse(w, n, f);
	if (!has_rows_below(path))
		return 0;
	while (jiter_next(&it, n, &child)) {
		int r;

		if (child.key) {
			if (!member_path(path, child.key, below)) {
				warn_unknown(w, &child);
				continue;
			}
		} else {
			snprintf(below, sizeof(below), "%s[]", path);
		}
		r = walk(w, &child, below);
		if (r)
			return r;
	}
	return 0;
}

int support_check(const struct jnode *n, const char *path, bool lenient, support_warn_fn *warn,
	void *arg, struct err *err)
{
	struct walk w = {.lenient = lenient, .warn = warn, .arg = arg, .err = err};
	char msg[256];
	int r = walk(&w, n, path);

	if (w.unknown > SUPPORT_WARNINGS_MAX && warn) {
		snprintf(msg, sizeof(msg), "%s: %u more unknown fields are ignored", n->doc->name,
			w.unknown - SUPPORT_WARNINGS_MAX);
		warn(arg, msg);
	}
	return r;
}

int support_print(FILE *f)
{
	if (fputs("| field | support | note |\n|---|---|---|\n", f) == EOF)
		return -EIO;
	for (size_t i = 0; i < support_rows; i++) {
		const struct field *row = &support_table[i];

		if (fprintf(f, "| `%s` | %s | %s |\n", row->path, support_name(row->support),
			    row->note) < 0)
			return -EIO;
	}
	return 0;
}
