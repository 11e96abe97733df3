/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/update.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "oci/spec_ctx.h"
#include "oci/support.h"

#define RESOURCES_PATH "linux.resources"

static int no_memory(struct err *err)
{
	return err_set(err, ENOMEM, "cannot update the resources");
}

static int write_resources(struct json_object *o, int state_dir, struct err *err)
{
	const char *text = json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	autofd int fd = openat(state_dir, UPDATE_FILE ".tmp",
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (!text)
		return no_memory(err);
	if (fd < 0)
		return err_set(err, errno, "cannot note the resources");
	r = write_full(fd, text, strlen(text));
	if (r == 0 && renameat(state_dir, UPDATE_FILE ".tmp", state_dir, UPDATE_FILE) < 0)
		r = -errno;
	return r < 0 ? err_set(err, -r, "cannot note the resources") : 0;
}

int update_note(const struct jdoc *config, int state_dir, struct err *err)
{
	struct jnode root = jdoc_root(config), linux_node, resources;
	bool ok = true;
	struct json_object *none = jnew_object(&ok);
	int r;

	if (!ok)
		return no_memory(err);
	if (jnode_member(&root, "linux", &linux_node) &&
		jnode_member(&linux_node, "resources", &resources))
		r = write_resources(resources.obj, state_dir, err);
	else
		r = write_resources(none, state_dir, err);
	json_object_put(none);
	return r;
}

int update_load(struct update *u, int state_dir, struct err *err)
{
	int r;

	*u = (struct update){.unsure = faccessat(state_dir, UPDATE_UNSURE, F_OK, 0) == 0};
	r = jdoc_read_at(&u->base, state_dir, UPDATE_FILE, UPDATE_FILE, JSON_CONFIG_MAX, err);
	if (r == 0)
		u->base_node = jdoc_root(&u->base);
	return r;
}

int update_read(struct update *u, int fd, struct err *err)
{
	return jdoc_read_fd(&u->change, fd, "resources", JSON_CONFIG_MAX, err);
}

int update_parse_size(const char *text, int64_t *ret)
{
	static const char units[] = "kmgtp";
	const char *p = text, *unit;
	double v;
	char *end;

	if (!strcmp(text, "-1")) {
		*ret = -1;
		return 0;
	}
	if (*p < '0' || *p > '9' || p[strspn(p, "0123456789.")] == 'x')
		return -EINVAL;
	if (!p[strspn(p, "0123456789")]) { /* exact where it can be */
		errno = 0;
		*ret = strtoll(p, NULL, 10);
		return errno ? -EINVAL : 0;
	}
	v = strtod(p, &end);
	if (end != p + strspn(p, "0123456789."))
		return -EINVAL;
	end += *end == ' ';
	unit = *end ? strchr(units, *end | 0x20) : NULL;
	if (unit) {
		for (const char *u = units; u <= unit; u++)
			v *= 1024;
		end++;
		end += *end == 'i' || *end == 'I';
	}
	end += *end == 'b' || *end == 'B';
	if (*end || v >= 9e18)
		return -EINVAL;
	*ret = (int64_t)v;
	return 0;
}

static int parse_integer(const char *text, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(text, &end, 10);
	return errno || end == text || *end ? -EINVAL : 0;
}

/* n: of "memory" and the like; made when it is first needed. */
static struct json_object *section(struct json_object *root, const char *name, bool *ok)
{
	struct json_object *o;

	if (json_object_object_get_ex(root, name, &o))
		return o;
	o = jnew_object(ok);
	jput(root, name, o, ok);
	return o;
}

enum flag_kind { FLAG_SIZE, FLAG_INTEGER, FLAG_TEXT };

struct flag {
	const char *option, *value, *section, *key;
	enum flag_kind kind;
};

static int put_flag(struct json_object *root, const struct flag *f, bool *ok, struct err *err)
{
	int64_t v;
	int r;

	if (!f->value || !*f->value)
		return 0;
	if (f->kind == FLAG_TEXT) {
		jput_str(section(root, f->section, ok), f->key, f->value, ok);
		return 0;
	}
	r = f->kind == FLAG_SIZE ? update_parse_size(f->value, &v) : parse_integer(f->value, &v);
	if (r < 0)
		return err_plain(
			err, EINVAL, "invalid value for %s: '%.100s'", f->option, f->value);
	jput_i64(section(root, f->section, ok), f->key, v, ok);
	return 0;
}

int update_from_flags(struct update *u, const struct update_flags *f, struct err *err)
{
	const struct flag flags[] = {
		{"memory", f->memory, "memory", "limit", FLAG_SIZE},
		{"memory-reservation", f->memory_reservation, "memory", "reservation", FLAG_SIZE},
		{"memory-swap", f->memory_swap, "memory", "swap", FLAG_SIZE},
		{"cpu-quota", f->cpu_quota, "cpu", "quota", FLAG_INTEGER},
		{"cpu-period", f->cpu_period, "cpu", "period", FLAG_INTEGER},
		{"cpu-share", f->cpu_share, "cpu", "shares", FLAG_INTEGER},
		{"cpu-burst", f->cpu_burst, "cpu", "burst", FLAG_INTEGER},
		{"cpu-idle", f->cpu_idle, "cpu", "idle", FLAG_INTEGER},
		{"cpu-rt-period", f->cpu_rt_period, "cpu", "realtimePeriod", FLAG_INTEGER},
		{"cpu-rt-runtime", f->cpu_rt_runtime, "cpu", "realtimeRuntime", FLAG_INTEGER},
		{"cpuset-cpus", f->cpuset_cpus, "cpu", "cpus", FLAG_TEXT},
		{"cpuset-mems", f->cpuset_mems, "cpu", "mems", FLAG_TEXT},
		{"pids-limit", f->pids_limit, "pids", "limit", FLAG_INTEGER},
		{"blkio-weight", f->blkio_weight, "blockIO", "weight", FLAG_INTEGER},
	};
	bool ok = true;
	int r = 0;

	snprintf(u->change.name, sizeof(u->change.name), "update");
	u->change.root = jnew_object(&ok);
	for (size_t i = 0; i < ARRAY_SIZE(flags) && r == 0 && ok; i++)
		r = put_flag(u->change.root, &flags[i], &ok, err);
	return r < 0 ? r : ok ? 0 : no_memory(err);
}

/* 0 and "" leave a value as it is, as in runc, but for these two, where 0 is a setting. */
static bool counts(const char *path, struct json_object *v)
{
	if (!strcmp(path, RESOURCES_PATH ".cpu.idle") || !strcmp(path, RESOURCES_PATH ".cpu.burst"))
		return v != NULL;
	return !json_is_empty(v);
}

/* Puts what counts of the object `from` into the object `to`. path: theirs in config.json. */
static void merge(struct json_object *to, struct json_object *from, const char *path, bool *ok)
{
	json_object_object_foreach(from, key, value)
	{
		struct json_object *old;
		char sub[256];

		snprintf(sub, sizeof(sub), "%s.%s", path, key);
		if (!counts(sub, value) && !json_object_is_type(value, json_type_object))
			continue;
		if (json_object_is_type(value, json_type_object)) {
			if (!json_object_object_get_ex(to, key, &old) ||
				!json_object_is_type(old, json_type_object)) {
				old = jnew_object(ok);
				jput(to, key, old, ok);
			}
			if (!*ok)
				return;
			merge(old, value, sub, ok);
		} else {
			jput(to, key, json_object_get(value), ok);
		}
	}
}

/* runc: an unlimited memory takes the swap along, unless that is given too. */
static void unlimit_swap(struct json_object *change, bool *ok)
{
	struct json_object *memory, *v;

	if (!json_object_object_get_ex(change, "memory", &memory) ||
		!json_object_is_type(memory, json_type_object) ||
		!json_object_object_get_ex(memory, "limit", &v) ||
		!json_object_is_type(v, json_type_int) || json_object_get_int64(v) != -1)
		return;
	if (!json_object_object_get_ex(memory, "swap", &v) || json_is_empty(v))
		jput_i64(memory, "swap", -1, ok);
}

static bool has(const struct gkeyval *v, uint32_t n, const struct gkeyval *kv)
{
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(v[i].key, kv->key) && !strcmp(v[i].value, kv->value))
			return true;
	return false;
}

static const struct gkeyval *differences(struct arena *a, const struct gkeyval *was, uint32_t n_was,
	const struct gkeyval *is, uint32_t n_is, uint32_t *ret_n)
{
	struct gkeyval *v = arena_alloc(a, n_is, sizeof(*v));
	uint32_t n = 0;

	for (uint32_t i = 0; v && i < n_is; i++)
		if (!has(was, n_was, &is[i]))
			v[n++] = is[i];
	*ret_n = n;
	return v;
}

/* Devices are not what update is for, in runc neither; some engines send them along unchanged. */
static void warn_of_devices(
	const struct update *u, const struct spec_opts *opts, struct json_object *base)
{
	struct json_object *now = NULL, *was = NULL;

	if (!json_object_object_get_ex(u->change.root, "devices", &now) || json_is_empty(now))
		return;
	json_object_object_get_ex(base, "devices", &was);
	if (!json_object_equal(now, was) && opts->warn)
		opts->warn(opts->warn_arg, "devices: not changed by update, as in runc");
}

static int translate(struct update *u, const struct spec_opts *opts, struct err *err)
{
	struct spec_ctx quiet = {
		.arena = &u->arena, .opts = &(struct spec_opts){.lenient = true}, .err = err};
	struct spec_ctx c = {.arena = &u->arena, .opts = opts, .err = err};
	struct jnode merged = jdoc_root(&u->merged);
	struct resources was = {0};
	int r = 0;

	if (!u->unsure)
		r = resources_parse(&quiet, &u->base_node, &was);
	if (r || (r = resources_parse(&c, &merged, &u->resources)))
		return r;
	u->guest = differences(&u->arena, was.guest, was.n_guest, u->resources.guest,
		u->resources.n_guest, &u->n_guest);
	u->host = differences(&u->arena, was.host, was.n_host, u->resources.host,
		u->resources.n_host, &u->n_host);
	return u->guest && u->host ? 0 : no_memory(err);
}

static int read_check_usage(struct update *u, struct err *err)
{
	struct jnode merged = jdoc_root(&u->merged), memory;
	bool found;
	int r = jopt_object(&merged, "memory", &memory, &found, err);

	return r || !found ? r : jopt_bool(&memory, "checkBeforeUpdate", &u->check_usage, err);
}

int update_merge(struct update *u, const struct spec_opts *opts, struct err *err)
{
	struct jnode change = jdoc_root(&u->change);
	bool ok = true;
	int r = jnode_want_object(&change, err);

	if (!r)
		r = support_check(
			&change, RESOURCES_PATH, opts->lenient, opts->warn, opts->warn_arg, err);
	if (r)
		return r;
	warn_of_devices(u, opts, u->base_node.obj);
	snprintf(u->merged.name, sizeof(u->merged.name), "resources");
	if (json_object_deep_copy(u->base_node.obj, &u->merged.root, NULL) < 0)
		return no_memory(err);
	unlimit_swap(u->change.root, &ok);
	if (ok) {
		json_object_object_del(u->change.root, "devices");
		merge(u->merged.root, u->change.root, RESOURCES_PATH, &ok);
	}
	if (!ok)
		return no_memory(err);
	r = read_check_usage(u, err);
	return r ? r : translate(u, opts, err);
}

int update_begin(int state_dir, struct err *err)
{
	autofd int fd =
		openat(state_dir, UPDATE_UNSURE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? err_set(err, errno, "cannot note the update") : 0;
}

int update_save(const struct update *u, int state_dir, bool unsure, struct err *err)
{
	int r = write_resources(u->merged.root, state_dir, err);

	if (r == 0 && !unsure && unlinkat(state_dir, UPDATE_UNSURE, 0) < 0 && errno != ENOENT)
		r = err_set(err, errno, "cannot note the resources");
	return r;
}

int update_encode(
	const struct update *u, uint8_t *buf, size_t cap, size_t *ret_len, struct err *err)
{
	struct wbuf b = wbuf_of(buf, cap);

	wbuf_u32(&b, u->n_guest);
	for (uint32_t i = 0; i < u->n_guest; i++) {
		wbuf_str(&b, u->guest[i].key);
		wbuf_str(&b, u->guest[i].value);
	}
	if (!wbuf_ok(&b))
		return err_plain(err, E2BIG, "the update takes more than %zu bytes", cap);
	*ret_len = b.len;
	return 0;
}

void update_release(struct update *u)
{
	jdoc_release(&u->base);
	jdoc_release(&u->change);
	jdoc_release(&u->merged);
	arena_release(&u->arena);
}
