/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/gspec.h"
#include "tests/gspec_sample.h"
#include "tests/tap.h"

static uint8_t wire[64 << 10];
static size_t wire_len;
static _Alignas(16) uint8_t mem[256 << 10];

static int decode_len(const void *data, size_t len, struct gspec *s, const char **what)
{
	struct garena a = {.mem = mem, .cap = gspec_arena_bytes(len)};
	struct rbuf r = rbuf_of(data, len);

	*what = "";
	memset(mem, 0xee, sizeof(mem));
	return gspec_decode(&r, &a, s, what);
}

static void encode(const struct gspec *s)
{
	struct wbuf w = wbuf_of(wire, sizeof(wire));

	gspec_encode(&w, s);
	wire_len = w.len;
	if (!wbuf_ok(&w))
		ok(false, "encoding");
}

static bool same_strv(const struct gstrv *a, const struct gstrv *b)
{
	if (a->n != b->n || b->v[b->n])
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

static bool same_keyvals(const struct gkeyval *a, const struct gkeyval *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(a[i].key, b[i].key) != 0 || strcmp(a[i].value, b[i].value) != 0)
			return false;
	return true;
}

static bool same_mount(const struct gmount *a, const struct gmount *b)
{
	return a->kind == b->kind && !strcmp(a->source, b->source) && !strcmp(a->dest, b->dest) &&
	       !strcmp(a->fstype, b->fstype) && !strcmp(a->data, b->data) && a->flags == b->flags &&
	       a->clear_flags == b->clear_flags && a->n_propagation == b->n_propagation &&
	       !memcmp(a->propagation, b->propagation,
		       a->n_propagation * sizeof(*a->propagation)) &&
	       a->is_dir == b->is_dir && a->copy_up == b->copy_up;
}

static void check_proc(const struct gproc *a, const struct gproc *b)
{
	ok(same_strv(&a->args, &b->args), "args");
	ok(same_strv(&a->env, &b->env), "env");
	eq_str(b->cwd, a->cwd, "cwd");
	eq_str(b->cgroup, a->cgroup ? a->cgroup : "", "cgroup");
	ok(a->uid == b->uid && a->gid == b->gid, "uid, gid");
	ok(a->n_groups == b->n_groups && !memcmp(a->groups, b->groups, 4 * a->n_groups), "groups");
	ok(a->umask == b->umask && a->flags == b->flags, "umask, flags");
	eq_int(b->oom_score_adj, a->oom_score_adj, "a negative oom_score_adj");
	ok(!memcmp(a->caps, b->caps, sizeof(a->caps)), "capabilities");
	ok(a->n_rlimits == b->n_rlimits && a->rlimits[1].resource == b->rlimits[1].resource &&
			a->rlimits[1].soft == b->rlimits[1].soft &&
			a->rlimits[1].hard == b->rlimits[1].hard,
		"rlimits");
	ok(a->rows == b->rows && a->cols == b->cols, "console size");
	ok(a->sched.policy == b->sched.policy && a->sched.nice == b->sched.nice &&
			a->sched.priority == b->sched.priority &&
			a->sched.flags == b->sched.flags && a->sched.runtime == b->sched.runtime &&
			a->sched.deadline == b->sched.deadline &&
			a->sched.period == b->sched.period,
		"scheduler");
	eq_int(b->ioprio, a->ioprio, "I/O priority");
	ok(a->cpus_first == b->cpus_first && a->cpus_final == b->cpus_final, "CPUs");
}

static void test_round_trip(void)
{
	struct gspec s = *gspec_sample(), d;
	const char *what;

	encode(&s);
	eq_int(decode_len(wire, wire_len, &d, &what), 0, "a full spec decodes");
	ok(s.flags == d.flags && s.namespaces == d.namespaces, "flags, namespaces");
	eq_str(d.root, s.root, "root");
	eq_str(d.hostname, s.hostname, "hostname");
	eq_str(d.domainname, s.domainname, "domainname");
	ok(s.root_propagation == d.root_propagation, "root propagation");
	eq_int(d.n_mounts, s.n_mounts, "number of mounts");
	for (uint32_t i = 0; i < s.n_mounts; i++)
		ok(same_mount(&s.mounts[i], &d.mounts[i]), "mount %u", i);
	ok(same_strv(&s.masked_paths, &d.masked_paths), "masked paths");
	ok(same_strv(&s.readonly_paths, &d.readonly_paths), "read-only paths");
	ok(s.n_sysctls == d.n_sysctls && same_keyvals(s.sysctls, d.sysctls, s.n_sysctls),
		"sysctls");
	ok(s.n_cgfiles == d.n_cgfiles && same_keyvals(s.cgfiles, d.cgfiles, s.n_cgfiles),
		"cgroup files");
	ok(s.n_devprog == d.n_devprog && !memcmp(s.devprog, d.devprog, 8 * s.n_devprog),
		"device program");
	eq_int(d.n_devices, s.n_devices, "number of devices");
	eq_str(d.devices[1].path, s.devices[1].path, "device path");
	ok(d.devices[1].type == s.devices[1].type && d.devices[1].minor == s.devices[1].minor &&
			d.devices[1].gid == s.devices[1].gid,
		"device");
	eq_int(d.n_hooks, s.n_hooks, "number of hooks");
	for (uint32_t i = 0; i < s.n_hooks; i++)
		ok(!strcmp(s.hooks[i].path, d.hooks[i].path) &&
				same_strv(&s.hooks[i].args, &d.hooks[i].args) &&
				same_strv(&s.hooks[i].env, &d.hooks[i].env) &&
				s.hooks[i].timeout_s == d.hooks[i].timeout_s,
			"hook %u", i);
	eq_str(d.hook_state, s.hook_state, "the hooks' state");
	eq_int(d.personality, s.personality, "personality");
	for (int i = 0; i < GTIME_CLOCKS; i++)
		ok(s.time_offset[i].secs == d.time_offset[i].secs &&
				s.time_offset[i].nanosecs == d.time_offset[i].nanosecs,
			"time offset %d", i);
	ok(s.seccomp_flags == d.seccomp_flags && s.n_seccomp == d.n_seccomp &&
			!memcmp(s.seccomp, d.seccomp, 8 * s.n_seccomp),
		"seccomp");
	ok(s.n_uid_maps == d.n_uid_maps && s.n_gid_maps == d.n_gid_maps &&
			!memcmp(s.uid_maps, d.uid_maps, s.n_uid_maps * sizeof(*s.uid_maps)) &&
			!memcmp(s.gid_maps, d.gid_maps, s.n_gid_maps * sizeof(*s.gid_maps)),
		"uid and gid mappings");
	check_proc(&s.proc, &d.proc);
}

static void test_proc_alone(void)
{
	const struct gproc *p = &gspec_sample()->proc;
	struct wbuf w = wbuf_of(wire, sizeof(wire));
	struct garena a = {.mem = mem, .cap = sizeof(mem)};
	const char *what = "";
	struct gproc d;
	struct rbuf r;

	gproc_encode(&w, p);
	wbuf_u8(&w, 42);
	r = rbuf_of(wire, w.len);
	eq_int(gproc_decode(&r, &a, &d, &what), 0, "a process alone");
	eq_int(rbuf_u8(&r), 42, "leaves what follows");
	check_proc(p, &d);
}

/* Every prefix fails, cleanly: each is decoded from an allocation of exactly its size. */
static void test_truncated(void)
{
	unsigned bad = 0;

	encode(gspec_sample());
	for (size_t len = 0; len < wire_len; len++) {
		uint8_t *exact = malloc(len ? len : 1);
		const char *what;
		struct gspec d;

		if (!exact)
			continue;
		memcpy(exact, wire, len);
		if (decode_len(exact, len, &d, &what) != -EPROTO || !what[0]) {
			printf("# %zu bytes of %zu decode\n", len, wire_len);
			bad++;
		}
		free(exact);
	}
	eq_int(bad, 0, "no truncation decodes, each says what is wrong");
}

static void test_header(void)
{
	const char *what;
	struct gspec d;

	encode(gspec_sample());
	wire[0] ^= 1;
	eq_int(decode_len(wire, wire_len, &d, &what), -EPROTO, "another magic");
	eq_str(what, "magic", "is named");
	encode(gspec_sample());
	wire[4]++;
	eq_int(decode_len(wire, wire_len, &d, &what), -EPROTONOSUPPORT, "another version");
	eq_str(what, "version", "is named");
	encode(gspec_sample());
	wire[wire_len] = 0;
	eq_int(decode_len(wire, wire_len + 1, &d, &what), -EPROTO, "a byte too many");
	eq_str(what, "trailing bytes", "is named");
}

/* One change to the sample, which must be refused under this name. */
#define REFUSED(name, change)                                                    \
	do {                                                                     \
		struct gspec s = *gspec_sample(), d;                             \
		const char *what;                                                \
                                                                                 \
		change;                                                          \
		encode(&s);                                                      \
		eq_int(decode_len(wire, wire_len, &d, &what), -EPROTO, #change); \
		eq_str(what, name, "is named");                                  \
	} while (0)

static void test_values(void)
{
	static struct gidmap idmaps[GSPEC_IDMAPS_MAX + 1];
	struct gidmap idmap = {0, 0, 1};
	struct gmount m = gspec_sample()->mounts[0];
	struct gdevice dev = gspec_sample()->devices[0];
	static uint64_t many[GSPEC_BPF_MAX + 1];
	struct grlimit rl = {.resource = 16};
	struct gkeyval kv = {"", "x"};
	struct ghook hook = gspec_sample()->hooks[0];

	REFUSED("flags", s.flags = GSPEC_FLAGS_ALL + 1);
	REFUSED("namespaces", s.namespaces = GNS_VALID + 1);
	REFUSED("uid mappings", s.namespaces = GNS_ALL);
	REFUSED("gid mappings", s.n_gid_maps = 0);
	REFUSED("uid mappings", s.namespaces = GNS_ALL; s.n_gid_maps = 0);
	idmap.count = 0;
	REFUSED("uid mappings", s.uid_maps = &idmap; s.n_uid_maps = 1);
	idmap = (struct gidmap){1, 0, UINT32_MAX};
	REFUSED("uid mappings", s.uid_maps = &idmap; s.n_uid_maps = 1);
	idmap = (struct gidmap){0, 1, UINT32_MAX};
	REFUSED("gid mappings", s.gid_maps = &idmap);
	REFUSED("uid mappings", s.n_uid_maps = GSPEC_IDMAPS_MAX + 1; s.uid_maps = idmaps);
	REFUSED("time offsets", s.time_offset[1].nanosecs = 1000000000);
	REFUSED("seccomp program", s.n_seccomp = GSPEC_BPF_MAX + 1; s.seccomp = many);
	REFUSED("device program", s.n_devprog = GSPEC_BPF_MAX + 1; s.devprog = many);
	REFUSED("scheduler", s.proc.sched.nice = 20);
	REFUSED("scheduler", s.proc.sched.nice = -21);
	REFUSED("I/O priority", s.proc.ioprio = 0x10000);
	REFUSED("root", s.root = "");
	REFUSED("root", s.root = "..");
	REFUSED("root", s.root = "a/b");
	REFUSED("cwd", s.proc.cwd = "relative");
	REFUSED("cgroup", s.proc.cgroup = "relative");
	REFUSED("user", s.proc.uid = UINT32_MAX);
	REFUSED("umask", s.proc.umask = 01000);
	REFUSED("process flags", s.proc.flags = GPROC_FLAGS_ALL + 1);
	REFUSED("oom_score_adj", s.proc.oom_score_adj = 1001);
	REFUSED("rlimits", s.proc.rlimits = &rl; s.proc.n_rlimits = 1);
	REFUSED("sysctls", s.sysctls = &kv; s.n_sysctls = 1);
	REFUSED("mount", m.kind = GMOUNT_KINDS; s.mounts = &m; s.n_mounts = 1);
	m.kind = GMOUNT_FS;
	REFUSED("mount destination", m.dest = "x"; s.mounts = &m; s.n_mounts = 1);
	m.dest = "/x";
	REFUSED("mount type", m.fstype = ""; s.mounts = &m; s.n_mounts = 1);
	m.kind = GMOUNT_BIND;
	REFUSED("mount source", m.source = "../etc"; s.mounts = &m; s.n_mounts = 1);
	for (const char *const *p = (const char *const[]){"", "/m1", "m1/", "m1/..", "../m1", "./x",
		     "m1/a/b", NULL};
		*p; p++) {
		m.source = *p;
		REFUSED("mount source", s.mounts = &m; s.n_mounts = 1);
	}
	m.source = "m1";
	REFUSED("mount", m.is_dir = 2; s.mounts = &m; s.n_mounts = 1);
	REFUSED("device type", dev.type = S_IFREG; s.devices = &dev; s.n_devices = 1);
	dev.type = S_IFCHR;
	REFUSED("devices", dev.mode = 010000; s.devices = &dev; s.n_devices = 1);
	REFUSED("hook's path", hook.path = "bin/x"; s.hooks = &hook; s.n_hooks = 1);
}

/* Counts beyond their limit, and beyond what the message could hold. */
static void test_counts(void)
{
	size_t at = 4 * 4 + 4 + strlen("rootfs") + 1; /* magic .. namespaces, root */
	const char *what;
	struct gspec s = {.root = "rootfs", .proc.cwd = "/"}, d;
	uint32_t huge[] = {GSPEC_MOUNTS_MAX + 1, 0xffffffff, 1};

	at += 2 * 5 + 8; /* host and domain name, propagation: the mounts' count follows */
	for (unsigned i = 0; i < ARRAY_SIZE(huge); i++) {
		encode(&s);
		memcpy(wire + at, &huge[i], 4);
		eq_int(decode_len(wire, i == 2 ? at + 40 : sizeof(wire), &d, &what), -EPROTO,
			"a count of mounts that is too large");
		eq_str(what, "mounts", "is named");
	}
	encode(&s);
	memcpy(wire + at - 8 - 5, "\1\0\0\0\0\0\0", 6); /* the domain name: "\0" */
	eq_int(decode_len(wire, wire_len, &d, &what), -EPROTO, "a NUL inside a string");
	eq_str(what, "domainname", "is named");
}

static void test_arena(void)
{
	struct garena a = {.mem = mem, .cap = 64};
	const char *what = "";
	struct gspec d;
	struct rbuf r;

	encode(gspec_sample());
	r = rbuf_of(wire, wire_len);
	eq_int(gspec_decode(&r, &a, &d, &what), -ENOMEM, "an arena too small");
	ok(a.used <= a.cap, "never overrun");
	ok(gspec_arena_bytes(SIZE_MAX) < 3u * GSPEC_BYTES_MAX, "the bound is bounded");
}

/* The messages whose arrays take the most memory per byte fit what gspec_arena_bytes() says. */
static void test_arena_bound(void)
{
	static const char *empty[12000];
	static struct ghook hooks[GSPEC_HOOKS_MAX];
	struct gspec s = {.root = "r", .proc.cwd = "/"}, d;
	const char *what;

	for (size_t i = 0; i < ARRAY_SIZE(empty); i++)
		empty[i] = "";
	s.proc.args = (struct gstrv){12000, empty};
	encode(&s);
	eq_int(decode_len(wire, wire_len, &d, &what), 0, "12000 empty strings");
	eq_int(d.proc.args.n, 12000, "are all there");
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		hooks[i] = (struct ghook){.path = "/"};
	s.proc.args.n = 0;
	s.hooks = hooks;
	s.n_hooks = ARRAY_SIZE(hooks);
	encode(&s);
	eq_int(decode_len(wire, wire_len, &d, &what), 0, "as many hooks as can be");
	eq_int(d.n_hooks, GSPEC_HOOKS_MAX, "are all there");
	ok(gspec_arena_bytes(GSPEC_BYTES_MAX) <= GSPEC_ARENA_MAX,
		"an arena of fixed size is enough");
}

int main(void)
{
	test_round_trip();
	test_proc_alone();
	test_truncated();
	test_header();
	test_values();
	test_counts();
	test_arena();
	test_arena_bound();
	return tap_done();
}
