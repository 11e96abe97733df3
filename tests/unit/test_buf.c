/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base.h"
#include "lib/buf.h"
#include "tests/tap.h"

static void test_round_trip(void)
{
	uint8_t mem[64];
	struct wbuf w = wbuf_of(mem, sizeof(mem));
	struct rbuf r;

	wbuf_u8(&w, 0xab);
	wbuf_u16(&w, 0x1234);
	wbuf_u32(&w, 0xdeadbeef);
	wbuf_u64(&w, 0x0123456789abcdefull);
	wbuf_str(&w, "hello");
	wbuf_str(&w, NULL);
	wbuf_bytes(&w, "xy", 2);
	ok(wbuf_ok(&w), "all written");
	eq_int(w.len, 1 + 2 + 4 + 8 + 10 + 5 + 2, "length on the wire");
	ok(mem[1] == 0x34 && mem[2] == 0x12, "little endian");

	r = rbuf_of(mem, w.len);
	eq_int(rbuf_u8(&r), 0xab, "u8");
	eq_int(rbuf_u16(&r), 0x1234, "u16");
	eq_int(rbuf_u32(&r), 0xdeadbeef, "u32");
	ok(rbuf_u64(&r) == 0x0123456789abcdefull, "u64");
	eq_str(rbuf_str(&r, 5), "hello", "string of the greatest length allowed");
	eq_str(rbuf_str(&r, 5), "", "NULL came over as empty");
	ok(!rbuf_done(&r) && rbuf_ok(&r), "not done before the end");
	eq_int(rbuf_left(&r), 2, "bytes left");
	ok(!memcmp(rbuf_bytes(&r, 2), "xy", 2) && rbuf_done(&r), "done at the end");
	ok(rbuf_bytes(&r, 0) != NULL && rbuf_ok(&r), "nothing from nothing is fine");
}

static void test_read_failures(void)
{
	static const uint8_t nul_inside[] = {3, 0, 0, 0, 'a', 0, 'b', 0};
	static const uint8_t no_nul[] = {2, 0, 0, 0, 'a', 'b', 'c'};
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 'a', 0};
	static const uint8_t fits[] = {2, 0, 0, 0, 'a', 'b', 0};
	struct rbuf r = rbuf_of("abc", 3);

	eq_int(rbuf_u32(&r), 0, "too short for a u32");
	ok(!rbuf_ok(&r), "and it is remembered");
	eq_int(rbuf_u8(&r), 0, "nothing is read after a failure");
	eq_int(rbuf_left(&r), 0, "nothing is left after a failure");
	ok(rbuf_bytes(&r, 0) == NULL, "not even no bytes");

	r = rbuf_of(nul_inside, sizeof(nul_inside));
	eq_str(rbuf_str(&r, 100), "", "a NUL inside a string");
	ok(!rbuf_ok(&r), "is refused");
	r = rbuf_of(no_nul, sizeof(no_nul));
	rbuf_str(&r, 100);
	ok(!rbuf_ok(&r), "a string without its NUL is refused");
	r = rbuf_of(huge, sizeof(huge));
	rbuf_str(&r, SIZE_MAX);
	ok(!rbuf_ok(&r), "a length of 4 GiB is refused");
	r = rbuf_of(fits, sizeof(fits));
	rbuf_str(&r, 1);
	ok(!rbuf_ok(&r), "a string longer than its bound is refused");
}

static void test_count(void)
{
	static const uint8_t three[] = {3, 0, 0, 0, 1, 2, 3, 4, 5, 6};
	struct rbuf r = rbuf_of(three, sizeof(three));

	eq_int(rbuf_count(&r, 3, 2), 3, "a count at its bound, items that just fit");
	r = rbuf_of(three, sizeof(three));
	rbuf_count(&r, 2, 1);
	ok(!rbuf_ok(&r), "over its bound");
	r = rbuf_of(three, sizeof(three));
	rbuf_count(&r, 100, 3);
	ok(!rbuf_ok(&r), "more items than bytes");
}

static void test_write_failures(void)
{
	uint8_t mem[8] = {0};
	struct wbuf w = wbuf_of(mem, 4);

	wbuf_str(&w, "a");
	ok(!wbuf_ok(&w), "a string that does not fit");
	wbuf_u8(&w, 1);
	ok(!wbuf_ok(&w) && w.len <= 4, "nothing is written after a failure");
	ok(!mem[4] && !mem[5] && !mem[6] && !mem[7], "nothing beyond the end");
	w = wbuf_of(mem, 4);
	wbuf_bytes(&w, mem, SIZE_MAX);
	ok(!wbuf_ok(&w) && w.len == 0, "a length that would wrap");
}

int main(void)
{
	test_round_trip();
	test_read_failures();
	test_count();
	test_write_failures();
	return tap_done();
}
