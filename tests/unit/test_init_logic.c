/* SPDX-License-Identifier: Apache-2.0 */
/* What of coracle-init decides rather than acts: no root needed. tests/init runs the rest. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "init/cgroup.h"
#include "init/child.h"
#include "init/exec.h"
#include "init/fail.h"
#include "init/loop.h"
#include "init/mounts.h"
#include "init/namespaces.h"
#include "init/passwd.h"
#include "init/proc.h"
#include "init/ps.h"
#include "init/relay.h"
#include "init/stats.h"
#include "init/sys.h"
#include "init/sysctl.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "tests/tap.h"

static void test_path_clean(void)
{
	static const char *const cases[][2] = {
		{"/", "/"},
		{"", "/"},
		{"/a/b", "/a/b"},
		{"//a/./b/", "/a/b"},
		{"/a/../b", "/b"},
		{"/../../x", "/x"},
		{"/a/b/../..", "/"},
		{"a", "/a"},
		{"/a/..b/...", "/a/..b/..."},
	};
	static char deep[3 * PATH_BYTES];
	char out[PATH_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		eq_int(path_clean(cases[i][0], out), 0, cases[i][0]);
		eq_str(out, cases[i][1], "cleaned");
	}
	memset(deep, 'a', sizeof(deep) - 1);
	eq_int(path_clean(deep, out), -ENAMETOOLONG, "a name too long");
	for (size_t i = 0; i < sizeof(deep) - 1; i += 2)
		deep[i] = '/';
	eq_int(path_clean(deep, out), -ENAMETOOLONG, "a path too long");
}

static void test_mount_flags(void)
{
	uint64_t set, clr;

	eq_int(mount_attrs(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, 0, &set, &clr), 0,
		"the usual");
	eq_int(set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		"set");
	eq_int(clr, 0, "none cleared");
	eq_int(mount_attrs(MS_NOATIME | MS_NODIRATIME, MS_NOSUID | MS_NODEV, &set, &clr), 0,
		"negatives");
	eq_int(set, MOUNT_ATTR_NOATIME | MOUNT_ATTR_NODIRATIME, "set");
	eq_int(clr, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR__ATIME,
		"cleared; atime as a field");
	eq_int(mount_attrs(0, MS_NOATIME, &set, &clr), 0, "atime");
	ok(set == 0 && clr == MOUNT_ATTR__ATIME, "is relatime");
	mount_attrs(MS_NOATIME | MS_STRICTATIME, 0, &set, &clr);
	eq_int(set, MOUNT_ATTR_STRICTATIME, "strictatime wins over noatime");
	mount_attrs(MS_RDONLY, MS_RDONLY, &set, &clr);
	ok(set == MOUNT_ATTR_RDONLY && !clr, "what is set is not cleared");
	eq_int(mount_attrs(MS_SYNCHRONOUS | MS_LAZYTIME | MS_SILENT, 0, &set, &clr), 0,
		"of the file system");
	eq_int(set, 0, "no attribute");
	eq_int(mount_attrs(MS_BIND, 0, &set, &clr), -EINVAL, "MS_BIND has no business here");
	eq_int(mount_attrs(0, 1ull << 40, &set, &clr), -EINVAL, "an unknown bit");
}

static void test_mount_words(void)
{
	ok(mount_has_option("size=1m,mode=755", "mode"), "an option with a value");
	ok(mount_has_option("ro,mode", "mode"), "without");
	ok(!mount_has_option("xmode=1,mode2=3", "mode"), "not a part of another");
	ok(!mount_has_option("", "mode"), "of none");
	ok(!mount_inside_proc("/proc"), "/proc itself");
	ok(!mount_inside_proc("/process/x"), "a name that starts alike");
	ok(!mount_inside_proc("/proc/meminfo"), "lxcfs");
	ok(mount_inside_proc("/proc/self/attr"), "inside /proc");
}

static void test_keys(void)
{
	char out[64], small[12];

	ok(sysctl_key_ok("net/ipv4/ip_forward") && sysctl_key_ok("a") &&
			sysctl_key_ok("net/eth0.1/..x"),
		"keys");
	ok(!sysctl_key_ok("") && !sysctl_key_ok("/a") && !sysctl_key_ok("a/") &&
			!sysctl_key_ok("a//b"),
		"empty names");
	ok(!sysctl_key_ok("..") && !sysctl_key_ok("a/../b") && !sysctl_key_ok("./a"), "dots");
	cgroup_enable_text("cpu memory pids\n", out, sizeof(out));
	eq_str(out, "+cpu +memory +pids", "controllers");
	cgroup_enable_text("\n", out, sizeof(out));
	eq_str(out, "", "none");
	cgroup_enable_text("cpu memory pids", small, sizeof(small));
	eq_str(small, "+cpu", "only whole names fit");
}

static int put_file(int dir, const char *name, const char *value)
{
	const struct gkeyval kv = {.key = name, .value = value};
	struct err err = ERR_INIT;

	return cgroup_put(dir, &kv, &err);
}

/* In a directory of plain files. */
static void test_cgroup_put(void)
{
	char dir[] = "/tmp/test_init_logic.XXXXXX";
	autofd int fd = -1;

	BUG_ON(!mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	eq_int(put_file(fd, "hugetlb.1GB.max", "0"), -ENOENT, "no controller of huge pages");
	close(openat(fd, "hugetlb.2MB.max", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	eq_int(put_file(fd, "hugetlb.2MB.max", "0"), 0, "a page size that is there");
	eq_int(put_file(fd, "hugetlb.1GB.max", "0"), 0, "one that is not: its limit is met");
	eq_int(put_file(fd, "memory.max", "0"), -ENOENT, "another file that is not there");
	unlinkat(fd, "hugetlb.2MB.max", 0);
	rmdir(dir);
}

static void test_status(void)
{
	uint32_t signo;

	eq_int(exit_status_of(0, &signo), 0, "exit 0");
	eq_int(exit_status_of(255 << 8, &signo), 255, "exit 255");
	eq_int(signo, 0, "no signal");
	eq_int(exit_status_of(SIGSEGV | 0x80, &signo), 139, "a signal, with core");
	eq_int(signo, SIGSEGV, "its number");
}

static void test_texts(void)
{
	struct err e = ERR_INIT;
	char out[PROTO_TEXT_MAX], big[2 * PROTO_TEXT_MAX];

	eq_int(fail(&e, ENOENT, "open %s", "x"), -ENOENT, "fail()");
	eq_str(e.msg, "open x: no such file or directory", "in runc's lower case");
	eq_str(errno_text(ELOOP), "too many levels of symbolic links",
		"one that musl words otherwise");
	memset(big, 'x', sizeof(big));
	big[1] = '\n';
	big[2] = '\x1b';
	big[3] = '\xc3';
	big[sizeof(big) - 1] = '\0';
	text_copy(out, big);
	eq_int(strlen(out), PROTO_TEXT_MAX - 1, "a text is cut to the message");
	ok(!strncmp(out, "x??\xc3x", 5), "and has no control characters");
}

static char *home_of(const char *passwd, uint32_t uid)
{
	static char home[32];
	autofd int fd = memfd_with("passwd", passwd, strlen(passwd), 0);

	passwd_home(fd, uid, home, sizeof(home));
	return home;
}

static void test_passwd(void)
{
	static char long_line[6000] = "u:x:5:";

	eq_str(home_of("root:x:0:0:root:/root:/bin/sh\na:x:5:5::/a:/x\nb:x:5:5::/b:/x\n", 5), "/a",
		"the first");
	eq_str(home_of("a:x:5:5::/a:/x", 5), "/a", "no newline at the end");
	eq_str(home_of("a:x:5:5::/a:/x", 6), "/", "not there");
	eq_str(home_of("a:x:5:5:::/x\n", 5), "/", "no home");
	eq_str(home_of("a:x:5:5\n:::\n\n::5x:::/c:\na:x:+5:5::/d:\na:x:4294967301:5::/e:\n", 5),
		"/", "broken lines");
	eq_str(home_of("a:x::5::/a:\n", 0), "/", "no uid is not 0");
	eq_str(home_of("a:x:5:5::/a:b:c:d:e\n", 5), "/a", "too many fields");
	memset(long_line + 6, 'y', sizeof(long_line) - 7);
	strcpy(long_line + 5900, ":/z:\nv:x:5:5::/v:\n");
	eq_str(home_of(long_line, 5), "/v", "a line too long is skipped whole");
	eq_str(home_of("a:x:5:5::/0123456789012345678901234567890123456789:\n", 5), "/",
		"a home too long");
	eq_str(home_of("", 0), "/", "empty");
}

static void test_exec_find(void)
{
	char dir[] = "/tmp/coracle-exec-XXXXXX", path[PATH_BYTES], env_path[256], cmd[128];
	const char *vars[] = {"PATH=/bin", env_path};
	struct gstrv env = {2, vars};
	struct err e = ERR_INIT;

	if (!ok(mkdtemp(dir) != NULL && chdir(dir) == 0, "a directory"))
		return;
	ok(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0 && mkdir("a/prog", 0755) == 0,
		"directories");
	close(open("b/prog", O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	close(open("here", O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	snprintf(env_path, sizeof(env_path), "PATH=%s/a::%s/b:", dir, dir);
	eq_int(exec_find("prog", &env, path, &e), 0, "found along PATH, past a directory");
	ok(strstr(path, "/b/prog") != NULL, "there");
	eq_int(exec_find("here", &env, path, &e), 0, "an empty entry is the working directory");
	eq_str(path, "./here", "there");
	eq_int(exec_find("b/prog", &env, path, &e), 0, "a slash: no search");
	eq_str(path, "b/prog", "itself");
	eq_int(exec_find("a/prog", &env, path, &e), -EISDIR, "a directory");
	eq_int(e.exit_status, 126, "126");
	eq_int(exec_find("b/prog/x", &env, path, &e), -ENOTDIR, "below a file");
	eq_str(e.msg, "exec: \"b/prog/x\": stat b/prog/x: not a directory", "text");
	env.n = 0;
	eq_int(exec_find("sh", &env, path, &e), 0, "no PATH: the default");
	eq_int(exec_find("prog", &env, path, &e), -ENOENT, "which this is not on");
	eq_int(e.exit_status, 127, "127");
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	ok(chdir("/") == 0 && system(cmd) == 0, "removed");
}

/* path_make() in a directory that is not this machine's root: the kernel confines it. */
static void test_path_make(void)
{
	char dir[] = "/tmp/coracle-path-XXXXXX", cmd[128];
	autofd int root = -1, fd = -1;
	struct stat st;
	bool made;

	if (!ok(mkdtemp(dir) != NULL && chdir(dir) == 0 && mkdir("root", 0755) == 0, "a root"))
		return;
	root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ok(symlink("../../../out", "root/up") == 0 && symlink("/abs/dir", "root/abslink") == 0 &&
			symlink("self", "root/self") == 0 && symlink(dir, "root/host") == 0,
		"links");
	fd = path_make(root, "/up/x/y", true, &made);
	ok(fd >= 0 && made && !stat("root/out/x/y", &st), "a link that points out leads inside");
	close_fd(&fd);
	fd = path_make(root, "/abslink/f", false, &made);
	ok(fd >= 0 && !stat("root/abs/dir/f", &st) && S_ISREG(st.st_mode),
		"a file behind an absolute link");
	close_fd(&fd);
	fd = path_make(root, "/abslink/f", false, &made);
	ok(fd >= 0 && !made, "the second time it is there");
	close_fd(&fd);
	fd = path_make(root, "/abslink/f/g", true, &made);
	eq_int(fd, -ENOTDIR, "below a file");
	eq_int(path_make(root, "/self/x", true, &made), -ELOOP, "a loop");
	fd = path_make(root, "/host/x", true, &made);
	ok(fd >= 0 && stat("x", &st) < 0, "a link to a directory of the host is not one");
	close_fd(&fd);
	fd = path_make(root, "/../../../q/../r", true, &made);
	ok(fd >= 0 && stat("r", &st) < 0 && !stat("root/r", &st), "dots do not climb out");
	close_fd(&root);
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	ok(chdir("/") == 0 && system(cmd) == 0, "removed");
}

static void test_ps(void)
{
	struct ps_stat st;
	char out[10];

	eq_int(ps_parse_stat(
		       "7 (sh) S 3 7 7 34816 9 4194560 1 2 3 4 50 6 7 8 20 0 1 0 123 9 9", &st),
		0, "a process");
	ok(st.ppid == 3 && st.tty == 34816 && st.ticks == 56 && st.start_ticks == 123,
		"its figures");
	eq_str(st.comm, "sh", "its name");
	eq_str(st.stat, "Ss", "it leads its session");
	ps_parse_stat("7 (sh) S 3 6 6 34816 6 4194560 1 2 3 4 50 6 7 8 20 -5 9 0 123 9 9", &st);
	eq_str(st.stat, "S<l+", "urgent, with threads, in the foreground");
	eq_int(ps_parse_stat("7 (a) Z 9 (\n) R 4 7 7 0 9 1 1 2 3 4 5 6 7 8 20 0 1 0 1 9", &st), 0,
		"a name that looks like more");
	ok(st.ppid == 4 && !strcmp(st.comm, "a) Z 9 (?"), "is only a name");
	eq_int(ps_parse_stat("7 (sh) S 3 7 7 0", &st), -EINVAL, "cut");
	eq_int(ps_parse_stat("", &st), -EINVAL, "nothing");
	eq_int(ps_parse_stat("7 )(", &st), -EINVAL, "no name");
	eq_int(ps_parse_stat("7 (x)", &st), -EINVAL, "nothing after it");
	eq_int(ps_status_number("Name:\tUid: 9\nUid:\t1\t2\t3\t4\nGid:\t5\n", "Uid", 1), 2, "uid");
	eq_int(ps_status_number("NSpid:\t100\n", "NSpid", 1), 0, "in no namespace below");
	eq_int(ps_status_number("NSpid:\t100\t17\t1\n", "NSpid", 1), 17, "in one");
	eq_int(ps_status_number("Name:\tx\n", "NSpid", 0), 0, "no such line");
	ps_args("sh\0-c\0x\ny\0\0", 10, out, sizeof(out));
	eq_str(out, "sh -c x?y", "arguments");
	ps_args("0123456789abc", 13, out, sizeof(out));
	eq_str(out, "012345678", "are cut");
	ps_args("", 0, out, sizeof(out));
	eq_str(out, "", "there may be none");
}

static void test_stats_value(void)
{
	static const char text[] = "file_mapped 3\nfile 7\nmax 9\nlimit max\nodd\n";
	uint64_t v = 1;

	ok(stats_value(text, "file", &v) == 0 && v == 7, "a whole key");
	ok(stats_value(text, "max", &v) == 0 && v == 9, "of the name of a value");
	ok(stats_value(text, "limit", &v) == 0 && v == UINT64_MAX, "no limit");
	eq_int(stats_value(text, "fil", &v), -ENOENT, "part of a key");
	eq_int(stats_value(text, "odd", &v), -ENOENT, "no value");
	eq_int(stats_value("", "x", &v), -ENOENT, "nothing");
	ok(stats_value("123\n", NULL, &v) == 0 && v == 123, "one number");
	ok(stats_value("max\n", NULL, &v) == 0 && v == UINT64_MAX, "or none");
	ok(stats_value("MemFree:      12 kB\n", "MemFree:", &v) == 0 && v == 12, "meminfo");
}

static struct relay relay;
static uint8_t relay_buf[64u << 10];

static void start_relay(int in[2], int out[2])
{
	ok(pipe2(in, O_CLOEXEC | O_NONBLOCK) == 0 && pipe2(out, O_CLOEXEC | O_NONBLOCK) == 0,
		"pipes");
	relay_start_take(&relay, in[0], out[1], false, relay_buf, sizeof(relay_buf));
}

static void test_relay(void)
{
	char buf[64];
	int in[2], out[2];

	start_relay(in, out);
	loop_turn(0);
	ok(read(out[0], buf, sizeof(buf)) < 0 && errno == EAGAIN, "nothing from nothing");
	ok(write(in[1], "abc", 3) == 3, "some bytes");
	loop_turn(0);
	ok(read(out[0], buf, sizeof(buf)) == 3 && !memcmp(buf, "abc", 3), "go through");
	ok(fcntl(out[1], F_SETPIPE_SZ, 4096) >= 4096 && write(in[1], relay_buf, 60000) == 60000,
		"more than fits");
	loop_turn(0);
	ok(relay.w_src.fd == -1 && relay.w_dst.events == EPOLLOUT, "then the source waits");
	ok(write(in[1], buf, 10) == 10, "and fills");
	relay_mark(&relay);
	ok(!relay_past_mark(&relay), "there is more to deliver");
	for (int i = 0; i < 2000 && !relay_past_mark(&relay); i++) {
		ok(relay.moved < 60013, "not all is delivered");
		loop_turn(0);
		while (read(out[0], buf, sizeof(buf)) > 0)
			;
	}
	eq_int(relay.moved, 60013, "past the mark once all of it is");
	ok(relay.open, "the writer may go on");
	ok(write(in[1], buf, 10) == 10, "which it does");
	close(in[1]);
	for (int i = 0; i < 100 && relay.open; i++)
		loop_turn(0);
	ok(!relay.open && read(out[0], buf, sizeof(buf)) == 10 && read(out[0], buf, 1) == 0,
		"the end comes after the last byte");
	ok(relay.w_src.fd == -1 && relay.w_dst.fd == -1, "nothing is awaited any more");
	ok(relay_past_mark(&relay), "nothing more will come");
	close(out[0]);

	start_relay(in, out);
	relay_mark(&relay);
	ok(relay_past_mark(&relay), "nothing was there to deliver");
	close(out[0]);
	loop_turn(0);
	ok(!relay.open, "a reader that goes is noticed while idle");
	signal(SIGPIPE, SIG_IGN);
	ok(write(in[1], "x", 1) < 0 && errno == EPIPE, "and the writer is told");
	close(in[1]);
}

/* A child may hold a descriptor of ours when we close it. */
static void test_loop(void)
{
	char buf[4];
	int in[2], out[2], held;

	start_relay(in, out);
	held = dup(in[0]);
	ok(held >= 0, "somebody else has the source, too");
	relay_stop(&relay);
	ok(write(in[1], "x", 1) == 1, "which becomes readable");
	ok(read(out[0], buf, sizeof(buf)) == 0, "the destination has ended");
	for (int i = 0; i < 3; i++)
		ok(loop_turn(0) == 0 && !relay.open, "nothing happens");
	close(held);
	close(in[1]);
	close(out[0]);
}

int main(void)
{
	struct err err = ERR_INIT;

	test_path_clean();
	test_mount_flags();
	test_mount_words();
	test_keys();
	test_cgroup_put();
	test_status();
	test_texts();
	test_passwd();
	test_exec_find();
	test_path_make();
	test_ps();
	test_stats_value();
	if (ok(loop_open(&err) == 0, "the loop")) {
		test_relay();
		test_loop();
	}
	return tap_done();
}
