/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One command of the `coracle` command line. A command returns the exit status, or -errno with err
 * set (main() then logs it and exits with err->exit_status or 1). argv[0] is the command's own
 * name.
 */
#ifndef RUNTIME_COMMAND_H
#define RUNTIME_COMMAND_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/timeline.h"
#include "runtime/container.h"
#include "runtime/options.h"

/* The global options, in front of the command. */
struct global {
	const char
		*root; /* directory of the state directories; NULL: see container_default_root() */
	const char *log_path;
	const char *log_format;
	bool debug, systemd_cgroup, lenient;
	uint64_t start_ns; /* main()'s first clock reading */
};

struct command {
	const char *name;
	const char *summary;
	int (*run)(const struct global *g, int argc, char **argv, struct err *err);
};

/*
 * How a command begins that is about one container: parses its options and operands, of which the
 * first is the container's id, and opens that container (see container_open() for lock). Returns the
 * index of the id, with c open for the caller to release; 0 when --help was asked and printed; or
 * -errno. In the last two cases nothing is left to release.
 */
int command_open(const struct usage *u, const struct global *g, int argc, char **argv, bool lock,
	struct container *c, struct err *err);

int cmd_check(const struct global *g, int argc, char **argv, struct err *err);
int cmd_checkpoint(const struct global *g, int argc, char **argv, struct err *err);
int cmd_create(const struct global *g, int argc, char **argv, struct err *err);
int cmd_delete(const struct global *g, int argc, char **argv, struct err *err);
int cmd_events(const struct global *g, int argc, char **argv, struct err *err);
int cmd_exec(const struct global *g, int argc, char **argv, struct err *err);
int cmd_features(const struct global *g, int argc, char **argv, struct err *err);
int cmd_kill(const struct global *g, int argc, char **argv, struct err *err);
int cmd_list(const struct global *g, int argc, char **argv, struct err *err);
int cmd_pause(const struct global *g, int argc, char **argv, struct err *err);
int cmd_ps(const struct global *g, int argc, char **argv, struct err *err);
int cmd_resume(const struct global *g, int argc, char **argv, struct err *err);
int cmd_run(const struct global *g, int argc, char **argv, struct err *err);
int cmd_spec(const struct global *g, int argc, char **argv, struct err *err);
int cmd_start(const struct global *g, int argc, char **argv, struct err *err);
int cmd_state(const struct global *g, int argc, char **argv, struct err *err);
int cmd_timeline(const struct global *g, int argc, char **argv, struct err *err);
int cmd_update(const struct global *g, int argc, char **argv, struct err *err);

#endif
