/* SPDX-License-Identifier: Apache-2.0 */
/* config.json but for its linux object: version, root, process, annotations, and loading from a
 * bundle. */
#include "oci/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/base.h"
#include "oci/process.h"
#include "oci/process_sched.h"
#include "oci/version.h"
#include "tests/tap.h"
#include "tests/unit/oci_config.h"

static void accepts(const char *path, const char *value)
{
	const char *says = config_says(path, value);

	ok(!*says, "%s = %s: '%s'", path, value, says);
}

static void refuses(const char *path, const char *value, const char *why)
{
	const char *says = config_says(path, value);

	ok(strstr(says, why), "%s = %s: '%s'", path, value ? value : "(absent)", says);
}

static void test_version(void)
{
	static const char *const good[] = {"1.0.0", "1.0.2-dev", "1.0.0-rc5", "1.2.1", "1.1.0+dev",
		"1.3.0", "1.3.99", "1.0.2-a.b-c+x.1"};
	static const char *const bad[] = {"", "1", "1.0", "1.0.0.0", "v1.0.0", "1.0.x", "01.0.0",
		"1.0.0-", "1.0.0+", "1.0.0-a..b", "1.0.0 ", "-1.0.0", "1.0.9999999",
		"1.0.0-\xc3\xa9"};
	char value[64];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(value, sizeof(value), "\"%s\"", good[i]);
		accepts("ociVersion", value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(value, sizeof(value), "\"%s\"", bad[i]);
		refuses("ociVersion", value, "config.json: ociVersion: expected a version such as");
	}
	refuses("ociVersion", NULL, "config.json: ociVersion is missing");
	refuses("ociVersion", "\"2.0.0\"", "version 2.0.0 is not supported (1.0.0 to 1.3.x are)");
	refuses("ociVersion", "\"0.9.0\"", "version 0.9.0 is not supported");
	refuses("ociVersion", "\"1.4.0\"", "version 1.4.0 is newer than what is supported");
	char *text = config_edit(full_config, "ociVersion", "\"1.4.0\"");
	struct container_spec *spec = config_parse_with(text, true, false);
	ok(spec && strstr(warnings, "1.4.0 is newer"), "a newer one is accepted when lenient");
	container_spec_free(spec);
	free(text);
}

/* config.md: only start needs a process. */
static void test_no_process(void)
{
	struct container_spec *spec = config_try("process", NULL);

	ok(spec && !spec->guest.proc.args.n, "no process");
	eq_str(spec->guest.proc.cwd, "/", "its directory");
	container_spec_free(spec);
}

static void test_required(void)
{
	refuses("root", NULL, "config.json: root is missing");
	refuses("root.path", NULL, "config.json: root.path is missing");
	refuses("root.path", "\"\"", "config.json: root: path is empty");
	refuses("process.cwd", NULL, "config.json: process.cwd is missing");
	refuses("process.cwd", "\"w\"", "process.cwd: expected an absolute path, got 'w'");
	refuses("process.cwd", "\"\"", "process.cwd: expected an absolute path, got ''");
	refuses("process.args", NULL, "config.json: process: args is missing");
	refuses("process.args", "[]", "process.args: expected at least one argument");
	refuses("process.args[1]", "null", "process.args: element 1 is null");
	refuses("process.args[1]", "7", "process.args[1]: expected a string, got an integer");
	refuses("hostname", "\"hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh\"",
		"hostname: expected a string of at most 64 bytes, got 65");
}

static void test_process(void)
{
	struct container_spec *spec = config_parse(full_config);
	const struct gproc *p = &spec->guest.proc;

	eq_int(p->args.n, 3, "args");
	eq_str(p->args.v[2], "true", "the last one");
	ok(!p->args.v[3], "NULL behind them");
	eq_str(p->env.v[1], "A=", "env");
	eq_str(p->cwd, "/w", "cwd");
	eq_int(p->uid, 1000, "uid");
	eq_int(p->gid, 1001, "gid");
	eq_int(p->n_groups, 2, "groups");
	eq_int(p->groups[1], 6, "the second");
	eq_int(p->umask, 18, "umask");
	eq_int(p->flags,
		GPROC_NO_NEW_PRIVS | GPROC_HAS_UMASK | GPROC_HAS_OOM_SCORE | GPROC_HAS_CAPS |
			GPROC_HAS_SCHED | GPROC_HAS_IOPRIO | GPROC_CPUS_FIRST | GPROC_CPUS_FINAL,
		"flags");
	eq_int(p->oom_score_adj, -500, "oomScoreAdj");
	eq_int(p->n_rlimits, 1, "rlimits");
	eq_int(p->rlimits[0].resource, RLIMIT_NOFILE, "its kind");
	eq_int((intmax_t)p->rlimits[0].soft, 1024, "soft");
	eq_int((intmax_t)p->rlimits[0].hard, 4096, "hard");
	eq_int(p->rows + p->cols, 0, "no console size without a terminal");
	for (int i = 0; i < GCAP_SETS; i++)
		ok(p->caps[i] == 1ull << CAP_KILL, "capability set %d", i);
	eq_str(spec->guest.hostname, "h", "hostname");
	eq_str(spec->guest.domainname, "d", "domainname");
	eq_str(spec->guest.root, "rootfs", "root share");
	ok(spec->guest.flags & GSPEC_ROOT_READONLY, "root read-only");
	ok(spec->root_readonly, "on the host as well");
	eq_str(spec_annotation(spec, "k"), "v", "annotation");
	ok(!spec_annotation(spec, "none"), "no annotation");
	container_spec_free(spec);

	spec = config_parse(least_config);
	p = &spec->guest.proc;
	eq_int(p->flags, 0, "nothing asked for");
	eq_int(p->uid + p->gid + p->n_groups + p->n_rlimits + p->env.n, 0,
		"root, and nothing more");
	ok(!spec->root_readonly && !spec->guest.flags, "root writable");
	ok(!spec_annotation(spec, "k"), "no annotations");
	container_spec_free(spec);
}

/* runc: of equal names the last one stays, where it stands. */
static void test_env(void)
{
	static const struct {
		const char *given, *want;
	} cases[] = {
		{"[]", ""},
		{"[\"A=1\",\"B=2\"]", "A=1 B=2 "},
		{"[\"A=1\",\"B=2\",\"A=3\"]", "B=2 A=3 "},
		{"[\"A=1\",\"A=1\",\"A=\",\"A=x=y\"]", "A=x=y "},
		{"[\"AB=1\",\"A=2\",\"ABC=3\",\"a=4\",\"A=5\"]", "AB=1 ABC=3 a=4 A=5 "},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = config_edit(full_config, "process.env", cases[i].given);
		struct container_spec *spec = config_parse_with(text, false, false);
		char got[128] = "";

		for (uint32_t k = 0; spec && k < spec->guest.proc.env.n; k++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s ",
				spec->guest.proc.env.v[k]);
		eq_str(spec ? got : NULL, cases[i].want, cases[i].given);
		container_spec_free(spec);
		free(text);
	}
}

static void test_process_errors(void)
{
	accepts("process.user.uid", "4294967294");
	refuses("process.user.gid", "4294967295",
		"process.user.gid: expected an integer from 0 to 4294967294");
	refuses("process.user.uid", "4294967296",
		"process.user.uid: expected an integer from 0 to 4294967294, got 4294967296");
	refuses("process.user.uid", "-1", "got -1");
	refuses("process.user.uid", "\"0\"",
		"expected an integer from 0 to 4294967294, got a string");
	refuses("process.user.umask", "512",
		"process.user.umask: expected an integer from 0 to 511");
	refuses("process.user.additionalGids[1]", "null",
		"process.user.additionalGids[1]: expected");
	refuses("process.env[0]", "\"NOVALUE\"",
		"process.env[0]: expected NAME=VALUE, got 'NOVALUE'");
	refuses("process.env[0]", "\"=x\"", "process.env[0]: expected NAME=VALUE");
	refuses("process.rlimits[0].type", "\"RLIMIT_FOO\"",
		"rlimits[0]: unknown type 'RLIMIT_FOO'");
	refuses("process.rlimits[0].soft", "5000",
		"rlimits[0]: RLIMIT_NOFILE: the soft limit is above");
	refuses("process.rlimits[0].hard", NULL, "process.rlimits[0].hard is missing");
	refuses("process.rlimits[1]", "{\"type\":\"RLIMIT_NOFILE\",\"soft\":1,\"hard\":1}",
		"process.rlimits[1]: the same type a second time");
	accepts("process.rlimits[0].hard", "18446744073709551615");
	refuses("process.oomScoreAdj", "1001",
		"process.oomScoreAdj: expected an integer from -1000");
	refuses("process.consoleSize.height", "65536", "process.consoleSize.height: expected");
	refuses("process.terminal", "true",
		"config.json: process.terminal: terminals are not supported yet");
	eq_int(last_err.errnum, ENOTSUP, "not supported");
	refuses("process.capabilities.bounding", "\"CAP_KILL\"", "expected an array, got a string");
}

static void test_terminal(void)
{
	char *text = config_edit(full_config, "process.terminal", "true");
	struct container_spec *spec = config_parse_with(text, false, true);

	ok(spec && spec->guest.proc.flags & GPROC_TERMINAL, "a terminal when there is one to give");
	eq_int(spec->guest.proc.rows, 25, "its rows");
	eq_int(spec->guest.proc.cols, 80, "its columns");
	container_spec_free(spec);
	spec = config_parse_with(text, true, false);
	ok(spec && !(spec->guest.proc.flags & GPROC_TERMINAL), "none when lenient");
	has_str(warnings, "terminals are not supported yet");
	container_spec_free(spec);
	free(text);
}

/* config.md of 1.0.x wants an error. Engines of before 1.1 say 1.0.2-dev and expect the warning. */
static void test_first_capabilities(void)
{
	char *text = config_edit(full_config, "process.capabilities.ambient", "[\"CAP_FOO\"]");
	char *first = config_edit(text, "ociVersion", "\"1.0.2\"");
	char *dev = config_edit(text, "ociVersion", "\"1.0.2-dev\"");
	struct container_spec *spec = config_parse(first);

	ok(!spec, "refused");
	has_str(last_err.msg, "process.capabilities.ambient: unknown capability 'CAP_FOO'");
	container_spec_free(spec);
	spec = config_parse(dev);
	ok(spec, "but not by a version after it");
	container_spec_free(spec);
	free(text);
	free(first);
	free(dev);
}

static void test_capabilities(void)
{
	struct container_spec *spec;

	eq_int(capability_number("CAP_CHOWN"), CAP_CHOWN, "the first capability");
	eq_int(capability_number("CAP_CHECKPOINT_RESTORE"), CAP_CHECKPOINT_RESTORE, "the last");
	static const char *const bad[] = {"cap_chown", "CHOWN", "CAP_", "CAP_0", "0", "40",
		"CAP_FOO", "CAP_CHOWN,", "CAP_CHOWN CAP_KILL", "", "CAP_CHOWN=ep"};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		eq_int(capability_number(bad[i]), -1, bad[i]);
	spec = config_try(
		"process.capabilities.permitted", "[\"CAP_KILL\",\"CAP_FOO\",\"CAP_FOO2\"]");
	ok(spec && spec->guest.proc.caps[GCAP_PERMITTED] == 1ull << CAP_KILL,
		"unknown ones are ignored");
	has_str(warnings,
		"process.capabilities.permitted: unknown capability 'CAP_FOO' is ignored;");
	eq_int(n_warnings, 2, "each with a warning");
	container_spec_free(spec);
	test_first_capabilities();
	spec = config_try("process.capabilities.permitted", "[]");
	ok(spec && !spec->guest.proc.caps[GCAP_EFFECTIVE], "not effective without being permitted");
	ok(spec && !spec->guest.proc.caps[GCAP_AMBIENT], "nor ambient");
	has_str(warnings, "process.capabilities.effective: 1 of them ignored: not in permitted, "
			  "such as CAP_KILL;");
	has_str(warnings, "process.capabilities.ambient: 1 of them ignored");
	container_spec_free(spec);
	spec = config_try("process.capabilities.inheritable", NULL);
	ok(spec && !spec->guest.proc.caps[GCAP_AMBIENT], "not ambient without being inheritable");
	container_spec_free(spec);
	spec = config_try("process.capabilities", NULL);
	ok(spec && !(spec->guest.proc.flags & GPROC_HAS_CAPS), "no capabilities at all");
	container_spec_free(spec);
}

static void test_rlimits(void)
{
	eq_int(rlimit_number("RLIMIT_AS"), RLIMIT_AS, "RLIMIT_AS");
	eq_int(rlimit_number("RLIMIT_STACK"), RLIMIT_STACK, "RLIMIT_STACK");
	eq_int(rlimit_number("RLIMIT_RTTIME"), RLIMIT_RTTIME, "RLIMIT_RTTIME");
	eq_int(rlimit_number("NOFILE"), -1, "NOFILE is no name");
}

static void size_is(const char *value, uint64_t want)
{
	struct container_spec *spec = config_try("annotations", value ? value : "{}");

	ok(spec && spec->vm.memory_bytes == want, "%s: '%s'", value, last_err.msg);
	container_spec_free(spec);
}

static void size_refused(const char *value)
{
	container_spec_free(config_try("annotations", value));
	ok(strstr(last_err.msg, "annotations[\"coracle.vm.memory\"]: expected a size from 32MiB"),
		"%s: '%s'", value, last_err.msg);
}

static void test_annotations(void)
{
	struct container_spec *spec;

	size_is("{\"coracle.vm.memory\":\"268435456\"}", 256ull << 20);
	size_is("{\"coracle.vm.memory\":\"512M\"}", 512ull << 20);
	size_is("{\"coracle.vm.memory\":\"512MiB\"}", 512ull << 20);
	size_is("{\"coracle.vm.memory\":\"2G\"}", 2ull << 30);
	size_is("{\"coracle.vm.memory\":\"65536K\"}", 64ull << 20);
	size_is("{\"coracle.vm.memory\":\"67108865\"}", 66ull << 20); /* up to 2 MiB */
	size_is("{\"coracle.vm.memory\":\"1024GiB\"}", 1ull << 40);
	size_is("{\"a\":\"b\"}", 0);
	size_refused("{\"coracle.vm.memory\":\"31M\"}");
	size_refused("{\"coracle.vm.memory\":\"1025GiB\"}");
	size_refused("{\"coracle.vm.memory\":\"\"}");
	size_refused("{\"coracle.vm.memory\":\"M\"}");
	size_refused("{\"coracle.vm.memory\":\"64 M\"}");
	size_refused("{\"coracle.vm.memory\":\"-64M\"}");
	size_refused("{\"coracle.vm.memory\":\"64Mi\"}");
	size_refused("{\"coracle.vm.memory\":\"999999999999999G\"}");
	size_refused("{\"coracle.vm.memory\":\"99999999999999999999\"}");
	spec = config_try("annotations", "{\"coracle.vm.vcpus\":\"4\",\"coracle.vm.kernel\":\"/"
					 "k\",\"coracle.vm.foo\":\"1\",\"x\":\"\"}");
	ok(spec && spec->vm.vcpus == 4, "vcpus");
	eq_str(spec->vm.kernel, "/k", "kernel");
	eq_str(warnings,
		"config.json: annotations[\"coracle.vm.foo\"]: unknown annotation is kept and has "
		"no "
		"effect;",
		"a slip of the pen");
	container_spec_free(spec);
	refuses("annotations", "{\"coracle.vm.vcpus\":\"0\"}",
		"expected a number from 1 to 16, got '0'");
	refuses("annotations", "{\"coracle.vm.vcpus\":\"17\"}", "expected a number from 1 to 16");
	spec = config_try("annotations", "{\"coracle.vm.isolation\":\"process\"}");
	ok(spec && spec->vm.isolation == SPEC_ISOLATION_PROCESS, "isolation: processes");
	container_spec_free(spec);
	spec = config_try("annotations", "{\"coracle.vm.isolation\":\"thread\"}");
	ok(spec && spec->vm.isolation == SPEC_ISOLATION_THREAD, "isolation: threads");
	container_spec_free(spec);
	refuses("annotations", "{\"coracle.vm.isolation\":\"both\"}",
		"annotations[\"coracle.vm.isolation\"]: expected 'thread' or 'process', got "
		"'both'");
	refuses("annotations", "{\"coracle.vm.isolation\":\"\"}",
		"expected 'thread' or 'process', got ''");
	refuses("annotations", "{\"coracle.vm.kernel\":\"k\"}",
		"expected an absolute path, got 'k'");
	refuses("annotations", "{\"\":\"x\"}", "an annotation's key must not be empty");
	refuses("annotations", "{\"k\":1}", "annotations.k: expected a string, got an integer");
}

static void put_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	BUG_ON(fd < 0 || write(fd, text, strlen(text)) < 0);
	close(fd);
}

static const char *loads(int bundle, const char *config, struct container_spec **ret)
{
	struct spec_opts opts = {0};

	put_file(bundle, "config.json", config);
	last_err = (struct err)ERR_INIT;
	*ret = NULL;
	spec_load(ret, bundle, &opts, &last_err);
	return last_err.msg;
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_load_mounts(int bundle)
{
	static const char config[] =
		"{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"rootfs\"},"
		"\"process\":{\"cwd\":\"/\",\"args\":[\"true\"]},\"mounts\":["
		"{\"destination\":\"/p\",\"type\":\"proc\",\"source\":\"proc\"},"
		"{\"destination\":\"/"
		"f\",\"type\":\"bind\",\"source\":\"file\",\"options\":[\"ro\"]},"
		"{\"destination\":\"/d\",\"source\":\"/tmp\",\"options\":[\"rbind\"]}],"
		"\"linux\":{\"namespaces\":[{\"type\":\"network\"}]}}";
	struct container_spec *spec;
	struct stat a, b;
	char *text;

	eq_str(loads(bundle, config, &spec), "", "a bundle with binds");
	eq_int(spec->n_shares, 2, "two shares");
	eq_str(spec->shares[0].name, "m0", "the first one's name");
	eq_str(spec->guest.mounts[1].source, "m0/file", "the mount's source has its name");
	ok(spec->shares[0].readonly && !spec->shares[0].recursive, "read-only, alone");
	ok(!spec->shares[1].readonly && spec->shares[1].recursive,
		"the other writable, with what is below");
	eq_int(spec->guest.mounts[1].is_dir, 0, "a file");
	eq_int(spec->guest.mounts[2].is_dir, 1, "a directory");
	ok(!fstat(spec->shares[0].fd, &a) && !fstatat(bundle, "file", &b, 0) &&
			a.st_ino == b.st_ino,
		"relative to the bundle, held open");
	ok(fcntl(spec->shares[0].fd, F_GETFL) & O_PATH, "by path only");
	ok(fcntl(spec->shares[0].fd, F_GETFD) & FD_CLOEXEC, "CLOEXEC");
	ok(fcntl(spec->root_fd, F_GETFD) & FD_CLOEXEC, "the root as well");
	container_spec_free(spec);
	text = config_edit(config, "mounts[2].source", "\"/none/such\"");
	eq_str(loads(bundle, text, &spec),
		"config.json: mounts[2].source: cannot open '/none/such': No such file or "
		"directory",
		"a missing source");
	free(text);
	text = config_edit(config, "mounts[2].source", "\"/proc/self/fd/0\"");
	has_str(loads(bundle, text, &spec), "mounts[2].source: cannot open '/proc/self/fd/0'");
	free(text);
}

static void test_load(void)
{
	char path[] = "/tmp/test_spec.XXXXXX", *text;
	unsigned fds = open_fds();
	struct container_spec *spec = NULL;
	struct spec_opts opts = {0};
	int bundle;

	BUG_ON(!mkdtemp(path));
	bundle = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	eq_int(spec_load(&spec, bundle, &opts, &last_err), -ENOENT, "an empty bundle");
	eq_str(last_err.msg, "JSON specification file config.json not found", "is said so");
	eq_str(loads(bundle, least_config, &spec),
		"config.json: root.path: cannot open 'rootfs': No such file or directory",
		"no rootfs");
	put_file(bundle, "file", "x");
	text = config_edit(least_config, "root.path", "\"file\"");
	eq_str(loads(bundle, text, &spec),
		"config.json: root.path: cannot open 'file': Not a directory", "a file as rootfs");
	free(text);
	BUG_ON(mkdirat(bundle, "rootfs", 0755));
	eq_str(loads(bundle, least_config, &spec), "", "a bundle");
	container_spec_free(spec);
	test_load_mounts(bundle);
	has_str(loads(bundle, "{\n\"ociVersion\": \"1.0.0\",\n\"ociVersion\": 1}", &spec),
		"config.json:3:1: duplicate key 'ociVersion'");
	unlinkat(bundle, "config.json", 0);
	unlinkat(bundle, "file", 0);
	unlinkat(bundle, "rootfs", AT_REMOVEDIR);
	close(bundle);
	rmdir(path);
	eq_int(open_fds(), fds, "nothing is left open");
}

/* The root that a bind has in the guest's mountinfo. */
static void test_leaves(void)
{
	static const struct {
		const char *source, *want;
	} rows[] = {{"\"/srv/a\"", "m0/a"}, {"\"b\"", "m0/b"}, {"\"/srv/a.b//\"", "m0/a.b"},
		{"\"/srv/...\"", "m0/..."}, {"\"/\"", "m0"}, {"\"//\"", "m0"}, {"\".\"", "m0"},
		{"\"/srv/..\"", "m0"}, {"\"/srv/../\"", "m0"}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *text = config_edit(full_config, "mounts[2].source", rows[i].source);
		struct container_spec *spec = config_parse(text);

		if (ok(spec, "a bind of %s", rows[i].source))
			eq_str(spec->guest.mounts[2].source, rows[i].want, "its place");
		container_spec_free(spec);
		free(text);
	}
}

/* What is encoded is what the guest decodes. */
static void test_encode(void)
{
	struct container_spec *spec = config_parse(full_config);
	struct garena arena = {0};
	struct gspec got;
	const char *what;
	uint8_t *buf = NULL;
	size_t len = 0;
	struct rbuf b;

	eq_int(spec_encode(spec, &buf, &len, &last_err), 0, "encoded");
	arena.cap = gspec_arena_bytes(len);
	arena.mem = aligned_alloc(16, (arena.cap + 15) & ~15ul);
	b = rbuf_of(buf, len);
	eq_int(gspec_decode(&b, &arena, &got, &what), 0, "decoded");
	eq_str(got.proc.args.v[1], "-c", "an argument");
	eq_int(got.n_mounts, 3, "mounts");
	eq_str(got.mounts[2].source, "m0/srv", "a share");
	eq_int(got.n_cgfiles, spec->guest.n_cgfiles, "cgroup files");
	eq_int(got.n_devprog, spec->guest.n_devprog, "device program");
	free(arena.mem);
	free(buf);
	container_spec_free(spec);
	container_spec_free(NULL);
}

static void sched_is(const char *json, int policy, int nice, uint64_t flags, uint64_t period)
{
	struct container_spec *spec = config_try("process.scheduler", json);
	const struct gsched *s = spec ? &spec->guest.proc.sched : NULL;

	ok(s && (spec->guest.proc.flags & GPROC_HAS_SCHED) && s->policy == (uint32_t)policy &&
			s->nice == nice && s->flags == flags && s->period == period,
		"%s %s", json, last_err.msg);
	container_spec_free(spec);
}

static void test_scheduler(void)
{
	struct container_spec *spec = config_try("process.scheduler", "{\"policy\":\"\"}");

	ok(spec && !(spec->guest.proc.flags & GPROC_HAS_SCHED), "no policy, nothing else: none");
	container_spec_free(spec);
	sched_is("{\"policy\":\"SCHED_BATCH\",\"nice\":-20}", 3, -20, 0, 0);
	sched_is("{\"policy\":\"SCHED_RR\",\"priority\":99,\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\","
		 "\"SCHED_FLAG_DL_OVERRUN\"]}",
		2, 0, 5, 0);
	sched_is("{\"policy\":\"SCHED_DEADLINE\",\"nice\":19,\"runtime\":1,\"deadline\":2,"
		 "\"period\":18446744073709551615}",
		6, 19, 0, UINT64_MAX);
	refuses("process.scheduler", "{\"nice\":1}",
		"process.scheduler: policy is missing or unknown");
	refuses("process.scheduler.policy", "\"SCHED_X\"", "policy is missing or unknown");
	refuses("process.scheduler.policy", "\"SCHED_ISO\"", "Linux does not have SCHED_ISO");
	refuses("process.scheduler.policy", "\"SCHED_FIFO\"", "want a priority from 1 to 99");
	refuses("process.scheduler.priority", "1", "priority is for SCHED_FIFO and SCHED_RR only");
	refuses("process.scheduler.runtime", "1", "are for SCHED_DEADLINE only");
	refuses("process.scheduler.nice", "20", "expected an integer from -20 to 19");
	refuses("process.scheduler.flags", "[\"X\"]",
		"process.scheduler.flags[0]: unknown flag 'X'");
}

static void cpus_are(const char *text, int want, uint64_t cpus)
{
	uint64_t got;
	int r = cpu_list(text, &got);

	ok(r == want && (r || got == cpus), "CPUs '%s'", text);
}

static void test_io_and_cpus(void)
{
	struct container_spec *spec = config_parse(full_config);

	eq_int(spec->guest.proc.ioprio, 2 << 13 | 7, "I/O priority");
	eq_int((intmax_t)spec->guest.proc.cpus_first, 1, "first CPUs");
	eq_int((intmax_t)spec->guest.proc.cpus_final, 0xb, "final CPUs");
	container_spec_free(spec);
	refuses("process.ioPriority.class", "\"RT\"",
		"process.ioPriority: class is missing or unknown");
	refuses("process.ioPriority.class", "\"\"",
		"process.ioPriority: class is missing or unknown");
	refuses("process.ioPriority.priority", "8",
		"process.ioPriority.priority: expected an integer from 0 to 7");
	refuses("process.execCPUAffinity.initial", "\"1-\"",
		"process.execCPUAffinity.initial: expected CPUs such as '0-3,7', got '1-'");
	cpus_are("0", 0, 1);
	cpus_are("0-3,7,63", 0, 0x800000000000008full);
	cpus_are("64,1023", 0, 0); /* none that a guest has */
	cpus_are("1,64-1023", 0, 2);
	cpus_are("1024", -EINVAL, 0);
	cpus_are("3-1", -EINVAL, 0);
	cpus_are("1,", -EINVAL, 0);
	cpus_are(",1", -EINVAL, 0);
	cpus_are("1 2", -EINVAL, 0);
	cpus_are("", -EINVAL, 0);
	cpus_are("-1", -EINVAL, 0);
	cpus_are("99999999999999999999", -EINVAL, 0);
}

int main(void)
{
	test_scheduler();
	test_io_and_cpus();
	test_version();
	test_required();
	test_no_process();
	test_process();
	test_env();
	test_process_errors();
	test_terminal();
	test_capabilities();
	test_rlimits();
	test_annotations();
	test_load();
	test_leaves();
	test_encode();
	return tap_done();
}
