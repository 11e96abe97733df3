/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread per vCPU. A thread is born held: it jails itself, then waits until vcpus_run(). When
 * the guest cannot go on it records why and signals the event descriptor; it never ends the
 * process.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/timeline.h"
#include "lib/vm_config.h"
#include "vmm/vm.h"

#define VCPU_TEXT_MAX    256
#define VCPU_BUS_FDS_MAX 120 /* of what is on the bus */

enum vcpu_end { VCPU_RUNS, VCPU_SHUTDOWN /* triple fault: also how Linux reboots */, VCPU_BROKEN };

/* How a vCPU's thread shuts itself in. 0 or -errno. */
struct vcpu_jail {
	/* In the thread: its descriptors become keep[0..n), and no more; -1: none. */
	int (*close)(const int *keep, unsigned n, struct err *err);
	/* What the handlers on the bus use, borrowed until vcpus_start() has returned. */
	const int *fds;
	unsigned n_fds;
};

struct vcpus;

struct vcpu {
	struct vcpus *all;
	uint32_t index;
	pthread_t thread;
	_Atomic int end;         /* enum vcpu_end: written last, after text */
	_Atomic uint32_t parked; /* it waits to be let go */
	char text[VCPU_TEXT_MAX];
	int jail_result;
	struct err jail_err;
};

struct vcpus {
	struct vm *vm;
	int event_fd;  /* eventfd, borrowed: a vCPU has ended, or is parked */
	int serial_fd; /* non-blocking, borrowed: bytes of the early serial console; -1: discard */
	const struct vcpu_jail *jail;
	_Atomic uint32_t held;  /* futex: 1 while the vCPUs must not run */
	_Atomic uint32_t ready; /* futex: threads that are jailed, or failed to be */
	struct vcpu v[VM_VCPUS_MAX];
};

/* Starts the threads and waits until each is jailed (NULL in tests: they are not). Blocks every signal in them but the kick
 * (SIGURG). After a failure the threads stay held; the caller is about to exit. */
int vcpus_start(struct vcpus *all, struct vm *vm, int event_fd, int serial_fd,
	const struct vcpu_jail *jail, struct err *err);
/* Jailed ones have tables of their own: closes the vCPUs and serial_fd in the caller's, for good. The machine's
 * descriptor stays: KVM lets go of the interrupts' eventfds when it is closed. */
void vcpus_leave_fds(struct vcpus *all);
void vcpus_run(struct vcpus *all); /* at first, and after a hold */
/* Makes every vCPU leave the guest and wait. Returns at once: they stop within microseconds, or, in the middle
 * of an access to a device's registers, when that is done; the event descriptor says when. */
void vcpus_hold(struct vcpus *all);
/* After vcpus_hold(): no vCPU is in the guest any more, nor will be before vcpus_run(). */
bool vcpus_parked(const struct vcpus *all);
/* The first vCPU that has ended, or NULL. */
const struct vcpu *vcpus_ended(const struct vcpus *all);

#endif
