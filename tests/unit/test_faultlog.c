/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of failed devices, and how seldom. */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"
#include "vmm/faultlog.h"
#include "vmm/virtio/fault.h"

static struct log log_;
static int log_file;

/* What has been logged since the last call. */
static const char *logged(void)
{
	static char text[1 << 16];
	static off_t at;
	ssize_t n = pread(log_file, text, sizeof(text) - 1, at);

	text[MAX(n, 0)] = '\0';
	at += MAX(n, 0);
	return text;
}

static unsigned lines(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

static void fail(struct vdev_shared *s, int fd, uint32_t why)
{
	atomic_store(&s->failed, 0);
	if (why == VDEV_MUTE)
		vdev_note(s, fd, why);
	else
		vdev_fail(s, fd, why);
}

static void test_count(void)
{
	static struct vdev_shared s;
	int fd = eventfd(0, EFD_NONBLOCK);
	eventfd_t n = 0;

	vdev_fail(&s, fd, VFAULT_DESC_LOOP);
	vdev_fail(&s, fd, VFAULT_REQUEST);
	eq_int(atomic_load(&s.failed), VFAULT_DESC_LOOP, "the first failure is the one told");
	ok(atomic_load(&s.faults[VFAULT_DESC_LOOP]) == 1 && !atomic_load(&s.faults[VFAULT_REQUEST]),
		"and counted");
	ok(eventfd_read(fd, &n) == 0 && n == 1, "and signalled once");
	vdev_note(&s, fd, VDEV_MUTE);
	ok(atomic_load(&s.faults[VDEV_MUTE]) == 1 && eventfd_read(fd, &n) == 0,
		"a worker that is mute counts whatever was before");
	atomic_store(&s.failed, 0);
	vdev_fail(&s, -1, VFAULT_INDIRECT);
	eq_int(atomic_load(&s.faults[VFAULT_INDIRECT]), 1,
		"without an eventfd it counts all the same");
	close(fd);
}

static void test_lines(void)
{
	static struct vdev_shared a, b;
	struct faultlog f;
	const char *text;

	faultlog_init(&f, -1);
	faultlog_add(&f, "one", &a);
	faultlog_add(&f, "two", &b);
	eq_int(faultlog_tell(&f, &log_), 0, "nothing has failed, no pause");
	eq_str(logged(), "", "nothing is said");
	fail(&a, -1, VFAULT_DESC_ADDR);
	fail(&b, -1, VDEV_MUTE);
	for (int i = 0; i < 37; i++)
		fail(&b, -1, VFAULT_AVAIL_IDX);
	eq_int(faultlog_tell(&f, &log_), FAULTLOG_PAUSE_MS, "then a pause");
	text = logged();
	eq_int(lines(text), 3, "a line per device and reason");
	ok(strstr(text, "device one failed: the guest's driver broke the rules and has to reset it "
			"(buffer address)\"\n"),
		"one: why");
	ok(strstr(text,
		   "device two failed: its worker does not answer: it is lost to the guest\"\n"),
		"two: why");
	ok(strstr(text, "(available index), 37 times\"\n"), "and how often");
	eq_int(faultlog_tell(&f, &log_), 0, "said once");
	eq_str(logged(), "", "and not again");
}

/* A guest that resets and breaks rules for ever, for a day. */
static void test_rate(void)
{
	static struct vdev_shared s;
	uint64_t ms = 0, told = 0;
	unsigned n = 0, failures = 0;
	struct faultlog f;

	faultlog_init(&f, -1);
	faultlog_add(&f, "x", &s);
	while (ms < 24 * 3600 * 1000ull) {
		const char *text, *times;
		uint32_t pause;

		for (int i = 0; i < 3; i++)
			fail(&s, -1, VFAULT_REQUEST);
		failures += 3;
		pause = faultlog_tell(&f, &log_);
		BUG_ON(!pause);
		ms += pause;
		text = logged();
		n += lines(text);
		times = strstr(text, "(request), ");
		told += times ? strtoul(times + 11, NULL, 10) : 0;
	}
	ok(n < 24 * 60 + 10, "a line a minute at most, after the first: %u in a day", n);
	eq_int(told, failures, "no failure is left out");
}

int main(void)
{
	log_file = memfd_create("log", 0);
	log_init(&log_, log_file, false);
	test_count();
	test_lines();
	test_rate();
	return tap_done();
}
