/* SPDX-License-Identifier: Apache-2.0 */
/* The guest that init wakes up in: an initramfs with /init and /spec in it and nothing else. */
#ifndef INIT_GUEST_H
#define INIT_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include "init/container.h"
#include "lib/err.h"

#define SHARE_TAG "share" /* of the virtiofs device */

/* Descriptors 0 to 2 are made to exist, so that nothing of ours becomes a standard stream. */
void guest_fill_stdio(void);

/* A stream to the host's port; non-blocking, the connection still under way. fd or -errno. */
int guest_connect(uint32_t port, struct err *err);

/* Waits until it is up, then makes it blocking. */
int guest_connected(int sock, struct err *err);

/* Reads /spec, at most max bytes, and removes it. */
int guest_read_spec(void *buf, size_t max, size_t *ret_len, struct err *err);

/* A small tmpfs becomes "/" (the initramfs cannot be pivoted away from): kmsg and null in it. */
int guest_make_base(struct init_env *env, bool debug, struct err *err);

/* Mounts the share and the cgroup hierarchy. */
int guest_mount(struct init_env *env, struct err *err);

#endif
