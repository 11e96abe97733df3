/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <sys/stat.h>

#include "lib/base.h"
#include "tests/device/rows.h"
#include "tests/tap.h"

#define BASE 0x200000ull /* pages to give back: far from the rings */

enum { INFLATE, DEFLATE, REPORT };

static struct drv d;

static long blocks(void)
{
	struct stat st;

	return fstat(d.mem.fd, &st) < 0 ? -1 : (long)st.st_blocks;
}

/* Fills n pages from BASE; true when exactly the pages [from, to) have become zeros. */
static void fill(unsigned n)
{
	memset(drv_ptr(&d, BASE, n * 4096ull), 0xee, n * 4096ull);
}

static bool gone(unsigned n, unsigned from, unsigned to)
{
	const uint8_t *p = drv_ptr(&d, BASE, n * 4096ull);

	for (unsigned i = 0; i < n * 4096; i++)
		if (p[i] != (i / 4096 >= from && i / 4096 < to ? 0 : 0xee))
			return false;
	return true;
}

static void reporting(void)
{
	struct drv_buf b = {.gpa = BASE + 4096, .len = 2 * 4096, .in = true};
	struct drv_buf all = {.gpa = BASE, .len = 64 * 4096, .in = true};
	long before;

	fill(4);
	eq_int(drv_call(&d, REPORT, &b, 1), 0, "two pages reported");
	ok(gone(4, 1, 3), "they are gone, and only they");

	fill(4);
	b = (struct drv_buf){.gpa = BASE + 100, .len = 2 * 4096, .in = true};
	eq_int(drv_call(&d, REPORT, &b, 1), 0, "a report that is not aligned");
	ok(gone(4, 1, 2), "takes the one page that lies within");
	b = (struct drv_buf){.gpa = BASE + 100, .len = 4096, .in = true};
	drv_call(&d, REPORT, &b, 1);
	b = (struct drv_buf){.gpa = BASE + 3 * 4096, .len = 4095, .in = true};
	drv_call(&d, REPORT, &b, 1);
	ok(gone(4, 1, 2), "less than a page takes none");

	fill(64);
	before = blocks();
	eq_int(drv_call(&d, REPORT, &all, 1), 0, "64 pages reported");
	eq_int(before - blocks(), 64 * 8, "the memory file has 64 pages less");
}

static void report_pieces(void)
{
	struct drv_buf b[3];
	uint32_t id, len;

	fill(8);
	for (unsigned i = 0; i < 3; i++)
		b[i] = (struct drv_buf){.gpa = BASE + (2 + i) * 4096, .len = 4096, .in = true};
	ok(drv_stage_indirect(&d, REPORT, b, 3) >= 0, "an indirect report, as Linux sends it");
	drv_publish(&d, REPORT);
	drv_kick(&d, REPORT);
	ok(drv_wait_used(&d, REPORT, &id, &len, DRV_WAIT_MS) && gone(8, 2, 5),
		"takes each of its pages");
}

static struct drv_buf pfns(const uint32_t *pfn, unsigned n)
{
	struct drv_buf b = {.gpa = drv_alloc(&d, n * 4, 4), .len = n * 4};

	memcpy(drv_ptr(&d, b.gpa, b.len), pfn, n * 4);
	return b;
}

static void inflating(void)
{
	uint32_t p = BASE >> 12, mixed[] = {p + 3, p + 1, p + 2}, many[1024];
	struct drv_buf b = pfns(mixed, 3);

	fill(8);
	eq_int(drv_call(&d, INFLATE, &b, 1), 0, "three pages inflated, out of order");
	ok(gone(8, 1, 4), "they are gone, and only they");
	eq_int(drv_call(&d, DEFLATE, &b, 1), 0, "and deflated");
	memset(drv_ptr(&d, BASE + 4096, 4096), 0x11, 4096);
	ok(*(uint8_t *)drv_ptr(&d, BASE + 4096, 1) == 0x11, "they can be used again");

	for (unsigned i = 0; i < 1024; i++)
		many[i] = p + i % 256;
	fill(300);
	b = pfns(many, 1024);
	eq_int(drv_call(&d, INFLATE, &b, 1), 0, "1024 page numbers, the most there may be");
	ok(gone(300, 0, 256), "four times the same 256 pages");
}

static void refused(const char *what, unsigned q, struct drv_buf *b, unsigned n)
{
	drv_put(&d, q, b, n);
	drv_kick(&d, q);
	ok(drv_wait_needs_reset(&d, DRV_WAIT_MS) && d.shared->failed == VFAULT_REQUEST,
		"%s is a fault", what);
	if (!drv_start(&d, ~0ull))
		drv_die("no restart");
}

static void rules(void)
{
	uint32_t p = BASE >> 12, outside[] = {p, DRV_MEM_BYTES >> 12}, wild[] = {0xffffffff},
		 many[1025];
	struct drv_buf b;

	for (unsigned i = 0; i < 1025; i++)
		many[i] = p;
	fill(4);
	b = pfns(outside, 2);
	refused("a page number just outside", INFLATE, &b, 1);
	b = pfns(wild, 1);
	refused("the last page number", INFLATE, &b, 1);
	b = pfns(many, 1025);
	refused("an array that is too long", INFLATE, &b, 1);
	b = pfns(many, 2);
	b.len = 7;
	refused("half a page number", INFLATE, &b, 1);
	b = (struct drv_buf){.gpa = BASE, .len = 4096, .in = true};
	refused("a writable buffer to inflate", INFLATE, &b, 1);
	refused("a writable buffer to deflate", DEFLATE, &b, 1);
	b.in = false;
	refused("a readable buffer in a report", REPORT, &b, 1);
	ok(gone(4, 0, 1), "what was right before the wrong one happened");
	ok(drv_valid(&d), "works again");
}

static void config(void)
{
	uint32_t v = 1234;

	vmmio_write(&d.mmio, VIRTIO_MMIO_CONFIG + 4, &v, 4);
	v = 0;
	vmmio_read(&d.mmio, VIRTIO_MMIO_CONFIG + 4, &v, 4);
	eq_int(v, 1234, "the driver keeps 'actual'");
	v = 77;
	vmmio_write(&d.mmio, VIRTIO_MMIO_CONFIG, &v, 4);
	vmmio_read(&d.mmio, VIRTIO_MMIO_CONFIG, &v, 4);
	eq_int(v, 0, "and can't change 'num_pages'");
}

int main(void)
{
	drv_open(&d, &row_balloon);
	eq_int(drv_rd(&d, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_BALLOON, "device id");
	eq_int(d.dev.n_queues, 3, "three queues: inflate, deflate, report");
	ok(drv_start(&d, ~0ull), "starts");
	ok(d.features & BIT64(VIRTIO_BALLOON_F_REPORTING), "offers free page reporting");
	reporting();
	report_pieces();
	inflating();
	config();
	rules();
	drv_close(&d);
	return tap_done();
}
