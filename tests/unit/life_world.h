/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's life without a VM: a thread plays the vsock device and hands the guest's end of
 * the control channel over; the test plays coracle-init and the `coracle` command against life_run()
 * in another.
 *
 * A failure of the harness itself traps (BUG_ON). life_block_signals() comes first, once.
 */
#ifndef TESTS_UNIT_LIFE_WORLD_H
#define TESTS_UNIT_LIFE_WORLD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "vmm/life.h"
#include "vmm/virtio/devices.h"

#define WORLD_WAIT_MS 20000

struct world {
	struct vm_config cfg;
	struct life life;
	struct vm vm; /* no vCPU: nothing of KVM is touched */
	struct vcpus vcpus;
	struct sockaddr_un addr;
	int vsock_main, vsock_dev, console_r, console_w, vcpu_fd, report_r, guest;
	int log_fd;                /* memfd */
	int line;                  /* the workers' way to the log */
	struct faultlog faults;    /* of one device, "toy", */
	struct vdev_shared shared; /* which fails by vdev_fail() */
	unsigned binds;
	/* Plays the vsock device for a command before the harness does; true: done with it, and its
	 * descriptors. In the device's thread. */
	bool (*command)(struct world *w, const struct vsock_cmd *cmd, const int *fds, unsigned n);
	void *opaque;
	bool drain_at_once;
	uint32_t drain_id;
	uint64_t clock_ns; /* what the guest was last told, by guest_heard() */
	pthread_t device, main;
	int status, death_signal; /* what it returned; PR_GET_PDEATHSIG of its thread then */
};

/* make: up to life_init(). go: life_run() in its thread. begin: both. */
void world_make(struct world *w, uint32_t boot_timeout_ms);
void world_make_with(struct world *w, uint32_t boot_timeout_ms, uint32_t flags); /* VM_FLAG_* */
void world_go(struct world *w);
void world_begin(struct world *w, uint32_t boot_timeout_ms);
/* From the beginning to "running"; the same once it has begun. */
void world_run_up(struct world *w);
void world_up(struct world *w);
/* Waits for the end, gives everything back; the status. */
int world_end(struct world *w);
/* The next report; type 0 and a text: none came. */
struct vmm_report world_report(struct world *w);

/* Waits until the log's text has `part` n times. */
bool world_logged(struct world *w, const char *part, unsigned n);

/* The guest's side */
void guest_say(struct world *w, enum proto_type type, const void *p, uint32_t len);
void guest_hello(struct world *w);
void guest_ready(struct world *w);
void guest_started(struct world *w);
void guest_exited(struct world *w, int32_t status);
void guest_failed(struct world *w, int32_t errnum, uint32_t status, const char *text);
/* The next frame of the host; *ret_sig is filled for SIGNAL. 0: none came. */
int guest_heard(struct world *w, struct proto_signal *ret_sig);

/* The command's side */
int world_client(struct world *w);
void ctl_send(int s, uint32_t type, uint32_t arg);
struct ctl_reply ctl_answer(int s);                                       /* errnum -1: none came */
struct ctl_reply world_ask(struct world *w, uint32_t type, uint32_t arg); /* a client of its own */

/* has_str() wants something that could be NULL. */
static inline const char *said(const char *s)
{
	return s;
}

#endif
