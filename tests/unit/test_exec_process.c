/* SPDX-License-Identifier: Apache-2.0 */
/* What exec runs: process.json, or config.json's process with the command line's part. */
#include "oci/exec_process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"

static char warnings[1024];

static void note_warning(void *arg, const char *msg)
{
	snprintf(warnings + strlen(warnings), sizeof(warnings) - strlen(warnings), "%s\n", msg);
}

static const struct spec_opts strict = {.allow_terminal = true, .warn = note_warning};
static const struct spec_opts lenient = {
	.lenient = true, .allow_terminal = true, .warn = note_warning};

static int read_text(
	struct exec_process *p, const char *text, const struct spec_opts *opts, struct err *err)
{
	autofd int fd = memfd_with("process", text, strlen(text), 0);

	*err = (struct err)ERR_INIT;
	warnings[0] = '\0';
	return exec_process_read(p, fd, opts, err);
}

static void test_file(void)
{
	static const char text[] =
		"{\"terminal\":true,\"consoleSize\":{\"height\":10,\"width\":110},\"cwd\":\"/w\","
		"\"args\":[\"a\",\"b\"],\"env\":[\"X=1\"],\"user\":{\"uid\":7,\"gid\":8},"
		"\"noNewPrivileges\":true}";
	struct exec_process p;
	struct err err;
	int fd[2];

	eq_int(read_text(&p, text, &strict, &err), 0, "a whole process.json");
	ok(p.proc.args.n == 2 && !strcmp(p.proc.args.v[1], "b") && !p.proc.args.v[2], "args");
	ok(p.proc.flags & GPROC_TERMINAL && p.proc.rows == 10 && p.proc.cols == 110, "terminal");
	ok(p.proc.uid == 7 && p.proc.gid == 8 && p.proc.flags & GPROC_NO_NEW_PRIVS, "user");
	exec_process_release(&p);

	ok(pipe2(fd, O_CLOEXEC) == 0 && write_full(fd[1], text, strlen(text)) == 0, "a pipe");
	close(fd[1]);
	eq_int(exec_process_read(&p, fd[0], &strict, &err), 0, "a pipe is read like a file");
	exec_process_release(&p);
	close(fd[0]);
}

static void refuses(const char *text, const char *why)
{
	struct exec_process p;
	struct err err;

	ok(read_text(&p, text, &strict, &err) < 0, "refused: %s", text);
	has_str(err.msg, why);
	exec_process_release(&p);
}

static void test_file_wrong(void)
{
	struct exec_process p;
	struct err err;

	refuses("", "process.json");
	refuses("[]", "process.json");
	refuses("{\"cwd\":\"/\"}", "args is missing");
	refuses("{\"args\":[\"a\"]}", "cwd is missing");
	refuses("{\"args\":[\"a\"],\"cwd\":\"w\"}", "expected an absolute path");
	refuses("{\"args\":[\"a\"],\"cwd\":\"/\",\"apparmorProfile\":\"x\"}", "apparmorProfile");
	eq_int(read_text(&p, "{\"args\":[\"a\"],\"cwd\":\"/\",\"apparmorProfile\":\"x\"}", &lenient,
		       &err),
		0, "lenient");
	ok(strstr(warnings, "apparmorProfile"), "warned of %s", "apparmorProfile");
	exec_process_release(&p);
}

static const char config[] =
	"{\"ociVersion\":\"1.0.2\",\"hooks\":7,\"process\":{\"terminal\":true,\"cwd\":\"/c\","
	"\"args\":[\"init\"],\"env\":[\"A=1\",\"B=2\"],\"user\":{\"uid\":1,\"gid\":2,"
	"\"additionalGids\":[3]},\"capabilities\":{\"bounding\":[\"CAP_KILL\"],"
	"\"inheritable\":[\"CAP_CHOWN\"]}}}";

/* From a bundle that holds `config`. */
static int from_bundle(struct exec_process *p, const struct exec_overrides *o,
	const struct spec_opts *opts, struct err *err)
{
	char dir[] = "/tmp/coracle-exec-XXXXXX";
	autofd int dir_fd = -1;
	autofd int fd = -1;
	int r;

	*err = (struct err)ERR_INIT;
	warnings[0] = '\0';
	ok(mkdtemp(dir) && (dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC)) >= 0, "a bundle");
	fd = openat(dir_fd, "config.json", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	write_full(fd, config, strlen(config));
	r = exec_process_from_bundle(p, dir_fd, o, opts, err);
	unlinkat(dir_fd, "config.json", 0);
	rmdir(dir);
	return r;
}

static void test_bundle(void)
{
	const char *const args[] = {"sh", "-c", "x"};
	const char *const env[] = {"C=3", "A=4"};
	const char *const gids[] = {"100", "65534"};
	const char *const caps[] = {"CAP_NET_RAW", "CAP_CHOWN", "CAP_NOSUCH"};
	struct exec_overrides o = {.args = {args, 3}};
	struct exec_process p;
	struct err err;

	eq_int(from_bundle(&p, &o, &strict, &err), 0, "args alone");
	ok(p.proc.args.n == 3 && !strcmp(p.proc.args.v[0], "sh") && !p.proc.args.v[3], "args");
	ok(!strcmp(p.proc.cwd, "/c") && p.proc.env.n == 2 && p.proc.uid == 1 && p.proc.gid == 2 &&
			p.proc.n_groups == 1,
		"the rest is config.json's");
	ok(!(p.proc.flags & (GPROC_TERMINAL | GPROC_NO_NEW_PRIVS)), "no terminal without -t");
	exec_process_release(&p);

	o = (struct exec_overrides){.args = {args, 1},
		.cwd = "/tmp",
		.user = "1000:1001",
		.env = {env, 2},
		.gids = {gids, 2},
		.caps = {caps, 3},
		.no_new_privs = true,
		.terminal = true};
	eq_int(from_bundle(&p, &o, &strict, &err), 0, "everything");
	ok(p.proc.env.n == 3 && !strcmp(p.proc.env.v[2], "A=4") && !p.proc.env.v[3],
		"env added, and A given anew");
	eq_str(p.proc.cwd, "/tmp", "cwd");
	ok(p.proc.uid == 1000 && p.proc.gid == 1001, "user");
	ok(p.proc.n_groups == 3 && p.proc.groups[0] == 3 && p.proc.groups[2] == 65534, "groups");
	ok(p.proc.flags & GPROC_TERMINAL && p.proc.flags & GPROC_NO_NEW_PRIVS, "flags");
	ok(p.proc.caps[GCAP_BOUNDING] == (BIT64(0) | BIT64(5) | BIT64(13)) &&
			p.proc.caps[GCAP_EFFECTIVE] == (BIT64(0) | BIT64(13)) &&
			p.proc.caps[GCAP_PERMITTED] == (BIT64(0) | BIT64(13)) &&
			p.proc.caps[GCAP_INHERITABLE] == BIT64(0) &&
			p.proc.caps[GCAP_AMBIENT] == BIT64(0),
		"capabilities: an ambient one only if it is inheritable");
	ok(strstr(warnings, "CAP_NOSUCH"), "warned of %s", "CAP_NOSUCH");
	exec_process_release(&p);
}

static void bundle_refuses(const struct exec_overrides *o, const char *why)
{
	struct exec_process p;
	struct err err;

	ok(from_bundle(&p, o, &strict, &err) < 0, "refused: %s", why);
	has_str(err.msg, why);
	exec_process_release(&p);
}

static void test_bundle_wrong(void)
{
	static const char *const bad_users[] = {
		"root", "1:", ":1", "1:x", "-1", "4294967295", "99999999999", "1 ", "+1"};
	const char *const args[] = {"sh"}, *const no_name[] = {"=x"}, *const no_eq[] = {"x"};
	const char *const gids[] = {"-1"};
	struct exec_process p;
	struct err err;

	bundle_refuses(&(struct exec_overrides){0}, "process args cannot be empty");
	bundle_refuses(&(struct exec_overrides){.args = {args, 1}, .env = {no_name, 1}},
		"--env: expected NAME=VALUE");
	bundle_refuses(&(struct exec_overrides){.args = {args, 1}, .env = {no_eq, 1}},
		"--env: expected NAME=VALUE");
	bundle_refuses(&(struct exec_overrides){.args = {args, 1}, .cwd = "w"},
		"must be an absolute path");
	bundle_refuses(&(struct exec_overrides){.args = {args, 1}, .gids = {gids, 1}},
		"additional-gids must be a positive number -1");
	bundle_refuses(&(struct exec_overrides){.args = {args, 1}, .apparmor = "x"}, "no AppArmor");
	bundle_refuses(&(struct exec_overrides){.args = {args, 1}, .label = "x"}, "no SELinux");
	for (size_t i = 0; i < ARRAY_SIZE(bad_users); i++)
		bundle_refuses(&(struct exec_overrides){.args = {args, 1}, .user = bad_users[i]},
			"as int for");
	eq_int(from_bundle(&p,
		       &(struct exec_overrides){.args = {args, 1}, .apparmor = "unconfined"},
		       &strict, &err),
		0, "no confinement asked for");
	exec_process_release(&p);
	eq_int(from_bundle(&p, &(struct exec_overrides){.args = {args, 1}, .label = "x"}, &lenient,
		       &err),
		0, "lenient");
	ok(strstr(warnings, "selinuxLabel"), "warned of %s", "selinuxLabel");
	exec_process_release(&p);
}

static void test_encode(void)
{
	static uint8_t mem[65536];
	struct exec_process p;
	struct gproc got;
	const char *what;
	uint8_t *buf;
	struct err err;
	size_t len;

	eq_int(read_text(&p, "{\"args\":[\"a\"],\"cwd\":\"/\"}", &strict, &err), 0, "a process");
	eq_int(exec_process_encode(&p, &buf, &len, &err), 0, "encoded");
	struct rbuf b = rbuf_of(buf, len);
	struct garena arena = {.mem = mem, .cap = sizeof(mem)};
	eq_int(gproc_decode(&b, &arena, &got, &what), 0, "and decoded");
	eq_str(got.args.v[0], "a", "the same");
	free(buf);
	exec_process_release(&p);
}

int main(void)
{
	test_file();
	test_file_wrong();
	test_bundle();
	test_bundle_wrong();
	test_encode();
	return tap_done();
}
