/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the initial cpio archive ("newc",
 * Documentation/driver-api/early-userspace/buffer-format.rst) straight into guest memory. All sizes
 * are known before: cpio_*_bytes() add up what the writer will use.
 */
#ifndef VMM_CPIO_H
#define VMM_CPIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPIO_FILE_MAX (256u << 20) /* one file's bytes; newc allows 4 GiB */

struct cpio {
	uint8_t *
		data; /* borrowed, cap bytes; hostile readers may change it, nothing is read back */
	size_t cap, len;
	uint32_t ino;
	bool failed; /* something did not fit: cpio_end() says so */
};

/* Bytes of one member with a name of name_len bytes (without NUL) and size bytes of contents. */
size_t cpio_member_bytes(size_t name_len, size_t size);
size_t cpio_end_bytes(void);

void cpio_init(struct cpio *c, void *data, size_t cap);
/* Directory or device node: no contents. mode holds the type (S_IFDIR, S_IFCHR). */
void cpio_node(
	struct cpio *c, const char *name, uint32_t mode, uint32_t dev_major, uint32_t dev_minor);
/* A regular file. Returns where its `size` bytes go, or NULL when they do not fit. */
void *cpio_file(struct cpio *c, const char *name, uint32_t mode, size_t size);
/* Writes the trailer. 0, or -ENOSPC when anything did not fit. */
int cpio_end(struct cpio *c);

#endif
