/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest in C needs of the machine: start, memory functions, text, a second processor. */
#include <asm/bootparam.h>
#include <stdarg.h>
#include <string.h>

#include "lib/base.h"
#include "tests/guests/guest.h"
#include "vmm/layout.h"

#define SERIAL     0x3f8
#define PDPT       0xa000ull /* the VMM's page tables map the first GiB */
#define DEVICES_PD 0xc000ull
#define AP_PAGE    0x8000ull
#define SVR        0xfee000f0ull /* spurious interrupt vector, and whether the local APIC is on */
#define ICR_LOW    0xfee00300ull
#define ICR_HIGH   0xfee00310ull
#define LVT_LINT0 \
	0xfee00350ull /* the old interrupt controller's way in, by which a device's come at first */
#define CODE 0x10     /* the VMM's GDT */
#define WAKE 0x40     /* the vector of wake_interrupt */
#define SECOND_LOOKS \
	200000u /* each an exit to the VMM: seconds, where a start takes a millisecond */

uint64_t guest_low_end, guest_high_end;

/* By eights: to a software KVM each step is an instruction. */
void *memset(void *p, int c, size_t n)
{
	uint64_t eight = (uint8_t)c * 0x0101010101010101ull;
	size_t words = n / 8, rest = n % 8;
	void *to = p;

	__asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(eight) : "memory");
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(rest) : "a"(eight) : "memory");
	return p;
}

void *memcpy(void *p, const void *q, size_t n)
{
	size_t words = n / 8, rest = n % 8;
	void *to = p;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(q), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(q), "+c"(rest) : : "memory");
	return p;
}

int memcmp(const void *p, const void *q, size_t n)
{
	const uint8_t *a = p, *b = q;

	for (size_t i = 0; i < n; i++)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n && *a && *a == *b; n--)
		a++, b++;
	return n ? (unsigned char)*a - (unsigned char)*b : 0;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (unsigned char)*a - (unsigned char)*b;
}

void guest_relax(void)
{
	__builtin_ia32_pause();
}

int sched_yield(void)
{
	guest_relax();
	return 0;
}

/* One instruction each, with the plainest of addresses: a software KVM decodes it. */
uint64_t guest_load(uint64_t gpa, unsigned width)
{
	uint64_t v = 0;

	switch (width) {
	case 1: __asm__ volatile("movb (%1), %b0" : "+a"(v) : "b"(gpa) : "memory"); break;
	case 2: __asm__ volatile("movw (%1), %w0" : "+a"(v) : "b"(gpa) : "memory"); break;
	case 4: __asm__ volatile("movl (%1), %k0" : "+a"(v) : "b"(gpa) : "memory"); break;
	default: __asm__ volatile("movq (%1), %0" : "+a"(v) : "b"(gpa) : "memory"); break;
	}
	return v;
}

void guest_store(uint64_t gpa, unsigned width, uint64_t v)
{
	switch (width) {
	case 1: __asm__ volatile("movb %b0, (%1)" : : "a"(v), "b"(gpa) : "memory"); break;
	case 2: __asm__ volatile("movw %w0, (%1)" : : "a"(v), "b"(gpa) : "memory"); break;
	case 4: __asm__ volatile("movl %k0, (%1)" : : "a"(v), "b"(gpa) : "memory"); break;
	default: __asm__ volatile("movq %0, (%1)" : : "a"(v), "b"(gpa) : "memory"); break;
	}
}

/* Text: %s %u %x, with l and ll, is all that is used. */

static void put(char c)
{
	__asm__ volatile("outb %0, %1" : : "a"(c), "Nd"((uint16_t)SERIAL));
}

static void put_number(uint64_t v, unsigned base)
{
	char buf[24];
	unsigned n = 0;

	do
		buf[n++] = "0123456789abcdef"[v % base];
	while (v /= base);
	while (n)
		put(buf[--n]);
}

static uint64_t next_number(va_list *ap, bool wide)
{
	return wide ? va_arg(*ap, uint64_t) : va_arg(*ap, unsigned);
}

static void say(const char *fmt, va_list *ap)
{
	for (; *fmt; fmt++) {
		bool wide = false;

		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		for (fmt++; *fmt == 'l'; fmt++)
			wide = true;
		switch (*fmt) {
		case 's':
			for (const char *s = va_arg(*ap, const char *); *s; s++)
				put(*s);
			break;
		case 'u': put_number(next_number(ap, wide), 10); break;
		case 'x': put_number(next_number(ap, wide), 16); break;
		default: put('?'); break;
		}
	}
}

void guest_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, &ap);
	va_end(ap);
	put('\n');
}

/* A line of its own: what the console device was made to say may stand before it. */
__attribute__((noreturn)) static void die(const char *kind, const char *fmt, va_list *ap)
{
	say("\nKernel panic - not syncing: ", NULL);
	say(kind, NULL);
	say(fmt, ap);
	put('\n');
	__builtin_trap();
}

void guest_pass(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	die("", fmt, &ap);
}

void guest_wrong(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	die("WRONG: ", fmt, &ap);
}

void drv_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	die("WRONG: the guest itself: ", fmt, &ap);
}

void guest_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* A second processor: its local APIC's start-up message */

static void (*second_fn)(void *arg);
static void *second_arg;
static volatile bool second_runs;
extern const char ap_begin[], ap_end[], wake_interrupt[];
void ap_main(void);

/* One gate: whatever else comes is a triple fault, as guest_pass() wants it. */
static struct {
	uint16_t offset_low, selector, type, offset_mid;
	uint32_t offset_high, zero;
} idt[WAKE + 1];

/* As the VMM's, which lies in page 0: the balloon takes that away when memory of zeros is its page numbers. */
static const uint64_t gdt[] = {
	[CODE / 8] = 0x00af9b000000ffff, /* 64-bit code */
	[CODE / 8 + 1] = 0x00cf93000000ffff,
};

struct table {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static void take_wakes(void)
{
	const struct table gates = {sizeof(idt) - 1, (uint64_t)(uintptr_t)idt},
			   segments = {sizeof(gdt) - 1, (uint64_t)(uintptr_t)gdt};
	uint64_t to = (uint64_t)(uintptr_t)wake_interrupt;

	idt[WAKE].offset_low = (uint16_t)to;
	idt[WAKE].selector = CODE;
	idt[WAKE].type = 0x8e00; /* present, an interrupt gate */
	idt[WAKE].offset_mid = (uint16_t)(to >> 16);
	__asm__ volatile("lidt %0; lgdt %1" : : "m"(gates), "m"(segments));
	guest_store(SVR, 4, 0x1ff);
	guest_store(LVT_LINT0, 4, 0x10000); /* masked */
}

void ap_main(void)
{
	take_wakes();
	second_runs = true;
	for (;;)
		second_fn(second_arg);
}

static void send_ipi(unsigned who, uint32_t what)
{
	guest_store(ICR_HIGH, 4, who << 24); /* its APIC id */
	guest_store(ICR_LOW, 4, what);
	while (guest_load(ICR_LOW, 4) & (1u << 12))
		guest_relax();
}

bool guest_second(void (*fn)(void *arg), void *arg)
{
	second_fn = fn;
	second_arg = arg;
	memcpy((void *)AP_PAGE, ap_begin, (size_t)(ap_end - ap_begin));
	/* KVM looks who has which APIC id when an APIC is switched on, and knows of no other processor before. */
	take_wakes();
	send_ipi(1, 0x4500); /* INIT, assert */
	send_ipi(1, 0x4600 | (uint32_t)(AP_PAGE >> 12));
	for (unsigned i = 0; i < SECOND_LOOKS && !second_runs; i++)
		guest_load(LAYOUT_VIRTIO_BASE, 4);
	return second_runs;
}

/* Either the waker sees that the other halts, or the other sees what it has changed: each writes its own, then looks.
 * An interrupt between the look and the halt waits for the halt: sti takes effect one instruction later. */
static volatile bool halted[2];

void guest_wait_for(unsigned me, bool (*ready)(void))
{
	for (;;) {
		halted[me] = true;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (ready())
			break;
		__asm__ volatile("sti; hlt; cli" : : : "memory");
	}
	halted[me] = false;
}

void guest_wake(unsigned who)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (halted[who])
		send_ipi(who, 0x4000 | WAKE);
}

/* Start */

/* 0xc0000000 to 0xffffffff, by large pages. */
static void map_devices(void)
{
	volatile uint64_t *pd = (uint64_t *)DEVICES_PD, *pdpt = (uint64_t *)PDPT;
	uint64_t cr3;

	for (uint64_t i = 0; i < 512; i++)
		pd[i] = (0xc0000000ull + (i << 21)) | 0x83; /* present, writable, large */
	pdpt[3] = DEVICES_PD | 3;
	__asm__ volatile("movq %%cr3, %0; movq %0, %%cr3" : "=r"(cr3) : : "memory");
}

static void find_ram(const struct boot_params *bp)
{
	for (unsigned i = 0; i < bp->e820_entries && i < 128; i++) {
		const struct boot_e820_entry *e = &bp->e820_table[i];
		uint64_t end = e->addr + e->size;

		if (e->type == 1 && e->addr >= GUEST_HIGH_BASE)
			guest_high_end = end;
		else if (e->type == 1 && end > guest_low_end)
			guest_low_end = end;
	}
}

/* The last word of the command line when it is none of the VMM's own. */
static const char *last_word(const char *s)
{
	const char *word = s;

	for (; *s; s++)
		if (*s == ' ')
			word = s + 1;
	for (s = word; *s; s++)
		if (*s == '@')
			return "";
	return word;
}

void guest_start(const struct boot_params *bp);

void guest_start(const struct boot_params *bp)
{
	map_devices();
	find_ram(bp);
	guest_rows_init();
	guest_main(last_word((const char *)LAYOUT_CMDLINE));
	guest_wrong("guest_main() returned");
}
