/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bus.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int bus_add(struct bus *b, uint64_t base, uint64_t bytes, const struct bus_ops *ops, void *opaque,
	struct err *err)
{
	uint64_t end;

	if (!bytes || __builtin_add_overflow(base, bytes, &end))
		return err_plain(
			err, EINVAL, "device window at 0x%" PRIx64 " is empty or wraps", base);
	for (unsigned i = 0; i < b->n; i++) {
		const struct bus_window *w = &b->window[i];

		if (base < w->base + w->bytes && w->base < end)
			return err_plain(err, EEXIST,
				"device window at 0x%" PRIx64 " overlaps the one at 0x%" PRIx64,
				base, w->base);
	}
	if (b->n == BUS_WINDOWS_MAX)
		return err_plain(err, ENOSPC, "more than %u device windows", BUS_WINDOWS_MAX);
	b->window[b->n++] =
		(struct bus_window){.base = base, .bytes = bytes, .ops = ops, .opaque = opaque};
	return 0;
}

static const struct bus_window *bus_find(const struct bus *b, uint64_t gpa, uint32_t len)
{
	for (unsigned i = 0; i < b->n; i++) {
		const struct bus_window *w = &b->window[i];

		if (gpa >= w->base && gpa - w->base < w->bytes)
			return len <= w->bytes - (gpa - w->base) ? w : NULL;
	}
	return NULL;
}

void bus_read(const struct bus *b, uint64_t gpa, void *data, uint32_t len)
{
	const struct bus_window *w = bus_find(b, gpa, len);

	if (w)
		w->ops->read(w->opaque, gpa - w->base, data, len);
	else
		memset(data, 0xff, len);
}

void bus_write(const struct bus *b, uint64_t gpa, const void *data, uint32_t len)
{
	const struct bus_window *w = bus_find(b, gpa, len);

	if (w)
		w->ops->write(w->opaque, gpa - w->base, data, len);
}
