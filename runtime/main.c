/* SPDX-License-Identifier: Apache-2.0 */
/* coracle: the command line. Global options, then one command (one file each, cmd_*.c). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "oci/json_gate.h"
#include "oci/spec.h"
#include "runtime/command.h"
#include "runtime/commit.h"
#include "runtime/log.h"

static const struct command commands[] = {
	{"check", "say what this machine offers and whether a container can start", cmd_check},
	{"checkpoint", "refused: a VM cannot be saved", cmd_checkpoint},
	{"create", "boot a VM for a container, without starting its program", cmd_create},
	{"delete", "remove a stopped container (--force: any container)", cmd_delete},
	{"events", "print a container's figures and OOM kills as they come", cmd_events},
	{"exec", "run a further process in a container", cmd_exec},
	{"features", "print the features of the runtime as JSON", cmd_features},
	{"kill", "send a signal to a container's first process", cmd_kill},
	{"list", "list containers", cmd_list},
	{"pause", "stop all of a container for a while", cmd_pause},
	{"ps", "list the processes of a container", cmd_ps},
	{"restore", "refused likewise", cmd_checkpoint},
	{"resume", "let a paused container go on", cmd_resume},
	{"run", "create and start a container, and wait for it", cmd_run},
	{"spec", "write a default config.json", cmd_spec},
	{"start", "start the program of a created container", cmd_start},
	{"state", "print the state of a container as JSON", cmd_state},
	{"timeline", "draw the phases that `run --timing FILE` recorded", cmd_timeline},
	{"update", "change the limits of a container", cmd_update},
};

static void print_commands(void)
{
	printf("\nCOMMANDS:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("   %-10s %s\n", commands[i].name, commands[i].summary);
	printf("\n`%s COMMAND --help` tells more. State is kept in %s.\n",
		program_invocation_short_name,
		container_default_root() ? container_default_root() : "$XDG_RUNTIME_DIR/coracle");
}

static void print_version(void)
{
	/* In runc's form, which dockerd takes apart. */
	printf("%s version %s\ncommit: %s\nspec: %s\n", program_invocation_short_name,
		CORACLE_VERSION, CORACLE_COMMIT, SPEC_OCI_VERSION);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int run_command(struct global *g, int argc, char **argv, struct err *err)
{
	const struct command *c = find_command(argv[0]);

	if (!c)
		return err_plain(err, EINVAL,
			"No help topic for '%s': no such command (see %s --help)", argv[0],
			program_invocation_short_name); /* runc's words */
	if (!g->root)
		g->root = container_default_root();
	if (g->root && !*g->root)
		return err_plain(err, EINVAL, "--root: an empty path");
	return c->run(g, argc, argv, err);
}

static int coracle(struct global *g, int argc, char **argv, struct err *err)
{
	bool version = false;
	const char *rootless = NULL; /* runc has it; the answer is found from the caller's uid */
	const char *criu = NULL;     /* likewise; checkpoint and restore are refused */
	const struct option_def options[] = {
		{"root", 0, OPTION_STRING, "DIR", "where state is kept", &g->root},
		{"log", 0, OPTION_STRING, "FILE", "write messages to FILE too", &g->log_path},
		{"log-format", 0, OPTION_STRING, "FORMAT", "text (default) or json",
			&g->log_format},
		{"debug", 0, OPTION_FLAG, NULL, "more messages, also from the guest kernel",
			&g->debug},
		{"systemd-cgroup", 0, OPTION_FLAG, NULL, "the cgroup is a unit of systemd",
			&g->systemd_cgroup},
		{"rootless", 0, OPTION_STRING, "BOOL", "accepted for engines", &rootless},
		{"criu", 0, OPTION_STRING, "PATH", "accepted for engines", &criu},
		{"lenient", 0, OPTION_FLAG, NULL, "warn about unsupported fields, do not refuse",
			&g->lenient},
		{"version", 'v', OPTION_FLAG, NULL, "print the version", &version},
	};
	const struct usage u = {"[GLOBAL OPTION]... COMMAND [OPTION]... [ARGUMENT]...",
		"Open Container Initiative runtime, each container in a microVM of its own",
		options, ARRAY_SIZE(options), 0, INT_MAX, print_commands, true};
	int first = options_parse(&u, argc, argv, err);
	int r;

	if (first <= 0)
		return first;
	if (version) {
		print_version();
		return 0;
	}
	if (first >= argc) {
		options_help(&u);
		return argc == 1 ? 0 : 1;
	}
	r = log_open(g->log_path, g->log_format, g->debug, err);
	if (r < 0)
		return r;
	return run_command(g, argc - first, argv + first, err);
}

/* A stream that the caller closed must not be taken by the first file we open. Close-on-exec: the VMM gets
 * it closed, as we did. */
static int fill_streams(struct err *err)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
			open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY) != fd)
			return err_set(err, errno,
				"descriptor %d is closed, and '/dev/null' cannot be opened for it",
				fd);
	return 0;
}

static int flush_output(int r, struct err *err)
{
	if ((fflush(stdout) || ferror(stdout)) && r >= 0)
		return err_set(err, errno ? errno : EIO, "cannot write to standard output");
	return r;
}

int main(int argc, char **argv)
{
	struct global g = {.start_ns = timeline_now()};
	struct err err = ERR_INIT;
	int r;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ,
		SIG_IGN); /* a write past RLIMIT_FSIZE is an error, not our end, nor the VMM's */
	signal(SIGCHLD, SIG_DFL); /* an engine may have it ignored: we could not wait for the VMM */
	r = fill_streams(&err);
	if (r >= 0)
		r = flush_output(coracle(&g, argc, argv, &err), &err);
	if (r >= 0)
		return r;
	json_printable(err.msg); /* one line, whatever a bundle's strings hold */
	log_msg(LOG_LEVEL_ERROR, "%s", err.msg[0] ? err.msg : strerror(-r));
	return err.exit_status ? err.exit_status : 1;
}
