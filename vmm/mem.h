/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory. One memfd, mapped shared, split in at most two regions around the MMIO hole
 * (docs: ARCHITECTURE.md, "Guest memory map"). Nothing but mem_at() turns a guest address into a pointer.
 * The guest writes this memory at any time: read a value once, into a local, then check the local.
 */
#ifndef VMM_MEM_H
#define VMM_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

#define GUEST_REGIONS_MAX 2
#define GUEST_LOW_MAX     0xc0000000ull /* RAM below 4 GiB ends here at most; the MMIO hole follows */
#define GUEST_HIGH_BASE   0x100000000ull

struct guest_region {
	uint64_t gpa, bytes;
	uint8_t *hva;
	uint64_t fd_offset; /* in the memfd */
	void *area;         /* the mapping with its guard pages; NULL: borrowed memory (tests) */
	size_t area_bytes;
};

struct guest_mem {
	struct guest_region region[GUEST_REGIONS_MAX];
	unsigned n;
	int fd; /* memfd; -1 in tests over plain memory */
};

/* Creates the memfd (F_SEAL_SHRINK|GROW) and maps it; bytes is a multiple of 2 MiB. */
int guest_mem_init(struct guest_mem *m, uint64_t bytes, struct err *err);
/* Maps an existing memfd of a worker process at addresses of its own (process isolation). Borrows memfd;
 * refuses one of another size or that may shrink. */
int guest_mem_map(struct guest_mem *m, int memfd, uint64_t bytes, struct err *err);
void guest_mem_release(struct guest_mem *m);

/* The host address of [gpa, gpa+len), or NULL unless len > 0 and the range lies in one region. */
void *mem_at(const struct guest_mem *m, uint64_t gpa, uint64_t len);

/* The other way, for devices that give pages back: where [hva, hva+len) lies in the memfd. False unless len
 * > 0 and the range lies in one region. */
bool mem_fd_offset(const struct guest_mem *m, const void *hva, uint64_t len, uint64_t *ret_offset);

/* Zeroed memory of which a page is taken only when it is touched, for tables sized for the worst case. Small
 * pages: a huge one would be 2 MiB of each sandbox, and of its start, for the first byte. NULL: no address
 * space. Freed by munmap(). */
void *mem_reserve(size_t bytes);

#endif
