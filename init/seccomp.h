/* SPDX-License-Identifier: Apache-2.0 */
/* The container's seccomp filter, compiled on the host (oci/seccomp.h). */
#ifndef INIT_SECCOMP_H
#define INIT_SECCOMP_H

#include "lib/err.h"
#include "lib/gspec.h"

/* For the calling thread and all that it becomes or forks; nothing when the container has none.
 * Without no_new_privs the kernel wants CAP_SYS_ADMIN. */
int seccomp_install(const struct gspec *spec, struct err *err);

#endif
