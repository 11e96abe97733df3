/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/gspec.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define ARENA_ALIGN  16u
#define NSEC_PER_SEC 1000000000u

/* Least bytes on the wire of one item of each array: what rbuf_count() holds a count against. */
#define WIRE_STR     5u
#define WIRE_RLIMIT  20u
#define WIRE_GROUP   4u
#define WIRE_MOUNT   (4 + 4 * WIRE_STR + 2 * 8 + 3 * 4)
#define WIRE_DEVICE  (WIRE_STR + 6 * 4)
#define WIRE_KEYVAL  (2 * WIRE_STR)
#define WIRE_BPFINSN 8u
#define WIRE_HOOK    (WIRE_STR + 3 * 4)
#define WIRE_IDMAP   (3 * 4)

/* No array takes more than twice its wire bytes in memory, so gspec_arena_bytes() can promise it.
 */
static_assert(sizeof(char *) <= 2 * WIRE_STR, "arena bound");
static_assert(sizeof(struct grlimit) <= 2 * WIRE_RLIMIT, "arena bound");
static_assert(sizeof(struct gmount) <= 2 * WIRE_MOUNT, "arena bound");
static_assert(sizeof(struct gdevice) <= 2 * WIRE_DEVICE, "arena bound");
static_assert(sizeof(struct gkeyval) <= 2 * WIRE_KEYVAL, "arena bound");
static_assert(sizeof(struct gidmap) <= 2 * WIRE_IDMAP, "arena bound");
/* A hook brings two arrays of its own, each with alignment and a NULL to lose. */
#define HOOK_ARENA (sizeof(struct ghook) + 2 * (ARENA_ALIGN + sizeof(char *)))

static_assert(GSPEC_ARENA_MAX >= 2 * GSPEC_BYTES_MAX + GSPEC_HOOKS_MAX * HOOK_ARENA + 4096,
	"arena bound");

#define ARENA_ARRAYS 18u /* more than a message has; each may lose its alignment and a NULL */

size_t gspec_arena_bytes(size_t len)
{
	return 2 * MIN(len, (size_t)GSPEC_BYTES_MAX) +
	       ARENA_ARRAYS * (ARENA_ALIGN + sizeof(char *)) + GSPEC_HOOKS_MAX * HOOK_ARENA;
}

/* --- encoding ----------------------------------------------------------------------------------
 */

static void put_strv(struct wbuf *b, const struct gstrv *s)
{
	wbuf_u32(b, s->n);
	for (uint32_t i = 0; i < s->n; i++)
		wbuf_str(b, s->v[i]);
}

static void put_keyvals(struct wbuf *b, const struct gkeyval *kv, uint32_t n)
{
	wbuf_u32(b, n);
	for (uint32_t i = 0; i < n; i++) {
		wbuf_str(b, kv[i].key);
		wbuf_str(b, kv[i].value);
	}
}

static void put_mount(struct wbuf *b, const struct gmount *m)
{
	wbuf_u32(b, m->kind);
	wbuf_str(b, m->source);
	wbuf_str(b, m->dest);
	wbuf_str(b, m->fstype);
	wbuf_str(b, m->data);
	wbuf_u64(b, m->flags);
	wbuf_u64(b, m->clear_flags);
	wbuf_u32(b, m->n_propagation);
	for (uint32_t i = 0; i < m->n_propagation; i++)
		wbuf_u32(b, m->propagation[i]);
	wbuf_u32(b, m->is_dir);
	wbuf_u32(b, m->copy_up);
}

static void put_device(struct wbuf *b, const struct gdevice *d)
{
	wbuf_str(b, d->path);
	wbuf_u32(b, d->type);
	wbuf_u32(b, d->major);
	wbuf_u32(b, d->minor);
	wbuf_u32(b, d->mode);
	wbuf_u32(b, d->uid);
	wbuf_u32(b, d->gid);
}

static void put_hook(struct wbuf *b, const struct ghook *h)
{
	wbuf_str(b, h->path);
	put_strv(b, &h->args);
	put_strv(b, &h->env);
	wbuf_u32(b, h->timeout_s);
}

void gproc_encode(struct wbuf *b, const struct gproc *p)
{
	put_strv(b, &p->args);
	put_strv(b, &p->env);
	wbuf_str(b, p->cwd);
	wbuf_u32(b, p->uid);
	wbuf_u32(b, p->gid);
	wbuf_u32(b, p->n_groups);
	for (uint32_t i = 0; i < p->n_groups; i++)
		wbuf_u32(b, p->groups[i]);
	wbuf_u32(b, p->umask);
	wbuf_u32(b, p->flags);
	wbuf_u32(b, (uint32_t)p->oom_score_adj);
	for (int i = 0; i < GCAP_SETS; i++)
		wbuf_u64(b, p->caps[i]);
	wbuf_u32(b, p->n_rlimits);
	for (uint32_t i = 0; i < p->n_rlimits; i++) {
		wbuf_u32(b, p->rlimits[i].resource);
		wbuf_u64(b, p->rlimits[i].soft);
		wbuf_u64(b, p->rlimits[i].hard);
	}
	wbuf_u16(b, p->rows);
	wbuf_u16(b, p->cols);
	wbuf_u32(b, p->sched.policy);
	wbuf_u32(b, (uint32_t)p->sched.nice);
	wbuf_u32(b, p->sched.priority);
	wbuf_u64(b, p->sched.flags);
	wbuf_u64(b, p->sched.runtime);
	wbuf_u64(b, p->sched.deadline);
	wbuf_u64(b, p->sched.period);
	wbuf_u32(b, p->ioprio);
	wbuf_u64(b, p->cpus_first);
	wbuf_u64(b, p->cpus_final);
	wbuf_str(b, p->cgroup ? p->cgroup : "");
}

static void put_words(struct wbuf *b, const uint64_t *v, uint32_t n)
{
	wbuf_u32(b, n);
	for (uint32_t i = 0; i < n; i++)
		wbuf_u64(b, v[i]);
}

static void put_idmaps(struct wbuf *b, const struct gidmap *m, uint32_t n)
{
	wbuf_u32(b, n);
	for (uint32_t i = 0; i < n; i++) {
		wbuf_u32(b, m[i].inside);
		wbuf_u32(b, m[i].outside);
		wbuf_u32(b, m[i].count);
	}
}

void gspec_encode(struct wbuf *b, const struct gspec *s)
{
	wbuf_u32(b, GSPEC_MAGIC);
	wbuf_u32(b, GSPEC_VERSION);
	wbuf_u32(b, s->flags);
	wbuf_u32(b, s->namespaces);
	wbuf_str(b, s->root);
	wbuf_str(b, s->hostname);
	wbuf_str(b, s->domainname);
	wbuf_u64(b, s->root_propagation);
	wbuf_u32(b, s->n_mounts);
	for (uint32_t i = 0; i < s->n_mounts; i++)
		put_mount(b, &s->mounts[i]);
	put_strv(b, &s->masked_paths);
	put_strv(b, &s->readonly_paths);
	put_keyvals(b, s->sysctls, s->n_sysctls);
	wbuf_u32(b, s->n_devices);
	for (uint32_t i = 0; i < s->n_devices; i++)
		put_device(b, &s->devices[i]);
	put_keyvals(b, s->cgfiles, s->n_cgfiles);
	put_words(b, s->devprog, s->n_devprog);
	wbuf_u32(b, s->n_hooks);
	for (uint32_t i = 0; i < s->n_hooks; i++)
		put_hook(b, &s->hooks[i]);
	wbuf_str(b, s->hook_state);
	wbuf_u32(b, s->personality);
	for (int i = 0; i < GTIME_CLOCKS; i++) {
		wbuf_u64(b, (uint64_t)s->time_offset[i].secs);
		wbuf_u32(b, s->time_offset[i].nanosecs);
	}
	wbuf_u32(b, s->seccomp_flags);
	put_words(b, s->seccomp, s->n_seccomp);
	put_idmaps(b, s->uid_maps, s->n_uid_maps);
	put_idmaps(b, s->gid_maps, s->n_gid_maps);
	gproc_encode(b, &s->proc);
}

/* --- decoding ----------------------------------------------------------------------------------
 */

struct dec {
	struct rbuf *b;
	struct garena *a;
	const char *what; /* the part that was wrong, set once */
	int r;
};

/* Ends a part: a buffer that ran dry or a value refused within it is reported under its name. */
static void part(struct dec *d, const char *name, bool good)
{
	if (d->r)
		return;
	if (good && rbuf_ok(d->b))
		return;
	d->b->failed = true;
	d->r = -EPROTO;
	d->what = name;
}

static void *array(struct dec *d, const char *name, size_t n, size_t item_bytes)
{
	struct garena *a = d->a;
	size_t start = (a->used + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	size_t bytes;

	if (d->r)
		return NULL;
	if (__builtin_mul_overflow(n, item_bytes, &bytes) || start > a->cap ||
		bytes > a->cap - start) {
		d->b->failed = true;
		d->r = -ENOMEM;
		d->what = name;
		return NULL;
	}
	a->used = start + bytes;
	return a->mem + start;
}

static bool absolute(const char *path)
{
	return path[0] == '/';
}

/* The name of an entry at the share's top level: one path component. */
static bool entry_name(const char *s)
{
	return s[0] && !strchr(s, '/') && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

/* The same, or one name below it. */
static bool entry_path(const char *s)
{
	const char *below = strchr(s, '/');

	return below ? below > s && s[0] != '.' && entry_name(below + 1) : entry_name(s);
}

static struct gstrv get_strv(struct dec *d, const char *name, uint32_t max_n, uint32_t max_len)
{
	uint32_t n = rbuf_count(d->b, max_n, WIRE_STR);
	struct gstrv s = {0};
	const char **v;

	part(d, name, true);
	v = array(d, name, (size_t)n + 1, sizeof(*v));
	if (!v)
		return s;
	for (uint32_t i = 0; i < n; i++)
		v[i] = rbuf_str(d->b, max_len);
	v[n] = NULL;
	part(d, name, true);
	s.n = n;
	s.v = v;
	return s;
}

static const struct gkeyval *get_keyvals(
	struct dec *d, const char *name, uint32_t max_n, uint32_t *ret_n)
{
	uint32_t n = rbuf_count(d->b, max_n, WIRE_KEYVAL);
	struct gkeyval *kv;

	part(d, name, true);
	kv = array(d, name, n, sizeof(*kv));
	if (!kv)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		kv[i].key = rbuf_str(d->b, GSPEC_PATH_MAX);
		kv[i].value = rbuf_str(d->b, GSPEC_STR_MAX);
		part(d, name, kv[i].key[0] != '\0');
	}
	*ret_n = n;
	return kv;
}

static void get_mount(struct dec *d, struct gmount *m)
{
	m->kind = rbuf_u32(d->b);
	m->source = rbuf_str(d->b, GSPEC_PATH_MAX);
	m->dest = rbuf_str(d->b, GSPEC_PATH_MAX);
	m->fstype = rbuf_str(d->b, GSPEC_PATH_MAX);
	m->data = rbuf_str(d->b, GSPEC_STR_MAX);
	m->flags = rbuf_u64(d->b);
	m->clear_flags = rbuf_u64(d->b);
	m->n_propagation = rbuf_count(d->b, GSPEC_PROPAGATION_MAX, 4);
	for (uint32_t i = 0; i < m->n_propagation; i++)
		m->propagation[i] = rbuf_u32(d->b);
	m->is_dir = rbuf_u32(d->b);
	m->copy_up = rbuf_u32(d->b);
	part(d, "mount", m->kind < GMOUNT_KINDS && m->is_dir <= 1 && m->copy_up <= 1);
	part(d, "mount destination", absolute(m->dest));
	part(d, "mount type", m->kind != GMOUNT_FS || m->fstype[0]);
	part(d, "mount source", m->kind != GMOUNT_BIND || entry_path(m->source));
}

static void get_mounts(struct dec *d, struct gspec *s)
{
	uint32_t n = rbuf_count(d->b, GSPEC_MOUNTS_MAX, WIRE_MOUNT);
	struct gmount *m;

	part(d, "mounts", true);
	m = array(d, "mounts", n, sizeof(*m));
	if (!m)
		return;
	for (uint32_t i = 0; i < n; i++)
		get_mount(d, &m[i]);
	s->mounts = m;
	s->n_mounts = n;
}

static void get_devices(struct dec *d, struct gspec *s)
{
	uint32_t n = rbuf_count(d->b, GSPEC_DEVICES_MAX, WIRE_DEVICE);
	struct gdevice *v;

	part(d, "devices", true);
	v = array(d, "devices", n, sizeof(*v));
	if (!v)
		return;
	for (uint32_t i = 0; i < n; i++) {
		v[i].path = rbuf_str(d->b, GSPEC_PATH_MAX);
		v[i].type = rbuf_u32(d->b);
		v[i].major = rbuf_u32(d->b);
		v[i].minor = rbuf_u32(d->b);
		v[i].mode = rbuf_u32(d->b);
		v[i].uid = rbuf_u32(d->b);
		v[i].gid = rbuf_u32(d->b);
		part(d, "devices", absolute(v[i].path) && v[i].mode <= 07777);
		part(d, "device type",
			v[i].type == S_IFCHR || v[i].type == S_IFBLK || v[i].type == S_IFIFO);
	}
	s->devices = v;
	s->n_devices = n;
}

static const uint64_t *get_program(struct dec *d, const char *name, uint32_t *ret_n)
{
	uint32_t n = rbuf_count(d->b, GSPEC_BPF_MAX, WIRE_BPFINSN);
	uint64_t *prog;

	part(d, name, true);
	prog = array(d, name, n, sizeof(*prog));
	if (!prog)
		return NULL;
	for (uint32_t i = 0; i < n; i++)
		prog[i] = rbuf_u64(d->b);
	*ret_n = n;
	return prog;
}

static void get_time_offsets(struct dec *d, struct gspec *s)
{
	for (int i = 0; i < GTIME_CLOCKS; i++) {
		s->time_offset[i].secs = (int64_t)rbuf_u64(d->b);
		s->time_offset[i].nanosecs = rbuf_u32(d->b);
		part(d, "time offsets", s->time_offset[i].nanosecs < NSEC_PER_SEC);
	}
}

static void get_hooks(struct dec *d, struct gspec *s)
{
	uint32_t n = rbuf_count(d->b, GSPEC_HOOKS_MAX, WIRE_HOOK);
	struct ghook *v;

	part(d, "hooks", true);
	v = array(d, "hooks", n, sizeof(*v));
	if (!v)
		return;
	for (uint32_t i = 0; i < n; i++) {
		v[i].path = rbuf_str(d->b, GSPEC_PATH_MAX);
		part(d, "hook's path", absolute(v[i].path));
		v[i].args = get_strv(d, "hook's args", GSPEC_ARGS_MAX, GSPEC_STR_MAX);
		v[i].env = get_strv(d, "hook's env", GSPEC_ARGS_MAX, GSPEC_STR_MAX);
		v[i].timeout_s = rbuf_u32(d->b);
	}
	s->hooks = v;
	s->n_hooks = n;
	s->hook_state = rbuf_str(d->b, GSPEC_BYTES_MAX);
	part(d, "hooks", true);
}

static const struct gidmap *get_idmaps(
	struct dec *d, const char *name, bool wanted, uint32_t *ret_n)
{
	uint32_t n = rbuf_count(d->b, GSPEC_IDMAPS_MAX, WIRE_IDMAP);
	struct gidmap *v;

	part(d, name, (n > 0) == wanted);
	v = array(d, name, n, sizeof(*v));
	if (!v)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		v[i].inside = rbuf_u32(d->b);
		v[i].outside = rbuf_u32(d->b);
		v[i].count = rbuf_u32(d->b);
		part(d, name,
			v[i].count && v[i].count <= UINT32_MAX - v[i].inside &&
				v[i].count <= UINT32_MAX - v[i].outside);
	}
	*ret_n = n;
	return v;
}

static void get_groups(struct dec *d, struct gproc *p)
{
	uint32_t n = rbuf_count(d->b, GSPEC_GROUPS_MAX, WIRE_GROUP);
	uint32_t *groups;

	part(d, "additional groups", true);
	groups = array(d, "additional groups", n, sizeof(*groups));
	if (!groups)
		return;
	for (uint32_t i = 0; i < n; i++)
		groups[i] = rbuf_u32(d->b);
	p->groups = groups;
	p->n_groups = n;
}

static void get_rlimits(struct dec *d, struct gproc *p)
{
	uint32_t n = rbuf_count(d->b, GSPEC_RLIMITS_MAX, WIRE_RLIMIT);
	struct grlimit *rl;

	part(d, "rlimits", true);
	rl = array(d, "rlimits", n, sizeof(*rl));
	if (!rl)
		return;
	for (uint32_t i = 0; i < n; i++) {
		rl[i].resource = rbuf_u32(d->b);
		rl[i].soft = rbuf_u64(d->b);
		rl[i].hard = rbuf_u64(d->b);
		part(d, "rlimits", rl[i].resource < GSPEC_RLIMITS_MAX);
	}
	p->rlimits = rl;
	p->n_rlimits = n;
}

static void get_sched(struct dec *d, struct gsched *s)
{
	s->policy = rbuf_u32(d->b);
	s->nice = (int32_t)rbuf_u32(d->b);
	s->priority = rbuf_u32(d->b);
	s->flags = rbuf_u64(d->b);
	s->runtime = rbuf_u64(d->b);
	s->deadline = rbuf_u64(d->b);
	s->period = rbuf_u64(d->b);
	part(d, "scheduler", s->nice >= -20 && s->nice <= 19);
}

static void get_proc(struct dec *d, struct gproc *p)
{
	p->args = get_strv(d, "args", GSPEC_ARGS_MAX, GSPEC_STR_MAX);
	p->env = get_strv(d, "env", GSPEC_ARGS_MAX, GSPEC_STR_MAX);
	p->cwd = rbuf_str(d->b, GSPEC_PATH_MAX);
	part(d, "cwd", absolute(p->cwd));
	p->uid = rbuf_u32(d->b);
	p->gid = rbuf_u32(d->b);
	part(d, "user", p->uid != UINT32_MAX && p->gid != UINT32_MAX);
	get_groups(d, p);
	p->umask = rbuf_u32(d->b);
	part(d, "umask", p->umask <= 0777);
	p->flags = rbuf_u32(d->b);
	part(d, "process flags", !(p->flags & ~GPROC_FLAGS_ALL));
	p->oom_score_adj = (int32_t)rbuf_u32(d->b);
	part(d, "oom_score_adj", p->oom_score_adj >= -1000 && p->oom_score_adj <= 1000);
	for (int i = 0; i < GCAP_SETS; i++)
		p->caps[i] = rbuf_u64(d->b);
	part(d, "capabilities", true);
	get_rlimits(d, p);
	p->rows = rbuf_u16(d->b);
	p->cols = rbuf_u16(d->b);
	part(d, "console size", true);
	get_sched(d, &p->sched);
	p->ioprio = rbuf_u32(d->b);
	part(d, "I/O priority", p->ioprio <= UINT16_MAX);
	p->cpus_first = rbuf_u64(d->b);
	p->cpus_final = rbuf_u64(d->b);
	part(d, "CPUs", true);
	p->cgroup = rbuf_str(d->b, GSPEC_PATH_MAX);
	part(d, "cgroup", p->cgroup && (!*p->cgroup || absolute(p->cgroup)));
}

static int finish(struct dec *d, const char **ret_what)
{
	if (d->r && ret_what)
		*ret_what = d->what;
	return d->r;
}

int gproc_decode(struct rbuf *b, struct garena *a, struct gproc *ret_p, const char **ret_what)
{
	struct dec d = {.b = b, .a = a};

	memset(ret_p, 0, sizeof(*ret_p));
	get_proc(&d, ret_p);
	return finish(&d, ret_what);
}

static void get_header(struct dec *d, struct gspec *s)
{
	uint32_t magic, version;

	part(d, "length", rbuf_left(d->b) <= GSPEC_BYTES_MAX);
	magic = rbuf_u32(d->b);
	part(d, "magic", magic == GSPEC_MAGIC);
	version = rbuf_u32(d->b);
	part(d, "version", true);
	if (!d->r && version != GSPEC_VERSION) {
		part(d, "version", false);
		d->r = -EPROTONOSUPPORT;
	}
	s->flags = rbuf_u32(d->b);
	part(d, "flags", !(s->flags & ~GSPEC_FLAGS_ALL));
	s->namespaces = rbuf_u32(d->b);
	part(d, "namespaces", !(s->namespaces & ~GNS_VALID));
	s->root = rbuf_str(d->b, GSPEC_PATH_MAX);
	part(d, "root", entry_name(s->root));
	s->hostname = rbuf_str(d->b, GSPEC_PATH_MAX);
	part(d, "hostname", true);
	s->domainname = rbuf_str(d->b, GSPEC_PATH_MAX);
	part(d, "domainname", true);
	s->root_propagation = rbuf_u64(d->b);
	part(d, "root propagation", true);
}

int gspec_decode(struct rbuf *b, struct garena *a, struct gspec *ret_s, const char **ret_what)
{
	struct dec d = {.b = b, .a = a};

	memset(ret_s, 0, sizeof(*ret_s));
	get_header(&d, ret_s);
	get_mounts(&d, ret_s);
	ret_s->masked_paths = get_strv(&d, "masked paths", GSPEC_PATHS_MAX, GSPEC_PATH_MAX);
	ret_s->readonly_paths = get_strv(&d, "read-only paths", GSPEC_PATHS_MAX, GSPEC_PATH_MAX);
	ret_s->sysctls = get_keyvals(&d, "sysctls", GSPEC_SYSCTLS_MAX, &ret_s->n_sysctls);
	get_devices(&d, ret_s);
	ret_s->cgfiles = get_keyvals(&d, "cgroup files", GSPEC_CGFILES_MAX, &ret_s->n_cgfiles);
	ret_s->devprog = get_program(&d, "device program", &ret_s->n_devprog);
	get_hooks(&d, ret_s);
	ret_s->personality = rbuf_u32(b);
	get_time_offsets(&d, ret_s);
	ret_s->seccomp_flags = rbuf_u32(b);
	ret_s->seccomp = get_program(&d, "seccomp program", &ret_s->n_seccomp);
	ret_s->uid_maps =
		get_idmaps(&d, "uid mappings", ret_s->namespaces & GNS_USER, &ret_s->n_uid_maps);
	ret_s->gid_maps =
		get_idmaps(&d, "gid mappings", ret_s->namespaces & GNS_USER, &ret_s->n_gid_maps);
	get_proc(&d, &ret_s->proc);
	part(&d, "trailing bytes", rbuf_left(b) == 0);
	return finish(&d, ret_what);
}
