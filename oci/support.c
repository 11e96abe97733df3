/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/support.h"

#include <errno.h>
#include <string.h>

#include "lib/base.h"
#include "oci/json_gate.h"

#define SUPPORT_ROWS_MAX     512
#define SUPPORT_DEPTH_MAX    16
#define ROOT                 (-1)
#define SUPPORT_WARNINGS_MAX 32 /* about unknown fields, per document: a log must stay readable */

struct walk {
	bool lenient;
	support_warn_fn *warn;
	void *arg;
	struct err *err;
	unsigned unknown;
	uint16_t len[SUPPORT_ROWS_MAX]; /* of the row's path */
	uint16_t end[SUPPORT_ROWS_MAX]; /* the first row behind those below it */
};

const char *support_name(enum support s)
{
	static const char *const names[SUPPORT_STATES] = {
		[SUPPORT_GUEST] = "guest",
		[SUPPORT_HOST] = "host",
		[SUPPORT_BOTH] = "both",
		[SUPPORT_REFUSED] = "refused",
		[SUPPORT_MOOT] = "moot",
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

/* config-linux.md's memory limits: -1 is unlimited, which nothing need be done for. */
static bool no_limit(const struct field *f, struct json_object *o)
{
	return !strncmp(f->path, "linux.resources.memory.kernel", 29) &&
	       json_object_is_type(o, json_type_int) && json_object_get_int64(o) == -1;
}

static int refuse(struct walk *w, const struct jnode *n, const struct field *f)
{
	const char *why = f->support == SUPPORT_FOREIGN
				  ? "is not supported: it is for another platform"
				  : "is not supported yet";
	char path[256], msg[512];

	if (json_is_empty(n->obj) && !(f->zero_counts && is_number(n->obj)))
		return 0;
	if (no_limit(f, n->obj))
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

/* Numbers the table's tree: the rows of a field's own fields follow it (test_support holds the
 * table to that), so the rows below row i are i + 1 to end[i] - 1, and end[j] is j's next sibling.
 */
static void index_table(struct walk *w)
{
	unsigned open[SUPPORT_DEPTH_MAX], depth = 0;

	BUG_ON(support_rows > SUPPORT_ROWS_MAX);
	for (unsigned i = 0; i < support_rows; i++) {
		const char *path = support_table[i].path;

		while (depth) {
			unsigned up = open[depth - 1], n = w->len[up];

			if (!strncmp(support_table[up].path, path, n) &&
				(path[n] == '.' || path[n] == '['))
				break;
			w->end[up] = (uint16_t)i;
			depth--;
		}
		w->len[i] = (uint16_t)strlen(path);
		BUG_ON(depth == SUPPORT_DEPTH_MAX);
		open[depth++] = i;
	}
	while (depth)
		w->end[open[--depth]] = (uint16_t)support_rows;
}

/* The row of member `key` of what row `up` (ROOT: config.json itself) stands for; -1: there is
 * none. */
static int find_member(const struct walk *w, int up, const char *key)
{
	unsigned first = up == ROOT ? 0 : (unsigned)up + 1;
	unsigned end = up == ROOT ? (unsigned)support_rows : w->end[up];

	for (unsigned i = first; i < end; i = w->end[i]) {
		const char *rest = support_table[i].path + (up == ROOT ? 0 : w->len[up]);

		rest += strncmp(rest, "[]", 2) ? 0 : 2;
		rest += *rest == '.';
		if (!strcmp(rest, key) || !strcmp(rest, "*"))
			return (int)i;
	}
	return -1;
}

static int walk(struct walk *w, const struct jnode *n, int row);

static int walk_members(struct walk *w, const struct jnode *n, int row)
{
	struct jiter it = {0};
	struct jnode child;
	int r = 0;

	while (!r && jiter_next(&it, n, &child)) {
		int below = child.key ? find_member(w, row, child.key) : -1;

		if (below >= 0)
			r = walk(w, &child, below);
		else
			warn_unknown(w, &child);
	}
	return r;
}

/* Recursion is as deep as the table. The types are the translation's business, and were right. */
static int walk(struct walk *w, const struct jnode *n, int row)
{
	const struct field *f = &support_table[row];
	struct jiter it = {0};
	struct jnode child;
	int r = 0;

	if (f->support == SUPPORT_REFUSED || f->support == SUPPORT_FOREIGN)
		return refuse(w, n, f);
	if (w->end[row] == row + 1)
		return 0;
	if (json_object_is_type(n->obj, json_type_object))
		return walk_members(w, n, row);
	while (!r && jiter_next(&it, n, &child))
		if (json_object_is_type(child.obj, json_type_object))
			r = walk_members(w, &child, row);
	return r;
}

int support_check(const struct jnode *n, const char *path, bool lenient, support_warn_fn *warn,
	void *arg, struct err *err)
{
	struct walk w = {.lenient = lenient, .warn = warn, .arg = arg, .err = err};
	const struct field *f = *path ? support_find(path) : NULL;
	char msg[256];
	int r;

	BUG_ON(*path && !f);
	index_table(&w);
	r = f ? walk(&w, n, (int)(f - support_table)) : walk_members(&w, n, ROOT);
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
