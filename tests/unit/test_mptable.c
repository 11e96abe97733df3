/* SPDX-License-Identifier: Apache-2.0 */
/* The MP table, walked as MultiProcessor Specification 1.4, chapter 4, says. */
#include <errno.h>

#include "lib/vm_config.h"
#include "tests/tap.h"
#include "vmm/layout.h"
#include "vmm/mptable.h"

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s = (uint8_t)(s + *p++);
	return s;
}

static uint32_t u32(const uint8_t *p)
{
	return (uint32_t)(p[0] | p[1] << 8 | p[2] << 16) | (uint32_t)p[3] << 24;
}

static void walk(const uint8_t *t, uint32_t vcpus)
{
	unsigned len = t[4] | t[5] << 8, entries = t[34] | t[35] << 8, at = 44, seen = 0;
	unsigned cpus = 0, boot = 0, lines = 0, lints = 0, buses = 0, ioapics = 0;
	uint32_t ids = 0, ioapic_id = 0xff, lines_ok = 1;

	for (; at < len; seen++) {
		const uint8_t *e = t + at;

		switch (e[0]) {
		case 0:
			cpus += e[3] & 1;
			boot += e[3] >> 1 & 1;
			ids |= 1u << e[1];
			at += 20;
			continue;
		case 1: buses += !memcmp(e + 2, "ISA   ", 6); break;
		case 2:
			ioapic_id = e[1];
			ioapics += e[3] == 1 && u32(e + 4) == LAYOUT_IOAPIC;
			break;
		case 3:
			lines_ok &= e[5] == lines && e[7] == lines && e[6] == ioapic_id;
			lines++;
			break;
		case 4: lints++; break;
		default: ok(0, "entry of type %u", e[0]); return;
		}
		at += 8;
	}
	eq_int(at, len, "entries fill the table");
	eq_int(seen, entries, "as many entries as announced");
	eq_int(cpus, vcpus, "every vCPU is enabled");
	eq_int(ids, (1u << vcpus) - 1, "with APIC ids from 0");
	eq_int(boot, 1, "one boot processor");
	ok(buses == 1 && ioapics == 1, "one ISA bus, one IOAPIC");
	ok(ioapic_id >= vcpus, "whose id is no processor's");
	ok(lines == 16 && lines_ok, "16 lines, wired one to one");
	eq_int(lints, 2, "two local interrupts");
}

int main(void)
{
	for (uint32_t n = 1; n <= VM_VCPUS_MAX; n += n == 1 ? 1 : 7) { /* 1, 2, 9, 16 */
		uint8_t buf[LAYOUT_MPTABLE_MAX];
		int len;

		memset(buf, 0xaa, sizeof(buf));
		len = mptable_write(buf, sizeof(buf), LAYOUT_MPTABLE, n);
		printf("# %u vCPUs: %d bytes\n", n, len);
		ok(len > 60 && len <= (int)sizeof(buf), "fits its kilobyte");
		ok(!memcmp(buf, "_MP_", 4) && !sum(buf, 16), "floating pointer and its checksum");
		eq_int(u32(buf + 4), LAYOUT_MPTABLE + 16, "points to the table");
		ok(!memcmp(buf + 16, "PCMP", 4) && !sum(buf + 16, (size_t)len - 16),
			"table and checksum");
		eq_int(u32(buf + 16 + 36), LAYOUT_LAPIC, "local APIC");
		walk(buf + 16, n);
		eq_int(mptable_write(buf, (size_t)len - 1, LAYOUT_MPTABLE, n), -ENOSPC,
			"a shorter buffer is refused");
		eq_int(mptable_write(buf, (size_t)len, LAYOUT_MPTABLE, n), len,
			"the exact size is not");
	}
	eq_int(mptable_write(NULL, 0, 0, 0), -EINVAL, "no processor is refused");
	eq_int(mptable_write(NULL, 0, 0, VM_VCPUS_MAX + 1), -EINVAL, "too many are refused");
	return tap_done();
}
