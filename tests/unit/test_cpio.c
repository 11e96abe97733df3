/* SPDX-License-Identifier: Apache-2.0 */
/* The cpio writer, read back by an independent reader. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/tap.h"
#include "vmm/cpio.h"

static unsigned long hex(const uint8_t *p)
{
	char s[9] = "";

	memcpy(s, p, 8);
	return strtoul(s, NULL, 16);
}

/* Describes the members as text: "mode name size major:minor\n". */
static void list(const uint8_t *p, size_t len, char *out, size_t cap)
{
	size_t at = 0, used = 0;

	out[0] = '\0';
	while (at + 110 <= len) {
		const uint8_t *h = p + at;
		unsigned long mode = hex(h + 14), size = hex(h + 54), name_bytes = hex(h + 94);
		const char *name = (const char *)h + 110;
		size_t body = (at + 110 + name_bytes + 3) & ~(size_t)3;

		if (memcmp(h, "070701", 6) || name[name_bytes - 1])
			break;
		if (!strcmp(name, "TRAILER!!!")) {
			snprintf(out + used, cap - used, "end at %zu", body);
			return;
		}
		used += (size_t)snprintf(out + used, cap - used, "%lo %s %lu %lu:%lu %.*s\n", mode,
			name, size, hex(h + 78), hex(h + 86), (int)size, (const char *)p + body);
		at = (body + size + 3) & ~(size_t)3;
	}
	snprintf(out + used, cap - used, "broken at %zu", at);
}

static size_t archive(uint8_t *buf, size_t cap, int *ret_result)
{
	struct cpio c;
	void *p;

	cpio_init(&c, buf, cap);
	cpio_node(&c, "dev", S_IFDIR | 0755, 0, 0);
	cpio_node(&c, "dev/console", S_IFCHR | 0600, 5, 1);
	p = cpio_file(&c, "init", 0755, 5);
	if (p)
		memcpy(p, "hello", 5);
	p = cpio_file(&c, "spec", 0600, 0);
	*ret_result = cpio_end(&c);
	return c.len;
}

int main(void)
{
	size_t want = cpio_member_bytes(3, 0) + cpio_member_bytes(11, 0) + cpio_member_bytes(4, 5) +
		      cpio_member_bytes(4, 0) + cpio_end_bytes();
	uint8_t buf[4096];
	char text[1024], expect[1024];
	struct cpio c;
	int r, bad = 0;

	memset(buf, 0xaa, sizeof(buf));
	eq_int(archive(buf, sizeof(buf), &r), want, "as long as announced");
	eq_int(r, 0, "and complete");
	ok(buf[want] == 0xaa, "nothing is written beyond");
	snprintf(expect, sizeof(expect),
		"40755 dev 0 0:0 \n20600 dev/console 0 5:1 \n100755 init 5 0:0 hello\n"
		"100600 spec 0 0:0 \nend at %zu",
		want);
	list(buf, want, text, sizeof(text));
	eq_str(text, expect, "every member reads back");
	for (size_t cap = 0; cap < want; cap++) { /* every shorter buffer */
		memset(buf, 0xaa, sizeof(buf));
		archive(buf, cap, &r);
		bad += r != -ENOSPC || buf[cap] != 0xaa;
	}
	eq_int(bad, 0, "a buffer that is too short is an error, and not overrun");
	cpio_init(&c, buf, sizeof(buf));
	ok(!cpio_file(&c, "big", 0600, (size_t)CPIO_FILE_MAX + 1) && cpio_end(&c) == -ENOSPC,
		"a file larger than the format's bound is refused");
	return tap_done();
}
