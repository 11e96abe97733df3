/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/life_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/fd.h"
#include "vmm/report.h"
#include "vmm/virtio/devices.h"

#define EVENTS_MAX   16
#define CONSOLE_TURN 8  /* reads of 4 KiB before the others have their turn */
#define CONSOLE_LAST 64 /* when the VM has died: all a pipe can hold, and a bound */
#define PANIC_MARK   "Kernel panic - not syncing"

/* What goes on to the container's process. Not: what the kernel sends for a bug of our own (SEGV,
 * BUS, FPE, ILL, TRAP, SYS, ABRT), what cannot be caught, and SIGURG, which kicks vCPUs. */
static void forwarded_signals(sigset_t *set)
{
	static const int keep[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT,
		SIGURG, SIGPIPE, SIGCHLD, SIGTTIN, SIGTTOU, SIGKILL, SIGSTOP};

	sigfillset(set);
	for (unsigned i = 0; i < ARRAY_SIZE(keep); i++)
		sigdelset(set, keep[i]);
}

int life_block_signals(struct err *err)
{
	/* A write to a pipe or terminal that has gone is an error, not the end. */
	static const int ignored[] = {SIGPIPE, SIGTTIN, SIGTTOU};
	sigset_t set;
	int r;

	for (unsigned i = 0; i < ARRAY_SIZE(ignored); i++)
		if (signal(ignored[i], SIG_IGN) == SIG_ERR)
			return err_set(err, errno, "cannot ignore signal %d", ignored[i]);
	if (signal(SIGCHLD, SIG_DFL) == SIG_ERR) /* or the kernel reaps the workers */
		return err_set(err, errno, "cannot take SIGCHLD's default");
	forwarded_signals(&set);
	r = pthread_sigmask(SIG_SETMASK, &set, NULL);
	return r ? err_set(err, r, "cannot block signals") : 0;
}

static int watch(struct life *l, int fd, uint64_t data, struct err *err)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = data};

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_set(err, errno, "cannot watch a descriptor");
	return 0;
}

/* The worker at the other end does not wait for us, and the main loop not for it. */
static int set_nonblock(int fd, struct err *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_set(err, errno, "cannot prepare the vsock device's socket");
	return 0;
}

enum vm_phase life_phase(const struct life *l)
{
	static const enum vm_phase of[] = {
		[LIFE_BOOTING] = VM_BOOTING,
		[LIFE_PREPARING] = VM_BOOTING,
		[LIFE_CREATED] = VM_CREATED,
		[LIFE_STARTING] = VM_CREATED,
		[LIFE_RUNNING] = VM_RUNNING,
	};

	if (l->ended || l->state == LIFE_DRAINING)
		return VM_STOPPED;
	return l->paused ? VM_PAUSED : of[l->state];
}

static enum vm_phase phase(void *opaque)
{
	return life_phase(opaque);
}

static bool take_connection(
	void *opaque, int *conn_fd, const struct ctl_request *req, struct ctl_reply *reply)
{
	struct life *l = opaque;

	if (req->type == CTL_EXEC)
		return life_exec_request(l, conn_fd, req, l->control.fd, l->control.n_fds, reply);
	return life_query_request(l, conn_fd, req, l->control.n_fds ? l->control.fd[0] : -1, reply);
}

static void guest_line(void *opaque, const char *line)
{
	struct life *l = opaque;

	if (l->cfg->flags & VM_FLAG_DEBUG)
		log_guest_line(&l->log, line);
}

int life_init(struct life *l, const struct vm_config *cfg, const struct life_fds *fds,
	const struct timeline *tl, struct err *err)
{
	sigset_t signals;
	int r;

	memset(l, 0, sizeof(*l));
	l->cfg = cfg;
	l->vsock_fd = fds->vsock;
	l->console_fd = fds->console;
	l->line_fd = fds->line;
	l->vcpu_fd = fds->vcpu;
	l->faults = fds->faults;
	l->fs = fds->fs;
	l->procs = fds->procs;
	l->kill_ms = LIFE_KILL_GRACE_MS;
	l->kill_max_ms = LIFE_KILL_MAX_MS;
	l->report_fd = cfg->fd[VM_FD_REPORT];
	l->guest_fd = l->signal_fd = l->tty_fd = -1;
	life_exec_init(l);
	l->start_ms = LIFE_START_MS;
	l->freeze_ms = LIFE_FREEZE_MS;
	l->answer_ms = LIFE_ANSWER_MS;
	l->tl = *tl;
	log_init(&l->log, cfg->fd[VM_FD_LOG], cfg->flags & VM_FLAG_LOG_JSON);
	l->guestlog.on_line = guest_line;
	l->guestlog.opaque = l;
	l->control.request = life_request;
	l->control.take = take_connection;
	l->control.phase = phase;
	l->control.timeline = &l->tl;
	l->control.opaque = l;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		return err_set(err, errno, "cannot make the main loop");
	forwarded_signals(&signals);
	l->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l->signal_fd < 0)
		return err_set(err, errno, "cannot receive signals");
	r = set_nonblock(l->vsock_fd, err);
	if (r == 0)
		r = life_query_init(l, err);
	if (r == 0)
		r = life_tty_init(l, err);
	if (r == 0)
		r = life_bind_streams(l, err);
	if (r == 0)
		r = watch(l, l->guest_fd, EV_GUEST, err);
	if (r == 0)
		r = watch(l, l->vsock_fd, EV_VSOCK, err);
	if (r == 0)
		r = watch(l, l->console_fd, EV_CONSOLE, err);
	if (r == 0)
		r = watch(l, l->vcpu_fd, EV_VCPU, err);
	if (r == 0)
		r = watch(l, l->signal_fd, EV_SIGNAL, err);
	if (r == 0)
		r = watch(l, l->faults->fd, EV_FAULT, err);
	if (r == 0 && l->line_fd >= 0)
		r = watch(l, l->line_fd, EV_LINE, err);
	if (r == 0)
		r = life_workers_watch(l, err);
	if (r == 0)
		r = control_init(&l->control, cfg->fd[VM_FD_CONTROL], l->epoll_fd, EV_CONTROL, err);
	return r;
}

/* The end */

void life_end(struct life *l, uint32_t status)
{
	struct ctl_reply reply = {.errnum = ESRCH};

	if (l->ended)
		return;
	l->ended = true;
	l->status = status;
	timeline_mark(&l->tl, TL_END);
	faultlog_tell(l->faults, &l->log);
	snprintf(reply.text, sizeof(reply.text), "the container has ended");
	life_exec_end(l, NULL);
	life_query_end(l, &reply);
	control_end(&l->control, &reply);
	report_send(l->report_fd, VMM_ENDED, NULL, status, NULL, &l->tl);
}

void life_fail(struct life *l, uint32_t status, const struct err *err, bool with_log)
{
	struct ctl_reply reply = {.errnum = err->errnum, .exit_status = status};
	bool ready = l->ready_reported;
	char tail[2048];

	if (l->ended)
		return;
	if (!status)
		status = ready ? LIFE_STATUS_VM : 1;
	l->ended = true;
	l->status = status;
	timeline_mark(&l->tl, TL_END);
	faultlog_tell(l->faults, &l->log); /* it may be why */
	snprintf(reply.text, sizeof(reply.text), "%.*s", CTL_TEXT_MAX - 1, err->msg);
	life_exec_end(l, &reply);
	life_query_end(l, &reply);
	control_end(&l->control, &reply);
	report_send(l->report_fd, ready ? VMM_ENDED : VMM_FAILED, err, status,
		with_log ? &l->guestlog : NULL, &l->tl);
	if (!ready && l->report_fd >= 0)
		return; /* the parent logs it */
	if (with_log) {
		guestlog_tail(&l->guestlog, tail, sizeof(tail));
		log_write(&l->log, LOG_LEVEL_ERROR, "%s%s%s", err->msg,
			tail[0] ? "; the guest's last log lines:\n" : "", tail);
	} else {
		log_write(&l->log, LOG_LEVEL_ERROR, "%s", err->msg);
	}
}

void life_drain(struct life *l, uint32_t status)
{
	l->deadline_ns[DEADLINE_START] = 0;
	life_pause_over(l);
	l->state = LIFE_DRAINING;
	l->status = status;
	life_answer_signals(l, ESRCH, "the container has ended");
	if (l->killed) { /* what is left of the guest's time may be too short for the readers */
		l->deadline_ns[DEADLINE_KILL] = 0;
		life_set_deadline(l, DEADLINE_KILL, l->kill_ms);
	}
	/* All the guest sent is in the device's hands: EXITED came through the same queue after it.
	 */
	vcpus_hold(l->vcpus);
	l->held = true;
	life_drain_stdio(l);
}

/* Events */

static void read_console(struct life *l, unsigned turns)
{
	char buf[4096];
	ssize_t n;

	while (turns-- && (n = read(l->console_fd, buf, sizeof(buf))) > 0)
		guestlog_feed(&l->guestlog, buf, (size_t)n);
}

/* A vCPU cannot go on: the VM is dead. A panic's reboot is a triple fault too (reboot=t). */
void life_vm_died(struct life *l)
{
	const struct vcpu *v = vcpus_ended(l->vcpus);
	struct err err = ERR_INIT;
	char panic[256];

	if (!v)
		return;
	if (l->killed) {
		life_end(l, 128 + SIGKILL);
		return;
	}
	if (l->state == LIFE_DRAINING)
		return; /* nothing of it is needed any more */
	if (life_worker_is_why(l))
		return;
	read_console(l, CONSOLE_LAST);
	if (guestlog_find(&l->guestlog, PANIC_MARK, panic, sizeof(panic)))
		err_plain(&err, EIO, "the guest kernel died: %s (%s)", panic, v->text);
	else
		err_plain(&err, EIO, "the VM stopped: %s", v->text);
	life_fail(l, 0, &err, true);
}

static void read_signals(struct life *l)
{
	struct signalfd_siginfo si;

	while (!l->ended && read(l->signal_fd, &si, sizeof(si)) == sizeof(si))
		life_host_signal(l, si.ssi_signo);
}

static void listen_for_faults(struct life *l, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u64 = EV_FAULT};

	BUG_ON(epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, l->faults->fd, &ev) < 0);
}

/* A guest can make a device fail as fast as it likes, and a worker that is the guest's can signal without a failure:
 * after each time the eventfd is left alone for a while, whatever there was to tell. What comes meanwhile is counted
 * (faultlog.h), and told then, or at the end. */
static void read_faults(struct life *l)
{
	uint64_t count;
	uint32_t pause_ms = 0;

	listen_for_faults(l, 0);
	/* A worker can take back what it signalled: EAGAIN. */
	if (read(l->faults->fd, &count, sizeof(count)) == sizeof(count))
		pause_ms = faultlog_tell(l->faults, &l->log);
	life_set_deadline(l, DEADLINE_FAULTS, pause_ms ? pause_ms : FAULTLOG_PAUSE_MS);
}

static void handle(struct life *l, const struct epoll_event *ev)
{
	uint64_t count;

	if (ev->data.u64 >= EV_ASK) {
		life_query_conn(l, ev->data.u64, ev->events);
		return;
	}
	if (ev->data.u64 >= EV_WORKER && ev->data.u64 < EV_EXEC) {
		life_worker_ended(l, (unsigned)(ev->data.u64 - EV_WORKER));
		return;
	}
	if (ev->data.u64 >= EV_EXEC) {
		life_exec_conn(l, (uint32_t)(ev->data.u64 - EV_EXEC), ev->events);
		return;
	}
	switch (ev->data.u64) {
	case EV_GUEST:
		if (ev->events & EPOLLOUT)
			life_guest_room(l);
		life_guest_event(l);
		break;
	case EV_VSOCK:
		if (ev->events & EPOLLOUT)
			life_vsock_room(l);
		if (!l->ended && !l->vsock_gone)
			life_vsock_read(l);
		break;
	case EV_CONSOLE: read_console(l, CONSOLE_TURN); break;
	case EV_VCPU:
		if (read(l->vcpu_fd, &count, sizeof(count)) != sizeof(count))
			break;
		life_vm_died(l);
		if (!l->ended)
			life_parked(l);
		break;
	case EV_SIGNAL: read_signals(l); break;
	case EV_FAULT: read_faults(l); break;
	case EV_LINE: log_take_line(&l->log, &l->line_fd); break;
	default: control_event(&l->control, ev->data.u64); break;
	}
}

/* Deadlines */

void life_set_deadline(struct life *l, enum life_deadline d, uint32_t ms)
{
	if (!l->deadline_ns[d])
		l->deadline_ns[d] = timeline_now() + ms * 1000000ull;
}

static void expired(struct life *l, enum life_deadline d)
{
	struct err err = ERR_INIT;

	if (d != DEADLINE_FAULTS && d != DEADLINE_RETRY && d != DEADLINE_FREEZE)
		read_console(l, CONSOLE_LAST);
	switch (d) {
	case DEADLINE_BOOT:
		err_plain(&err, ETIMEDOUT, "the guest was not ready within %u ms: %s",
			l->cfg->boot_timeout_ms,
			l->state == LIFE_BOOTING ? "coracle-init did not call"
						 : "coracle-init is still preparing the container");
		life_fail(l, 0, &err, true);
		break;
	case DEADLINE_START:
		err_plain(&err, ETIMEDOUT,
			"the guest did not say within %u ms whether the program was executed",
			l->start_ms + l->cfg->hooks_timeout_ms);
		life_fail(l, 0, &err, true);
		break;
	case DEADLINE_KILL: life_kill_expired(l); break;
	case DEADLINE_EXECS: life_end(l, l->status); break;
	case DEADLINE_LAST_WORDS:
		err_plain(&err, EPIPE, "coracle-init closed its control channel");
		life_fail(l, 0, &err, true);
		break;
	case DEADLINE_FAULTS: listen_for_faults(l, EPOLLIN); break;
	case DEADLINE_FREEZE: life_freeze_expired(l); break;
	case DEADLINE_WORKER: life_worker_expired(l); break;
	case DEADLINE_RETRY:
		life_freezer_push(l);
		life_push_all(l);
		if (l->guest_full)
			life_guest_room(l);
		if (l->vsock_full && !l->ended)
			life_vsock_room(l);
		break;
	case DEADLINES: BUG_ON(true);
	}
}

/* Is it set, and runs? What a guest is to answer has no deadline while it is paused, nor when the end of a worker is
 * waited for: what comes of that is why it does not answer, and is what will be told. */
static bool counts(const struct life *l, enum life_deadline d)
{
	bool lost = l->vsock_gone || l->vm_waits;

	if (lost && (d == DEADLINE_BOOT || d == DEADLINE_START || d == DEADLINE_LAST_WORDS))
		return false;
	return l->deadline_ns[d] && !(l->paused && d == DEADLINE_START);
}

/* Milliseconds until the next deadline, rounded up; -1: none. */
static int wait_ms(const struct life *l)
{
	uint64_t next = control_next_ns(&l->control), now = timeline_now();

	if (!l->paused)
		next = MIN(next, MIN(life_next_signal_ns(l), life_exec_next_ns(l)));
	if (!l->held)
		next = MIN(next, life_query_next_ns(l));
	for (unsigned d = 0; d < DEADLINES; d++)
		if (counts(l, (enum life_deadline)d))
			next = MIN(next, l->deadline_ns[d]);
	if (next == UINT64_MAX)
		return -1;
	if (next <= now)
		return 0;
	return (int)MIN((next - now) / 1000000 + 1, (uint64_t)INT32_MAX);
}

static void check_deadlines(struct life *l)
{
	uint64_t now = timeline_now();

	for (unsigned d = 0; d < DEADLINES && !l->ended; d++)
		if (counts(l, (enum life_deadline)d) && l->deadline_ns[d] <= now) {
			l->deadline_ns[d] = 0;
			expired(l, (enum life_deadline)d);
		}
	if (!l->paused) {
		life_expire_signals(l, now);
		life_exec_expire(l, now);
	}
	if (!l->held)
		life_query_expire(l, now);
	control_tick(&l->control, now);
}

int life_run(struct life *l, struct vcpus *vcpus)
{
	struct epoll_event ev[EVENTS_MAX];

	l->vcpus = vcpus;
	timeline_mark(&l->tl, TL_KERNEL);
	if (l->cfg->boot_timeout_ms)
		life_set_deadline(l, DEADLINE_BOOT, l->cfg->boot_timeout_ms);
	vcpus_run(vcpus);
	while (!l->ended) {
		int n = epoll_wait(l->epoll_fd, ev, EVENTS_MAX, wait_ms(l));

		BUG_ON(n < 0 && errno != EINTR);
		for (int i = 0; i < n && !l->ended; i++)
			handle(l, &ev[i]);
		check_deadlines(l);
	}
	return (int)l->status;
}
