/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest init: its first act ends the machine (QEMU's -no-reboot). For tools/bench. */
#include <sys/reboot.h>

int main(void)
{
	return reboot(RB_AUTOBOOT);
}
