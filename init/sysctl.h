/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel parameters of the spec, written below sys/ of a procfs. */
#ifndef INIT_SYSCTL_H
#define INIT_SYSCTL_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/gspec.h"

/* A key is names separated by single slashes, none of them empty, "." or "..". */
bool sysctl_key_ok(const char *key);

/* proc: a procfs directory of the namespaces meant. */
int sysctls_write(int proc, const struct gkeyval *kv, uint32_t n, struct err *err);

/* Reads a file, cut to fit, NUL-terminated. Its length or -errno. */
int file_get(int dir, const char *path, char *buf, size_t buf_bytes);

/* Writes the whole text in one write(2). 0 or -errno. */
int file_put(int dir, const char *path, const char *text);

#endif
