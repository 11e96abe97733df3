/* SPDX-License-Identifier: Apache-2.0 */
/* tmpcopyup: a tmpfs starts with what the directory under it holds. */
#ifndef INIT_COPYUP_H
#define INIT_COPYUP_H

#include "lib/err.h"

#define COPYUP_DEPTH_MAX 64

/* Copies directories, regular files, symlinks, fifos and device nodes with mode, owner and times of
 * content below `from` to `to`; neither follows a symlink nor leaves the file system `from` is on.
 */
int copy_up(int from, int to, struct err *err);

#endif
