/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RUNTIME_PID_FILE_H
#define RUNTIME_PID_FILE_H

#include <sys/types.h>

#include "lib/err.h"

/* Writes the decimal pid, no newline, as engines read it: they see the whole file or none. path
 * NULL: nothing is asked for. */
int pid_file_write(const char *path, pid_t pid, struct err *err);

#endif
