/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attacks of the guest `files` on the file server, in groups. hostile_test.sh prepares the share:
 *
 *	rootfs/plain		"a plain file\n", mode 0644
 *	rootfs/other		some text
 *	rootfs/dir/inner	some text
 *	rootfs/big		64 KiB of "0123456789abcdef"
 *	rootfs/fifo, socket, device, absolute (-> /etc/passwd), upwards (-> ../../../..), sideways (-> ../../outside)
 *	rootfs/scratch/		empty: the only place where something may change
 *	m0/volume/		read-only, unless the word is "writable": file, dir/ (empty), link (-> file)
 */
#ifndef TESTS_GUESTS_FILES_H
#define TESTS_GUESTS_FILES_H

#include "tests/guests/fuse.h"

#define FILES_TEXT "a plain file\n"

extern struct drv *files_dev;
extern uint64_t files_rootfs, files_plain, files_other, files_scratch; /* nodes */

/* One case: the errno that it gives (FUSE_LOST: the device must fail) and the one that it must. */
void files_want(const char *what, const char *how, int got, int want);
/* The same as fuse_ask(), with room for every fixed reply. */
int files_ask(uint32_t opcode, uint64_t node, const struct fuse_arg args[FUSE_ARGS_MAX]);
/* The device anew, with the nodes above. */
void files_fresh(void);

void files_names(void);
void files_xattrs(void);
void files_nodes(void);
void files_handles(void);
void files_special(void);
void files_read_only(void);
void files_buffers(void);
void files_overlaps(void);
void files_sizes(void);
void files_crowd(void);
void files_forgets(void);
void files_sessions(void);

#endif
