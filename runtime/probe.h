/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine's KVM can do, found by trying. */
#ifndef RUNTIME_PROBE_H
#define RUNTIME_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

/* Runs a loop of a few hundred thousand instructions at a kernel address (0xffffffff80000000 and
 * up, ring 0, long mode) in a throw-away VM of 2 MiB. *ret_per_second: instructions per second. A
 * KVM that interprets kernel code manages about a million, hardware hundreds of millions and more.
 */
int probe_kernel_code(int kvm_fd, uint64_t *ret_per_second, struct err *err);

/* A software KVM is slower than this, and everything real is faster (instructions per second). */
#define PROBE_NATIVE_MIN 20000000u

/* KVM's capabilities that coracle-vmm needs. False, with *ret_name the first one that is missing.
 */
bool probe_kvm_caps(int kvm_fd, const char **ret_name);

#endif
