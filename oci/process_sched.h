/* SPDX-License-Identifier: Apache-2.0 */
/* process.scheduler, ioPriority and execCPUAffinity. */
#ifndef OCI_PROCESS_SCHED_H
#define OCI_PROCESS_SCHED_H

#include "oci/spec_ctx.h"

/* n: the process object. */
int spec_sched(struct spec_ctx *c, const struct jnode *n, struct gproc *p);

/* A list of CPUs as the kernel writes it, "0-3,7": bits of those the guest could have (it has fewer
 * than 64). 0 or -EINVAL. */
int cpu_list(const char *text, uint64_t *ret_cpus);

#endif
