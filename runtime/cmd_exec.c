/* SPDX-License-Identifier: Apache-2.0 */
/* coracle exec: a further process in a container. This process, or with --detach a child that outlives it, stands
 * for that one on the host. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/path.h"
#include "oci/exec_process.h"
#include "runtime/command.h"
#include "runtime/console_socket.h"
#include "runtime/exec_proxy.h"
#include "runtime/log.h"
#include "runtime/pass_fds.h"
#include "runtime/pid_file.h"
#include "runtime/signals.h"

#define STATUS_FAILED 255 /* as runc: so that it is not taken for the program's own */

struct options {
	const char *process, *pid_file, *console_socket, *cwd, *user, *label, *apparmor;
	bool detach, tty, no_new_privs, ignore_paused;
	struct option_list env, gids, caps, cgroups;
	unsigned preserve_fds;
	char cgroup[PATH_BYTES]; /* absolute within the container's; "": not given */
};

/* True when ".." nowhere leads above where the path begins. */
static bool stays_below(const char *path)
{
	int depth = 0;

	for (const char *p = path; *p && depth >= 0; p += strspn(p, "/")) {
		size_t n = strcspn(p, "/");

		if (n == 2 && !strncmp(p, "..", 2))
			depth--;
		else if (n && !(n == 1 && *p == '.'))
			depth++;
		p += n;
	}
	return depth >= 0;
}

/* --cgroup PATH: a group below the container's, "/" for its own and no other. */
static int check_cgroup(struct options *o, struct err *err)
{
	const char *path = o->cgroups.n ? o->cgroups.v[0] : "";

	if (!*path)
		return 0;
	if (o->cgroups.n > 1 || strchr(path, ':'))
		return err_plain(err, EINVAL,
			"--cgroup: one path, without a controller: the container's cgroup is v2");
	if (!stays_below(path) || path_clean(path, o->cgroup) < 0)
		return err_plain(err, EINVAL, "%.200s is not a sub cgroup path", path);
	return 0;
}

static int check_status(const struct container *c, const struct options *o, struct err *err)
{
	switch (container_status(c)) {
	case CONTAINER_CREATED:
	case CONTAINER_RUNNING: return 0;
	case CONTAINER_STOPPED: return err_plain(err, EINVAL, "cannot exec in a stopped container");
	case CONTAINER_PAUSED:
		return o->ignore_paused ? 0
					: err_plain(err, EINVAL,
						  "cannot exec in a paused container (use "
						  "--ignore-paused to override)");
	case CONTAINER_CREATING: break;
	}
	return err_plain(err, EINVAL, "cannot exec in a container that is still being created");
}

/* Whatever kind of file it is: shells' <(...) are pipes. */
static int load_file(
	struct exec_process *p, const char *path, const struct spec_opts *opts, struct err *err)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_set(err, errno, "cannot open the process file '%s'", path);
	return exec_process_read(p, fd, opts, err);
}

static int load_bundle(struct exec_process *p, const char *bundle,
	const struct exec_overrides *over, const struct spec_opts *opts, struct err *err)
{
	autofd int fd = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, errno, "cannot open the bundle '%s'", bundle);
	return exec_process_from_bundle(p, fd, over, opts, err);
}

static struct exec_strings strings(const struct option_list *l)
{
	return (struct exec_strings){.v = l->v, .n = l->n};
}

static int load_process(struct exec_process *p, const struct options *o, const struct global *g,
	const struct container *c, int argc, char **argv, struct err *err)
{
	/* Always allowed here: whether there is a terminal is the options' business. */
	const struct spec_opts opts = {.lenient = g->lenient,
		.allow_terminal = true,
		.warn = log_warn_cb,
		.debug = log_debug_cb};
	const struct exec_overrides over = {
		.args = {.v = (const char *const *)argv, .n = (size_t)argc},
		.cwd = o->cwd,
		.user = o->user,
		.env = strings(&o->env),
		.gids = strings(&o->gids),
		.caps = strings(&o->caps),
		.apparmor = o->apparmor,
		.label = o->label,
		.no_new_privs = o->no_new_privs,
		.terminal = o->tty,
	};

	if (o->process && *o->process)
		return load_file(p, o->process, &opts, err);
	return load_bundle(p, c->state.bundle, &over, &opts, err);
}

static int run_foreground(struct exec_proxy *p, const struct options *o, struct err *err)
{
	int r = exec_proxy_start(p, err);

	if (r >= 0)
		r = pid_file_write(o->pid_file, getpid(), err);
	if (r >= 0)
		r = exec_proxy_wait(p, err);
	exec_proxy_release(p);
	return r;
}

/* argv: the operands behind the id. */
static int exec_in(struct container *c, struct options *o, const struct global *g, int argc,
	char **argv, struct err *err)
{
	struct exec_process process = {0};
	struct exec_proxy p = EXEC_PROXY_INIT;
	autofd int sfd = -1;
	int r = check_status(c, o, err);

	if (r >= 0)
		r = check_cgroup(o, err);
	if (r >= 0)
		r = pass_fds_check(o->preserve_fds, g->lenient, err);
	if (r >= 0)
		r = load_process(&process, o, g, c, argc, argv, err);
	process.proc.cgroup = o->cgroup;
	if (r >= 0)
		r = console_socket_check(
			o->console_socket, process.proc.flags & GPROC_TERMINAL, o->detach, err);
	if (r >= 0 && (sfd = signals_open_all()) < 0)
		r = err_set(err, errno, "cannot make a signalfd");
	if (r >= 0) {
		p.c = c;
		p.process = &process;
		p.console_socket = o->console_socket;
		p.ignore_paused = o->ignore_paused;
		p.signal_fd = sfd;
		r = o->detach ? exec_proxy_detach(&p, o->pid_file, err)
			      : run_foreground(&p, o, err);
		if (o->detach && r > 0) /* the proxy's pid */
			r = 0;
	}
	exec_process_release(&process);
	return r;
}

int cmd_exec(const struct global *g, int argc, char **argv, struct err *err)
{
	struct options o = {0};
	const struct option_def options[] = {
		{"process", 'p', OPTION_STRING, "FILE",
			"process.json: all below but -d comes from it", &o.process},
		{"detach", 'd', OPTION_FLAG, NULL, "do not wait for its end", &o.detach},
		{"pid-file", 0, OPTION_STRING, "FILE", "write the pid that stands for it to FILE",
			&o.pid_file},
		{"console-socket", 0, OPTION_STRING, "PATH", "socket that gets the terminal",
			&o.console_socket},
		{"tty", 't', OPTION_FLAG, NULL, "give it a terminal", &o.tty},
		{"cwd", 0, OPTION_STRING, "DIR", "working directory", &o.cwd},
		{"env", 'e', OPTION_LIST, "NAME=VALUE", "add to the environment", &o.env},
		{"user", 'u', OPTION_STRING, "UID[:GID]", "user and group, numbers", &o.user},
		{"additional-gids", 'g', OPTION_LIST, "GID", "add a group", &o.gids},
		{"cap", 'c', OPTION_LIST, "CAP", "add a capability (CAP_...)", &o.caps},
		{"no-new-privs", 0, OPTION_FLAG, NULL, "set no_new_privs", &o.no_new_privs},
		{"process-label", 0, OPTION_STRING, "LABEL", "refused: no SELinux in the guest",
			&o.label},
		{"apparmor", 0, OPTION_STRING, "PROFILE", "refused: no AppArmor in the guest",
			&o.apparmor},
		{"preserve-fds", 0, OPTION_NUMBER, "N", "descriptors to pass on (only 0 works)",
			&o.preserve_fds},
		{"ignore-paused", 0, OPTION_FLAG, NULL, "also in a paused container: waits",
			&o.ignore_paused},
		{"cgroup", 0, OPTION_LIST, "PATH", "cgroup to join, below the container's",
			&o.cgroups},
	};
	const struct usage u = {"exec [OPTION]... ID [COMMAND [ARGUMENT]...]",
		"Runs a further process in a container. Exits with its status.", options,
		ARRAY_SIZE(options), 1, INT_MAX, .in_order = true};
	struct container c = CONTAINER_INIT;
	int first = options_parse(&u, argc, argv, err);
	int r;

	if (first <= 0)
		return first;
	r = container_open(&c, g->root, argv[first], false, err);
	if (r >= 0)
		r = exec_in(&c, &o, g, argc - first - 1, argv + first + 1, err);
	container_release(&c);
	free(o.env.v);
	free(o.gids.v);
	free(o.caps.v);
	free(o.cgroups.v);
	if (r >= 0)
		return r;
	if (r != -EINTR)
		err->exit_status = STATUS_FAILED;
	return err_wrap(err, "exec failed");
}
