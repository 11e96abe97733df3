/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/vm_config.h"
#include "oci/spec.h"
#include "runtime/files.h"
#include "runtime/hook_points.h"
#include "runtime/hooks.h"
#include "runtime/isolation.h"
#include "runtime/launch_cgroup.h"
#include "runtime/launch_config.h"
#include "runtime/launch_report.h"
#include "runtime/log.h"
#include "runtime/pass_fds.h"
#include "runtime/pid_file.h"
#include "runtime/rootless.h"
#include "runtime/sandbox.h"
#include "runtime/workers.h"

#define KEEP_WAIT_MS 10000

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

static bool has_create_hooks(const struct hooks *h)
{
	return h->list[HOOK_PRESTART].n || h->list[HOOK_CREATE_RUNTIME].n ||
	       h->list[HOOK_CREATE_CONTAINER].n;
}

/* What the specification says of the container's process: on the host that is the VMM. */
static void set_oom_score(pid_t pid, const struct gproc *p)
{
	char path[64], text[16];
	autofd int fd = -1;

	if (!(p->flags & GPROC_HAS_OOM_SCORE))
		return;
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	snprintf(text, sizeof(text), "%d", p->oom_score_adj);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		log_msg(LOG_LEVEL_WARNING,
			"process.oomScoreAdj: cannot set the VMM's on the host to %s: %s", text,
			strerror(errno));
}

/* Forks the VMM's process. The state is on disk before the child can be anything to clean up. */
static int spawn(struct launch *l, struct vm_config *cfg, const struct container_spec *spec,
	struct container *c, struct err *err)
{
	autofd int vmm_fd = files_open("coracle-vmm", err);
	autofd int netns_fd = -1, turn_fd = -1;
	struct sandbox sandbox;
	int pipe_fd[2], turns[2], r;
	pid_t pid;

	if (vmm_fd < 0)
		return vmm_fd;
	r = sandbox_open_netns(spec, &netns_fd, err);
	if (r < 0)
		return r;
	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return err_set(err, errno, "cannot make a pipe");
	l->report_fd = pipe_fd[0];
	cfg->fd[VM_FD_REPORT] = pipe_fd[1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, turns) < 0)
		return err_set(err, errno, "cannot make a socket pair");
	turn_fd = turns[1];
	l->turn_fd = turns[0];
	sandbox = (struct sandbox){.spec = spec,
		.rootfs = has_create_hooks(&spec->hooks) ? c->state.rootfs : NULL,
		.dir_fd = c->dir_fd,
		.netns_fd = netns_fd,
		.vmm_fd = vmm_fd,
		.has_terminal = l->terminal.slave >= 0,
		.slave_fd = l->terminal.slave,
		.parent = getpid(),
		.cgroup = &l->cgroup,
		.turn_fd = turn_fd};
	pid = fork();
	if (pid == 0)
		sandbox_exec(cfg, &sandbox);
	close_fd(&cfg->fd[VM_FD_REPORT]);
	if (pid < 0)
		return err_set(err, errno, "cannot fork");
	l->pid = pid;
	set_oom_score(pid, &spec->guest.proc);
	c->state.pid = pid;
	r = cstate_pid_start(pid, &c->state.pid_start_ticks);
	if (r < 0)
		return err_set(err, -r, "cannot look at coracle-vmm");
	return container_save(c, err);
}

/* What has to happen between the VMM's namespaces and its VM. */
static int before_boot(struct launch *l, const struct global *g, const struct container_spec *spec,
	struct container *c, struct err *err)
{
	int r = sandbox_prepared(l->turn_fd, l->signal_fd, err);

	if (r < 0 && !err_is_set(err)) /* its report says why */
		return launch_report_ready(l, err) < 0
			       ? -err->errnum
			       : err_plain(err, EPROTO, "coracle-vmm is early");
	if (r < 0)
		return r;
	r = launch_cgroup_adopt(l, g, spec, c, err);
	if (r < 0)
		return r;
	l->has_run_hooks = true;
	r = hook_points_create(&spec->hooks, c, l->signal_fd, err);
	if (r == 0)
		r = sandbox_go(l->turn_fd, err);
	close_fd(&l->turn_fd);
	return r;
}

static int fill_state(
	struct container *c, const struct container_spec *spec, char **bundle, struct err *err)
{
	struct jnode root = jdoc_root(&spec->doc);
	struct cstate *s = &c->state;
	bool ok = true;

	s->oci_version = strdup(spec->oci_version);
	s->id = strdup(c->id);
	s->bundle = take_ptr(bundle);
	if (spec->root_path[0] == '/')
		s->rootfs = strdup(spec->root_path);
	else if (asprintf(&s->rootfs, "%s/%s", s->bundle, spec->root_path) < 0)
		s->rootfs = NULL;
	if (!s->oci_version || !s->id || !s->rootfs)
		return err_set(err, ENOMEM, "cannot note the state");
	s->owner = rootless_caller();
	s->annotations = json_object_get(spec->annotations);
	s->hooks = hooks_to_keep(&root, &ok);
	if (!ok)
		return err_set(err, ENOMEM, "cannot note the state");
	cstate_set_created(s);
	return cstate_check(s, err);
}

/* What the guest's hooks read. */
static int fill_hook_state(struct container_spec *spec, const struct cstate *s, struct err *err)
{
	autofree char *text = NULL;

	if (!spec->guest.n_hooks)
		return 0;
	text = hooks_guest_state(s, container_status_name(CONTAINER_CREATED));
	if (text)
		spec->guest.hook_state = arena_strdup(&spec->arena, text, strlen(text));
	return spec->guest.hook_state ? 0 : err_set(err, ENOMEM, "cannot encode the state");
}

/* What is left is said: nobody would look for it. ENOENT: `delete --force` was quicker. */
static void check_undone(int r, const struct err *err)
{
	if (r < 0 && r != -ENOENT)
		log_msg(LOG_LEVEL_WARNING, "%s", err->msg);
}

void launch_undo(struct launch *l, struct container *c)
{
	struct err err = ERR_INIT;

	launch_terminal_release(&l->terminal);
	close_fd(&l->report_fd);
	close_fd(&l->turn_fd);
	if (l->has_pid_file)
		unlink(l->pid_file);
	if (l->pid > 0) {
		kill(l->pid, SIGKILL);
		waitpid(l->pid, NULL, 0);
		check_undone(workers_wait_gone(l->pid, c->id, WORKERS_WAIT_MS, &err), &err);
		l->pid = 0;
	}
	check_undone(launch_cgroup_remove(&c->state, &err), &err);
	cgroup_undo(&l->cgroup);
	cgroup_release(&l->cgroup);
	if (c->dir_fd < 0)
		return;
	check_undone(container_remove(c, &err), &err);
	if (l->has_run_hooks)
		hook_points_deleted(c);
}

static int boot(struct launch *l, const struct global *g, struct container_spec *spec,
	char **bundle, struct container *c, struct err *err)
{
	struct vm_config cfg;
	int r = fill_state(c, spec, bundle, err);

	if (r < 0)
		return r;
	r = fill_hook_state(spec, &c->state, err);
	if (r < 0)
		return r;
	if (mkdirat(c->dir_fd, CONTAINER_SHARE, 0700) < 0)
		return err_set(err, errno, "cannot make the share tree's mount point");
	r = launch_cgroup_make(l, g, spec, c, err);
	if (r < 0)
		return r;
	r = share_make_mount_points(spec, err);
	if (r < 0)
		return r;
	r = launch_config_fill(&cfg, l, g, spec, c, err);
	if (r >= 0)
		r = spawn(l, &cfg, spec, c, err);
	launch_config_release(&cfg);
	if (r >= 0)
		r = before_boot(l, g, spec, c, err);
	if (r < 0)
		return r;
	r = launch_report_ready(l, err);
	if (r == 0)
		r = cgroup_throttle(&l->cgroup, &spec->resources, err);
	if (r == 0)
		r = launch_terminal_send(&l->terminal, l->console_socket, err);
	if (r == 0) {
		r = pid_file_write(l->pid_file, l->pid, err);
		l->has_pid_file = r == 0 && l->pid_file;
	}
	/* Until here our death is the VMM's: nobody else knew of it. */
	return r < 0 ? r : container_request(c, CTL_KEEP, 0, KEEP_WAIT_MS, NULL, err);
}

/* Before anything is opened: mounts can be cloned in the namespace only that they were opened in. */
static int enter_userns(struct launch *l, struct err *err)
{
	char note[ROOTLESS_NOTE_BYTES];
	bool warn;
	int r;

	if (geteuid() != 0)
		(void)files_kvm_group(); /* an error names it */
	r = rootless_enter(l->signal_fd, note, &warn, err);

	if (r == 0 && *note)
		log_msg(warn ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "%s", note);
	return r;
}

int launch_container(struct launch *l, const struct global *g, const char *id, struct container *c,
	struct err *err)
{
	const struct spec_opts opts = {.lenient = g->lenient,
		.allow_terminal = true,
		.warn = log_warn_cb,
		.debug = log_debug_cb};
	autospec struct container_spec *spec = NULL;
	autofree char *bundle = NULL;
	autofd int bundle_fd = -1;
	int r = cstate_check_id(id, err);

	if (r < 0)
		return r;
	l->timeline.ns[TL_START] = g->start_ns;
	r = enter_userns(l, err);
	if (r < 0)
		return r;
	bundle_fd = open_bundle(l->bundle, &bundle, err);
	if (bundle_fd < 0)
		return bundle_fd;
	r = spec_load(&spec, bundle_fd, &opts, err);
	if (r == 0)
		r = rootless_translate(spec, err);
	if (r < 0)
		return r;
	r = pass_fds_check(l->preserve_fds, g->lenient, err);
	if (r == 0)
		r = isolation_of(l->isolation, spec, &l->process, err);
	if (r == 0)
		r = launch_terminal_open(
			&l->terminal, l->console_socket, l->detach, &spec->guest.proc, err);
	if (r < 0) {
		launch_terminal_release(&l->terminal);
		return r;
	}
	timeline_mark(&l->timeline, TL_SPEC);
	r = container_new(c, g->root, id, err);
	if (r >= 0)
		r = boot(l, g, spec, &bundle, c, err);
	if (r < 0)
		launch_undo(l, c);
	launch_terminal_release(&l->terminal); /* the VMM and the engine have it */
	cgroup_release(&l->cgroup);
	return r;
}
