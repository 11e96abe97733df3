/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Intel MultiProcessor table, version 1.4: how a guest without ACPI learns of its processors
 * (APIC ids 0 to n-1) and of the IOAPIC, with ISA lines 0-15 wired to its pins one to one.
 */
#ifndef VMM_MPTABLE_H
#define VMM_MPTABLE_H

#include <stddef.h>
#include <stdint.h>

/* Writes the table into buf, which the guest sees at address gpa (16-byte aligned, below 1 MiB).
 * Returns its length, or -EINVAL (vcpus not 1 to VM_VCPUS_MAX) or -ENOSPC. */
int mptable_write(void *buf, size_t cap, uint32_t gpa, uint32_t vcpus);

#endif
