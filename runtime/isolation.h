/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the VM's device workers are threads of the VMM or processes of their own (vmm/worker_proc.h). */
#ifndef RUNTIME_ISOLATION_H
#define RUNTIME_ISOLATION_H

#include <stdbool.h>

#include "oci/spec.h"

/* option: of --isolation, which wins over the annotation; NULL: not given. Threads if neither is. */
int isolation_of(
	const char *option, const struct container_spec *spec, bool *ret_process, struct err *err);

#endif
