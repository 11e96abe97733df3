/* SPDX-License-Identifier: Apache-2.0 */
/* What the container's first process sees of what the spec asked for. */
#include <errno.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/init/harness.h"
#include "tests/tap.h"

/* has_str() for an expression that runs a container: evaluates it once. */
static void says(const char *text, const char *part)
{
	if (!ok(strstr(text, part) != NULL, "says '%.*s'", (int)strcspn(part, "\n"), part))
		printf("# got '%s'\n", text);
}

static void test_basics(void)
{
	struct gspec *s = fresh("echo out; echo err >&2; read x; echo got $x; exit 7");
	struct guest *g = run(s, "line\n");

	ok(g->ready && g->started && g->exited, "ready, started, exited");
	eq_int(g->exit.status, 7, "status");
	eq_int(g->exit.signo, 0, "no signal");
	eq_str(g->out, "out\ngot line\n", "stdin and stdout");
	eq_str(g->errout, "err\n", "stderr");
	ok(g->times.rootfs_ns && g->times.rootfs_ns <= g->times.now_ns, "times");
	eq_str(output(fresh(
		       "hostname; echo $$; grep ^0: /proc/self/cgroup; echo /proc/[0-9]*; pwd")),
		"boat\n1\n0::/\n/proc/1\n/\n", "hostname, pid namespace, cgroup namespace, cwd");
	eq_str(output(fresh("ls / | tr '\\n' ' '; ls /proc/self/fd | tr '\\n' ' '")),
		"bin dev etc proc sys tmp 0 1 2 3 ", "root and descriptors (3 is ls's own)");
	eq_str(output(fresh(
		       "grep -E '^(SigBlk|SigIgn|SigCgt|Seccomp|NoNewPrivs):' /proc/self/status | "
		       "tr -d '\\t\\n'")),
		"SigBlk:0000000000000000SigIgn:0000000000000000SigCgt:0000000000000000"
		"NoNewPrivs:0Seccomp:0",
		"signals as born");
	eq_str(output(fresh("cut -d' ' -f6,7 /proc/1/stat; umask")), "1 0\n0022\n",
		"a session of its own, umask");
}

static void test_user(void)
{
	static const uint32_t groups[] = {7, 4321, 0x7fffffff};
	struct gspec *s =
		fresh("id -u; id -g; id -G; umask; echo hi > /dev/stdout; cat /dev/stdin");
	struct guest *g;

	s->proc.uid = 1000;
	s->proc.gid = 1001;
	s->proc.n_groups = 3;
	s->proc.groups = groups;
	s->proc.umask = 027;
	s->proc.flags |= GPROC_HAS_UMASK | GPROC_NO_NEW_PRIVS;
	g = run(s, "in\n");
	eq_str(g->out, "1000\n1001\n1001 7 4321 2147483647\n0027\nhi\nin\n",
		"user, groups, umask, streams reopened by name");
	s = fresh("grep NoNewPrivs: /proc/self/status");
	s->proc.flags |= GPROC_NO_NEW_PRIVS;
	eq_str(output(s), "NoNewPrivs:\t1\n", "no_new_privs");
	s = fresh("id -G");
	eq_str(output(s), "0\n", "no groups are left over");
}

#define CAPS "grep -E '^Cap' /proc/self/status | tr -d '\\n\\t'"

static void test_caps(void)
{
	struct gspec *s = fresh(CAPS);
	uint64_t *c = s->proc.caps;

	c[GCAP_BOUNDING] = c[GCAP_PERMITTED] = c[GCAP_EFFECTIVE] = 0x20;
	c[GCAP_INHERITABLE] = c[GCAP_AMBIENT] = 0;
	eq_str(output(s),
		"CapInh:0000000000000000CapPrm:0000000000000020CapEff:0000000000000020"
		"CapBnd:0000000000000020CapAmb:0000000000000000",
		"capabilities of root");
	s = fresh(CAPS);
	c = s->proc.caps;
	s->proc.uid = 33;
	c[GCAP_BOUNDING] = 0x421;
	c[GCAP_PERMITTED] = c[GCAP_EFFECTIVE] = c[GCAP_INHERITABLE] = 0x420;
	c[GCAP_AMBIENT] = 0x400;
	eq_str(output(s),
		"CapInh:0000000000000420CapPrm:0000000000000400CapEff:0000000000000400"
		"CapBnd:0000000000000421CapAmb:0000000000000400",
		"a user keeps the ambient ones");
	s = fresh(CAPS);
	s->proc.flags &= ~GPROC_HAS_CAPS;
	eq_str(output(s),
		"CapInh:0000000000000000CapPrm:0000000000000000CapEff:0000000000000000"
		"CapBnd:0000000000000000CapAmb:0000000000000000",
		"none without capabilities in the spec");
	s = fresh(CAPS);
	s->proc.caps[GCAP_AMBIENT] = 0x400; /* not inheritable */
	says(run(s, NULL)->fail.text, "unable to raise ambient capability 10");
}

static void test_limits(void)
{
	static const struct grlimit limits[] = {
		{RLIMIT_NOFILE, 64, 128}, {RLIMIT_CORE, 0, UINT64_MAX}};
	struct gspec *s = fresh("grep -E 'open files|core' /proc/self/limits | tr -s ' '; "
				"cat /proc/self/oom_score_adj");

	s->proc.rlimits = limits;
	s->proc.n_rlimits = 2;
	s->proc.oom_score_adj = 123;
	s->proc.flags |= GPROC_HAS_OOM_SCORE;
	eq_str(output(s),
		"Max core file size 0 unlimited bytes \nMax open files 64 128 files \n123\n",
		"rlimits and the OOM score");
}

static void test_cwd(void)
{
	struct gspec *s = fresh("pwd; stat -c %a .");
	char path[128];

	s->proc.cwd = "/not/there/yet";
	eq_str(output(s), "/not/there/yet\n755\n", "a missing cwd is made");
	s = fresh("pwd");
	snprintf(path, sizeof(path), "%s/rootfs/mine", share_path);
	mkdir(path, 0700);
	if (chown(path, 1000, 1000) < 0)
		ok(false, "chown");
	s->proc.cwd = "/mine";
	s->proc.uid = 1000;
	eq_str(output(s), "/mine\n", "the user's own directory");
	s = fresh("pwd");
	put("rootfs/file", "", 0644);
	s->proc.cwd = "/file";
	eq_str(run(s, NULL)->fail.text,
		"chdir to cwd (\"/file\") set in config.json failed: not a directory",
		"cwd is a file");
	s = fresh("pwd");
	s->proc.cwd = "/proc/self/fd/77";
	says(run(s, NULL)->fail.text, "/proc/self/fd/77");
	s = fresh("pwd");
	s->proc.cwd = "/proc/self/fd/3";
	says(run(s, NULL)->fail.text, "chdir to cwd (\"/proc/self/fd/3\")");
}

static void test_env(void)
{
	static const char *env[] = {"A=1", "B=", "A=2", "HOME=", "PATH=/nowhere:/bin"};
	struct gspec *s = fresh("env | grep -vE '^(SHLVL|PWD|OLDPWD)=' | sort");

	s->proc.env.v = env;
	s->proc.env.n = 5;
	put("rootfs/etc/passwd", "root:x:0:0::/root/home:/bin/sh\nu:x:9:9::/home/u:/bin/sh\n",
		0644);
	eq_str(output(s), "A=2\nB=\nHOME=/root/home\nPATH=/nowhere:/bin\n",
		"environment, HOME from passwd");
	s->proc.env.n = 0;
	s->proc.uid = 9;
	says(output(s), "HOME=/home/u\n");
	s->proc.uid = 10;
	says(output(s), "HOME=/\n");
}

static void exec_case(const char *name, const char *text, int errnum, unsigned status)
{
	static const char *args[2];
	struct gspec *s = fresh("");
	struct guest *g;

	put("rootfs/bin/plain", "x", 0644);
	put("rootfs/bin/rootonly", "#!/bin/sh\n", 0700);
	args[0] = name;
	s->proc.args.v = args;
	s->proc.args.n = 1;
	s->proc.uid = 1000;
	s->proc.flags = 0; /* no capability that overrides modes */
	g = run(s, NULL);
	ok(!g->ready && g->failed, "%s: fails before READY", name);
	eq_str(g->fail.text, text, "runc's text");
	eq_int(g->fail.exit_status, status, "exit status");
	eq_int(g->fail.errnum, errnum, "errno");
}

static void test_exec_errors(void)
{
	static const char *args[] = {"/bin/garbage", NULL};
	struct gspec *s;
	struct guest *g;

	exec_case("nope", "exec: \"nope\": executable file not found in $PATH", ENOENT, 127);
	exec_case("", "exec: \"\": executable file not found in $PATH", ENOENT, 127);
	exec_case("plain", "exec: \"plain\": executable file not found in $PATH", ENOENT, 127);
	exec_case("/x/y", "exec: \"/x/y\": stat /x/y: no such file or directory", ENOENT, 127);
	exec_case("/bin/plain", "exec: \"/bin/plain\": permission denied", EACCES, 126);
	exec_case("/bin/rootonly", "exec: \"/bin/rootonly\": permission denied", EACCES, 126);
	exec_case("/bin", "exec: \"/bin\": is a directory", EISDIR, 126);
	s = fresh("");
	put("rootfs/bin/garbage",
		"\x7f"
		"garbage",
		0755);
	s->proc.args.v = args;
	s->proc.args.n = 1;
	g = run(s, NULL);
	ok(g->ready && g->failed && !g->started, "not a program: READY, then FAILED");
	eq_str(g->fail.text, "exec /bin/garbage: exec format error", "text");
	eq_int(g->fail.exit_status, 126, "status");
	s->proc.args.n = 0;
	g = run(s, NULL);
	ok(g->ready && g->failed && !g->started, "without a process: READY, then FAILED");
	eq_str(g->fail.text, "process is not set: there is nothing to start", "text");
}

static void test_devices(void)
{
	static const struct gdevice devs[] = {
		{"/dev/fuse2", S_IFCHR, 10, 229, 0640, 3, 4},
		{"/dev/sub/fifo", S_IFIFO, 0, 0, 0622, 0, 0},
		{"/dev/zero", S_IFCHR, 1, 5, 0600, 9, 9},
	};
	struct gspec *s = fresh(
		"cd /dev; stat -c '%n %F %a %t,%T %u:%g' null zero full random urandom tty fuse2 "
		"sub/fifo; for l in ptmx fd stdin stdout stderr; do readlink $l; done; head -c 3 "
		"zero | wc -c; echo x > "
		"null");

	s->devices = devs;
	s->n_devices = 3;
	eq_str(output(s),
		"null character special file 666 1,3 0:0\nzero character special file 600 1,5 9:9\n"
		"full character special file 666 1,7 0:0\nrandom character special file 666 1,8 "
		"0:0\n"
		"urandom character special file 666 1,9 0:0\ntty character special file 666 5,0 "
		"0:0\n"
		"fuse2 character special file 640 a,e5 3:4\nsub/fifo fifo 622 0,0 0:0\n"
		"pts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n3\n",
		"devices and links");
}

#define LS_DEV "cd /dev; stat -c '%n %F %a %t,%T' null tty zero; readlink fd; readlink ptmx"

/* A root file system's own /dev, under no mount: what is there stays, what is not is made. */
static void test_own_dev(void)
{
	struct gspec *s = fresh(LS_DEV);
	struct gmount *m = (struct gmount *)(uintptr_t)s->mounts;
	char path[128];

	snprintf(path, sizeof(path), "%s/rootfs/dev", share_path);
	mkdir(path, 0755);
	put("rootfs/dev/zero", "mine", 0640);
	s->n_mounts = 1; /* /proc */
	s->proc.flags |= GPROC_STDIN_NULL;
	eq_str(output(s),
		"null character special file 666 1,3\ntty character special file 666 5,0\n"
		"zero regular file 640 0,0\n/proc/self/fd\npts/ptmx\n",
		"without a mount at /dev");
	s = fresh("ls /dev");
	m = (struct gmount *)(uintptr_t)s->mounts;
	snprintf(path, sizeof(path), "%s/m9", share_path);
	mkdir(path, 0755);
	s->n_mounts = 2;
	m[1] = (struct gmount){.kind = GMOUNT_BIND, .source = "m9", .dest = "/dev", .is_dir = 1};
	eq_str(output(s), "", "a bind at /dev brings its own");
}

static void test_present_devices(void)
{
	struct gdevice dev = {"/file", S_IFCHR, 1, 3, 0600, 9, 9};
	struct gspec *s = fresh("stat -c '%F %a %u' /file");
	char path[128];

	snprintf(path, sizeof(path), "%s/rootfs/file", share_path);
	s->devices = &dev;
	s->n_devices = 1;
	if (mknod(path, S_IFCHR | 0644, makedev(1, 3)) < 0)
		ok(false, "mknod");
	eq_str(output(s), "character special file 644 0\n", "the same device stays as it is");
	dev.minor = 5;
	says(run(s, NULL)->fail.text, "cannot create device node /file: file exists");
	dev = (struct gdevice){"/file", S_IFIFO, 0, 0, 0600, 0, 0};
	says(run(s, NULL)->fail.text, "cannot create device node /file: file exists");
	unlink(path);
	if (symlink("/dev/null", path) < 0)
		ok(false, "symlink");
	dev = (struct gdevice){"/file", S_IFCHR, 1, 3, 0600, 0, 0};
	says(run(s, NULL)->fail.text, "cannot create device node /file: file exists");
}

static void test_closed_paths(void)
{
	static const char *masked[] = {"/proc/interrupts", "/secret", "/etc/dir", "/proc/softirqs",
		"/not/there", "/bin/sh/x", "/etc/dir2"};
	static const char *readonly[] = {"/proc/sys", "/etc", "/absent"};
	struct gspec *s = fresh("cat /secret; ls /etc/dir /etc/dir2; wc -c < /proc/interrupts; "
				"touch /etc/dir/x /etc/x 2>/dev/null || echo ro; "
				"echo 1 > /proc/sys/kernel/msgmax || echo ro; touch /x || echo "
				"rootro; touch /dev/x; "
				"echo x > /secret; wc -c < /proc/softirqs");
	char path[128];

	put("rootfs/secret", "secret\n", 0644);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/rootfs/etc/dir%s", share_path, i ? "2" : "");
		mkdir(path, 0755);
		put(i ? "rootfs/etc/dir2/in" : "rootfs/etc/dir/in", "", 0644);
	}
	s->masked_paths = (struct gstrv){7, masked};
	s->readonly_paths = (struct gstrv){3, readonly};
	s->flags |= GSPEC_ROOT_READONLY;
	eq_str(output(s), "/etc/dir:\n\n/etc/dir2:\n0\nro\nro\nrootro\n0\n",
		"masked, read-only, read-only root");
}

static void test_sysctl(void)
{
	static struct gkeyval kv[] = {{"kernel/msgmax", "4321"}, {"net/ipv4/ip_forward", "1"}};
	struct gspec *s = fresh("cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward");

	kv[0].key = "kernel/msgmax";
	s->sysctls = kv;
	s->n_sysctls = 2;
	eq_str(output(s), "4321\n1\n", "sysctls");
	kv[0].key = "kernel/nope";
	eq_str(run(s, NULL)->fail.text,
		"write sysctl key kernel/nope: /proc/sys/kernel/nope: no such file or directory",
		"an unknown one is named");
	kv[0].key = "kernel/../../self/comm";
	says(run(s, NULL)->fail.text, "\"kernel/../../self/comm\": not the name of a sysctl");
	kv[0].key = "kernel/msgmax";
	kv[0].value = "rubbish";
	says(run(s, NULL)->fail.text,
		"write sysctl key kernel/msgmax: /proc/sys/kernel/msgmax: invalid argument");
	kv[0].value = "4321";
}

static void test_cgroup(void)
{
	/* /dev/zero (1:5) is denied, anything else allowed */
#define INSN(code, dst, src, off, imm) \
	((code) | (dst) << 8 | (src) << 12 | (off) << 16 | UINT64_C(imm) << 32)
	static const uint64_t prog[] = {
		INSN(0x61, 2, 1, 4, 0), /* r2 = major */
		INSN(0x61, 3, 1, 8, 0), /* r3 = minor */
		INSN(0x55, 2, 0, 3, 1), /* if r2 != 1 skip 3 */
		INSN(0x55, 3, 0, 2, 5), /* if r3 != 5 skip 2 */
		INSN(0xb7, 0, 0, 0, 0), /* r0 = 0: denied */
		INSN(0x95, 0, 0, 0, 0), /* exit */
		INSN(0xb7, 0, 0, 0, 1),
		INSN(0x95, 0, 0, 0, 0),
	};
	static const struct gkeyval bad[] = {{"no.such.file", "1"}},
				    slash[] = {{"../cgroup.procs", "1"}};
	static const struct gkeyval good[] = {{"cgroup.max.descendants", "3"}};
	struct gspec *s = fresh("cat /sys/fs/cgroup/cgroup.max.descendants; cat "
				"/sys/fs/cgroup/cgroup.procs | head -n1");

	s->cgfiles = good;
	s->n_cgfiles = 1;
	eq_str(output(s), "3\n1\n", "the container's own cgroup, with its value");
	s->cgfiles = bad;
	says(run(s, NULL)->fail.text,
		"cannot write \"1\" to cgroup file no.such.file: no such file");
	s->cgfiles = slash;
	says(run(s, NULL)->fail.text, "\"../cgroup.procs\" is not a cgroup file");

	s = fresh("head -c1 /dev/zero 2>&1; echo x > /dev/null && echo null; head -c1 /dev/urandom "
		  "| wc -c");
	s->devprog = prog;
	s->n_devprog = 8;
	eq_str(output(s), "head: /dev/zero: Operation not permitted\nnull\n1\n", "device program");
	s->n_devprog = 5;
	says(run(s, NULL)->fail.text, "cannot load the device program");
}

#define OWNERS                                                                                 \
	"cd /sys/fs/cgroup; stat -c '%n %u' . cgroup.procs cgroup.threads "                    \
	"cgroup.subtree_control cgroup.kill cgroup.max.depth | tr '\\n' ' '; mkdir x && echo " \
	"made && rmdir x"

/* config-linux.md, "Cgroup ownership": the user's, when it is mounted to be written to. */
static void test_cgroup_owner(void)
{
	struct gspec *s = fresh(OWNERS);
	struct gmount *m = (struct gmount *)(uintptr_t)s->mounts;

	s->proc.uid = 1000;
	eq_str(output(s),
		". 1000 cgroup.procs 1000 cgroup.threads 1000 cgroup.subtree_control 1000 "
		"cgroup.kill 0 cgroup.max.depth 0 made\n",
		"the user's group");
	s = fresh(OWNERS " 2>/dev/null");
	m[s->n_mounts - 1].flags |= MS_RDONLY;
	s->proc.uid = 1000;
	eq_str(output(s),
		". 0 cgroup.procs 0 cgroup.threads 0 cgroup.subtree_control 0 cgroup.kill 0 "
		"cgroup.max.depth 0 ",
		"not when it is mounted read-only");
	s = fresh(OWNERS " 2>/dev/null");
	s->namespaces &= ~GNS_CGROUP;
	s->proc.uid = 1000;
	says(output(s), ". 0 cgroup.procs 0");
}

/* The start as in a VM, from a tmpfs over the first root; and nothing of it is left in sight. */
static void test_base(void)
{
	static const char *masked[] = {"/tmp", "/bin/busybox.x"};
	struct gspec *s = fresh("cut -d' ' -f2 /proc/self/mounts | tr '\\n' ' '; cat /share /kmsg "
				"2>/dev/null; ls /..");

	agent_in_base = true;
	s->masked_paths = (struct gstrv){2, masked};
	eq_str(output(s),
		"/ /proc /dev /dev/pts /dev/shm /dev/mqueue /sys /sys/fs/cgroup /tmp "
		"bin\ndev\netc\nproc\nsys\ntmp\n",
		"only the container's own mounts");
	agent_in_base = false;
}

int main(void)
{
	const char *why = harness_open();

	if (why) {
		skip(why);
		return tap_done();
	}
	test_basics();
	test_user();
	test_caps();
	test_limits();
	test_cwd();
	test_env();
	test_exec_errors();
	test_devices();
	test_own_dev();
	test_present_devices();
	test_closed_paths();
	test_sysctl();
	test_cgroup();
	test_cgroup_owner();
	test_base();
	harness_close();
	return tap_done();
}
