/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/init/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <linux/capability.h>

#include "init/agent.h"
#include "init/cgroup.h"
#include "init/guest.h"
#include "init/log.h"
#include "init/mounts.h"
#include "init/sys.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

#define BUSYBOX    "/bin/busybox"
#define TIMEOUT_MS 20000

char share_path[64];
bool agent_in_base;
static char cgroup_name[64];
static int cgroup_root = -1, cgroup_base = -1;

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static const char *const applets[] = {"sh", "cat", "id", "ls", "stat", "readlink", "head",
	"hostname", "grep", "sleep", "dd", "kill", "pwd", "env", "touch", "true", "echo", "mkdir",
	"wc", "tty", "stty", "ps", "test", "mount", "cut", "tr", "printf", "df", "mknod", "rm",
	"unlink", "sort", "uname", "ionice"};

static void make_rootfs(void)
{
	char path[128], cmd[512];

	snprintf(cmd, sizeof(cmd),
		"rm -rf %s/* && mkdir -p %s/rootfs/bin %s/rootfs/etc %s/rootfs/tmp && "
		"ln %s.bb %s/rootfs/bin/busybox",
		share_path, share_path, share_path, share_path, share_path, share_path);
	if (system(cmd) != 0)
		die("cannot make the rootfs");
	for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
		snprintf(path, sizeof(path), "%s/rootfs/bin/%s", share_path, applets[i]);
		if (symlink("busybox", path) < 0)
			die(path);
	}
}

static const char *open_share(void)
{
	char why[128], cmd[256];
	char dir[] = "/tmp/coracle-init-test-XXXXXX";
	autofd int mnt = -1, at = -1;

	if (!mkdtemp(dir))
		return "no temporary directory";
	mnt = mount_new_fs("tmpfs", "share", "mode=0755", 0, 0, why, sizeof(why));
	at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mnt < 0 || sys_attach(mnt, at) < 0)
		return "cannot mount a tmpfs";
	snprintf(share_path, sizeof(share_path), "%s/share", dir);
	snprintf(cmd, sizeof(cmd), "cp %s %s.bb", BUSYBOX, share_path);
	if (mkdir(share_path, 0755) < 0 || system(cmd) != 0)
		return "cannot fill the share";
	return NULL;
}

/* So that the tests' group has controllers: where they are v2's at all. */
static void enable_controllers(void)
{
	autofd int have = openat(cgroup_root, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
	autofd int put = openat(cgroup_root, "cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
	char text[256] = "", want[512];

	if (have < 0 || put < 0 || read(have, text, sizeof(text) - 1) <= 0)
		return;
	cgroup_enable_text(text, want, sizeof(want));
	if (want[0] && write(put, want, strlen(want)) < 0)
		printf("# cannot enable %s\n", want);
}

static const char *open_cgroup(void)
{
	char why[128];

	cgroup_root = mount_new_fs("cgroup2", "cgroup2", "", 0, 0, why, sizeof(why));
	if (cgroup_root < 0)
		return "cgroup v2 cannot be mounted";
	enable_controllers();
	snprintf(cgroup_name, sizeof(cgroup_name), "coracle-init-test-%d", (int)getpid());
	if (mkdirat(cgroup_root, cgroup_name, 0755) < 0)
		return "no cgroup can be made";
	cgroup_base = openat(cgroup_root, cgroup_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return cgroup_base < 0 ? "the cgroup cannot be opened" : NULL;
}

const char *harness_cgroup_text(const char *file)
{
	static char text[4096];
	autofd int group = openat(cgroup_base, "container", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autofd int fd = openat(group, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

bool harness_leave_group(pid_t pid)
{
	autofd int fd = openat(cgroup_root, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return fd >= 0 && dprintf(fd, "%d", pid) > 0;
}

bool harness_controller(const char *name)
{
	autofd int fd = openat(cgroup_base, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
	char text[256] = "";

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && strstr(text, name);
}

const char *harness_open(void)
{
	struct mount_attr private = {.propagation = MS_PRIVATE};
	struct rlimit fds;
	const char *why;

	if (geteuid() != 0)
		return "not root";
	if (access(BUSYBOX, X_OK) < 0)
		return "no " BUSYBOX;
	if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) < 0)
		return "no namespaces can be made";
	if (sys_mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &private) < 0)
		return "mounts cannot be made private";
	umask(0022);
	getrlimit(RLIMIT_NOFILE, &fds); /* the host's side of hundreds of streams */
	fds.rlim_cur = MIN(fds.rlim_max, (rlim_t)8192);
	setrlimit(RLIMIT_NOFILE, &fds);
	why = open_share();
	return why ? why : open_cgroup();
}

void harness_close(void)
{
	char dir[64];

	if (cgroup_base >= 0) {
		unlinkat(cgroup_base, "container", AT_REMOVEDIR);
		unlinkat(cgroup_root, cgroup_name, AT_REMOVEDIR);
	}
	if (!share_path[0])
		return;
	snprintf(
		dir, sizeof(dir), "%.*s", (int)(strrchr(share_path, '/') - share_path), share_path);
	if (chdir("/") < 0 || sys_umount2(dir, SYS_MNT_DETACH) < 0 || rmdir(dir) < 0)
		printf("# cannot remove %s: %s\n", dir, strerror(errno));
}

void put(const char *path, const char *text, unsigned mode)
{
	char full[256];
	autofd int fd = -1;

	snprintf(full, sizeof(full), "%s/%s", share_path, path);
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write_full(fd, text, strlen(text)) < 0 || fchmod(fd, mode) < 0)
		die(full);
}

struct gmount *add_mount(struct gspec *s, struct gmount m)
{
	struct gmount *list = (struct gmount *)s->mounts;

	m.source = m.source ? m.source : "none";
	m.fstype = m.fstype ? m.fstype : "";
	m.data = m.data ? m.data : "";
	list[s->n_mounts] = m;
	return &list[s->n_mounts++];
}

uint64_t harness_caps(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {0};

	if (syscall(SYS_capget, &h, d) < 0)
		die("capget");
	return d[0].permitted | (uint64_t)d[1].permitted << 32;
}

struct gspec *fresh(const char *script)
{
	static struct gmount mounts[64];
	static const char *args[8], *env[] = {"PATH=/bin:/usr/bin", "HOME=/root", NULL};
	static struct gspec s;
	const uint64_t all = harness_caps();

	make_rootfs();
	args[0] = "sh";
	args[1] = "-c";
	args[2] = script;
	args[3] = NULL;
	s = (struct gspec){
		.namespaces = GNS_ALL,
		.root = "rootfs",
		.hostname = "boat",
		.domainname = "",
		.mounts = mounts,
		.proc =
			{
				.args = {3, args},
				.env = {2, env},
				.cwd = "/",
				.flags = GPROC_HAS_CAPS,
				.caps = {all, all, 0, all, 0},
			},
	};
	add_mount(&s, (struct gmount){.kind = GMOUNT_FS, .dest = "/proc", .fstype = "proc"});
	add_mount(&s, (struct gmount){.kind = GMOUNT_FS,
			      .dest = "/dev",
			      .fstype = "tmpfs",
			      .flags = MS_NOSUID | MS_STRICTATIME,
			      .data = "mode=755,size=65536k"});
	add_mount(&s, (struct gmount){.kind = GMOUNT_FS,
			      .dest = "/dev/pts",
			      .fstype = "devpts",
			      .flags = MS_NOSUID | MS_NOEXEC,
			      .data = "newinstance,ptmxmode=0666,mode=0620,gid=5"});
	add_mount(&s, (struct gmount){.kind = GMOUNT_FS,
			      .dest = "/dev/shm",
			      .fstype = "tmpfs",
			      .flags = MS_NOSUID | MS_NOEXEC | MS_NODEV,
			      .data = "mode=1777,size=65536k"});
	add_mount(&s, (struct gmount){.kind = GMOUNT_FS,
			      .dest = "/dev/mqueue",
			      .fstype = "mqueue",
			      .flags = MS_NOSUID | MS_NOEXEC | MS_NODEV});
	add_mount(&s, (struct gmount){.kind = GMOUNT_FS,
			      .dest = "/sys",
			      .fstype = "sysfs",
			      .flags = MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY});
	add_mount(&s, (struct gmount){.kind = GMOUNT_CGROUP,
			      .dest = "/sys/fs/cgroup",
			      .flags = MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RELATIME});
	return &s;
}

/* --- the guest's side ---------------------------------------------------------------------------
 */

static void enter_base(struct init_env *env)
{
	struct err err = ERR_INIT;
	autofd int target = -1;

	/* The working directory follows into the new namespace, a descriptor does not. */
	if (fchdir(env->share) < 0 || unshare(CLONE_NEWNS) < 0)
		_exit(3);
	env->share = sys_open_tree(AT_FDCWD, ".", OPEN_TREE_CLONE);
	if (guest_make_base(env, false, &err) < 0) {
		printf("# no base: %s\n", err.msg);
		fflush(stdout);
		_exit(3);
	}
	env->connect = texec_connect; /* no vsock here */
	target = open("/share", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (sys_attach(env->share, target) < 0)
		_exit(3);
}

static _Noreturn void agent_process(struct init_env *env, const struct gspec *s)
{
	static uint8_t wire[GSPEC_BYTES_MAX];
	static _Alignas(16) uint8_t mem[2 * GSPEC_BYTES_MAX];
	struct garena arena = {.mem = mem, .cap = sizeof(mem)};
	struct wbuf w = wbuf_of(wire, sizeof(wire));
	const char *what = "";
	struct rbuf r;
	struct gspec got;

	gspec_encode(&w, s);
	r = rbuf_of(wire, w.len);
	if (!wbuf_ok(&w) || gspec_decode(&r, &arena, &got, &what) < 0) {
		printf("# the spec does not decode: %s\n", what);
		fflush(stdout);
		_exit(3);
	}
	/* As the kernel starts its first process. */
	if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){1024, 4096}) < 0)
		_exit(3);
	env->share = open(share_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	env->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	env->cgroup = cgroup_base;
	if (agent_in_base)
		enter_base(env);
	log_to(STDERR_FILENO, false);
	/* A descriptor of init's that is not CLOEXEC must not reach the container either. */
	dup2(env->share, 77);
	agent_run(env, &got);
	_exit(0);
}

/* --- the host's side ----------------------------------------------------------------------------
 */

void guest_boot(struct guest *g, const struct gspec *s)
{
	static const uint32_t null_flags[3] = {
		GPROC_STDIN_NULL, GPROC_STDOUT_NULL, GPROC_STDERR_NULL};
	struct init_env env = {.streams = {-1, -1, -1}};
	int c[2], st[3][2];

	memset(g, 0, sizeof(*g));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, c) < 0)
		die("socketpair");
	g->listener = texec_listen();
	env.connect = texec_connect;
	g->control = c[0];
	env.control = c[1];
	for (int i = 0; i < 3; i++) {
		g->stream[i] = -1;
		if (s->proc.flags & null_flags[i])
			continue;
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, st[i]) < 0)
			die("socketpair");
		g->stream[i] = st[i][0];
		env.streams[i] = st[i][1];
		fcntl(st[i][1], F_SETFL, O_NONBLOCK);
	}
	g->out_eof = g->stream[1] < 0;
	g->err_eof = g->stream[2] < 0;
	fflush(stdout);
	g->pid = fork();
	if (g->pid < 0)
		die("fork");
	if (g->pid == 0) {
		close(g->control);
		close(g->listener);
		for (int i = 0; i < 3; i++)
			close_fd(&g->stream[i]);
		/* As the kernel's first process has them. */
		for (int signo = 1; signo < NSIG; signo++)
			signal(signo, SIG_DFL);
		agent_process(&env, s);
	}
	close(env.control);
	for (int i = 0; i < 3; i++)
		close_fd(&env.streams[i]);
}

static void collect(int fd, char *buf, size_t *len, bool *eof)
{
	ssize_t n = read(fd, buf + *len, OUT_MAX - 1 - *len);

	if (n > 0)
		*len += (size_t)n;
	else
		*eof = true;
	buf[*len] = '\0';
}

static void take_frame(struct guest *g, const struct proto_frame *f)
{
	switch (f->type) {
	case PROTO_READY:
		memcpy(&g->times, f->payload, sizeof(g->times));
		g->ready = true;
		break;
	case PROTO_STARTED: g->started = true; break;
	case PROTO_FAILED:
		memcpy(&g->fail, f->payload, sizeof(g->fail));
		g->failed = true;
		break;
	case PROTO_SIGNALED:
		memcpy(&g->signal, f->payload, sizeof(g->signal));
		g->signaled = true;
		break;
	case PROTO_EXITED:
		memcpy(&g->exit, f->payload, sizeof(g->exit));
		g->exited = true;
		break;
	default:
		if (texec_frame(g, f))
			break;
		printf("Bail out! unexpected message %d\n", f->type);
		exit(1);
	}
}

static void take_control(struct guest *g)
{
	struct proto_frame f;
	char buf[4096];
	ssize_t n = read(g->control, buf, sizeof(buf));
	int r;

	if (n <= 0) {
		g->control_eof = true;
		return;
	}
	proto_feed(&g->rx, buf, (uint32_t)n);
	while ((r = proto_next(&g->rx, &f)) == 1)
		take_frame(g, &f);
	if (r < 0) {
		printf("Bail out! bad frame\n");
		exit(1);
	}
}

/* -1: nothing can come any more, or not in time. 0: nothing has. */
static int take_some(struct guest *g, int timeout_ms)
{
	static struct pollfd pf[3 + TEXEC_POLL_MAX];
	unsigned n;
	int r;

	if (g->control_eof)
		return -1;
	pf[0] = (struct pollfd){.fd = g->control, .events = POLLIN};
	pf[1] = (struct pollfd){.fd = g->out_eof ? -1 : g->stream[1], .events = POLLIN};
	pf[2] = (struct pollfd){.fd = g->err_eof ? -1 : g->stream[2], .events = POLLIN};
	n = texec_want(g, pf + 3);
	r = poll(pf, 3 + n, timeout_ms);
	if (r <= 0)
		return r;
	/* Streams first: what they brought before a message was there before it. */
	if (pf[1].revents)
		collect(g->stream[1], g->out, &g->out_len, &g->out_eof);
	else if (pf[2].revents)
		collect(g->stream[2], g->errout, &g->err_len, &g->err_eof);
	else if (!texec_take(g, pf + 3, n) && pf[0].revents)
		take_control(g);
	return 1;
}

bool guest_step(struct guest *g)
{
	int r = take_some(g, TIMEOUT_MS);

	if (r == 0)
		printf("# timeout\n");
	return r > 0;
}

bool guest_poll(struct guest *g)
{
	while (take_some(g, 0) > 0)
		;
	return true;
}

bool guest_until(struct guest *g, const bool *flag)
{
	while (!*flag)
		if ((g->failed && flag != &g->failed) || !guest_step(g))
			break;
	return *flag;
}

bool guest_until_out(struct guest *g, const char *text)
{
	while (!strstr(g->out, text))
		if (g->failed || g->out_eof || !guest_step(g))
			return false;
	return true;
}

void guest_start(struct guest *g)
{
	if (proto_send(g->control, PROTO_START, NULL, 0) < 0)
		printf("# cannot send START\n");
}

void guest_signal(struct guest *g, uint32_t id, uint32_t signo)
{
	guest_signal_to(g, id, signo, PROTO_PROCESS_FIRST);
}

void guest_signal_to(struct guest *g, uint32_t id, uint32_t signo, uint32_t process)
{
	struct proto_signal m = {.id = id, .signo = signo, .process = process};

	g->signaled = false;
	if (proto_send(g->control, PROTO_SIGNAL, &m, sizeof(m)) < 0)
		printf("# cannot send SIGNAL\n");
}

/* What the machine's end would have ended. */
static void remove_group(void)
{
	static const char *const groups[] = {"container/a/b", "container/a", "container"};
	autofd int end = openat(cgroup_base, "container/cgroup.kill", O_WRONLY | O_CLOEXEC);

	if (end >= 0 && write(end, "1", 1) != 1)
		printf("# cannot end the container\n");
	/* What tests make in it, too. */
	for (size_t g = 0; g < ARRAY_SIZE(groups); g++)
		for (int i = 0; i < 200 && unlinkat(cgroup_base, groups[g], AT_REMOVEDIR) < 0 &&
				errno == EBUSY;
			i++)
			usleep(5000);
}

int guest_end(struct guest *g)
{
	int status = -1;

	close_fd(&g->control);
	for (int i = 0; i < 3; i++)
		close_fd(&g->stream[i]);
	texec_forget(g);
	for (int i = 0; i < 2500; i++) {
		if (waitpid(g->pid, &status, WNOHANG) == g->pid) {
			remove_group();
			return status;
		}
		usleep(2000);
	}
	printf("# the agent does not end\n");
	kill(g->pid, SIGKILL);
	waitpid(g->pid, &status, 0);
	return -1;
}

struct guest *run(const struct gspec *s, const char *input)
{
	static struct guest g;

	guest_boot(&g, s);
	if (g.stream[0] >= 0) {
		if (input && write_full(g.stream[0], input, strlen(input)) < 0)
			printf("# cannot write the input\n");
		shutdown(g.stream[0], SHUT_WR);
	}
	if (guest_until(&g, &g.ready)) {
		guest_start(&g);
		guest_until(&g, &g.exited);
	}
	if (g.failed)
		printf("# failed: %s\n", g.fail.text);
	if (g.err_len)
		printf("# stderr: %s\n", g.errout);
	guest_end(&g);
	return &g;
}

const char *output(const struct gspec *s)
{
	return run(s, NULL)->out;
}
