/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of life.h's state machine: life.c (events, deadlines, the end), life_guest.c (what the
 * guest says), life_ask.c (what the host's side asks: control requests and signals). */
#ifndef VMM_LIFE_PRIV_H
#define VMM_LIFE_PRIV_H

#include "vmm/life.h"
#include "vmm/life_tty.h"

#define SIGNAL_MAX 64

/* Data of epoll's events. */
enum life_event {
	EV_GUEST,
	EV_VSOCK,
	EV_CONSOLE,
	EV_VCPU,
	EV_SIGNAL,
	EV_FAULT,
	EV_LINE,
	EV_CONTROL /* and on: clients */
};
#define EV_WORKER (1ull << 31) /* and on: worker_procs.p[] */
#define EV_EXEC   (1ull << 32) /* and on: life_exec.c's slots */
#define EV_ASK    (1ull << 63) /* and on: life_query.c's, with the question's id */

/* life.c */
enum vm_phase life_phase(const struct life *l);
void life_set_deadline(
	struct life *l, enum life_deadline d, uint32_t ms); /* keeps an earlier one */
/* The container has ended: report, answer whoever waits. The loop ends with `status`. */
void life_end(struct life *l, uint32_t status);
/* The VM, or the container's start, failed. status 0: 1 before READY, LIFE_STATUS_VM after. */
void life_fail(struct life *l, uint32_t status, const struct err *err, bool with_log);
void life_vm_died(struct life *l); /* if it has */
/* EXITED came: let the vsock device write out what it holds, then end. */
void life_drain(struct life *l, uint32_t status);

/* life_vsock.c */
/* Binds the control channel and the streams of the container's first process, waiting for each answer. */
int life_bind_streams(struct life *l, struct err *err);
/* The vsock device's socket has an answer; has room again. */
void life_vsock_read(struct life *l);
void life_vsock_room(struct life *l);
/* Of the first process's streams. Those of exec'd processes are drained slot by slot. */
void life_drain_stdio(struct life *l);
/* What send_fds() to the vsock device gave: is the message to be sent again in life_exec_vsock_room() or
 * life_drain_stdio()? That is called once the socket has room, or the kernel may have memory again. */
bool life_vsock_later(struct life *l, int result);
/* The kernel had no room for a message, for a reason that passes; the socket may well be writable. */
bool life_passes(int errnum);

/* life_worker.c */
int life_workers_watch(struct life *l, struct err *err);
/* One that is a process has ended: the container ends with it. */
void life_worker_ended(struct life *l, unsigned index);
/* The vsock device's socket has ended: so has its worker, or is about to, which then is what is told. */
void life_vsock_failed(struct life *l);
/* The VM has died. May the end of a worker be why? Then that is waited for, and life_worker_ended() or
 * life_worker_expired() goes on. */
bool life_worker_is_why(struct life *l);
/* Its worker has broken the protocol of its commands: the container ends. */
void life_vsock_broken(struct life *l);
void life_worker_expired(struct life *l); /* DEADLINE_WORKER */
/* The same in life_init(): waits, and fills err in. Negative. */
int life_vsock_lost(struct life *l, struct err *err);

/* life_exec.c */
/* A memfd that nobody can change: reading it never waits. */
bool life_is_sealed(int fd);

/* life_pause.c */
bool life_pause(struct life *l, control_token token, struct ctl_reply *reply);
bool life_resume(struct life *l, struct ctl_reply *reply); /* true */
void life_go_on(struct life *l);                           /* if it is paused, or about to be */
void life_pause_over(struct life *l); /* for good: there is nothing to resume, and nobody to ask */
void life_parked(struct life *l);     /* a vCPU is */
void life_freeze_expired(struct life *l);
void life_freezer_push(struct life *l); /* sends what is due, as far as the guest takes it */
/* An ANSWER; true: it was the freezer's. */
bool life_freezer_answer(struct life *l, uint32_t id, int32_t errnum);
bool life_answers(const struct life *l); /* may the guest be asked? */
void life_questions_changed(
	struct life *l); /* there are more of them, or fewer, that wait for it */

/* life_guest.c */
void life_guest_event(struct life *l);
/* Sends a frame without ever waiting. 0, -EAGAIN (the guest does not read, or there is no memory;
 * life_guest_room() is called when it may work), -EPIPE. */
int life_send(struct life *l, enum proto_type type, const void *payload, uint32_t len);
void life_guest_room(struct life *l);
/* A FAILED of the guest made fit to be shown: host's byte order, errnum and status as they should be, text
 * printable and not empty. */
void life_read_failed(const void *payload, struct proto_failed *ret);

/* life_ask.c */
/* Fills in why not; true. */
__attribute__((format(printf, 3, 4))) bool life_answer(
	struct ctl_reply *reply, int errnum, const char *fmt, ...);
bool life_request(
	void *opaque, control_token token, const struct ctl_request *req, struct ctl_reply *reply);
void life_kill_expired(struct life *l);                /* DEADLINE_KILL */
void life_host_signal(struct life *l, uint32_t signo); /* a signal to the VMM's own pid */
uint64_t life_signal_bit(uint32_t signo);              /* 1 to SIGNAL_MAX */
/* Sends those in *due to the process, the lowest first, as far as the guest takes them; true: all. */
bool life_push_signals(struct life *l, uint64_t *due, uint32_t process);
void life_push_pending(struct life *l);
/* The next one of all processes', once the container is thawed and the last one SIGNALED. */
void life_push_all(struct life *l);
void life_signaled(struct life *l, uint32_t id, int32_t errnum);
/* Nobody is to wait any longer for the guest to say SIGNALED. errnum 0: well; text is not looked at. */
void life_answer_signals(struct life *l, int errnum, const char *text);
void life_expire_signals(struct life *l, uint64_t now_ns);
void life_postpone_signals(struct life *l, uint64_t ns);
uint64_t life_next_signal_ns(const struct life *l); /* UINT64_MAX: none waits */
bool life_signals_all(const struct life *l);        /* one to all processes is not SIGNALED yet */

#endif
