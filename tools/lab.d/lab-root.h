/* SPDX-License-Identifier: Apache-2.0 */
/* What the lab's command finds: file systems, cgroups, devices, network. Part of lab-init; each ends the lab on failure. */
#ifndef LAB_ROOT_H
#define LAB_ROOT_H

#include <stddef.h>

/* Of the outside; what is not wanted is NULL. */
struct lab_paths {
	char *share;   /* where the share is mounted, inside as outside */
	char *modules; /* the directory to show as /lib/modules/<release> */
	char **keeps;  /* to stay visible even where a fresh file system would hide them */
	size_t n_keeps;
};

/* lab-init.c: the end of the lab. */
void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...);

/* Writes a knob of the kernel's, if there is one of that name. */
void put(const char *path, const char *text);
void do_mount(const char *what, const char *where, const char *type, unsigned long flags,
	const char *options);

/* In this order. */
void set_up_root(const struct lab_paths *paths);
void enter_root(void);
void mount_virtual(void);
void enable_controllers(void);
void set_up_dev(void);
void set_up_network(void);

#endif
