/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and checks the vm_config that `coracle` hands over (lib/vm_config.h). */
#ifndef VMM_CONFIG_H
#define VMM_CONFIG_H

#include "lib/err.h"
#include "lib/vm_config.h"

/* Reads the struct from fd (a memfd or file, from offset 0) and checks every value that does not
 * need the descriptors. 0 or -errno. */
int vmconfig_read(int fd, struct vm_config *ret_cfg, struct err *err);
/* The checks alone, over a struct already read. */
int vmconfig_check(struct vm_config *cfg, struct err *err);
/* Checks that every descriptor named is open, above 2, named once, and of the right kind; makes all
 * of them CLOEXEC; closes everything else from 3 up. 0 or -errno. */
int vmconfig_take_fds(const struct vm_config *cfg, struct err *err);

#endif
