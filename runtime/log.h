/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the user is told: a line on standard error; with --log a line in that file (lib/logline.h has its two
 * forms; containerd's shim and Podman read the JSON one back), and then errors alone on standard error as
 * well. Only commands' main line logs; functions below return errors.
 */
#ifndef RUNTIME_LOG_H
#define RUNTIME_LOG_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/logline.h"

/* path NULL: standard error only. format: "text" (default, NULL) or "json". */
int log_open(const char *path, const char *format, bool debug, struct err *err);
int log_fd(void); /* the log file's descriptor, -1: none */
/* With a log file: another descriptor for it, for coracle-vmm to append to. Where it is a pipe or a terminal, a
 * write does not wait for its reader: the VMM's main loop must not. A pipe that nobody reads any more is none: then it leads nowhere. Or -1 with errno. */
int log_open_again(void);
bool log_is_json(void);
__attribute__((format(printf, 2, 3))) void log_msg(enum log_level level, const char *fmt, ...);
/* For callbacks of oci/: warns, or with --debug says. arg is not used. */
void log_warn_cb(void *arg, const char *msg);
void log_debug_cb(void *arg, const char *msg);

#endif
