/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile flat guest in C: no Linux, no libc, one vCPU (two when it asks), interrupts off but for that by which the
 * one wakes the other. It is built from the
 * fake driver's own ring code and table of shapes (tests/device/driver.h, shapes.h), over the real registers
 * (registers.c). A guest is one file with guest_main(), which ends by guest_pass() or guest_wrong(); boot_test.sh
 * says what the VMM must make of it.
 *
 * Memory: the program at 1 MiB, what a device may be given from GUEST_DMA on, GUEST_PAGES for the balloon.
 */
#ifndef TESTS_GUESTS_GUEST_H
#define TESTS_GUESTS_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/device/driver.h"

#define GUEST_DMA   0x1000000ull
#define GUEST_PAGES 0xf00000ull

/* The guest's own. `word` is what --cmdline added to the kernel's command line, or "". */
void guest_main(const char *word);

/* Both print one line that begins as a kernel's panic does, which the VMM puts into its report, and die by a
 * triple fault. */
__attribute__((noreturn, format(printf, 1, 2))) void guest_pass(const char *fmt, ...);
__attribute__((noreturn, format(printf, 1, 2))) void guest_wrong(const char *fmt, ...);
__attribute__((noreturn)) void guest_halt(void); /* for ever: the VMM's boot timeout ends it */
__attribute__((format(printf, 1, 2))) void guest_say(const char *fmt, ...);

extern uint64_t guest_low_end,
	guest_high_end; /* where RAM below 4 GiB and above ends; 0: none above */

/* Memory and registers at any width (1, 2, 4, 8) and offset. */
uint64_t guest_load(uint64_t gpa, unsigned width);
void guest_store(uint64_t gpa, unsigned width, uint64_t v);
void guest_relax(void);

/* A second processor runs fn(arg) for ever; a guest has one at most. False: this KVM does not start it. */
bool guest_second(void (*fn)(void *arg), void *arg);

/* Until ready() says so the processor `me` (0, or 1: the second) halts, which leaves a core that they share to the
 * other. Whoever makes ready() true calls guest_wake(me) afterwards. Only once guest_second() has succeeded. */
void guest_wait_for(unsigned me, bool (*ready)(void));
void guest_wake(unsigned who);

/* Called before each access by drv_rd() and drv_wr(), unless NULL. */
extern void (*guest_step)(void);

/* The window of a device, and its struct drv, opened by drv_open(). */
uint64_t guest_window(const struct drv *d);
extern const struct device_row *const guest_rows[]; /* NULL-terminated, as device_rows */
void guest_rows_init(void);                         /* guest_start() did it */
struct drv *guest_device(const char *name);         /* opened and reset */

/* Starts d, answers one valid request, and says what is wrong if it can't: `after` what. */
void guest_must_work(struct drv *d, const char *after);
/* Waits, however long it takes, until d wants to be reset. */
void guest_must_fail(struct drv *d, const char *after);
bool guest_started(struct drv *d); /* drv_start() with everything offered */

#endif
