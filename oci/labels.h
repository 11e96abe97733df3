/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AppArmor profiles and SELinux labels. The guest's kernel has neither module, and the host's ones do
 * not reach into the guest. What an engine writes by itself, because its host has the module, confines
 * a container from the host: the VM does that instead, so the debug log alone says that it is not applied.
 * What somebody chose is refused: they rely on it.
 */
#ifndef OCI_LABELS_H
#define OCI_LABELS_H

#include "oci/spec_ctx.h"

/* apparmorProfile and selinuxLabel of the process object n. */
int labels_process(struct spec_ctx *c, const struct jnode *n);

/* mountLabel of the linux object n. */
int labels_mount(struct spec_ctx *c, const struct jnode *n);

#endif
