/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "tests/unit/oci_config.h"

static const char good[] =
	"{\"version\":1,\"ociVersion\":\"1.0.2-dev\",\"id\":\"c1\",\"pid\":123,\"pidStartTicks\":"
	"456,"
	"\"bundle\":\"/b\",\"rootfs\":\"/b/rootfs\",\"created\":\"2026-01-02T03:04:05.000000006Z\","
	"\"owner\":0,\"annotations\":{\"a.b\":\"c\"},"
	"\"hooks\":{\"poststop\":[{\"path\":\"/h\",\"args\":[\"h\"]}]},\"memoryBytes\":67108864,"
	"\"cgroups\":[\"/sys/fs/cgroup/..a/b\",\"/c\"],\"scope\":\"x.scope\"}";

static struct err err;

static int parse(struct cstate *s, const char *text)
{
	err = (struct err)ERR_INIT;
	*s = (struct cstate){0};
	return cstate_parse(s, text, strlen(text), &err);
}

static void refuses(const char *path, const char *value, const char *why)
{
	char *text = config_edit(good, path, value);
	struct cstate s;
	int r = parse(&s, text);

	ok(r < 0 && strstr(err.msg, why) && !s.id, "%s = %s: '%s'", path,
		value ? value : "(absent)", err.msg);
	cstate_release(&s);
	free(text);
}

static void test_parse(void)
{
	static const char *const fields[] = {"version", "ociVersion", "id", "pid", "pidStartTicks",
		"bundle", "rootfs", "created", "owner"};
	struct cstate s;
	char why[64];

	eq_int(parse(&s, good), 0, "a state");
	eq_str(s.oci_version, "1.0.2-dev", "ociVersion");
	eq_str(s.id, "c1", "id");
	eq_int(s.pid, 123, "pid");
	eq_int((intmax_t)s.pid_start_ticks, 456, "its start");
	eq_str(s.bundle, "/b", "bundle");
	eq_str(s.rootfs, "/b/rootfs", "rootfs");
	eq_str(s.created, "2026-01-02T03:04:05.000000006Z", "created");
	eq_int(json_object_object_length(s.annotations), 1, "annotations");
	cstate_release(&s);
	cstate_release(&s);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		snprintf(why, sizeof(why), "state.json: %s is missing", fields[i]);
		refuses(fields[i], NULL, why);
		snprintf(why, sizeof(why), "state.json: %s: expected", fields[i]);
		refuses(fields[i], "1.5", why);
	}
	refuses("version", "2", "state.json: version 2 of the format; this is 1");
	refuses("ociVersion", "\"x\"", "ociVersion: not a version");
	refuses("id", "\"../x\"", "state.json: id: invalid container ID format");
	refuses("pid", "-1", "state.json: pid: expected an integer from 0");
	refuses("pid", "2147483648", "state.json: pid: expected");
	refuses("bundle", "\"b\"", "bundle: expected an absolute path");
	refuses("rootfs", "\"\"", "rootfs: expected an absolute path");
	refuses("owner", "4294967296", "state.json: owner: expected");
	refuses("created", "\"yesterday\"", "created: expected a time");
	refuses("created", "\"2026-01-02T03:04:05\"", "created: expected a time");
	refuses("created", "\"2026-01-02T03:04:05.Z\"", "created: expected a time");
	refuses("created", "\"2026-01-02T03:04:05.0000000001Z\"", "created: expected a time");
	refuses("created", "\"2026-01-02T03:04:05+01:00\"", "created: expected a time");
	refuses("annotations", "{\"a\":1}", "state.json: annotations.a: expected a string");
	refuses("annotations", "[]", "state.json: annotations: expected an object");
	refuses("hooks", "[]", "state.json: hooks: expected an object");
	refuses("hooks", "{\"poststop\":[{\"path\":\"x\"}]}", "poststop[0]: path: expected");
	refuses("memoryBytes", "-1", "state.json: memoryBytes: expected");
	refuses("cgroups", "\"/x\"", "state.json: cgroups: expected an array");
	refuses("cgroups", "[\"x\"]", "state.json: cgroups[0]: expected a plain absolute path");
	refuses("cgroups", "[\"/a/..\"]", "expected a plain absolute path");
	refuses("cgroups", "[\"/a/../b\"]", "expected a plain absolute path");
	refuses("cgroups", "[\"/a//b\"]", "expected a plain absolute path");
	refuses("cgroups", "[\"/\"]", "expected a plain absolute path");
	refuses("cgroups", "[\"/a/./b\"]", "expected a plain absolute path");
	refuses("scope", "1", "state.json: scope: expected a string");
	eq_int(parse(&s, "{\"version\":1,\"version\":1}"), -EINVAL, "a key twice");
	has_str(err.msg, "state.json:1:14: duplicate key 'version'");
	eq_int(parse(&s, ""), -EINVAL, "an empty file");
}

static void test_ids(void)
{
	static const char *const bad[] = {
		"", ".", "..", "a/b", "a b", "\xc3\xa9", "a\n", "a:b", "../x", "*"};
	static const char *const fine[] = {"a", "A-b_c+d.9", "...", ".a", "-"};
	char longest[STATE_ID_MAX + 2] = "";

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(cstate_check_id(bad[i], &err) == -EINVAL, "bad id number %zu", i);
	for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
		eq_int(cstate_check_id(fine[i], &err), 0, fine[i]);
	memset(longest, 'x', STATE_ID_MAX);
	eq_int(cstate_check_id(longest, &err), 0, "the longest id");
	longest[STATE_ID_MAX] = 'x';
	eq_int(cstate_check_id(longest, &err), -EINVAL, "a longer one");
}

static void test_files(void)
{
	char path[] = "/tmp/test_state.XXXXXX";
	struct cstate s, t;
	struct stat st;
	int dir, fd;

	BUG_ON(!mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	eq_int(cstate_read(&t, dir, &err), -ENOENT, "no state yet");
	parse(&s, good);
	eq_int(cstate_write(&s, dir, &err), 0, "written");
	eq_int(fstatat(dir, "state.json", &st, 0), 0, "it is there");
	eq_int(st.st_mode & 0777, 0600, "for its owner only");
	eq_int(cstate_read(&t, dir, &err), 0, "read back");
	eq_str(t.id, s.id, "the same id");
	eq_str(t.created, s.created, "the same time");
	eq_int(t.pid, s.pid, "the same pid");
	ok(json_object_equal(t.annotations, s.annotations), "the same annotations");
	ok(json_object_equal(t.hooks, s.hooks), "the same hooks");
	ok(t.memory_bytes == s.memory_bytes && t.memory_bytes == 64 << 20, "the same memory");
	ok(t.n_cgroups == 2 && !strcmp(t.cgroups[0], "/sys/fs/cgroup/..a/b") &&
			!strcmp(t.cgroups[1], "/c"),
		"the same cgroups");
	eq_str(t.scope, "x.scope", "the same scope");
	cstate_release(&t);
	/* what a crash in the middle leaves behind is in nobody's way */
	fd = openat(dir, "state.json.tmp", O_WRONLY | O_CREAT, 0);
	close(fd);
	s.pid = 99;
	eq_int(cstate_write(&s, dir, &err), 0, "written again");
	eq_int(cstate_read(&t, dir, &err), 0, "read again");
	eq_int(t.pid, 99, "the new state");
	cstate_release(&t);
	eq_int(faccessat(dir, "state.json.tmp", F_OK, 0), -1, "no temporary file stays");
	unlinkat(dir, "state.json", 0);
	BUG_ON(mkdirat(dir, "state.json", 0700));
	ok(cstate_write(&s, dir, &err) < 0, "a directory in the way");
	has_str(err.msg, "cannot rename state.json.tmp to state.json");
	eq_int(faccessat(dir, "state.json.tmp", F_OK, 0), -1, "leaves no temporary file either");
	cstate_release(&s);
	unlinkat(dir, "state.json", AT_REMOVEDIR);
	close(dir);
	rmdir(path);
}

/* What could not be read again is not written. */
static void test_unreadable(void)
{
	char dir[] = "/tmp/coracle-state-XXXXXX", longest[4200];
	int fd = open(mkdtemp(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct cstate s;
	char *rootfs;

	eq_int(parse(&s, good), 0, "a state");
	rootfs = s.rootfs;
	eq_int(cstate_check(&s, &err), 0, "it could be kept");
	s.rootfs = strdup("/bundle/\xff\xfe");
	ok(cstate_check(&s, &err) < 0, "a path that is not UTF-8");
	has_str(err.msg, "cannot keep the container's state: state.json");
	free(s.rootfs);
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[4096] = '\0';
	s.rootfs = longest;
	err = (struct err)ERR_INIT;
	ok(cstate_write(&s, fd, &err) < 0, "a path of 4,096 bytes");
	has_str(err.msg, "state.json: rootfs:");
	longest[4095] = '\0';
	eq_int(cstate_write(&s, fd, &err), 0, "one of 4,095");
	s.rootfs = rootfs;
	cstate_release(&s);
	eq_int(cstate_read(&s, fd, &err), 0, "is read again");
	eq_int(strlen(s.rootfs), 4095, "whole");
	cstate_release(&s);
	unlinkat(fd, STATE_FILE, 0);
	ok(rmdir(dir) == 0, "nothing else was written");
	close(fd);
}

static void test_pid(void)
{
	struct cstate s = {0};
	uint64_t ticks = 0;
	struct rlimit limit, none;
	siginfo_t info;
	bool alive;
	pid_t pid;
	int r;

	eq_int(cstate_pid_start(getpid(), &ticks), 0, "our own start");
	ok(ticks > 0, "is some time after the machine's");
	ok(!cstate_pid_alive(&s), "no pid is not alive");
	s.pid = getpid();
	ok(!cstate_pid_alive(&s), "another process with our pid is not us");
	s.pid_start_ticks = ticks;
	ok(cstate_pid_alive(&s), "we are alive");
	pid = fork();
	if (!pid)
		_exit(0);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	eq_int(cstate_pid_start(pid, &s.pid_start_ticks), 0, "a zombie has a start");
	s.pid = pid;
	ok(!cstate_pid_alive(&s), "but is not alive");
	waitpid(pid, NULL, 0);
	eq_int(cstate_pid_start(pid, &ticks), -ESRCH, "no such process");
	ok(!cstate_pid_alive(&s), "not alive");
	eq_int(cstate_pid_start(-1, &ticks), -ESRCH, "-1 is no process");
	s.pid = getpid();
	getrlimit(RLIMIT_NOFILE, &limit);
	none = limit;
	none.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &none);
	r = cstate_pid_start(getpid(), &ticks);
	alive = cstate_pid_alive(&s);
	setrlimit(RLIMIT_NOFILE, &limit);
	eq_int(r, -EMFILE, "no descriptor is left to look");
	ok(alive, "who may be alive counts as alive");
}

static char *printed(int (*print)(FILE *, const struct cstate_row *, size_t),
	const struct cstate_row *rows, size_t n)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	eq_int(print(f, rows, n), 0, "printed");
	fclose(f);
	return text;
}

static void test_output(void)
{
	struct cstate s, t;
	struct cstate_row rows[2] = {{&s, "running"}, {&t, "stopped"}};
	struct json_object *o;
	char *text;

	parse(&s, good);
	parse(&t, good);
	json_object_put(t.annotations);
	t.annotations = NULL;
	t.owner = 4294967294u;
	o = cstate_json(&s, "running");
	eq_str(json_object_to_json_string_ext(
		       o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
		"{\"ociVersion\":\"1.0.2-dev\",\"id\":\"c1\",\"pid\":123,\"status\":\"running\","
		"\"bundle\":\"/b\","
		"\"rootfs\":\"/b/rootfs\",\"created\":\"2026-01-02T03:04:05.000000006Z\","
		"\"annotations\":{\"a.b\":\"c\"},\"owner\":\"\"}",
		"runc's state");
	json_object_put(o);
	text = printed(cstate_list_json, rows, 2);
	eq_str(text,
		"[{\"ociVersion\":\"1.0.2-dev\",\"id\":\"c1\",\"pid\":123,\"status\":\"running\","
		"\"bundle\":\"/b\","
		"\"rootfs\":\"/b/rootfs\",\"created\":\"2026-01-02T03:04:05.000000006Z\","
		"\"annotations\":{\"a.b\":\"c\"},\"owner\":\"root\"},"
		"{\"ociVersion\":\"1.0.2-dev\",\"id\":\"c1\",\"pid\":0,\"status\":\"stopped\","
		"\"bundle\":\"/b\","
		"\"rootfs\":\"/b/rootfs\",\"created\":\"2026-01-02T03:04:05.000000006Z\","
		"\"owner\":\"#4294967294\"}]\n",
		"runc's list");
	free(text);
	text = printed(cstate_list_json, rows, 0);
	eq_str(text, "null\n", "no containers");
	free(text);
	text = printed(cstate_list_table, rows, 2);
	eq_str(text,
		"ID          PID         STATUS      BUNDLE      CREATED                          "
		"OWNER\n"
		"c1          123         running     /b          2026-01-02T03:04:05.000000006Z   "
		"root\n"
		"c1          0           stopped     /b          2026-01-02T03:04:05.000000006Z   "
		"#4294967294\n",
		"runc's table");
	free(text);
	cstate_set_created(&s);
	eq_int(strlen(s.created), 30, "a time with nanoseconds");
	o = cstate_json(&s, "created");
	json_object_put(o);
	cstate_release(&s);
	cstate_release(&t);
}

int main(void)
{
	test_parse();
	test_ids();
	test_files();
	test_unreadable();
	test_pid();
	test_output();
	return tap_done();
}
