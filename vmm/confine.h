/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps by which a thread gives up what it does not need, one function each; vmm/jail.c says which kind of
 * thread takes which, and ARCHITECTURE.md in what order. Each works on the calling thread alone.
 */
#ifndef VMM_CONFINE_H
#define VMM_CONFINE_H

#include "lib/err.h"

/* What a Landlock domain is about. Sockets: TCP ports, abstract names. */
#define CONFINE_FILES   1u
#define CONFINE_SOCKETS 2u

/* A mount namespace whose root is an empty directory that cannot be written to, as a descriptor for
 * confine_root(). Made by a thread of its own, which has ended. Wants CAP_SYS_ADMIN and /proc. Where the root of the
 * caller is an initramfs, that one stays in the namespace, covered by the empty directory. */
int confine_make_empty_ns(int *ret_fd, struct err *err);

#define CONFINE_FDS_MAX 128

/* The thread, and those it creates later, get a table of descriptors of their own, in which there are keep[0..n)
 * (-1: none; any order; n at most CONFINE_FDS_MAX) and the end of an empty pipe as 0, 1 and 2. */
int confine_fds(const int *keep, unsigned n, struct err *err);
/* Root, working directory and mount namespace are the empty one. Wants CAP_SYS_ADMIN. */
int confine_root(int empty_ns_fd, struct err *err);
/* Root and working directory of the thread, and of those it creates later, are the directory that tree_fd (O_PATH)
 * leads to, with the mounts that are below it now, in a mount namespace of their own where there is nothing else.
 * tree_fd, and no other descriptor, leads into that namespace then. Wants CAP_SYS_ADMIN, and the caller in the
 * directory's mount namespace. */
int confine_tree(int tree_fd, int empty_ns_fd, struct err *err);
/* A Landlock domain that allows nothing of `what` (CONFINE_*), as far as this kernel knows it; without Landlock nothing
 * happens. Sets no_new_privs. */
int confine_landlock(unsigned what, struct err *err);
int confine_caps(struct err *err);

#endif
