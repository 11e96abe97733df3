/* SPDX-License-Identifier: Apache-2.0 */
/* The fake driver's lower half (tests/device/driver.h) over a real device's registers. It waits by looking, without
 * a limit: what never comes is ended, and told, by the VMM's boot timeout. */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "lib/base.h"
#include "tests/guests/guest.h"
#include "vmm/layout.h"

#define MAGIC      0x74726976u
#define LONG_WAIT  300000u /* looks after which a wait is told of, so that the report has it */
#define ROWS_MAX   LAYOUT_DEVICES_MAX
#define WINDOW_END (LAYOUT_VIRTIO_BASE + ROWS_MAX * (uint64_t)VMMIO_WINDOW_BYTES)

static struct drv device[ROWS_MAX];
void (*guest_step)(void);

uint64_t guest_window(const struct drv *d)
{
	return (uint64_t)(uintptr_t)d->priv;
}

static uint64_t find_window(uint32_t id)
{
	for (uint64_t at = LAYOUT_VIRTIO_BASE; at < WINDOW_END; at += VMMIO_WINDOW_BYTES)
		if (guest_load(at + VIRTIO_MMIO_MAGIC_VALUE, 4) == MAGIC &&
			guest_load(at + VIRTIO_MMIO_DEVICE_ID, 4) == id)
			return at;
	return 0;
}

void drv_open(struct drv *d, const struct device_row *row)
{
	memset(d, 0, sizeof(*d));
	d->row = row;
	d->dev.ops = row->ops;
	d->alloc_base = d->alloc_at = GUEST_DMA;
	d->kick_by_register = true;
	d->priv = (void *)find_window(row->ops->device_id);
	if (!d->priv)
		drv_die("no device %s", row->ops->name);
	drv_reset(d);
	while (drv_wr(d, VIRTIO_MMIO_QUEUE_SEL, d->dev.n_queues),
		drv_rd(d, VIRTIO_MMIO_QUEUE_NUM_MAX))
		d->dev.n_queues++;
}

struct drv *guest_device(const char *name)
{
	for (unsigned i = 0; guest_rows[i]; i++) {
		if (strcmp(guest_rows[i]->ops->name, name))
			continue;
		if (!device[i].row)
			drv_open(&device[i], guest_rows[i]);
		drv_reset(&device[i]);
		return &device[i];
	}
	drv_die("no row %s", name);
}

void *drv_ptr(struct drv *d, uint64_t gpa, uint64_t len)
{
	if (gpa >= guest_low_end || len > guest_low_end - gpa)
		drv_die("no memory at %lx", gpa);
	return (void *)gpa;
}

uint32_t drv_rd(struct drv *d, uint32_t reg)
{
	if (guest_step)
		guest_step();
	return (uint32_t)guest_load(guest_window(d) + reg, 4);
}

void drv_wr(struct drv *d, uint32_t reg, uint32_t v)
{
	if (guest_step)
		guest_step();
	guest_store(guest_window(d) + reg, 4, v);
}

void drv_kick_hard(struct drv *d, unsigned q)
{
	drv_wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, q);
}

/* Says once that this takes long. */
static void waiting(struct drv *d, unsigned *looks, const char *what)
{
	guest_relax();
	if (++*looks == LONG_WAIT)
		guest_say("still waiting: %s: %s", d->row->ops->name, what);
}

bool drv_wait_used(struct drv *d, unsigned q, uint32_t *ret_id, uint32_t *ret_len, int ms)
{
	for (unsigned looks = 0;; waiting(d, &looks, "a used buffer")) {
		if (drv_pop_used(d, q, ret_id, ret_len))
			return true;
		if (drv_needs_reset(d))
			return false;
	}
}

bool guest_started(struct drv *d)
{
	return drv_start(d, ~0ull);
}

void guest_must_work(struct drv *d, const char *after)
{
	if (!guest_started(d))
		guest_wrong("%s: does not start after '%s'", d->row->ops->name, after);
	if (!drv_valid(d))
		guest_wrong("%s: does not work after '%s'", d->row->ops->name, after);
}

void guest_must_fail(struct drv *d, const char *after)
{
	for (unsigned looks = 0; !drv_needs_reset(d);)
		waiting(d, &looks, after);
}
