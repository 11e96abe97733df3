/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coracle-vmm: one process per sandbox. Order: open, map, allocate, start threads, jail, then the
 * first instruction of the guest (life_run). Nothing is opened after the jail.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/vm_config.h"
#include "vmm/boot.h"
#include "vmm/config.h"
#include "vmm/devices.h"
#include "vmm/jail.h"
#include "vmm/life.h"
#include "vmm/report.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"
#include "vmm/worker_main.h"

/* Our own are some 70 until the threads have theirs; clients of the control socket; five of each exec'd process. */
#define FD_TABLE_SIZE 2048

/* Everything there is one of. Static: the stack stays small and nothing is allocated for it. */
static struct vm_config cfg;
static struct timeline tl;
static struct vm vm;
static struct vcpus vcpus;
static struct devices devices;
static struct life life = {.line_fd = -1};
static int line_fd = -1; /* the others' way to the log, main's end; life's once it has it */
/* What is taken of it before. */
static struct log start_log = {.fd = -1};
static struct log_taker taker = LOG_TAKER_INIT;

_Static_assert(DEVICES_BUS_FDS_MAX <= VCPU_BUS_FDS_MAX, "a vCPU has all devices on its bus");

static const char usage[] =
	"Usage: coracle-vmm --config-fd N ID\n"
	"       coracle-vmm --worker DEVICE N ID\n"
	"\n"
	"Runs one microVM, or one device of it. Started by 'coracle', which passes the\n"
	"configuration (lib/vm_config.h) and everything the VM works on as open descriptors;\n"
	"not meant to be called by hand.\n";

/* Returns the descriptor, or -1. */
static int parse_fd(const char *text)
{
	char *end;
	long fd;

	errno = 0;
	fd = strtol(text, &end, 10);
	return errno || end == text || *end || fd <= STDERR_FILENO || fd > INT16_MAX ? -1 : (int)fd;
}

/* Returns the descriptor, or -1 with the exit status in *ret_status when main() is done already. */
static int parse_args(int argc, char **argv, int *ret_status)
{
	int fd;

	*ret_status = 0;
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("coracle-vmm " CORACLE_VERSION);
		return -1;
	}
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(usage, stdout);
		return -1;
	}
	*ret_status = 2;
	if (argc != 4 || strcmp(argv[1], "--config-fd")) {
		fputs(usage, stderr);
		return -1;
	}
	fd = parse_fd(argv[2]);
	if (fd < 0)
		fprintf(stderr, "coracle-vmm: --config-fd: '%s' is not a descriptor above 2\n",
			argv[2]);
	return fd;
}

/* A process of its own session: no terminal can signal it, and it outlives whoever started it. */
static int become_daemon(struct err *err)
{
	if (prctl(PR_SET_NAME, "coracle-vmm") < 0)
		return err_set(err, errno, "cannot set the process's name");
	if (setsid() < 0 && errno != EPERM) /* EPERM: it leads a process group already */
		return err_set(err, errno, "cannot make a session");
	return life_block_signals(err);
}

/* Streams that the caller closed must not be taken by descriptors of ours. */
static int fill_streams(int *ret_null, struct err *err)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	while (fd >= 0 && fd <= STDERR_FILENO) {
		fcntl(fd, F_SETFD, 0);
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	if (fd < 0)
		return err_set(err, errno, "cannot open '/dev/null'");
	*ret_null = fd;
	return 0;
}

/* The container's streams belong to the vsock device now: when the guest closes one, it must be
 * closed. */
static int leave_streams(int null, struct err *err)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			return err_set(err, errno, "cannot leave the container's standard streams");
	return 0;
}

/*
 * Descriptors in a process of several threads: when their table must grow, the kernel waits for an RCU grace
 * period (12 ms here). So it grows now, while there is one thread.
 */
static int grow_fd_table(int any_fd, struct err *err)
{
	struct rlimit rl;
	int size, fd;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return err_set(err, errno, "cannot get the limit of descriptors");
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
		return err_set(err, errno, "cannot raise the limit of descriptors");
	/* With less, fewer clients and exec'd processes are taken at a time. */
	size = (int)MIN(rl.rlim_max, (rlim_t)FD_TABLE_SIZE);
	fd = fcntl(any_fd, F_DUPFD_CLOEXEC, size - 1);
	if (fd < 0)
		return err_set(err, errno, "cannot use %d descriptors", size);
	close(fd);
	return 0;
}

static int log_pipe(int *ret_read, int *ret_write, struct err *err)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(err, errno, "cannot make the pipe of the guest's log");
	*ret_read = p[0];
	*ret_write = p[1];
	return 0;
}

static int new_eventfd(struct err *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	return fd < 0 ? err_set(err, errno, "cannot make an eventfd") : fd;
}

static int build_vm(struct err *err)
{
	int r = vm_init(&vm, cfg.fd[VM_FD_KVM], cfg.vcpus, err);

	if (r < 0)
		return r;
	timeline_mark(&tl, TL_KVM);
	r = vm_add_memory(&vm, cfg.memory_bytes, err);
	if (r == 0)
		r = boot_load(&vm, &cfg, devices_count(), err);
	timeline_mark(&tl, TL_MEMORY);
	return r;
}

/* What only building needed: the guest's kernel must not find a way to it. */
static void close_sources(void)
{
	close_fd(&cfg.fd[VM_FD_KVM]);
	close_fd(&cfg.fd[VM_FD_KERNEL]);
	close_fd(&cfg.fd[VM_FD_INIT]);
	close_fd(&cfg.fd[VM_FD_SPEC]);
	close_fd(&cfg.fd[VM_FD_SHARE]); /* the fs device has its own */
}

/* Then each has its own descriptors, and main no longer theirs. */
static int start_vcpus(int event_fd, int serial_fd, struct err *err)
{
	/* Static: where one cannot be created, others may still read them. */
	static int fds[DEVICES_BUS_FDS_MAX];
	static struct vcpu_jail jail = {.close = jail_vcpu, .fds = fds};
	int r;

	jail.n_fds = devices_bus_fds(&devices, fds);
	r = vcpus_start(&vcpus, &vm, event_fd, serial_fd, &jail, err);
	if (r < 0)
		return r;
	vcpus_leave_fds(&vcpus);
	devices_leave_fds(&devices);
	close_fd(&vm.mem.fd); /* the balloon has its own */
	return 0;
}

/* Of ourselves, for workers that are processes; before /proc is out of reach. */
static int open_self(int *ret_fd, struct err *err)
{
	if (!(cfg.flags & VM_FLAG_PROCESS))
		return 0;
	*ret_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	return *ret_fd < 0 ? err_set(err, errno, "cannot open coracle-vmm itself") : 0;
}

static int start_all(int null, int exe, int channel, struct err *err)
{
	const struct worker_launch launch = {
		.exe_fd = exe,
		.null_fd = null,
		.log_fd = channel,
		.root_fd = jail_empty_ns(),
		.log_json = cfg.flags & VM_FLAG_LOG_JSON,
		.id = cfg.id,
	};
	struct devices_fds dev_fds = {.share = cfg.fd[VM_FD_SHARE], .log = -1};
	struct life_fds fds = {.vsock = -1, .console = -1, .vcpu = -1, .faults = &devices.faults};
	int r;

	r = log_pipe(&fds.console, &dev_fds.log, err);
	if (r < 0)
		return r;
	dev_fds.fault = new_eventfd(err);
	fds.vcpu = new_eventfd(err);
	if (dev_fds.fault < 0 || fds.vcpu < 0)
		return -err->errnum;
	r = devices_start(&devices, &vm, &dev_fds, &jail_worker, exe >= 0 ? &launch : NULL, err);
	if (r < 0)
		return r;
	fds.vsock = devices.vsock->main_cmd_fd;
	fds.fs = devices.fs->dev.env.shared;
	fds.procs = &devices.procs;
	fds.line = line_fd;
	r = life_init(&life, &cfg, &fds, &tl, err);
	line_fd = -1;
	if (r == 0)
		r = leave_streams(null, err);
	if (r < 0)
		return r;
	close_sources();
	timeline_mark(&life.tl, TL_DEVICES);
	return start_vcpus(fds.vcpu, dev_fds.log, err);
}

/* Before the first thread that has a filter. */
static int listen_for_reports(struct err *err)
{
	if (line_fd < 0)
		return 0;
	log_init(&start_log, cfg.fd[VM_FD_LOG], cfg.flags & VM_FLAG_LOG_JSON);
	return log_taker_start(&taker, &start_log, line_fd, err);
}

static int run(int config_fd, struct err *err)
{
	autofd int null = -1, exe = -1;
	int channel = -1, r;

	r = vmconfig_read(config_fd, &cfg, err);
	if (r < 0) {
		cfg.fd[VM_FD_REPORT] = -1; /* whatever it says, it was not checked */
		return r;
	}
	tl = cfg.timeline;
	timeline_mark(&tl, TL_VMM);
	r = vmconfig_take_fds(&cfg, err);
	if (r == 0)
		r = become_daemon(err);
	if (r == 0)
		r = fill_streams(&null, err);
	if (r == 0)
		r = grow_fd_table(null, err);
	if (r == 0)
		r = open_self(&exe, err);
	if (r == 0 && cfg.fd[VM_FD_LOG] >= 0)
		r = log_channel(&line_fd, &channel, err);
	if (r == 0)
		r = jail_init(cfg.fd[VM_FD_LOG], channel, -1, cfg.flags & VM_FLAG_LOG_JSON, err);
	if (r == 0)
		r = build_vm(err);
	if (r == 0)
		r = listen_for_reports(err);
	if (r == 0)
		r = start_all(null, exe, channel, err);
	close_fd(&exe);
	log_taker_stop(&taker);
	life.log.lines = start_log.lines;
	if (r == 0)
		r = jail_main(err);
	return r < 0 ? r : life_run(&life, &vcpus);
}

/* Of workers that ended before the VM ran, and after the taker did. */
static void last_lines(void)
{
	int *fd = line_fd >= 0 ? &line_fd : &life.line_fd;

	while (log_take_line(&start_log, fd))
		;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int status, config_fd;

	if (argc == 5 && !strcmp(argv[1], "--worker")) {
		status = worker_main(parse_fd(argv[3]));
		syscall(SYS_exit_group, status);
	}
	config_fd = parse_args(argc, argv, &status);
	if (config_fd < 0)
		return status;
	status = run(config_fd, &err);
	/* Whoever asks sees that it has ended, however long a worker takes to: one may be in a call of the host's. */
	if (cfg.fd[VM_FD_CONTROL] > STDERR_FILENO)
		close_fd(&cfg.fd[VM_FD_CONTROL]);
	worker_procs_end(&devices.procs);
	if (status < 0) {
		last_lines();
		/* The caller is told in one place; without a report pipe there is only this one. */
		if (cfg.fd[VM_FD_REPORT] >= 0)
			report_send(cfg.fd[VM_FD_REPORT], VMM_FAILED, &err, 1, NULL, &tl);
		else
			dprintf(STDERR_FILENO, "coracle-vmm: %s\n", err.msg);
		status = 1;
	}
	/* Workers and vCPUs end with the process: nothing of theirs can hold it up. Not by _exit(), before
	 * which the address sanitizer makes system calls that the jail forbids. */
	syscall(SYS_exit_group, status);
	return status;
}
