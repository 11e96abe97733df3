/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel loader over arbitrary files. What it accepts must have been loaded inside guest
 * memory. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "vmm/elf.h"
#include "vmm/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A little memory on both sides of the first megabyte's end: fast, and all of it can be looked at. */
#define BASE   (LAYOUT_HIMEM - 0x1000)
#define MEMORY 0x11000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofd int fd = memfd_with("kernel", data, size, 0);
	struct guest_mem mem = {.n = 1, .fd = -1};
	struct err err = ERR_INIT;
	struct elf_kernel k;
	/* On the heap: the sanitizer sees a byte too far. What is below the megabyte must stay as it is. */
	autofree uint8_t *m = malloc(MEMORY);

	BUG_ON(fd < 0 || !m);
	memset(m, 0x5a, MEMORY);
	mem.region[0] = (struct guest_region){.gpa = BASE, .bytes = MEMORY, .hva = m};
	if (elf_load(fd, &mem, BASE + MEMORY, &k, &err) == 0)
		BUG_ON(k.start < LAYOUT_HIMEM || k.end > BASE + MEMORY || k.entry < k.start ||
			k.entry >= k.end);
	else
		BUG_ON(!err.msg[0]);
	for (size_t i = 0; i < LAYOUT_HIMEM - BASE; i++)
		BUG_ON(m[i] != 0x5a);
	return 0;
}
