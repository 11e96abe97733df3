/* SPDX-License-Identifier: Apache-2.0 */
/* A procfs of init's own, mounted nowhere: the container's processes as init numbers them. */
#ifndef INIT_PROCFS_H
#define INIT_PROCFS_H

#include <stddef.h>

/* Its directory, made at the first call and kept; or -errno. */
int procfs_dir(void);

/* For a child that closes what it has: it makes one of its own. */
void procfs_forget(void);

/* Reads a file of it, cut to fit, NUL-terminated. Its length or -errno. */
int procfs_read(const char *path, char *buf, size_t buf_bytes);

#endif
