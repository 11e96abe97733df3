/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "oci/hooks.h"
#include "oci/version.h"

#define STATE_TMP      STATE_FILE ".tmp"
#define STATE_PATH_MAX 4095
#define PROC_STAT_MAX  4096

int cstate_check_id(const char *id, struct err *err)
{
	size_t len = strlen(id);

	if (len >= 1 && len <= STATE_ID_MAX && strcmp(id, ".") && strcmp(id, "..") &&
		strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_+-.") ==
			len)
		return 0;
	return err_plain(err, EINVAL,
		"invalid container ID format: 1 to %d of letters, digits and _+-. are allowed",
		STATE_ID_MAX);
}

void cstate_set_created(struct cstate *s)
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(s->created, sizeof(s->created), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(s->created + n, sizeof(s->created) - n, ".%09ldZ", ts.tv_nsec);
}

/* RFC 3339 as written above; the fraction may be missing or shorter. */
static bool is_time(const char *s)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	size_t n;

	for (size_t i = 0; form[i]; i++) {
		if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return false;
	}
	s += sizeof(form) - 1;
	if (*s == '.') {
		n = strspn(++s, "0123456789");
		if (n < 1 || n > 9)
			return false;
		s += n;
	}
	return !strcmp(s, "Z");
}

/* /proc/PID/stat: "PID (comm) state field4 ... field22 ...". comm may hold anything, ')' and
 * newlines included, but what follows the last ')' is the kernel's. */
static int parse_stat(const char *text, char *ret_state, uint64_t *ret_ticks)
{
	const char *p = strrchr(text, ')');
	char *end;

	if (!p || p[1] != ' ' || !p[2])
		return -EINVAL;
	*ret_state = p[2];
	p += 2;
	for (int field = 3; field < 22; field++) {
		p = strchr(p, ' ');
		if (!p)
			return -EINVAL;
		p++;
	}
	errno = 0;
	*ret_ticks = strtoull(p, &end, 10);
	return errno || end == p ? -EINVAL : 0;
}

static int read_stat(pid_t pid, char *ret_state, uint64_t *ret_ticks)
{
	autofree char *text = NULL;
	autofd int fd = -1;
	char path[32];
	size_t len;
	int r;

	if (pid <= 0)
		return -ESRCH;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) /* no such process, or no /proc */
		return access("/proc/self/stat", F_OK) < 0 ? -ENOENT : -ESRCH;
	if (fd < 0)
		return -errno;
	r = read_file(fd, PROC_STAT_MAX, &text, &len);
	return r ? r : parse_stat(text, ret_state, ret_ticks);
}

int cstate_pid_start(pid_t pid, uint64_t *ret_ticks)
{
	char state;

	return read_stat(pid, &state, ret_ticks);
}

bool cstate_pid_alive(const struct cstate *s)
{
	uint64_t ticks;
	char state;
	int r;

	if (s->pid <= 0)
		return false;
	r = read_stat(s->pid, &state, &ticks);
	if (r < 0)
		return r != -ESRCH;
	return state != 'Z' && state != 'X' && ticks == s->pid_start_ticks;
}

static struct json_object *file_json(const struct cstate *s)
{
	bool ok = true;
	struct json_object *o = jnew_object(&ok);

	jput_u64(o, "version", STATE_FORMAT, &ok);
	jput_str(o, "ociVersion", s->oci_version, &ok);
	jput_str(o, "id", s->id, &ok);
	jput_i64(o, "pid", s->pid, &ok);
	jput_u64(o, "pidStartTicks", s->pid_start_ticks, &ok);
	jput_str(o, "bundle", s->bundle, &ok);
	jput_str(o, "rootfs", s->rootfs, &ok);
	jput_str(o, "created", s->created, &ok);
	jput_u64(o, "owner", s->owner, &ok);
	if (s->annotations)
		jput(o, "annotations", json_object_get(s->annotations), &ok);
	if (s->hooks)
		jput(o, "hooks", json_object_get(s->hooks), &ok);
	jput_u64(o, "memoryBytes", s->memory_bytes, &ok);
	jput_strs(o, "cgroups", (const char *const *)s->cgroups, s->n_cgroups, &ok);
	if (s->scope)
		jput_str(o, "scope", s->scope, &ok);
	if (ok)
		return o;
	json_object_put(o);
	return NULL;
}

static int write_file(int dir_fd, const char *text, struct err *err)
{
	autofd int fd = -1;
	int r;

	if (unlinkat(dir_fd, STATE_TMP, 0) < 0 && errno != ENOENT)
		return err_set(err, errno, "cannot remove " STATE_TMP);
	fd = openat(dir_fd, STATE_TMP, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(err, errno, "cannot create " STATE_TMP);
	r = write_full(fd, text, strlen(text));
	if (r)
		return err_set(err, -r, "cannot write " STATE_TMP);
	if (fsync(fd) < 0)
		return err_set(err, errno, "cannot sync " STATE_TMP);
	if (renameat(dir_fd, STATE_TMP, dir_fd, STATE_FILE) < 0)
		return err_set(err, errno, "cannot rename " STATE_TMP " to " STATE_FILE);
	return 0;
}

/* Not every path of a file system is UTF-8, or short enough once joined. */
static int check_text(const char *text, struct err *err)
{
	struct cstate again;
	int r = cstate_parse(&again, text, strlen(text), err);

	if (r)
		return err_wrap(err, "cannot keep the container's state");
	cstate_release(&again);
	return 0;
}

/* dir_fd -1: only checked. */
static int write_state(const struct cstate *s, int dir_fd, struct err *err)
{
	struct json_object *o = file_json(s);
	const char *text = NULL;
	int r;

	if (o)
		text = json_object_to_json_string_ext(
			o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	r = text ? check_text(text, err) : err_set(err, ENOMEM, "cannot write " STATE_FILE);
	if (r == 0 && dir_fd >= 0)
		r = write_file(dir_fd, text, err);
	json_object_put(o);
	return r;
}

int cstate_check(const struct cstate *s, struct err *err)
{
	return write_state(s, -1, err);
}

int cstate_write(const struct cstate *s, int dir_fd, struct err *err)
{
	int r = write_state(s, dir_fd, err);

	if (r)
		unlinkat(dir_fd, STATE_TMP, 0);
	return r;
}

static int get_strdup(
	const struct jnode *n, const char *key, size_t max, char **ret, struct err *err)
{
	const char *s;
	int r = jget_str(n, key, max, &s, err);

	if (r)
		return r;
	*ret = strdup(s);
	return *ret ? 0 : err_set(err, ENOMEM, STATE_FILE);
}

static int get_path(const struct jnode *n, const char *key, char **ret, struct err *err)
{
	int r = get_strdup(n, key, STATE_PATH_MAX, ret, err);

	if (!r && **ret != '/')
		return jnode_err(n, err, "%s: expected an absolute path", key);
	return r;
}

static int get_annotations(const struct jnode *n, struct cstate *s, struct err *err)
{
	struct jnode map, item;
	const char *value;
	bool found;
	int r = jopt_object(n, "annotations", &map, &found, err);

	if (r || !found)
		return r;
	for (struct jiter it = {0}; jiter_next(&it, &map, &item);) {
		r = jnode_str(&item, JSON_STRING_MAX, &value, err);
		if (r)
			return r;
	}
	s->annotations = json_object_get(map.obj);
	return 0;
}

/* Absolute, no empty component, "." or "..", no slash at its end. */
static bool plain_path(const char *path)
{
	if (*path != '/')
		return false;
	while (*path == '/') {
		size_t n = strcspn(++path, "/");

		if (!n || !strncmp(path, "..", MAX(n, (size_t)2)) || (n == 1 && *path == '.'))
			return false;
		path += n;
	}
	return true;
}

/* They are removed with what is below them. */
static int get_cgroups(const struct jnode *n, struct cstate *s, struct err *err)
{
	struct jnode array, item;
	const char *path;
	bool found;
	int r = jopt_array(n, "cgroups", STATE_CGROUPS_MAX, &array, &found, err);

	if (r || !found)
		return r;
	for (struct jiter it = {0}; jiter_next(&it, &array, &item);) {
		r = jnode_str(&item, STATE_PATH_MAX, &path, err);
		if (r)
			return r;
		if (!plain_path(path))
			return jnode_err(&item, err, "expected a plain absolute path");
		s->cgroups[s->n_cgroups] = strdup(path);
		if (!s->cgroups[s->n_cgroups])
			return err_set(err, ENOMEM, STATE_FILE);
		s->n_cgroups++;
	}
	return 0;
}

static int get_scope(const struct jnode *n, struct cstate *s, struct err *err)
{
	const char *scope = NULL;
	int r = jopt_str(n, "scope", STATE_ID_MAX, &scope, err);

	if (r || !scope)
		return r;
	s->scope = strdup(scope);
	return s->scope ? 0 : err_set(err, ENOMEM, STATE_FILE);
}

static int get_hooks(const struct jnode *n, struct cstate *s, struct err *err)
{
	struct arena arena = {0};
	struct hooks ignored; /* whoever runs them reads them again */
	struct jnode hooks;
	int r = 0;

	if (!jnode_member(n, "hooks", &hooks))
		return 0;
	r = hooks_kept(hooks.obj, &arena, &ignored, err);
	arena_release(&arena);
	if (!r)
		s->hooks = json_object_get(hooks.obj);
	return r;
}

static int get_created(const struct jnode *n, struct cstate *s, struct err *err)
{
	const char *created;
	int r = jget_str(n, "created", STATE_CREATED_MAX - 1, &created, err);

	if (r)
		return r;
	if (!is_time(created))
		return jnode_err(n, err, "created: expected a time as in RFC 3339, in UTC");
	memcpy(s->created, created, strlen(created) + 1);
	return 0;
}

static int from_json(const struct jnode *n, struct cstate *s, struct err *err)
{
	uint64_t version = 0, pid = 0, owner = 0;
	struct oci_version v;
	int r;

	r = jget_u64(n, "version", 0, UINT32_MAX, &version, err);
	if (r)
		return r;
	if (version != STATE_FORMAT)
		return jnode_err(n, err, "version %" PRIu64 " of the format; this is %d", version,
			STATE_FORMAT);
	if ((r = get_strdup(n, "ociVersion", 128, &s->oci_version, err)) ||
		(r = get_strdup(n, "id", STATE_ID_MAX, &s->id, err)) ||
		(r = jget_u64(n, "pid", 0, INT_MAX, &pid, err)) ||
		(r = jget_u64(n, "pidStartTicks", 0, UINT64_MAX, &s->pid_start_ticks, err)) ||
		(r = get_path(n, "bundle", &s->bundle, err)) ||
		(r = get_path(n, "rootfs", &s->rootfs, err)) || (r = get_created(n, s, err)) ||
		(r = jget_u64(n, "owner", 0, UINT32_MAX, &owner, err)) ||
		(r = get_annotations(n, s, err)) || (r = get_hooks(n, s, err)) ||
		(r = jopt_u64(n, "memoryBytes", 0, INT64_MAX, &s->memory_bytes, err)) ||
		(r = get_cgroups(n, s, err)) || (r = get_scope(n, s, err)))
		return r;
	if (oci_version_parse(s->oci_version, &v))
		return jnode_err(n, err, "ociVersion: not a version");
	r = cstate_check_id(s->id, err);
	if (r)
		return err_wrap(err, "%s: id", n->doc->name);
	s->pid = (pid_t)pid;
	s->owner = (uint32_t)owner;
	return 0;
}

static int from_doc(struct cstate *ret_s, const struct jdoc *doc, struct err *err)
{
	struct cstate s = {0};
	struct jnode root = jdoc_root(doc);
	int r = from_json(&root, &s, err);

	if (r)
		cstate_release(&s);
	else
		*ret_s = s;
	return r;
}

int cstate_parse(struct cstate *ret_s, const char *text, size_t len, struct err *err)
{
	struct jdoc doc;
	int r = jdoc_parse(&doc, STATE_FILE, text, len, JSON_STATE_MAX, err);

	if (r)
		return r;
	r = from_doc(ret_s, &doc, err);
	jdoc_release(&doc);
	return r;
}

int cstate_read(struct cstate *ret_s, int dir_fd, struct err *err)
{
	struct jdoc doc;
	int r = jdoc_read_at(&doc, dir_fd, STATE_FILE, STATE_FILE, JSON_STATE_MAX, err);

	if (r)
		return r;
	r = from_doc(ret_s, &doc, err);
	jdoc_release(&doc);
	return r;
}

void cstate_release(struct cstate *s)
{
	free(s->oci_version);
	free(s->id);
	free(s->bundle);
	free(s->rootfs);
	json_object_put(s->annotations);
	json_object_put(s->hooks);
	for (unsigned i = 0; i < s->n_cgroups; i++)
		free(s->cgroups[i]);
	free(s->scope);
	*s = (struct cstate){0};
}

static struct json_object *state_json(const struct cstate *s, const char *status, const char *owner)
{
	bool ok = true;
	struct json_object *o = jnew_object(&ok);

	jput_str(o, "ociVersion", s->oci_version, &ok);
	jput_str(o, "id", s->id, &ok);
	jput_i64(o, "pid", strcmp(status, "stopped") ? s->pid : 0, &ok);
	jput_str(o, "status", status, &ok);
	jput_str(o, "bundle", s->bundle, &ok);
	jput_str(o, "rootfs", s->rootfs, &ok);
	jput_str(o, "created", s->created, &ok);
	if (s->annotations && json_object_object_length(s->annotations))
		jput(o, "annotations", json_object_get(s->annotations), &ok);
	jput_str(o, "owner", owner, &ok);
	if (ok)
		return o;
	json_object_put(o);
	return NULL;
}

/* runc leaves the owner empty here, and names it in its list. */
struct json_object *cstate_json(const struct cstate *s, const char *status)
{
	return state_json(s, status, "");
}

static void owner_name(uint32_t uid, char *buf, size_t cap)
{
	struct passwd pw, *found = NULL;
	char mem[4096];

	if (!getpwuid_r(uid, &pw, mem, sizeof(mem), &found) && found)
		snprintf(buf, cap, "%s", pw.pw_name);
	else
		snprintf(buf, cap, "#%" PRIu32, uid);
}

#define LIST_COLUMNS   6
#define LIST_MIN_WIDTH 12 /* runc's table: cells of at least 12, 3 blanks between */
#define LIST_PADDING   3

struct list_line {
	const char *cell[LIST_COLUMNS];
};

static void list_line(const struct cstate_row *row, struct list_line *line, char *pid,
	size_t pid_cap, char *owner, size_t owner_cap)
{
	const struct cstate *s = row->state;

	snprintf(pid, pid_cap, "%d", strcmp(row->status, "stopped") ? s->pid : 0);
	owner_name(s->owner, owner, owner_cap);
	*line = (struct list_line){{s->id, pid, row->status, s->bundle, s->created, owner}};
}

static int print_line(FILE *f, const struct list_line *line, const size_t *width)
{
	for (unsigned i = 0; i < LIST_COLUMNS; i++) {
		bool last = i == LIST_COLUMNS - 1;

		if (fprintf(f, "%-*s%s", last ? 0 : (int)width[i], line->cell[i],
			    last ? "\n" : "") < 0)
			return -EIO;
	}
	return 0;
}

int cstate_list_table(FILE *f, const struct cstate_row *rows, size_t n)
{
	static const struct list_line head = {
		{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
	size_t width[LIST_COLUMNS] = {0};
	struct list_line line;
	char pid[16], owner[64];
	int r;

	for (unsigned c = 0; c < LIST_COLUMNS; c++)
		width[c] = strlen(head.cell[c]);
	for (size_t i = 0; i < n; i++) {
		list_line(&rows[i], &line, pid, sizeof(pid), owner, sizeof(owner));
		for (unsigned c = 0; c < LIST_COLUMNS; c++)
			width[c] = MAX(width[c], strlen(line.cell[c]));
	}
	for (unsigned c = 0; c < LIST_COLUMNS; c++)
		width[c] = MAX(width[c] + LIST_PADDING, (size_t)LIST_MIN_WIDTH);
	r = print_line(f, &head, width);
	for (size_t i = 0; !r && i < n; i++) {
		list_line(&rows[i], &line, pid, sizeof(pid), owner, sizeof(owner));
		r = print_line(f, &line, width);
	}
	return r;
}

int cstate_list_json(FILE *f, const struct cstate_row *rows, size_t n)
{
	bool ok = true;
	struct json_object *a = jnew_array(&ok);
	char owner[64];
	int r;

	for (size_t i = 0; i < n; i++) {
		owner_name(rows[i].state->owner, owner, sizeof(owner));
		jadd(a, state_json(rows[i].state, rows[i].status, owner), &ok);
	}
	if (!ok)
		r = -ENOMEM;
	else if (!n)
		r = fputs("null\n", f) == EOF ? -EIO : 0; /* Go's rendering of no containers */
	else
		r = json_print(f, a, JSON_COMPACT);
	json_object_put(a);
	return r;
}
