/* SPDX-License-Identifier: Apache-2.0 */
/* A container in a user namespace of its own: its root is 100000 outside. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "init/sys.h"
#include "init/userns.h"
#include "lib/cleanup.h"
#include "tests/init/harness.h"
#include "tests/tap.h"

static const struct gidmap uids[] = {{0, 100000, 1000}, {1000, 5000, 1}};
static const struct gidmap gids[] = {{0, 200000, 1000}, {1000, 6000, 1}};

static void own(const char *path, unsigned uid, unsigned gid)
{
	char full[160];

	snprintf(full, sizeof(full), "%s/%s", share_path, path);
	if (lchown(full, uid, gid) < 0)
		ok(false, "chown %s: %s", full, strerror(errno));
}

static struct gspec *mapped(const char *script)
{
	struct gspec *s = fresh(script);

	s->namespaces |= GNS_USER;
	s->uid_maps = uids;
	s->n_uid_maps = 2;
	s->gid_maps = gids;
	s->n_gid_maps = 2;
	own("rootfs", 100000, 200000);
	own("rootfs/tmp", 100000, 200000);
	own("rootfs/etc", 100000, 200000);
	return s;
}

static void says(const char *text, const char *part)
{
	if (!ok(strstr(text, part) != NULL, "says '%.*s'", (int)strcspn(part, "\n"), part))
		printf("# got '%s'\n", text);
}

static struct stat stat_of(const char *path)
{
	struct stat st = {0};
	char full[160];

	snprintf(full, sizeof(full), "%s/%s", share_path, path);
	if (lstat(full, &st) < 0)
		ok(false, "%s is there", path);
	return st;
}

static void test_ids(void)
{
	struct stat st;

	eq_str(output(mapped("cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; id -u; id -g; "
			     "id -G; cat /proc/self/setgroups")),
		" 0 100000 1000\n 1000 5000 1\n 0 200000 1000\n 1000 6000 1\n0\n0\n0\nallow\n",
		"the maps as seen inside, and who root is");
	eq_str(output(mapped("echo x > /tmp/f; mkdir /tmp/d; stat -c '%u %g' /tmp/f /bin/busybox")),
		"0 0\n65534 65534\n", "its own files, and those of nobody in there");
	st = stat_of("rootfs/tmp/f");
	ok(st.st_uid == 100000 && st.st_gid == 200000, "a file's owner outside: %u %u", st.st_uid,
		st.st_gid);
	st = stat_of("rootfs/tmp/d");
	ok(st.st_uid == 100000 && st.st_gid == 200000, "a directory's");
}

static void test_user(void)
{
	static const uint32_t groups[] = {7, 999};
	struct gspec *s = mapped("id -u; id -g; id -G; echo hi > /dev/stdout; cat /dev/stdin; "
				 "echo x > /tmp/u; hostname other");
	struct guest *g;
	struct stat st;

	s->proc.uid = s->proc.gid = 1000;
	s->proc.n_groups = 2;
	s->proc.groups = groups;
	own("rootfs/tmp", 5000, 6000);
	g = run(s, "in\n");
	eq_str(g->out, "1000\n1000\n1000 7 999\nhi\nin\n", "a user, its groups, streams reopened");
	says(g->errout, "not permitted");
	st = stat_of("rootfs/tmp/u");
	ok(st.st_uid == 5000 && st.st_gid == 6000, "its files outside");
	s = mapped("true");
	s->proc.uid = 1001;
	eq_str(run(s, NULL)->fail.text, "cannot set uid to unmapped user in user namespace",
		"a user without a mapping");
	s = mapped("true");
	s->proc.gid = 1001;
	eq_str(run(s, NULL)->fail.text, "cannot set gid to unmapped user in user namespace",
		"a group without one");
	s = mapped("true");
	s->proc.n_groups = 1;
	s->proc.groups = (const uint32_t[]){5000};
	says(run(s, NULL)->fail.text, "setgroups: group 5000 is not mapped");
}

/* The other namespaces are container root's. */
static void test_powers(void)
{
	eq_str(output(mapped("hostname mine && hostname; mount -t tmpfs t /tmp && touch /tmp/a && "
			     "stat -c %u /tmp/a; stat -c '%u %g' /sys/fs/cgroup "
			     "/sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/a && "
			     "echo $$ > /sys/fs/cgroup/a/cgroup.procs && cat /proc/self/cgroup | "
			     "grep ^0:")),
		"mine\n0\n0 0\n0 0\n0::/a\n", "host name, a tmpfs, its cgroup");
	eq_str(output(mapped("cat /sys/class/net/lo/operstate; grep -c . /proc/net/dev")),
		"unknown\n3\n", "a network of its own, with lo up");
	eq_str(output(mapped("mknod /tmp/n c 1 3 2>/dev/null || echo no; dd if=/dev/zero "
			     "of=/tmp/img bs=1k count=64 2>/dev/null; "
			     "mount -t ext4 /tmp/img /etc 2>/dev/null || echo no; "
			     "echo 5 > /proc/sys/kernel/panic || echo no")),
		"no\nno\nno\n", "and nothing of the guest's");
}

static void test_dev(void)
{
	static const struct gdevice devices[] = {
		{"/dev/mine", S_IFCHR, 1, 5, 0640, 0, 1000},
		{"/dev/null", S_IFCHR, 1, 3, 0600, 1000, 0},
		{"/dev/sub/fifo", S_IFIFO, 0, 0, 0622, 1000, 1000},
	};
	struct gspec *s = mapped("cd /dev; stat -c '%n %t:%T %a %u %g' null zero tty ptmx mine "
				 "sub/fifo; echo x > null; head -c 3 zero | wc -c; "
				 "head -c 2 mine | wc -c; readlink fd");

	s->devices = devices;
	s->n_devices = 3;
	eq_str(output(s),
		"null 1:3 600 1000 0\nzero 1:5 666 0 0\ntty 5:0 666 0 0\nptmx 0:0 777 0 0\n"
		"mine 1:5 640 0 1000\nsub/fifo 0:0 622 1000 1000\n3\n2\n/proc/self/fd\n",
		"device nodes, by default and asked for");
	s = mapped("true");
	s->devices = &(const struct gdevice){"/dev/x", S_IFCHR, 1, 5, 0640, 3000, 0};
	s->n_devices = 1;
	says(run(s, NULL)->fail.text,
		"cannot create device node /dev/x: its owner is not mapped in the user namespace");
}

static void test_terminal(void)
{
	struct gspec *s = mapped("tty; stat -c '%t %u' /dev/console; echo to > /dev/console; "
				 "test -t 0 && echo tty");

	/* devpts refuses a group that has no mapping */
	s->proc.flags |= GPROC_TERMINAL | GPROC_STDERR_NULL;
	says(output(s), "/dev/pts/0\r\n88 0\r\nto\r\ntty\r\n");
}

#define CAP_RESOURCE BIT64(24) /* CAP_SYS_RESOURCE */

static void test_limits(void)
{
	/* init has 4096 itself. */
	bool may_raise = harness_caps() & CAP_RESOURCE;
	const struct grlimit limits[] = {
		{RLIMIT_NOFILE, 64, may_raise ? 10000 : 4000}, {RLIMIT_CORE, 0, UINT64_MAX}};
	static const struct gkeyval sysctls[] = {{"kernel/domainname", "sea"},
		{"net/ipv4/ip_forward", "1"}, {"kernel/msgmax", "9000"}};
	struct gspec *s = mapped("grep -E 'open files|core' /proc/self/limits | tr -s ' '; "
				 "cat /proc/self/oom_score_adj; cd /proc/sys; cat "
				 "kernel/domainname net/ipv4/ip_forward kernel/msgmax");
	char want[160];

	s->proc.rlimits = limits;
	s->proc.n_rlimits = 2;
	s->proc.oom_score_adj = 5;
	s->proc.flags |= GPROC_HAS_OOM_SCORE;
	s->sysctls = sysctls;
	s->n_sysctls = 3;
	snprintf(want, sizeof(want),
		"Max core file size 0 unlimited bytes \nMax open files 64 %u files \n5\nsea\n1\n"
		"9000\n",
		may_raise ? 10000 : 4000);
	eq_str(output(s), want, "limits, the OOM score, sysctls");
}

/* What the kernel counts for a user namespace as a whole is not bounded by what init has itself. */
static void test_counted_limits(void)
{
	struct rlimit own, less;
	struct grlimit limit = {.resource = RLIMIT_MSGQUEUE};
	/* 10 messages of 8192 bytes each, a little more with the kernel's own */
	struct gspec *s = mapped(
		"cd /dev/mqueue; for i in 1 2 3 4 5; do touch $i 2>/dev/null; done; echo [1-5]");

	BUG_ON(getrlimit(RLIMIT_MSGQUEUE, &own) < 0);
	if (own.rlim_max < 500000) {
		skip("the hard limit of message queues is too low");
		return;
	}
	less = own;
	less.rlim_cur = 200000;
	limit.soft = limit.hard = 500000;
	s->proc.rlimits = &limit;
	s->proc.n_rlimits = 1;
	BUG_ON(setrlimit(RLIMIT_MSGQUEUE, &less) < 0);
	says(output(s), "1 2 3 4 5\n");
	BUG_ON(setrlimit(RLIMIT_MSGQUEUE, &own) < 0);
}

/* CAP_SYS_NICE in there says nothing to the guest's scheduler. */
static void test_schedule(void)
{
	static const struct grlimit limit = {RLIMIT_NICE, 25, 25}; /* 20 - nice */
	struct gspec *s = mapped("cut -d' ' -f19 /proc/self/stat");

	s->proc.flags |= GPROC_HAS_SCHED;
	s->proc.sched = (struct gsched){.policy = SCHED_OTHER, .nice = -5};
	ok(strstr(run(s, NULL)->fail.text, "error setting scheduler: operation not permitted"),
		"no nice below 0");
	if (!(harness_caps() & CAP_RESOURCE)) {
		skip("cannot raise RLIMIT_NICE here");
		return;
	}
	s = mapped("cut -d' ' -f19 /proc/self/stat");
	s->proc.flags |= GPROC_HAS_SCHED;
	s->proc.sched = (struct gsched){.policy = SCHED_OTHER, .nice = -5};
	s->proc.rlimits = &limit;
	s->proc.n_rlimits = 1;
	eq_str(output(s), "-5\n", "but where RLIMIT_NICE allows it");
}

static void test_close_down(void)
{
	static const char *masked[] = {"/proc/keys", "/proc/acpi", "/etc/secret", "/sys/firmware"};
	static const char *readonly[] = {"/proc/sys"};
	struct gspec *s = mapped("wc -c < /etc/secret; echo 1 > /proc/sys/net/ipv4/ip_forward || "
				 "echo ro; ls /sys/firmware | wc -l; touch /x || echo ro; ls /m; "
				 "cat /m/f; stat -c %u /m/f");
	char path[128];
	struct guest *g;

	put("rootfs/etc/secret", "secret", 0644);
	snprintf(path, sizeof(path), "%s/m0", share_path);
	mkdir(path, 0755);
	put("m0/f", "text\n", 0640);
	own("m0/f", 5000, 6000);
	s->masked_paths = (struct gstrv){4, masked};
	s->readonly_paths = (struct gstrv){1, readonly};
	s->flags |= GSPEC_ROOT_READONLY;
	add_mount(s, (struct gmount){.kind = GMOUNT_BIND,
			     .source = "m0",
			     .dest = "/m",
			     .is_dir = 1,
			     .flags = MS_NOATIME | MS_NOSUID});
	g = run(s, NULL);
	eq_str(g->out, "0\nro\n0\nro\nf\ntext\n1000\n",
		"masked and read-only paths, a read-only root, a bind without atime");
}

static void test_exec(void)
{
	static struct guest g;
	static struct texec root, user, nobody;

	guest_boot(&g, mapped("echo up; read x"));
	if (!ok(guest_until(&g, &g.ready), "ready: %s", g.fail.text))
		return;
	guest_start(&g);
	guest_until_out(&g, "up\n");
	texec_init(&root, "id -u; id -G; readlink /proc/self/ns/user > /tmp/a; "
			  "readlink /proc/1/ns/user | sort -u - /tmp/a | wc -l; "
			  "grep CapEff /proc/1/status /proc/self/status | cut -d: -f3 | "
			  "sort -u | wc -l; echo hi > /dev/stdout; hostname");
	texec_run(&g, &root);
	eq_str(root.out, "0\n0\n1\n1\nhi\nboat\n", "exec as root: the same user namespace");
	texec_init(&user, "id -u; id -g; echo hi > /dev/stdout");
	user.proc.uid = user.proc.gid = 1000;
	texec_run(&g, &user);
	eq_str(user.out, "1000\n1000\nhi\n", "as a user");
	texec_init(&nobody, "id");
	nobody.proc.uid = 4242;
	texec_run(&g, &nobody);
	eq_str(nobody.fail.why.text, "cannot set uid to unmapped user in user namespace",
		"as one that is not mapped");
	guest_end(&g);
}

/* Not in a chroot, for one. */
static bool has_userns(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(void)
{
	const char *why = has_userns() ? harness_open() : "no user namespace can be made";

	if (why) {
		skip(why);
		return tap_done();
	}
	for (int base = 0; base < 2; base++) {
		agent_in_base = base;
		test_ids();
		test_user();
		test_powers();
		test_dev();
		test_terminal();
		test_limits();
		test_counted_limits();
		test_schedule();
		test_close_down();
		test_exec();
	}
	harness_close();
	return tap_done();
}
