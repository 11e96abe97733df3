/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/base.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "oci/json_gate.h"

/* The gate has been passed: a refusal of json-c here would be a difference between the two parsers.
 */
static struct json_object *tree_parse(const char *text, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
	struct json_object *o = NULL;

	if (!tok)
		return NULL;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, text, (int)len);
	if (json_tokener_get_error(tok) != json_tokener_success) {
		json_object_put(o);
		o = NULL;
	}
	json_tokener_free(tok);
	return o;
}

int jdoc_parse(struct jdoc *ret_doc, const char *name, const char *text, size_t len, size_t max,
	struct err *err)
{
	struct jdoc doc = {0};
	int r;

	BUG_ON(max > INT_MAX);
	if (len > max)
		return err_plain(
			err, EFBIG, "%s: %zu bytes, more than the %zu allowed", name, len, max);
	snprintf(doc.name, sizeof(doc.name), "%s", name);
	r = json_gate(name, text, len, err);
	if (r)
		return r;
	doc.root = tree_parse(text, len);
	if (!doc.root)
		return err_plain(err, EINVAL, "%s: not valid JSON, or out of memory", name);
	*ret_doc = doc;
	return 0;
}

static int open_file_at(int dir_fd, const char *file)
{
	/* O_NONBLOCK: a fifo in a bundle must not hang us; it is refused as no regular file. */
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, dir_fd, file, &how, sizeof(how));
}

int jdoc_read_fd(struct jdoc *ret_doc, int fd, const char *name, size_t max, struct err *err)
{
	autofree char *text = NULL;
	size_t len;
	int r = read_file(fd, max, &text, &len);

	if (r == -EFBIG)
		return err_plain(err, EFBIG, "%s: more than the %zu bytes allowed", name, max);
	if (r)
		return err_set(err, -r, "%s: cannot read", name);
	return jdoc_parse(ret_doc, name, text, len, max, err);
}

int jdoc_read_at(struct jdoc *ret_doc, int dir_fd, const char *file, const char *name, size_t max,
	struct err *err)
{
	autofd int fd = open_file_at(dir_fd, file);
	struct stat st;

	if (fd < 0 && errno == EXDEV)
		return err_plain(err, EXDEV, "%s: a link that leads out of its directory", name);
	if (fd < 0)
		return err_set(err, errno, "%s: cannot open", name);
	if (fstat(fd, &st) < 0)
		return err_set(err, errno, "%s: cannot stat", name);
	if (!S_ISREG(st.st_mode))
		return err_plain(err, EINVAL, "%s: not a regular file", name);
	return jdoc_read_fd(ret_doc, fd, name, max, err);
}

void jdoc_release(struct jdoc *doc)
{
	json_object_put(doc->root);
	doc->root = NULL;
}

struct jnode jdoc_root(const struct jdoc *doc)
{
	return (struct jnode){.doc = doc, .obj = doc->root};
}

bool jnode_member(const struct jnode *n, const char *key, struct jnode *ret)
{
	struct json_object *o;

	if (!json_object_is_type(n->obj, json_type_object) ||
		!json_object_object_get_ex(n->obj, key, &o) || !o)
		return false;
	*ret = (struct jnode){.doc = n->doc, .up = n, .key = key, .obj = o};
	return true;
}

bool jnode_element(const struct jnode *n, size_t i, struct jnode *ret)
{
	struct json_object *o;

	if (!json_object_is_type(n->obj, json_type_array) || i >= json_object_array_length(n->obj))
		return false;
	o = json_object_array_get_idx(n->obj, i);
	if (!o)
		return false;
	*ret = (struct jnode){.doc = n->doc, .up = n, .index = i, .obj = o};
	return true;
}

size_t jnode_length(const struct jnode *n)
{
	if (json_object_is_type(n->obj, json_type_array))
		return json_object_array_length(n->obj);
	if (json_object_is_type(n->obj, json_type_object))
		return (size_t)json_object_object_length(n->obj);
	return 0;
}

static bool plain_word(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s == '_' ||
			    (*s >= '0' && *s <= '9')))
			return false;
	return true;
}

void jnode_path(const struct jnode *n, char *buf, size_t cap)
{
	const struct jnode *way[JSON_DEPTH_MAX + 2];
	struct wbuf b = wbuf_of(buf, cap);
	unsigned depth = 0;
	char part[160];

	for (; n && n->up && depth < ARRAY_SIZE(way); n = n->up)
		way[depth++] = n;
	b.len = 0;
	while (depth--) {
		n = way[depth];
		if (!n->key)
			snprintf(part, sizeof(part), "[%zu]", n->index);
		else if (plain_word(n->key))
			snprintf(part, sizeof(part), "%s%.128s", b.len ? "." : "", n->key);
		else
			snprintf(part, sizeof(part), "[\"%.128s\"]", n->key);
		if (strlen(part) >= cap - b.len)
			break;
		wbuf_bytes(&b, part, strlen(part));
	}
	buf[b.len] = '\0';
}

int jnode_err(const struct jnode *n, struct err *err, const char *fmt, ...)
{
	char path[512], why[512];
	va_list ap;
	int r;

	jnode_path(n, path, sizeof(path));
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	json_printable(path);
	json_printable(why);
	r = err_plain(err, EINVAL, "%s: %s%s%s", n->doc->name, path, *path ? ": " : "", why);
	return r;
}

static const char *kind_of(struct json_object *o)
{
	switch (json_object_get_type(o)) {
	case json_type_boolean: return "a boolean";
	case json_type_double: return "a number with a fraction or exponent";
	case json_type_int: return "an integer";
	case json_type_object: return "an object";
	case json_type_array: return "an array";
	case json_type_string: return "a string";
	case json_type_null: break;
	}
	return "null";
}

static int want(const struct jnode *n, enum json_type type, const char *what, struct err *err)
{
	if (json_object_is_type(n->obj, type))
		return 0;
	return jnode_err(n, err, "expected %s, got %s", what, kind_of(n->obj));
}

int jnode_want_object(const struct jnode *n, struct err *err)
{
	return want(n, json_type_object, "an object", err);
}

int jnode_want_array(const struct jnode *n, size_t max, struct err *err)
{
	int r = want(n, json_type_array, "an array", err);

	if (r)
		return r;
	if (jnode_length(n) > max)
		return jnode_err(
			n, err, "expected at most %zu elements, got %zu", max, jnode_length(n));
	return 0;
}

int jnode_str(const struct jnode *n, size_t max, const char **ret, struct err *err)
{
	int r = want(n, json_type_string, "a string", err);
	size_t len;

	if (r)
		return r;
	len = (size_t)json_object_get_string_len(n->obj);
	if (len > max)
		return jnode_err(
			n, err, "expected a string of at most %zu bytes, got %zu", max, len);
	*ret = json_object_get_string(n->obj);
	return 0;
}

int jnode_bool(const struct jnode *n, bool *ret, struct err *err)
{
	int r = want(n, json_type_boolean, "true or false", err);

	if (!r)
		*ret = json_object_get_boolean(n->obj);
	return r;
}

int jnode_u64(const struct jnode *n, uint64_t min, uint64_t max, uint64_t *ret, struct err *err)
{
	char what[80];
	int64_t i;
	uint64_t u;
	int r;

	snprintf(what, sizeof(what), "an integer from %" PRIu64 " to %" PRIu64, min, max);
	r = want(n, json_type_int, what, err);
	if (r)
		return r;
	i = json_object_get_int64(n->obj); /* saturates at INT64_MAX, so its sign is right */
	if (i < 0)
		return jnode_err(n, err, "expected %s, got %" PRId64, what, i);
	u = json_object_get_uint64(n->obj);
	if (u < min || u > max)
		return jnode_err(n, err, "expected %s, got %" PRIu64, what, u);
	*ret = u;
	return 0;
}

int jnode_i64(const struct jnode *n, int64_t min, int64_t max, int64_t *ret, struct err *err)
{
	char what[80];
	int64_t i;
	int r;

	snprintf(what, sizeof(what), "an integer from %" PRId64 " to %" PRId64, min, max);
	r = want(n, json_type_int, what, err);
	if (r)
		return r;
	i = json_object_get_int64(n->obj);
	if (i >= 0 && json_object_get_uint64(n->obj) > INT64_MAX)
		return jnode_err(
			n, err, "expected %s, got %" PRIu64, what, json_object_get_uint64(n->obj));
	if (i < min || i > max)
		return jnode_err(n, err, "expected %s, got %" PRId64, what, i);
	*ret = i;
	return 0;
}

static int missing(const struct jnode *n, const char *key, struct err *err)
{
	struct jnode m = {.doc = n->doc, .up = n, .key = key};
	char path[512];

	jnode_path(&m, path, sizeof(path));
	json_printable(path);
	return err_plain(err, EINVAL, "%s: %s is missing", n->doc->name, path);
}

int jget_str(const struct jnode *n, const char *key, size_t max, const char **ret, struct err *err)
{
	struct jnode m;

	return jnode_member(n, key, &m) ? jnode_str(&m, max, ret, err) : missing(n, key, err);
}

int jget_u64(const struct jnode *n, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
	struct err *err)
{
	struct jnode m;

	return jnode_member(n, key, &m) ? jnode_u64(&m, min, max, ret, err) : missing(n, key, err);
}

int jget_i64(const struct jnode *n, const char *key, int64_t min, int64_t max, int64_t *ret,
	struct err *err)
{
	struct jnode m;

	return jnode_member(n, key, &m) ? jnode_i64(&m, min, max, ret, err) : missing(n, key, err);
}

int jopt_str(const struct jnode *n, const char *key, size_t max, const char **ret, struct err *err)
{
	struct jnode m;

	return jnode_member(n, key, &m) ? jnode_str(&m, max, ret, err) : 0;
}

int jopt_bool(const struct jnode *n, const char *key, bool *ret, struct err *err)
{
	struct jnode m;

	return jnode_member(n, key, &m) ? jnode_bool(&m, ret, err) : 0;
}

int jopt_u64(const struct jnode *n, const char *key, uint64_t min, uint64_t max, uint64_t *ret,
	struct err *err)
{
	struct jnode m;

	return jnode_member(n, key, &m) ? jnode_u64(&m, min, max, ret, err) : 0;
}

int jopt_i64(const struct jnode *n, const char *key, int64_t min, int64_t max, int64_t *ret,
	struct err *err)
{
	struct jnode m;

	return jnode_member(n, key, &m) ? jnode_i64(&m, min, max, ret, err) : 0;
}

int jopt_object(
	const struct jnode *n, const char *key, struct jnode *ret, bool *ret_found, struct err *err)
{
	*ret_found = jnode_member(n, key, ret);
	return *ret_found ? jnode_want_object(ret, err) : 0;
}

int jopt_array(const struct jnode *n, const char *key, size_t max, struct jnode *ret,
	bool *ret_found, struct err *err)
{
	*ret_found = jnode_member(n, key, ret);
	return *ret_found ? jnode_want_array(ret, max, err) : 0;
}

static bool iter_object(struct jiter *it, const struct jnode *n, struct jnode *ret)
{
	for (;;) {
		struct json_object *o;

		it->entry = it->started ? lh_entry_next(it->entry)
					: lh_table_head(json_object_get_object(n->obj));
		it->started = true;
		if (!it->entry)
			return false;
		o = lh_entry_v(it->entry);
		if (!o)
			continue;
		*ret = (struct jnode){
			.doc = n->doc, .up = n, .key = lh_entry_k(it->entry), .obj = o};
		return true;
	}
}

bool jiter_next(struct jiter *it, const struct jnode *n, struct jnode *ret)
{
	if (json_object_is_type(n->obj, json_type_object))
		return (!it->started || it->entry) && iter_object(it, n, ret);
	if (it->index >= jnode_length(n))
		return false;
	*ret = (struct jnode){.doc = n->doc,
		.up = n,
		.index = it->index,
		.obj = json_object_array_get_idx(n->obj, it->index)};
	it->index++;
	return true;
}

struct json_object *jnew_object(bool *ok)
{
	struct json_object *o = json_object_new_object();

	*ok = *ok && o;
	return o;
}

struct json_object *jnew_array(bool *ok)
{
	struct json_object *o = json_object_new_array();

	*ok = *ok && o;
	return o;
}

void jput(struct json_object *o, const char *key, struct json_object *value, bool *ok)
{
	if (o && value && !json_object_object_add(o, key, value))
		return;
	json_object_put(value);
	*ok = false;
}

void jput_str(struct json_object *o, const char *key, const char *s, bool *ok)
{
	jput(o, key, json_object_new_string(s), ok);
}

void jput_bool(struct json_object *o, const char *key, bool v, bool *ok)
{
	jput(o, key, json_object_new_boolean(v), ok);
}

void jput_i64(struct json_object *o, const char *key, int64_t v, bool *ok)
{
	jput(o, key, json_object_new_int64(v), ok);
}

void jput_u64(struct json_object *o, const char *key, uint64_t v, bool *ok)
{
	jput(o, key, json_object_new_uint64(v), ok);
}

void jput_strs(struct json_object *o, const char *key, const char *const *v, size_t n, bool *ok)
{
	struct json_object *array = jnew_array(ok);

	for (size_t i = 0; i < n; i++)
		jadd_str(array, v[i], ok);
	jput(o, key, array, ok);
}

void jadd(struct json_object *array, struct json_object *value, bool *ok)
{
	if (array && value && !json_object_array_add(array, value))
		return;
	json_object_put(value);
	*ok = false;
}

void jadd_str(struct json_object *array, const char *s, bool *ok)
{
	jadd(array, json_object_new_string(s), ok);
}

int json_print(FILE *f, struct json_object *o, enum json_style style)
{
	static const int flags[] = {
		[JSON_COMPACT] = JSON_C_TO_STRING_PLAIN,
		[JSON_INDENT] = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED,
		[JSON_TABS] = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
			      JSON_C_TO_STRING_PRETTY_TAB,
	};
	const char *s =
		json_object_to_json_string_ext(o, flags[style] | JSON_C_TO_STRING_NOSLASHESCAPE);

	if (!s)
		return -ENOMEM;
	if (fputs(s, f) == EOF || fputc('\n', f) == EOF)
		return errno ? -errno : -EIO;
	return 0;
}
