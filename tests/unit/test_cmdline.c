/* SPDX-License-Identifier: Apache-2.0 */
/* The guest kernel's command line. */
#include <errno.h>

#include "tests/tap.h"
#include "vmm/boot.h"
#include "vmm/layout.h"

static const char *const device[] = {
	" virtio_mmio.device=4K@0xd0000000:5", " virtio_mmio.device=4K@0xd0001000:6"};

int main(void)
{
	char line[LAYOUT_CMDLINE_MAX], extra[LAYOUT_CMDLINE_MAX];
	struct err err = ERR_INIT;
	const char *s = line;
	int exact;

	eq_int(boot_cmdline(line, sizeof(line), 0, 2, "", &err), 0, "a command line");
	has_str(s, "console=hvc0 ");
	has_str(s, device[0]);
	has_str(s, device[1]);
	ok(!strstr(s, ":7"), "no more devices than there are");
	ok(!strstr(s, "loglevel"), "quiet unless asked");
	ok(s[strlen(s) - 1] != ' ', "no blank at the end");
	eq_int(boot_cmdline(line, sizeof(line), VM_FLAG_DEBUG, 0, "panic=5 x=y", &err), 0,
		"with debug");
	has_str(s, " loglevel=7");
	ok(!strcmp(s + strlen(s) - 12, " panic=5 x=y"), "the user's words come last, and so win");

	boot_cmdline(line, sizeof(line), 0, 2, "", &err);
	exact = (int)(sizeof(line) - strlen(line) - 2); /* blank and NUL */
	memset(extra, 'x', sizeof(extra));
	extra[exact] = '\0';
	eq_int(boot_cmdline(line, sizeof(line), 0, 2, extra, &err), 0,
		"as long as the kernel takes");
	extra[exact] = 'x';
	extra[exact + 1] = '\0';
	eq_int(boot_cmdline(line, sizeof(line), 0, 2, extra, &err), -E2BIG, "one more is refused");
	s = err.msg;
	has_str(s, "has 2048 characters, expected at most 2047");
	return tap_done();
}
