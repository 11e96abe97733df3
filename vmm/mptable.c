/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/mptable.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "lib/base.h"
#include "lib/vm_config.h"
#include "vmm/layout.h"

/* MultiProcessor Specification 1.4, chapter 4. The kernel has these in a private header. */
struct mp_floating {
	char signature[4]; /* _MP_ */
	uint32_t table;
	uint8_t length, version, checksum, feature[5];
};
static_assert(sizeof(struct mp_floating) == 16, "abi");

struct mp_header {
	char signature[4]; /* PCMP */
	uint16_t length;
	uint8_t version, checksum;
	char oem[8], product[12];
	uint32_t oem_table;
	uint16_t oem_bytes, entries;
	uint32_t lapic;
	uint32_t reserved;
};
static_assert(sizeof(struct mp_header) == 44, "abi");

struct mp_cpu {
	uint8_t type, apic_id, apic_version, flags;
	uint32_t signature, features, reserved[2];
};
static_assert(sizeof(struct mp_cpu) == 20, "abi");

struct mp_entry { /* bus, IOAPIC and interrupt entries are all 8 bytes */
	uint8_t b[8];
};
static_assert(sizeof(struct mp_entry) == 8, "abi");

enum { MP_CPU, MP_BUS, MP_IOAPIC, MP_INTSRC, MP_LINTSRC };

#define MP_SPEC_14      4
#define MP_CPU_ENABLED  1
#define MP_CPU_BOOT     2
#define MP_APIC_VERSION 0x14
#define MP_IOAPIC_VER   0x11
#define MP_INT_INT      0 /* vectored */
#define MP_INT_NMI      1
#define MP_INT_EXTINT   3
#define MP_DEST_ALL     0xff
#define ISA_LINES       16

#define TABLE_ENTRIES(vcpus) ((vcpus) + 1u + 1u + ISA_LINES + 2u)

static uint8_t checksum(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + b[i]);
	return (uint8_t)-sum;
}

static uint8_t *put(uint8_t *p, const void *entry, size_t len)
{
	memcpy(p, entry, len);
	return p + len;
}

static uint8_t *put_cpus(uint8_t *p, uint32_t vcpus)
{
	for (uint32_t i = 0; i < vcpus; i++) {
		struct mp_cpu cpu = {
			.type = MP_CPU,
			.apic_id = (uint8_t)i,
			.apic_version = MP_APIC_VERSION,
			.flags = MP_CPU_ENABLED | (i ? 0 : MP_CPU_BOOT),
			.signature = 0x600, /* informative: family 6 */
			.features = 0x201,  /* informative: FPU, APIC */
		};

		p = put(p, &cpu, sizeof(cpu));
	}
	return p;
}

static uint8_t *put_interrupts(uint8_t *p, uint8_t ioapic_id)
{
	struct mp_entry e = {{MP_BUS, 0, 'I', 'S', 'A', ' ', ' ', ' '}};

	p = put(p, &e, sizeof(e));
	e = (struct mp_entry){{MP_IOAPIC, ioapic_id, MP_IOAPIC_VER, 1}};
	memcpy(&e.b[4], &(uint32_t){LAYOUT_IOAPIC}, 4);
	p = put(p, &e, sizeof(e));
	for (uint8_t i = 0; i < ISA_LINES; i++) {
		/* type, kind, flags (2: as the bus, edge and active high), bus, line, IOAPIC, pin
		 */
		e = (struct mp_entry){{MP_INTSRC, MP_INT_INT, 0, 0, 0, i, ioapic_id, i}};
		p = put(p, &e, sizeof(e));
	}
	e = (struct mp_entry){{MP_LINTSRC, MP_INT_EXTINT, 0, 0, 0, 0, 0, 0}};
	p = put(p, &e, sizeof(e));
	e = (struct mp_entry){{MP_LINTSRC, MP_INT_NMI, 0, 0, 0, 0, MP_DEST_ALL, 1}};
	return put(p, &e, sizeof(e));
}

int mptable_write(void *buf, size_t cap, uint32_t gpa, uint32_t vcpus)
{
	struct mp_floating f = {.signature = "_MP_", .length = 1, .version = MP_SPEC_14};
	struct mp_header h = {.signature = "PCMP", .version = MP_SPEC_14, .lapic = LAYOUT_LAPIC};
	uint8_t *start = buf, *p;
	size_t need = sizeof(f) + sizeof(h) + vcpus * sizeof(struct mp_cpu) +
		      (TABLE_ENTRIES(vcpus) - vcpus) * sizeof(struct mp_entry);

	if (!vcpus || vcpus > VM_VCPUS_MAX)
		return -EINVAL;
	if (need > cap)
		return -ENOSPC;
	p = put_cpus(start + sizeof(f) + sizeof(h), vcpus);
	p = put_interrupts(p, (uint8_t)vcpus); /* the IOAPIC's id must differ from every CPU's */

	h.length = (uint16_t)(need - sizeof(f));
	h.entries = (uint16_t)TABLE_ENTRIES(vcpus);
	memcpy(h.oem, "CORACLE ", sizeof(h.oem));
	memcpy(h.product, "MICROVM     ", sizeof(h.product));
	memcpy(start + sizeof(f), &h, sizeof(h));
	h.checksum = checksum(start + sizeof(f), h.length);
	memcpy(start + sizeof(f), &h, sizeof(h));

	f.table = gpa + (uint32_t)sizeof(f);
	f.checksum = checksum(&f, sizeof(f));
	memcpy(start, &f, sizeof(f));
	return (int)(p - start);
}
