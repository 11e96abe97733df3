/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon: page numbers and reports that are out of range, overlap, repeat, wrap or are as long as memory. Pages are
 * only ever the guest's own, so the last of it is to give away the guest itself, with `self` on the command line: code,
 * stack and page tables become zeros, and the VM ends.
 */
#include <linux/virtio_mmio.h>
#include <string.h>

#include "lib/base.h"
#include "tests/guests/guest.h"

#define PAGE       4096ull
#define Q_INFLATE  0
#define Q_DEFLATE  1
#define Q_REPORT   2
#define PFNS_MAX   1024u /* docs/devices.md: more in one request are a fault */
#define HUGE_FROM  0x2000000ull
#define HUGE_BYTES 0x4000000u

static struct drv *d;

static void start(void)
{
	if (!guest_started(d))
		guest_wrong("balloon does not start");
}

static void inflate(uint32_t first, uint32_t step, unsigned n, bool good, const char *what)
{
	struct drv_buf b;
	uint32_t *pfn;

	start();
	b = (struct drv_buf){.gpa = drv_alloc(d, n * 4, 8), .len = n * 4};
	pfn = drv_ptr(d, b.gpa, b.len);
	for (unsigned i = 0; i < n; i++)
		pfn[i] = first + i * step;
	if (good && drv_call(d, Q_INFLATE, &b, 1) != 0)
		guest_wrong("balloon: %s is refused", what);
	if (good)
		return;
	drv_put(d, Q_INFLATE, &b, 1);
	drv_kick_hard(d, Q_INFLATE);
	guest_must_fail(d, what);
}

static void request(unsigned q, const struct drv_buf *bufs, unsigned n, bool good, const char *what)
{
	start();
	if (good && drv_call(d, q, bufs, n) != 0)
		guest_wrong("balloon: %s is refused", what);
	if (good)
		return;
	drv_put(d, q, bufs, n);
	drv_kick_hard(d, q);
	guest_must_fail(d, what);
}

static void numbers(void)
{
	uint32_t end = (uint32_t)(guest_low_end / PAGE), mine = (uint32_t)(GUEST_PAGES / PAGE);

	inflate(mine, 1, 16, true, "sixteen pages");
	inflate(mine, 0, PFNS_MAX, true, "one page a thousand times");
	inflate(mine + 15, -1u, 16, true, "pages backwards");
	inflate(end, 1, 1, false, "the page behind memory");
	inflate(end - 1, 1, 2, false, "pages across the end of memory");
	inflate(mine, 1, PFNS_MAX + 1, false, "too many pages");
	inflate(0xc0000, 1, 1, false, "a page of the hole");
	inflate(0xd0000, 1, 1, false, "a page of registers");
	inflate(0xffffffff, 1, 2, false, "page numbers that wrap");
	inflate(0x7fffffff, 0x40000000, 4, false, "page numbers all over");
}

static void reports(void)
{
	struct drv_buf mine = {.gpa = GUEST_PAGES, .len = 4 * PAGE, .in = true};
	struct drv_buf part = {.gpa = GUEST_PAGES + 100, .len = 200, .in = true};
	struct drv_buf huge = {.gpa = HUGE_FROM, .len = HUGE_BYTES, .in = true};
	struct drv_buf text = {.gpa = GUEST_PAGES, .len = 64};
	struct drv_buf twice[3] = {mine, mine, mine};
	struct drv_buf odd = {.gpa = GUEST_PAGES, .len = 3};
	struct drv_buf bad[] = {
		{.gpa = guest_low_end - PAGE, .len = 2 * PAGE, .in = true},
		{.gpa = guest_low_end, .len = PAGE, .in = true},
		{.gpa = ~0ull - PAGE + 1, .len = 2 * PAGE, .in = true},
		{.gpa = GUEST_PAGES, .len = 0xffffffffu, .in = true},
		{.gpa = GUEST_PAGES, .len = PAGE},
	};
	volatile uint64_t *word = (uint64_t *)GUEST_PAGES;

	*word = 0x1234;
	request(Q_REPORT, &part, 1, true, "a report of less than a page");
	if (*word != 0x1234)
		guest_wrong("balloon: a page went of which a part was reported");
	request(Q_REPORT, &mine, 1, true, "a report");
	if (*word)
		guest_wrong("balloon: a page that was reported is still there");
	twice[1].gpa += PAGE;
	twice[2].gpa -= PAGE;
	request(Q_REPORT, twice, 3, true, "reports that overlap");
	request(Q_REPORT, &huge, 1, true, "a report of 64 MiB");
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		request(Q_REPORT, &bad[i], 1, false, "a bad report");
	request(Q_INFLATE, &odd, 1, false, "less than a page number");
	request(Q_INFLATE, &mine, 1, false, "page numbers to be written");
	request(Q_DEFLATE, &text, 1, true, "numbers of any kind to deflate");
	request(Q_DEFLATE, &mine, 1, false, "a deflate to be written");
}

static void give_self(void)
{
	struct drv_buf all = {.gpa = 0, .len = (uint32_t)guest_low_end, .in = true};

	start();
	guest_say("Kernel panic - not syncing: pages: the guest gives itself away");
	drv_put(d, Q_REPORT, &all, 1);
	drv_kick_hard(d, Q_REPORT);
	for (;;)
		guest_relax();
}

void guest_main(const char *word)
{
	d = guest_device("balloon");
	if (!strcmp(word, "self"))
		give_self();
	guest_must_work(d, "nothing");
	numbers();
	reports();
	guest_must_work(d, "all of it");
	guest_pass("pages: all kept or given as they must be");
}
