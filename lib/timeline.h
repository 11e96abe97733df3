/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The phases of one start, in CLOCK_MONOTONIC nanoseconds of the host (0: not reached). Marked by
 * whoever passes the point; costs one clock read each, always on. Guest points are the guest's own
 * times, placed on the host's clock by the host when the message that carries them arrives.
 */
#ifndef LIB_TIMELINE_H
#define LIB_TIMELINE_H

#include <stdint.h>
#include <time.h>

enum timeline_point {
	TL_START,      /* coracle's main() */
	TL_SPEC,       /* config.json read, checked, translated */
	TL_NAMESPACES, /* state directory, share tree, namespaces made; coracle-vmm about to be
			  executed */
	TL_VMM,        /* coracle-vmm's main() */
	TL_KVM,        /* VM and vCPUs made */
	TL_MEMORY,     /* guest memory mapped; kernel, cpio and boot data in it */
	TL_DEVICES,    /* device workers started and jailed */
	TL_KERNEL,     /* first KVM_RUN */
	TL_INIT,       /* coracle-init's first instruction (guest) */
	TL_HELLO,      /* control channel up */
	TL_ROOTFS,     /* root file system mounted (guest) */
	TL_READY,      /* container prepared: "created" */
	TL_EXEC_ASKED, /* start request arrived */
	TL_EXEC,       /* execve of the user's program succeeded */
	TL_EXIT,       /* the user's program ended */
	TL_END,        /* coracle-vmm about to exit */
	TL_POINTS
};

struct timeline {
	uint64_t ns[TL_POINTS];
};

static inline uint64_t timeline_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* For poll(2): rounded up, so that 0 means that the time is over. */
static inline int timeline_left_ms(uint64_t deadline_ns)
{
	uint64_t now = timeline_now();

	return now >= deadline_ns ? 0 : (int)((deadline_ns - now) / 1000000) + 1;
}

static inline void timeline_mark(struct timeline *t, enum timeline_point p)
{
	if (!t->ns[p])
		t->ns[p] = timeline_now();
}

#endif
