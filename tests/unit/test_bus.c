/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "tests/tap.h"
#include "vmm/bus.h"

struct probe {
	uint64_t off;
	uint32_t len;
	unsigned reads, writes;
	uint8_t value;
};

static void probe_read(void *opaque, uint64_t off, void *data, uint32_t len)
{
	struct probe *p = opaque;

	p->reads++;
	p->off = off;
	p->len = len;
	memset(data, p->value, len);
}

static void probe_write(void *opaque, uint64_t off, const void *data, uint32_t len)
{
	struct probe *p = opaque;

	p->writes++;
	p->off = off;
	p->len = len;
	memcpy(&p->value, data, 1);
}

static const struct bus_ops ops = {.read = probe_read, .write = probe_write};

static void test_add(void)
{
	struct err err = ERR_INIT;
	struct bus b = {0};

	eq_int(bus_add(&b, 0x1000, 0x1000, &ops, NULL, &err), 0, "a window");
	eq_int(bus_add(&b, 0x2000, 0x1000, &ops, NULL, &err), 0, "its neighbour");
	eq_int(bus_add(&b, 0x1fff, 1, &ops, NULL, &err), -EEXIST, "one inside another is refused");
	eq_int(bus_add(&b, 0x800, 0x801, &ops, NULL, &err), -EEXIST,
		"one that reaches into another");
	eq_int(bus_add(&b, 0, 0x10000, &ops, NULL, &err), -EEXIST, "one around others");
	has_str(err.msg, "overlaps the one at 0x1000");
	eq_int(bus_add(&b, 0x9000, 0, &ops, NULL, &err), -EINVAL, "an empty one");
	eq_int(bus_add(&b, UINT64_MAX, 2, &ops, NULL, &err), -EINVAL, "one that wraps");
	for (unsigned i = b.n; i < BUS_WINDOWS_MAX; i++)
		bus_add(&b, 0x10000 + i * 0x1000, 0x1000, &ops, NULL, NULL);
	eq_int(b.n, BUS_WINDOWS_MAX, "filled up");
	eq_int(bus_add(&b, 0x90000, 1, &ops, NULL, &err), -ENOSPC, "one more is refused");
}

static void test_access(void)
{
	struct probe low = {.value = 0x11}, high = {.value = 0x22};
	struct bus b = {0};
	uint64_t v = 0;

	bus_add(&b, 0xd0000000, 0x1000, &ops, &low, NULL);
	bus_add(&b, 0xd0001000, 0x1000, &ops, &high, NULL);
	bus_read(&b, 0xd0000010, &v, 4);
	eq_int(v, 0x11111111, "a read reaches its device");
	ok(low.off == 0x10 && low.len == 4 && low.reads == 1 && !high.reads,
		"with offset and length");
	bus_write(&b, 0xd0001ff8, &(uint64_t){0x33}, 8);
	ok(high.off == 0xff8 && high.len == 8 && high.writes == 1 && high.value == 0x33,
		"a write at the window's very end");
	v = 0;
	bus_read(&b, 0xd0000ffd, &v, 4);
	ok(v == 0xffffffff && low.reads == 1 && !high.reads,
		"a read across windows gives all ones");
	bus_write(&b, 0xd0001ffd, &v, 4);
	bus_write(&b, 0xcfffffff, &v, 4);
	ok(high.writes == 1 && !low.writes, "writes that lie partly outside go nowhere");
	v = 0;
	bus_read(&b, UINT64_MAX - 3, &v, 8);
	ok(v == UINT64_MAX, "a read at the end of the address space gives all ones");
	v = 0;
	bus_read(&b, 0, &v, 1);
	eq_int(v, 0xff, "only the bytes asked for are written");
}

int main(void)
{
	test_add();
	test_access();
	return tap_done();
}
