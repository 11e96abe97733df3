/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/base.h"
#include "lib/vm_config.h"
#include "oci/idmap.h"
#include "oci/json_gate.h"
#include "oci/mounts.h"
#include "oci/process.h"
#include "oci/spec_ctx.h"
#include "oci/spec_linux.h"
#include "oci/support.h"
#include "oci/version.h"

#define CONFIG_NAME       "config.json"
#define HOSTNAME_MAX      64 /* __NEW_UTS_LEN */
#define VM_MEMORY_ALIGN   (2ull << 20)
#define ANNOTATION_PREFIX "coracle."

static int parse_version(struct spec_ctx *c, const struct jnode *root, struct container_spec *spec)
{
	struct oci_version v, newest;
	struct jnode n;
	int r;

	r = jget_str(root, "ociVersion", 128, &spec->oci_version, c->err);
	if (r || !jnode_member(root, "ociVersion", &n))
		return r;
	if (oci_version_parse(spec->oci_version, &v))
		return jnode_err(&n, c->err, "expected a version such as '1.2.0', got '%s'",
			spec->oci_version);
	BUG_ON(oci_version_parse(SPEC_OCI_VERSION, &newest));
	c->oci_minor = v.minor;
	c->oci_first = v.minor == 0 && !strpbrk(spec->oci_version, "-+");
	if (v.major != newest.major)
		return jnode_err(&n, c->err, "version %s is not supported (%s to %u.%u.x are)",
			spec->oci_version, SPEC_OCI_VERSION_MIN, newest.major, newest.minor);
	if (v.minor > newest.minor)
		return spec_refuse(c, &n,
			"version %s is newer than what is supported (%s to %u.%u.x)",
			spec->oci_version, SPEC_OCI_VERSION_MIN, newest.major, newest.minor);
	return 0;
}

static int parse_root(struct spec_ctx *c, const struct jnode *root, struct container_spec *spec)
{
	struct jnode n;
	bool found;
	int r;

	r = jopt_object(root, "root", &n, &found, c->err);
	if (r)
		return r;
	if (!found)
		return jnode_err(root, c->err, "root is missing");
	if ((r = jget_str(&n, "path", GSPEC_PATH_MAX, &spec->root_path, c->err)) ||
		(r = jopt_bool(&n, "readonly", &spec->root_readonly, c->err)))
		return r;
	if (!*spec->root_path)
		return jnode_err(&n, c->err, "path is empty");
	spec->guest.root = SPEC_SHARE_ROOT;
	if (spec->root_readonly)
		spec->guest.flags |= GSPEC_ROOT_READONLY;
	return 0;
}

/* "536870912", "512M", "512MiB", "1G": 1024-based, as Podman's --memory. */
static int parse_size(const char *s, uint64_t *ret)
{
	static const struct {
		const char *suffix;
		unsigned shift;
	} units[] = {
		{"", 0}, {"K", 10}, {"KiB", 10}, {"M", 20}, {"MiB", 20}, {"G", 30}, {"GiB", 30}};
	size_t n = strspn(s, "0123456789");
	uint64_t v = 0;

	if (!n || n > 15)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + (uint64_t)(s[i] - '0');
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(s + n, units[i].suffix))
			continue;
		return __builtin_mul_overflow(v, 1ull << units[i].shift, ret) ? -EINVAL : 0;
	}
	return -EINVAL;
}

int spec_isolation_parse(const char *s, enum spec_isolation *ret)
{
	if (!strcmp(s, "thread"))
		*ret = SPEC_ISOLATION_THREAD;
	else if (!strcmp(s, "process"))
		*ret = SPEC_ISOLATION_PROCESS;
	else
		return -EINVAL;
	return 0;
}

/* n: one of our annotations. */
static int parse_vm_annotation(
	struct spec_ctx *c, const struct jnode *n, const char *value, struct spec_vm *vm)
{
	uint64_t v;

	if (!strcmp(n->key, SPEC_ANNOTATION_MEMORY)) {
		if (parse_size(value, &v) || v < VM_MEMORY_MIN || v > VM_MEMORY_MAX)
			return jnode_err(n, c->err,
				"expected a size from 32MiB to 1024GiB, got '%.100s'", value);
		vm->memory_bytes = (v + VM_MEMORY_ALIGN - 1) & ~(VM_MEMORY_ALIGN - 1);
		return 0;
	}
	if (!strcmp(n->key, SPEC_ANNOTATION_VCPUS)) {
		if (parse_size(value, &v) || v < 1 || v > VM_VCPUS_MAX)
			return jnode_err(n, c->err, "expected a number from 1 to %u, got '%.100s'",
				VM_VCPUS_MAX, value);
		vm->vcpus = (uint32_t)v;
		return 0;
	}
	if (!strcmp(n->key, SPEC_ANNOTATION_KERNEL)) {
		if (value[0] != '/')
			return jnode_err(
				n, c->err, "expected an absolute path, got '%.100s'", value);
		vm->kernel = value;
		return 0;
	}
	if (!strcmp(n->key, SPEC_ANNOTATION_ISOLATION)) {
		if (spec_isolation_parse(value, &vm->isolation))
			return jnode_err(n, c->err,
				"expected " SPEC_ISOLATION_EXPECTED ", got '%.100s'", value);
		return 0;
	}
	spec_warn(c, n, "unknown annotation is kept and has no effect");
	return 0;
}

static int parse_annotations(
	struct spec_ctx *c, const struct jnode *root, struct container_spec *spec)
{
	struct jnode n, item;
	const char *value;
	bool found;
	int r;

	r = jopt_object(root, "annotations", &n, &found, c->err);
	if (r || !found)
		return r;
	if (jnode_length(&n) > SPEC_ANNOTATIONS_MAX)
		return jnode_err(&n, c->err, "more than %u annotations", SPEC_ANNOTATIONS_MAX);
	for (struct jiter it = {0}; jiter_next(&it, &n, &item);) {
		if (!*item.key)
			return jnode_err(&item, c->err, "an annotation's key must not be empty");
		r = jnode_str(&item, JSON_STRING_MAX, &value, c->err);
		if (!r && !strncmp(item.key, ANNOTATION_PREFIX, strlen(ANNOTATION_PREFIX)))
			r = parse_vm_annotation(c, &item, value, &spec->vm);
		if (r)
			return r;
	}
	spec->annotations = n.obj;
	return 0;
}

static int translate(struct spec_ctx *c, const struct jnode *root, struct container_spec *spec)
{
	struct gspec *g = &spec->guest;
	struct jnode process;
	int r;

	r = parse_version(c, root, spec);
	if (r)
		return r;
	/* config.md: needed once the container is started. */
	if (jnode_member(root, "process", &process))
		r = spec_process(c, &process, &g->proc);
	else
		g->proc.cwd = "/";
	if (r || (r = parse_root(c, root, spec)) ||
		(r = jopt_str(root, "hostname", HOSTNAME_MAX, &g->hostname, c->err)) ||
		(r = jopt_str(root, "domainname", HOSTNAME_MAX, &g->domainname, c->err)) ||
		(r = parse_annotations(c, root, spec)) || (r = spec_mounts(c, root, spec)) ||
		(r = spec_linux(c, root, spec)) || (r = spec_mount_idmaps(c, root, spec)) ||
		(r = hooks_parse(c, root, &spec->hooks)))
		return r;
	g->n_hooks = spec->hooks.list[HOOK_START_CONTAINER].n;
	g->hooks = spec->hooks.list[HOOK_START_CONTAINER].v;
	/* Last, so that a wrong type is called that, and not "not supported". */
	return support_check(root, "", c->opts->lenient, c->opts->warn, c->opts->warn_arg, c->err);
}

static struct container_spec *spec_new(void)
{
	struct container_spec *spec = calloc(1, sizeof(*spec));

	if (spec)
		spec->root_fd = -1;
	return spec;
}

static int spec_translate(
	struct container_spec *spec, const struct spec_opts *opts, struct err *err)
{
	struct spec_ctx c = {.arena = &spec->arena, .opts = opts, .err = err};
	struct jnode root = jdoc_root(&spec->doc);

	return translate(&c, &root, spec);
}

int spec_parse(struct container_spec **ret_spec, const char *text, size_t len,
	const struct spec_opts *opts, struct err *err)
{
	autospec struct container_spec *spec = spec_new();
	int r;

	if (!spec)
		return err_set(err, ENOMEM, "cannot read " CONFIG_NAME);
	r = jdoc_parse(&spec->doc, CONFIG_NAME, text, len, JSON_CONFIG_MAX, err);
	if (!r)
		r = spec_translate(spec, opts, err);
	if (r)
		return r;
	*ret_spec = take_ptr(&spec);
	return 0;
}

int spec_load(struct container_spec **ret_spec, int bundle_fd, const struct spec_opts *opts,
	struct err *err)
{
	autospec struct container_spec *spec = spec_new();
	int r;

	if (!spec)
		return err_set(err, ENOMEM, "cannot read " CONFIG_NAME);
	r = jdoc_read_at(&spec->doc, bundle_fd, CONFIG_NAME, CONFIG_NAME, JSON_CONFIG_MAX, err);
	if (r == -ENOENT)
		return err_plain(err, ENOENT, "JSON specification file config.json not found");
	if (!r)
		r = spec_translate(spec, opts, err);
	if (!r)
		r = spec_open_sources(spec, bundle_fd, err);
	if (r)
		return r;
	*ret_spec = take_ptr(&spec);
	return 0;
}

/* Symbolic links are followed, as every runtime does for paths the configuration names; but not the
 * magic ones of /proc, which would lead to files that we or others merely have open. */
static int open_source(int bundle_fd, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | flags, .resolve = RESOLVE_NO_MAGICLINKS};

	return (int)syscall(SYS_openat2, bundle_fd, path, &how, sizeof(how));
}

static int open_failed(
	const struct container_spec *spec, const char *field, const char *path, struct err *err)
{
	int r = err_set(err, errno, "%s: %s: cannot open '%s'", spec->doc.name, field, path);

	if (err)
		json_printable(err->msg);
	return r;
}

int spec_open_sources(struct container_spec *spec, int bundle_fd, struct err *err)
{
	char field[40];
	struct stat st;

	spec->root_fd = open_source(bundle_fd, spec->root_path, O_DIRECTORY);
	if (spec->root_fd < 0)
		return open_failed(spec, "root.path", spec->root_path, err);
	for (uint32_t i = 0; i < spec->n_shares; i++) {
		struct spec_share *s = &spec->shares[i];

		s->fd = open_source(bundle_fd, s->source, 0);
		if (s->fd < 0 || fstat(s->fd, &st) < 0) {
			snprintf(field, sizeof(field), "mounts[%u].source", s->mount);
			return open_failed(spec, field, s->source, err);
		}
		s->mode = st.st_mode;
		spec->mounts[s->mount].is_dir = S_ISDIR(st.st_mode);
	}
	return 0;
}

void container_spec_free(struct container_spec *spec)
{
	if (!spec)
		return;
	close_fd(&spec->root_fd);
	for (uint32_t i = 0; i < spec->n_shares; i++)
		close_fd(&spec->shares[i].fd);
	jdoc_release(&spec->doc);
	arena_release(&spec->arena);
	free(spec);
}

int spec_encode(
	const struct container_spec *spec, uint8_t **ret_buf, size_t *ret_len, struct err *err)
{
	autofree uint8_t *buf = malloc(GSPEC_BYTES_MAX);
	struct wbuf b = wbuf_of(buf, GSPEC_BYTES_MAX);

	if (!buf)
		return err_set(err, ENOMEM, "cannot encode the specification");
	gspec_encode(&b, &spec->guest);
	if (!wbuf_ok(&b))
		return err_plain(err, E2BIG, "%s: more than %u bytes once translated",
			spec->doc.name, GSPEC_BYTES_MAX);
	*ret_buf = take_ptr(&buf);
	*ret_len = b.len;
	return 0;
}

const char *spec_annotation(const struct container_spec *spec, const char *key)
{
	struct json_object *o;

	if (!spec->annotations || !json_object_object_get_ex(spec->annotations, key, &o) || !o)
		return NULL;
	return json_object_get_string(o);
}
