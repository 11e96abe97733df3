/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where our own files are: PREFIX/libexec/coracle where this program is PREFIX/bin/coracle, if that
 * is there (so an unpacked build runs from anywhere), else the directory given at build time.
 */
#ifndef RUNTIME_FILES_H
#define RUNTIME_FILES_H

#include <sys/types.h>

#include "lib/err.h"

/* Opens "coracle-vmm" or "coracle-init", read-only, CLOEXEC. */
int files_open(const char *name, struct err *err);

/* Opens what a bundle names for reading, but only if it is of the given type (S_IFREG...): opening some
 * device nodes has effects. -EINVAL: another type; or -errno. */
int files_open_checked(const char *path, mode_t type);

/* Opens the guest kernel: `annotation` if not NULL, else $CORACLE_KERNEL, else vmlinux beside the
 * others. *ret_path (may be NULL) is where it was looked for, in static memory, also on failure. */
int files_open_kernel(const char *annotation, const char **ret_path, struct err *err);

/* The name of the group that owns /dev/kvm and may use it; "": none. In static memory. The first
 * call counts: in a user namespace groups have no names that mean anything. */
const char *files_kvm_group(void);
/* Opens /dev/kvm and refuses a software KVM that cannot run Linux; the error says what to do. */
int files_open_kvm(struct err *err);
/* True when the machine's KVM is a software one (module kvm_pvm without VMX or SVM). */
int files_kvm_is_software(void);

#endif
