/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs coracle-vmm without `coracle`: makes the configuration, the descriptors and a minimal
 * specification, waits until the container is created, starts it, waits for the end. For the boot
 * test (flat guests) and for looking at one real guest:
 *
 *	run_vmm --vmm V --kernel K --init I --share DIR [--memory MIB] [--vcpus N] [--timeout MS]
 *		[--debug] [--log FILE] [--cmdline WORDS] [--timeline] [--kill SIGNAL[@created]]
 *		[--uid N] [--measure] [--isolation thread|process] -- CMD [ARG...]
 *
 * DIR holds rootfs/. Exit status: the VMM's. What the VMM reported is told on standard error, line
 * by line: "ready", "failed: TEXT", "ended N: TEXT", "guest log: ...". With --measure, "vmm pid N" at first and
 * at last what the VMM held when it ended: "measured: cpu_ms N rss_kib N fds N threads N log_bytes N" (processor time of
 * all threads, vCPUs included; the most memory ever resident, guest memory included; descriptors of the thread
 * that had most, when it ended, of so many threads).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/control.h"
#include "lib/fd.h"
#include "lib/gspec.h"
#include "lib/vm_config.h"

struct options {
	const char *vmm, *kernel, *init, *share, *log, *cmdline, *kill;
	unsigned memory_mib, vcpus, timeout_ms, uid;
	bool debug, timeline, measure, process;
	char **args;
	unsigned n_args;
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "run_vmm: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	exit(99);
}

static int open_or_die(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		die("cannot open '%s': %s", path, strerror(errno));
	return fd;
}

static int make_spec(const struct options *o)
{
	static const struct gmount mounts[] = {
		{.kind = GMOUNT_FS,
			.source = "proc",
			.dest = "/proc",
			.fstype = "proc",
			.data = ""},
		{.kind = GMOUNT_FS,
			.source = "tmpfs",
			.dest = "/dev",
			.fstype = "tmpfs",
			.data = "mode=755,size=65536k"},
		{.kind = GMOUNT_FS,
			.source = "sysfs",
			.dest = "/sys",
			.fstype = "sysfs",
			.data = ""},
		{.kind = GMOUNT_FS,
			.source = "tmpfs",
			.dest = "/tmp",
			.fstype = "tmpfs",
			.data = ""},
	};
	static const char *env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb",
		NULL};
	static uint8_t buf[1 << 20];
	struct wbuf b = wbuf_of(buf, sizeof(buf));
	struct gspec s = {
		.flags = o->debug ? GSPEC_DEBUG : 0,
		.namespaces = GNS_PID | GNS_MOUNT | GNS_UTS | GNS_IPC,
		.root = "rootfs",
		.hostname = "box",
		.domainname = "",
		.n_mounts = ARRAY_SIZE(mounts),
		.mounts = mounts,
		.proc =
			{
				.args = {o->n_args, (const char **)o->args},
				.env = {2, env},
				.cwd = "/",
				.uid = o->uid,
				.flags = GPROC_HAS_CAPS,
			},
	};
	int fd;

	for (unsigned i = 0; i <= GCAP_PERMITTED; i++)
		s.proc.caps[i] = i == GCAP_INHERITABLE ? 0 : 0x1ffffffffffull;
	gspec_encode(&b, &s);
	if (!wbuf_ok(&b))
		die("the specification does not fit");
	fd = memfd_with("spec", buf, b.len, 1);
	if (fd < 0)
		die("cannot make the specification: %s", strerror(-fd));
	return fd;
}

static int listen_on(struct sockaddr_un *ret_addr)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(ret_addr->sun_path, sizeof(ret_addr->sun_path), "/tmp/run_vmm.%d.sock", getpid());
	unlink(ret_addr->sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)ret_addr, sizeof(*ret_addr)) < 0 ||
		listen(fd, 16) < 0)
		die("cannot listen on '%s': %s", ret_addr->sun_path, strerror(errno));
	return fd;
}

/* The number behind `key` in a file of /proc/PID; dies when it is not there. */
static unsigned long long proc_number(pid_t pid, const char *file, const char *key)
{
	char path[64], buf[8192];
	autofd int fd = -1;
	const char *at;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open_or_die(path, O_RDONLY);
	n = read(fd, buf, sizeof(buf) - 1);
	buf[n > 0 ? n : 0] = '\0';
	at = strstr(buf, key);
	if (!at)
		die("'%s' has no '%s'", path, key);
	return strtoull(at + strlen(key), NULL, 10);
}

static unsigned count_fds(pid_t pid)
{
	char path[64];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	if (!d)
		die("cannot open '%s': %s", path, strerror(errno));
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2; /* . and .. */
}

/* The VMM, as waited for. */
static struct {
	pid_t pid;
	int child_fd; /* signalfd: SIGCHLD */
	bool ended, seen;
	int status;
	unsigned long long rss_kib;
	unsigned fds, threads;
	struct rusage ru;
} vmm;

/* A thread that is traced stops once more when it ends, with all it holds, and is looked at then: nothing depends on
 * when that is. Each may have a table of descriptors of its own. */
static void look_at_end(pid_t tid)
{
	unsigned fds = count_fds(tid);

	vmm.threads++;
	if (fds > vmm.fds)
		vmm.fds = fds;
	if (tid != vmm.pid)
		return;
	vmm.rss_kib = proc_number(tid, "status", "VmHWM:");
	vmm.seen = true;
}

/* What there is to be heard of the VMM and, when it is traced, of its threads. */
static void look_after(int options)
{
	struct rusage ru;
	pid_t tid;
	int status;

	while (!vmm.ended && (tid = wait4(-1, &status, __WALL | options, &ru)) > 0) {
		if (WIFSTOPPED(status)) {
			if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
				look_at_end(tid);
			ptrace(PTRACE_CONT, tid, NULL, (long)(status >> 16 ? 0 : WSTOPSIG(status)));
		} else if (tid == vmm.pid) { /* the last of its threads */
			vmm.ended = true;
			vmm.status = status;
			vmm.ru = ru;
		}
	}
}

static void block_child_signal(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(how, &set, NULL);
	if (how == SIG_BLOCK)
		vmm.child_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Until fd can be read (or has ended), and the VMM may stop meanwhile. */
static void await(int fd)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = vmm.child_fd, .events = POLLIN}};
	struct signalfd_siginfo si;

	do {
		poll(p, 2, -1);
		while (read(vmm.child_fd, &si, sizeof(si)) == sizeof(si))
			;
		look_after(WNOHANG);
	} while (!p[0].revents);
}

static void print_measured(const struct options *o)
{
	const struct timeval *u = &vmm.ru.ru_utime, *s = &vmm.ru.ru_stime;
	long long ms = (u->tv_sec + s->tv_sec) * 1000ll + (u->tv_usec + s->tv_usec) / 1000;
	struct stat st;

	fprintf(stderr, "measured: cpu_ms %lld rss_kib %llu fds %u threads %u log_bytes %lld\n", ms,
		vmm.rss_kib, vmm.fds, vmm.threads,
		o->log && !stat(o->log, &st) ? (long long)st.st_size : 0ll);
}

static pid_t spawn(const struct options *o, struct vm_config *cfg)
{
	char number[16];
	int fd = memfd_with("vm_config", cfg, sizeof(*cfg), 1);
	int go[2]; /* the child waits at it until it is traced */
	pid_t pid;
	char c;

	if (fd < 0)
		die("cannot make the configuration: %s", strerror(-fd));
	snprintf(number, sizeof(number), "%d", fd);
	if (pipe2(go, O_CLOEXEC) < 0)
		die("cannot make a pipe: %s", strerror(errno));
	block_child_signal(SIG_BLOCK);
	pid = fork();
	if (pid < 0)
		die("cannot fork: %s", strerror(errno));
	if (pid == 0) {
		block_child_signal(SIG_UNBLOCK);
		close(go[1]);
		(void)!read(go[0], &c, 1);
		for (unsigned i = 0; i < VM_FDS; i++)
			if (cfg->fd[i] >= 0)
				fcntl(cfg->fd[i], F_SETFD, 0);
		fcntl(fd, F_SETFD, 0);
		execl(o->vmm, "coracle-vmm", "--config-fd", number, cfg->id, (char *)NULL);
		die("cannot execute '%s': %s", o->vmm, strerror(errno));
	}
	if (o->measure &&
		ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE) < 0)
		die("cannot trace the VMM: %s", strerror(errno));
	if (o->measure)
		fprintf(stderr, "vmm pid %d\n", pid);
	close(go[0]);
	close(go[1]);
	close(fd);
	return pid;
}

static bool next_report(int fd, struct vmm_report *r)
{
	int e;

	await(fd);
	e = read_full(fd, r, sizeof(*r));
	if (e == -EPIPE)
		return false;
	if (e < 0 || r->version != CTL_VERSION)
		die("bad report: %s", strerror(-e));
	switch (r->type) {
	case VMM_READY: fprintf(stderr, "ready\n"); break;
	case VMM_FAILED: fprintf(stderr, "failed %u: %s\n", r->exit_status, r->text); break;
	case VMM_ENDED: fprintf(stderr, "ended %u: %s\n", r->exit_status, r->text); break;
	default: die("report of type %u", r->type);
	}
	if (r->guest_log[0])
		fprintf(stderr, "guest log:\n%s\n", r->guest_log);
	return true;
}

static void ask(const struct sockaddr_un *addr, uint32_t type, uint32_t arg, const char *name)
{
	autofd int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct ctl_request req = {.version = CTL_VERSION, .type = type, .arg = arg};
	struct ctl_reply rep = {0};

	if (connect(s, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ||
		send(s, &req, sizeof(req), MSG_NOSIGNAL) != sizeof(req) ||
		recv(s, &rep, sizeof(rep), 0) != sizeof(rep)) {
		fprintf(stderr, "%s: no answer: %s\n", name, strerror(errno));
		return;
	}
	fprintf(stderr, "%s: errnum %d phase %u status %u %s\n", name, rep.errnum, rep.phase,
		rep.exit_status, rep.text);
}

static void print_timeline(const struct timeline *t)
{
	static const char *const names[TL_POINTS] = {"start", "spec", "namespaces", "vmm", "kvm",
		"memory", "devices", "kernel", "init", "hello", "rootfs", "ready", "exec_asked",
		"exec", "exit", "end"};
	uint64_t base = t->ns[TL_VMM];

	for (unsigned i = 0; i < TL_POINTS; i++)
		if (t->ns[i])
			fprintf(stderr, "timeline %-10s %10.3f ms\n", names[i],
				(double)((int64_t)(t->ns[i] - base)) / 1e6);
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option longopts[] = {{"vmm", 1, NULL, 'v'}, {"kernel", 1, NULL, 'k'},
		{"init", 1, NULL, 'i'}, {"share", 1, NULL, 's'}, {"memory", 1, NULL, 'm'},
		{"vcpus", 1, NULL, 'c'}, {"timeout", 1, NULL, 't'}, {"debug", 0, NULL, 'd'},
		{"log", 1, NULL, 'l'}, {"cmdline", 1, NULL, 'a'}, {"timeline", 0, NULL, 'T'},
		{"kill", 1, NULL, 'K'}, {"uid", 1, NULL, 'u'}, {"measure", 0, NULL, 'M'},
		{"isolation", 1, NULL, 'I'}, {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "+", longopts, NULL)) != -1)
		switch (c) {
		case 'v': o->vmm = optarg; break;
		case 'k': o->kernel = optarg; break;
		case 'i': o->init = optarg; break;
		case 's': o->share = optarg; break;
		case 'm': o->memory_mib = (unsigned)atoi(optarg); break;
		case 'c': o->vcpus = (unsigned)atoi(optarg); break;
		case 't': o->timeout_ms = (unsigned)atoi(optarg); break;
		case 'd': o->debug = true; break;
		case 'l': o->log = optarg; break;
		case 'a': o->cmdline = optarg; break;
		case 'T': o->timeline = true; break;
		case 'K': o->kill = optarg; break;
		case 'M': o->measure = true; break;
		case 'I': o->process = !strcmp(optarg, "process"); break;
		case 'u': o->uid = (unsigned)atoi(optarg); break;
		default: die("see the head of run_vmm.c");
		}
	o->args = argv + optind;
	o->n_args = (unsigned)(argc - optind);
	if (!o->vmm || !o->kernel || !o->init || !o->share || !o->n_args)
		die("--vmm, --kernel, --init, --share and a command are needed");
}

int main(int argc, char **argv)
{
	struct options o = {.memory_mib = 128, .vcpus = 1, .timeout_ms = 60000};
	static struct vm_config cfg;
	static struct vmm_report report;
	struct sockaddr_un addr;
	int report_pipe[2], status;

	parse(argc, argv, &o);
	cfg.magic = VM_CONFIG_MAGIC;
	cfg.version = VM_CONFIG_VERSION;
	cfg.size = sizeof(cfg);
	cfg.flags = (o.debug ? VM_FLAG_DEBUG : 0) | (o.process ? VM_FLAG_PROCESS : 0);
	cfg.vcpus = o.vcpus;
	cfg.memory_bytes = (uint64_t)o.memory_mib << 20;
	cfg.boot_timeout_ms = o.timeout_ms;
	snprintf(cfg.id, sizeof(cfg.id), "run_vmm");
	snprintf(cfg.cmdline_extra, sizeof(cfg.cmdline_extra), "%s", o.cmdline ? o.cmdline : "");
	cfg.fd[VM_FD_KVM] = open_or_die("/dev/kvm", O_RDWR);
	cfg.fd[VM_FD_KERNEL] = open_or_die(o.kernel, O_RDONLY);
	cfg.fd[VM_FD_INIT] = open_or_die(o.init, O_RDONLY);
	cfg.fd[VM_FD_SPEC] = make_spec(&o);
	cfg.fd[VM_FD_SHARE] = open_or_die(o.share, O_PATH | O_DIRECTORY);
	cfg.fd[VM_FD_CONTROL] = listen_on(&addr);
	if (pipe2(report_pipe, O_CLOEXEC) < 0)
		die("cannot make a pipe: %s", strerror(errno));
	cfg.fd[VM_FD_REPORT] = report_pipe[1];
	cfg.fd[VM_FD_LOG] = o.log ? open_or_die(o.log, O_WRONLY | O_CREAT | O_APPEND) : -1;
	timeline_mark(&cfg.timeline, TL_START);
	vmm.pid = spawn(&o, &cfg);
	close(report_pipe[1]);

	if (next_report(report_pipe[0], &report) && report.type == VMM_READY) {
		bool in_created = o.kill && strstr(o.kill, "@created");

		if (in_created)
			ask(&addr, CTL_SIGNAL, (uint32_t)atoi(o.kill), "signal");
		else
			ask(&addr, CTL_START, 0, "start");
		if (o.kill && !in_created) {
			sleep(1);
			ask(&addr, CTL_SIGNAL, (uint32_t)atoi(o.kill), "signal");
		}
		next_report(report_pipe[0], &report);
	}
	look_after(0);
	status = vmm.status;
	if (vmm.seen)
		print_measured(&o);
	unlink(addr.sun_path);
	if (o.timeline)
		print_timeline(&report.timeline);
	if (WIFSIGNALED(status)) {
		fprintf(stderr, "coracle-vmm was killed by signal %d\n", WTERMSIG(status));
		return 128 + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}
