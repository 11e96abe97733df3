/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/vm_config.h"
#include "oci/spec.h"
#include "runtime/files.h"
#include "runtime/log.h"
#include "runtime/sandbox.h"

#define DEFAULT_MEMORY  (512ull << 20)
#define MEMORY_OVERHEAD (64ull << 20) /* guest kernel and init, beside the container's limit */
#define MEMORY_STEP     (2ull << 20)
#define DEFAULT_VCPUS   2 /* at most: never more than the host has */
#define BOOT_TIMEOUT_MS 120000
#define LISTEN_BACKLOG  16
#define KEEP_WAIT_MS    10000

static int open_bundle(const char *path, char **ret_abs, struct err *err)
{
	autofd int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	autofree char *abs = NULL;

	if (fd < 0)
		return err_set(err, errno, "cannot open the bundle '%s'", path);
	abs = realpath(path, NULL);
	if (!abs)
		return err_set(err, errno, "cannot find the bundle '%s'", path);
	*ret_abs = take_ptr(&abs);
	return take_fd(&fd);
}

static int check_options(const struct launch *l, const struct global *g, struct err *err)
{
	if (l->console_socket)
		return err_plain(err, EINVAL,
			"--console-socket: cannot be used when process.terminal is false");
	if (l->preserve_fds && !g->lenient)
		return err_plain(err, EOPNOTSUPP,
			"--preserve-fds %u: a descriptor cannot be passed into a VM",
			l->preserve_fds);
	if (l->preserve_fds)
		log_msg(LOG_LEVEL_WARNING, "--preserve-fds %u: not passed into the VM",
			l->preserve_fds);
	return 0;
}

static uint64_t host_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);

	return pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : DEFAULT_MEMORY;
}

static uint64_t memory_size(const struct container_spec *spec)
{
	uint64_t bytes = spec->vm.memory_bytes;

	/* "Unlimited" is often a very large number: the VM is never larger than the host. */
	if (!bytes && spec->memory_limit)
		bytes = MIN(spec->memory_limit, host_memory()) + MEMORY_OVERHEAD;
	if (!bytes)
		bytes = DEFAULT_MEMORY;
	bytes = MAX(MIN(bytes, VM_MEMORY_MAX - MEMORY_STEP), VM_MEMORY_MIN);
	return (bytes + MEMORY_STEP - 1) / MEMORY_STEP * MEMORY_STEP;
}

static uint32_t vcpu_count(const struct container_spec *spec)
{
	cpu_set_t set;
	int host = 1;

	if (spec->vm.vcpus)
		return spec->vm.vcpus;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		host = CPU_COUNT(&set);
	return (uint32_t)MIN(MAX(host, 1), DEFAULT_VCPUS);
}

static int listen_control(const struct container *c, struct err *err)
{
	autofd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (fd < 0)
		return err_set(err, errno, "cannot make the control socket");
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/" CONTAINER_SOCKET, c->dir_fd);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_set(
			err, errno, "cannot bind the control socket in '%s/%s'", c->root, c->id);
	if (listen(fd, LISTEN_BACKLOG) < 0)
		return err_set(err, errno, "cannot listen on the control socket");
	return take_fd(&fd);
}

static int encode_spec(const struct container_spec *spec, struct err *err)
{
	autofree uint8_t *buf = NULL;
	size_t len;
	int fd, r = spec_encode(spec, &buf, &len, err);

	if (r < 0)
		return r;
	fd = memfd_with("spec", buf, len, 1);
	return fd < 0 ? err_set(err, -fd, "cannot make a memfd") : fd;
}

static int open_log(const struct container *c, struct err *err)
{
	int fd = log_fd();

	if (fd >= 0)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	else
		fd = openat(
			c->dir_fd, CONTAINER_LOG, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? err_set(err, errno, "cannot open the VMM's log") : fd;
}

/* Opens everything the VMM gets, except the share tree, which the child makes. */
static int fill_config(struct vm_config *cfg, const struct launch *l, const struct global *g,
	const struct container_spec *spec, const struct container *c, struct err *err)
{
	int(*fd) = cfg->fd;

	*cfg = (struct vm_config){
		.magic = VM_CONFIG_MAGIC,
		.version = VM_CONFIG_VERSION,
		.size = sizeof(*cfg),
		.flags = (g->debug ? VM_FLAG_DEBUG : 0) | (log_is_json() ? VM_FLAG_LOG_JSON : 0),
		.vcpus = vcpu_count(spec),
		.boot_timeout_ms = BOOT_TIMEOUT_MS,
		.memory_bytes = memory_size(spec),
		.timeline = l->timeline,
	};
	for (unsigned i = 0; i < VM_FDS; i++)
		fd[i] = -1;
	snprintf(cfg->id, sizeof(cfg->id), "%s", c->id);
	if ((fd[VM_FD_KVM] = files_open_kvm(err)) < 0)
		return fd[VM_FD_KVM];
	if ((fd[VM_FD_KERNEL] = files_open_kernel(spec->vm.kernel, NULL, err)) < 0)
		return fd[VM_FD_KERNEL];
	if ((fd[VM_FD_INIT] = files_open("coracle-init", err)) < 0)
		return fd[VM_FD_INIT];
	if ((fd[VM_FD_SPEC] = encode_spec(spec, err)) < 0)
		return fd[VM_FD_SPEC];
	if ((fd[VM_FD_CONTROL] = listen_control(c, err)) < 0)
		return fd[VM_FD_CONTROL];
	if ((fd[VM_FD_LOG] = open_log(c, err)) < 0)
		return fd[VM_FD_LOG];
	return 0;
}

static int write_pid_file(const char *path, pid_t pid, struct err *err)
{
	autofree char *tmp = NULL;
	autofd int fd = -1;
	char text[16];
	int n, r;

	if (!path)
		return 0;
	if (asprintf(&tmp, "%s.XXXXXX", path) < 0)
		return err_set(err, ENOMEM, "cannot write the pid file");
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno, "cannot make the pid file '%s'", path);
	n = snprintf(text, sizeof(text), "%d", pid);
	r = write_full(fd, text, (size_t)n);
	if (r == 0 && (fchmod(fd, 0644) < 0 || rename(tmp, path) < 0))
		r = -errno;
	if (r == 0)
		return 0;
	unlink(tmp);
	return err_set(err, -r, "cannot write the pid file '%s'", path);
}

static int describe_end(pid_t pid, struct err *err)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return err_plain(err, EPIPE, "coracle-vmm has ended without a word");
	if (WIFSIGNALED(status))
		return err_plain(err, EPIPE, "coracle-vmm was killed by signal %d (%s)",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	return err_plain(err, EPIPE, "coracle-vmm has ended with status %d without a word",
		WEXITSTATUS(status));
}

int launch_read_report(struct launch *l, struct vmm_report *ret, struct err *err)
{
	int r = read_full(l->report_fd, ret, sizeof(*ret));

	if (r == -EPIPE) {
		r = describe_end(l->pid, err);
		l->pid = 0;
		return r;
	}
	if (r < 0)
		return err_set(err, -r, "cannot read coracle-vmm's report");
	ret->text[sizeof(ret->text) - 1] = '\0';
	ret->guest_log[sizeof(ret->guest_log) - 1] = '\0';
	l->timeline = ret->timeline;
	return 0;
}

/* What a terminal, a shell or a service manager sends to be passed on. */
static const int forwarded[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH};

int launch_signal_fd(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* SIGWINCH, SIGCHLD and the like are no reason to stop. */
static int interrupted(struct launch *l, struct err *err)
{
	struct signalfd_siginfo si;

	if (read(l->signal_fd, &si, sizeof(si)) != sizeof(si))
		return err_set(err, errno, "cannot read the signals");
	switch (si.ssi_signo) {
	case SIGHUP:
	case SIGINT:
	case SIGQUIT:
	case SIGTERM:
		err->exit_status = 128 + (int)si.ssi_signo;
		return err_plain(err, EINTR,
			"interrupted by SIG%s before the container was started",
			sigabbrev_np((int)si.ssi_signo));
	default: return 0;
	}
}

int launch_wait(struct launch *l, int fd, struct err *err)
{
	struct pollfd pfd[2] = {
		{.fd = fd, .events = POLLIN}, {.fd = l->signal_fd, .events = POLLIN}};

	for (;;) {
		int n = poll(pfd, 2, -1), r;

		if (n < 0 && errno != EINTR)
			return err_set(err, errno, "cannot wait for coracle-vmm");
		if (n <= 0)
			continue;
		if (pfd[0].revents)
			return 0;
		r = interrupted(l, err);
		if (r < 0)
			return r;
	}
}

static int wait_ready(struct launch *l, struct err *err)
{
	struct vmm_report rep;
	int r = launch_wait(l, l->report_fd, err);

	if (r < 0)
		return r;
	r = launch_read_report(l, &rep, err);
	if (r < 0)
		return r;
	if (rep.type == VMM_READY)
		return 0;
	err->exit_status = (int)(rep.exit_status & 0xff);
	r = err_plain(err, rep.errnum > 0 ? rep.errnum : EIO, "%s", rep.text);
	if (rep.guest_log[0])
		log_msg(LOG_LEVEL_ERROR, "last lines of the guest's log:\n%s", rep.guest_log);
	return r;
}

/* Forks the VMM's process. The state is on disk before the child can be anything to clean up. */
static int spawn(struct launch *l, struct vm_config *cfg, const struct container_spec *spec,
	struct container *c, struct err *err)
{
	autofree char *mount_point = NULL;
	autofd int vmm_fd = files_open("coracle-vmm", err);
	autofd int netns_fd = -1;
	struct sandbox sandbox;
	int pipe_fd[2], r;
	pid_t pid;

	if (vmm_fd < 0)
		return vmm_fd;
	if (asprintf(&mount_point, "%s/%s/" CONTAINER_SHARE, c->root, c->id) < 0)
		return err_set(err, ENOMEM, "cannot name the share tree's mount point");
	r = sandbox_open_netns(spec, &netns_fd, err);
	if (r < 0)
		return r;
	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return err_set(err, errno, "cannot make a pipe");
	l->report_fd = pipe_fd[0];
	cfg->fd[VM_FD_REPORT] = pipe_fd[1];
	sandbox = (struct sandbox){.spec = spec,
		.mount_point = mount_point,
		.netns_fd = netns_fd,
		.vmm_fd = vmm_fd,
		.parent = getpid()};
	pid = fork();
	if (pid == 0)
		sandbox_exec(cfg, &sandbox);
	close_fd(&cfg->fd[VM_FD_REPORT]);
	if (pid < 0)
		return err_set(err, errno, "cannot fork");
	l->pid = pid;
	c->state.pid = pid;
	r = cstate_pid_start(pid, &c->state.pid_start_ticks);
	if (r < 0)
		return err_set(err, -r, "cannot look at coracle-vmm");
	return container_save(c, err);
}

static int fill_state(
	struct container *c, const struct container_spec *spec, char **bundle, struct err *err)
{
	struct cstate *s = &c->state;

	s->oci_version = strdup(spec->oci_version);
	s->id = strdup(c->id);
	s->bundle = take_ptr(bundle);
	if (spec->root_path[0] == '/')
		s->rootfs = strdup(spec->root_path);
	else if (asprintf(&s->rootfs, "%s/%s", s->bundle, spec->root_path) < 0)
		s->rootfs = NULL;
	if (!s->oci_version || !s->id || !s->rootfs)
		return err_set(err, ENOMEM, "cannot note the state");
	s->owner = geteuid();
	s->annotations = json_object_get(spec->annotations);
	cstate_set_created(s);
	return 0;
}

void launch_undo(struct launch *l, struct container *c)
{
	struct err ignored = ERR_INIT;

	close_fd(&l->report_fd);
	if (l->pid > 0) {
		kill(l->pid, SIGKILL);
		waitpid(l->pid, NULL, 0);
		l->pid = 0;
	}
	if (c->dir_fd >= 0)
		container_remove(c, &ignored);
}

static int boot(struct launch *l, const struct global *g, struct container_spec *spec,
	char **bundle, struct container *c, struct err *err)
{
	struct vm_config cfg;
	int r = fill_state(c, spec, bundle, err);

	if (r < 0)
		return r;
	if (mkdirat(c->dir_fd, CONTAINER_SHARE, 0700) < 0)
		return err_set(err, errno, "cannot make the share tree's mount point");
	r = share_make_mount_points(spec, err);
	if (r < 0)
		return r;
	r = fill_config(&cfg, l, g, spec, c, err);
	if (r >= 0)
		r = spawn(l, &cfg, spec, c, err);
	for (unsigned i = 0; i < VM_FDS; i++)
		close_fd(&cfg.fd[i]);
	if (r < 0)
		return r;
	r = wait_ready(l, err);
	if (r == 0)
		r = write_pid_file(l->pid_file, l->pid, err);
	/* Until here our death is the VMM's: nobody else knew of it. */
	return r < 0 ? r : container_request(c, CTL_KEEP, 0, KEEP_WAIT_MS, NULL, err);
}

int launch_container(struct launch *l, const struct global *g, const char *id, struct container *c,
	struct err *err)
{
	struct spec_opts opts = {.lenient = g->lenient, .warn = log_warn_cb};
	autospec struct container_spec *spec = NULL;
	autofree char *bundle = NULL;
	autofd int bundle_fd = -1;
	int r = cstate_check_id(id, err);

	if (r < 0)
		return r;
	l->timeline.ns[TL_START] = g->start_ns;
	bundle_fd = open_bundle(l->bundle, &bundle, err);
	if (bundle_fd < 0)
		return bundle_fd;
	r = spec_load(&spec, bundle_fd, &opts, err);
	if (r < 0)
		return r;
	r = check_options(l, g, err);
	if (r < 0)
		return r;
	timeline_mark(&l->timeline, TL_SPEC);
	r = container_new(c, g->root, id, err);
	if (r >= 0)
		r = boot(l, g, spec, &bundle, c, err);
	if (r < 0)
		launch_undo(l, c);
	return r;
}
