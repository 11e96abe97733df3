/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cpio.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HEADER_BYTES 110 /* "070701" and 13 fields of 8 hexadecimal digits */
#define TRAILER      "TRAILER!!!"

static size_t pad4(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

size_t cpio_member_bytes(size_t name_len, size_t size)
{
	return pad4(HEADER_BYTES + name_len + 1) + pad4(size);
}

size_t cpio_end_bytes(void)
{
	return cpio_member_bytes(strlen(TRAILER), 0);
}

void cpio_init(struct cpio *c, void *data, size_t cap)
{
	*c = (struct cpio){.data = data, .cap = cap};
}

/* Header, name and padding; the contents follow. Returns where, or NULL when the member does not
 * fit. */
static void *member(struct cpio *c, const char *name, uint32_t mode, uint32_t nlink, size_t size,
	uint32_t major, uint32_t minor)
{
	size_t name_len = strlen(name), bytes = cpio_member_bytes(name_len, size);
	char head[HEADER_BYTES + 1];
	uint8_t *p, *body;

	if (c->failed || size > CPIO_FILE_MAX || bytes > c->cap - c->len) {
		c->failed = true;
		return NULL;
	}
	snprintf(head, sizeof(head), "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		++c->ino, mode, 0, 0, nlink, 0, (uint32_t)size, 0, 0, major, minor,
		(uint32_t)name_len + 1, 0);
	p = c->data + c->len;
	body = p + pad4(HEADER_BYTES + name_len + 1);
	memset(p, 0, (size_t)(body - p));
	memcpy(p, head, HEADER_BYTES);
	memcpy(p + HEADER_BYTES, name, name_len);
	memset(body + size, 0, pad4(size) - size);
	c->len += bytes;
	return body;
}

void cpio_node(
	struct cpio *c, const char *name, uint32_t mode, uint32_t dev_major, uint32_t dev_minor)
{
	member(c, name, mode, S_ISDIR(mode) ? 2 : 1, 0, dev_major, dev_minor);
}

void *cpio_file(struct cpio *c, const char *name, uint32_t mode, size_t size)
{
	return member(c, name, S_IFREG | (mode & 07777), 1, size, 0, 0);
}

int cpio_end(struct cpio *c)
{
	member(c, TRAILER, 0, 1, 0, 0, 0);
	return c->failed ? -ENOSPC : 0;
}
