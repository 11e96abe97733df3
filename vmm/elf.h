/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads an uncompressed 64-bit ELF kernel (vmlinux) into guest memory. The file is hostile: every
 * offset, size and count is checked; the file's bytes go straight from its descriptor into guest
 * memory.
 */
#ifndef VMM_ELF_H
#define VMM_ELF_H

#include <stdint.h>

#include "lib/err.h"
#include "vmm/mem.h"

#define ELF_PHDRS_MAX 64

struct elf_kernel {
	uint64_t entry;      /* guest-physical, inside a loaded segment */
	uint64_t start, end; /* guest-physical, all of what was loaded, zeroed parts included */
};

/* 0 or -errno: -ENOEXEC for anything wrong with the file, named in err. Segments must lie in one
 * memory region, above LAYOUT_HIMEM and below `limit`. Uses pread(), and sendfile() into a memfd. */
int elf_load(int fd, const struct guest_mem *mem, uint64_t limit, struct elf_kernel *ret_k,
	struct err *err);

#endif
