/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `coracle` hands `coracle-vmm`: one fixed, versioned struct in a sealed memfd, and the open
 * descriptors it names. `coracle-vmm --config-fd N ID`; ID is for ps(1) only. coracle-vmm checks
 * every value (it comes from another program of ours, but the check is cheap), opens no path and
 * parses no text. Descriptors 0, 1 and 2 are the container's standard streams; everything else that
 * is open and not named here is closed first thing.
 */
#ifndef LIB_VM_CONFIG_H
#define LIB_VM_CONFIG_H

#include <assert.h>
#include <stdint.h>

#include "lib/timeline.h"

#define VM_CONFIG_MAGIC   0x43564d43u /* "CMVC" */
#define VM_CONFIG_VERSION 3

#define VM_ID_MAX           1024
#define VM_VCPUS_MAX        16
#define VM_MEMORY_MIN       (32ull << 20)
#define VM_MEMORY_MAX       (1ull << 40)
#define VM_CMDLINE_MAX      1024
#define VM_BOOT_TIMEOUT_MAX 3600000
#define VM_HOOKS_FOREVER    UINT32_MAX

enum vm_fd {
	VM_FD_KVM,     /* /dev/kvm, read-write */
	VM_FD_KERNEL,  /* guest kernel, ELF, read-only */
	VM_FD_INIT,    /* coracle-init, ELF, read-only: becomes /init of the cpio */
	VM_FD_SPEC,    /* sealed memfd with the encoded struct gspec: becomes /spec of the cpio */
	VM_FD_SHARE,   /* O_PATH directory: root of the share tree, in the VMM's mount namespace */
	VM_FD_CONTROL, /* bound SOCK_SEQPACKET socket, for the VMM to listen on */
	VM_FD_REPORT,  /* write end of a pipe: struct vmm_report; -1: none */
	VM_FD_LOG,     /* append-only log file: "text" or JSON lines; -1: none */
	VM_FDS
};

/* vm_config.flags */
#define VM_FLAG_DEBUG    0x1u /* verbose guest kernel, VMM messages in the log */
#define VM_FLAG_LOG_JSON 0x2u /* VM_FD_LOG takes JSON lines as runc's --log-format=json */
#define VM_FLAG_TERMINAL \
	0x4u /* streams 0 and 1 are a terminal in raw mode, there is no 2 (vmm/life_tty.h) */
#define VM_FLAG_PROCESS 0x8u /* each device's worker is a process of its own (vmm/worker_proc.h) */
#define VM_FLAGS_ALL    0xfu

struct vm_config {
	uint32_t magic, version, size, flags;
	int32_t fd[VM_FDS];
	uint32_t vcpus;
	uint32_t boot_timeout_ms;  /* from the first KVM_RUN to READY; 0: none */
	uint32_t hooks_timeout_ms; /* what hooks in the guest may add to the answer to START; or
				      VM_HOOKS_FOREVER */
	uint32_t reserved;
	uint64_t memory_bytes; /* guest RAM, multiple of 2 MiB */
	char id[VM_ID_MAX];
	char cmdline_extra[VM_CMDLINE_MAX]; /* appended to the guest kernel's command line */
	struct timeline timeline;           /* TL_START..TL_NAMESPACES are filled in */
};
static_assert(VM_FDS == 8, "abi: bump VM_CONFIG_VERSION when this changes");

#endif
