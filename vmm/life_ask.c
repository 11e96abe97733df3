/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/life_priv.h"

#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

#include "lib/base.h"

bool life_answer(struct ctl_reply *reply, int errnum, const char *fmt, ...)
{
	va_list ap;

	reply->errnum = errnum;
	va_start(ap, fmt);
	vsnprintf(reply->text, sizeof(reply->text), fmt, ap);
	va_end(ap);
	return true;
}

/* Does the signal end a process that has set no handler? That is what a created container is. */
static bool ends_a_process(uint32_t signo)
{
	switch (signo) {
	case SIGCHLD:
	case SIGCONT:
	case SIGURG:
	case SIGWINCH:
	case SIGSTOP:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU: return false;
	default: return true;
	}
}

/* Before the user's program runs there is nothing in the guest that could handle a signal: the host
 * decides, and need not trust a guest that may be deaf. */
static bool signal_before_start(struct life *l, uint32_t signo)
{
	struct err err = ERR_INIT;

	if (!ends_a_process(signo))
		return true;
	err_plain(&err, EINTR, "signal %u ended the container before it was started", signo);
	if (l->ready_reported)
		life_end(l, 128 + signo);
	else
		life_fail(l, 128 + signo, &err, false);
	return true;
}

uint64_t life_signal_bit(uint32_t signo)
{
	return 1ull << (signo - 1);
}

bool life_push_signals(struct life *l, uint64_t *due, uint32_t process)
{
	while (*due) {
		struct proto_signal m = {
			.signo = htole32((uint32_t)__builtin_ctzll(*due) + 1),
			.process = htole32(process),
		};

		if (life_send(l, PROTO_SIGNAL, &m, sizeof(m)) == -EAGAIN)
			return false;
		*due &= *due - 1;
	}
	return true;
}

bool life_signals_all(const struct life *l)
{
	for (unsigned i = 0; i < LIFE_SIGNALS_MAX; i++)
		if (l->signal[i].id && l->signal[i].all)
			return true;
	return false;
}

void life_push_pending(struct life *l)
{
	uint64_t kill = l->kill_due ? life_signal_bit(SIGKILL) : 0;

	life_freezer_push(l);
	l->kill_due = !life_push_signals(l, &kill, l->kill_process);
	if (!l->kill_due && life_push_signals(l, &l->signals_due, PROTO_PROCESS_FIRST))
		life_push_all(l);
}

/* Has the file server written since the last call, or is it about to? */
static bool writes(struct life *l)
{
	uint32_t begun = atomic_load(&l->fs->writes_begun), done = atomic_load(&l->fs->writes_done);
	bool more = begun + done != l->writes_seen;

	l->writes_seen = begun + done;
	return more || begun != done;
}

/* A killed container has not ended by itself. Not waited for: the host's disk, of which sync() in the guest
 * waits; what it has still to write is with the host's kernel by then. */
void life_kill_expired(struct life *l)
{
	uint64_t ms = (timeline_now() - l->killed_ns) / 1000000;

	if (l->state != LIFE_DRAINING && ms < l->kill_max_ms && writes(l))
		life_set_deadline(l, DEADLINE_KILL, MIN(l->kill_ms, l->kill_max_ms - (uint32_t)ms));
	else
		life_end(l, l->state == LIFE_DRAINING ? l->status : 128 + SIGKILL);
}

static bool kill_now(struct life *l, uint32_t process)
{
	life_go_on(l);
	if (!l->killed)
		l->killed_ns = timeline_now();
	l->killed = true;
	(void)writes(l);
	life_set_deadline(l, DEADLINE_KILL, l->kill_ms);
	/* A guest that takes no message is ended by the deadline. */
	l->kill_due = true;
	l->kill_process = process;
	life_push_pending(l);
	return true;
}

static struct life_signal *free_signal(struct life *l)
{
	for (unsigned i = 0; i < LIFE_SIGNALS_MAX; i++)
		if (!l->signal[i].id)
			return &l->signal[i];
	return NULL;
}

/* s: where its SIGNALED is waited for; NULL: it is not. */
static int send_signal(struct life *l, uint32_t signo, uint32_t process, struct life_signal *s,
	control_token token)
{
	struct proto_signal m = {.signo = htole32(signo), .process = htole32(process)};
	int r;

	if (!++l->next_id)
		l->next_id = 1;
	m.id = htole32(l->next_id);
	r = life_send(l, PROTO_SIGNAL, &m, sizeof(m));
	if (r == 0 && s)
		*s = (struct life_signal){
			.id = l->next_id,
			.token = token,
			.signo = (uint8_t)signo,
			.all = process == PROTO_PROCESS_ALL,
			.until_ns = timeline_now() + l->answer_ms * 1000000ull,
		};
	return r;
}

/* One at a time: the guest freezes the container for each and thaws it after it, so that one would undo the
 * other's freeze; and it takes so many questions and no more. */
void life_push_all(struct life *l)
{
	struct life_signal *s;

	if (!l->all_due || l->paused || l->pause_token || l->freezer.id || l->freezer.is ||
		life_signals_all(l))
		return;
	s = free_signal(l);
	if (s && send_signal(l, (uint32_t)__builtin_ctzll(l->all_due) + 1, PROTO_PROCESS_ALL, s,
			 0) != -EAGAIN)
		l->all_due &= l->all_due - 1;
}

static bool forward(struct life *l, uint32_t signo, uint32_t process, control_token token,
	struct ctl_reply *reply)
{
	/* A paused guest has it in its queue: nobody waits for its word. */
	bool wait = token && !l->paused;
	struct life_signal *s = wait ? free_signal(l) : NULL;
	int r;

	if (wait && !s)
		return life_answer(reply, EAGAIN, "too many signals wait for the guest");
	/* But what it would thaw the container for, when a question lets it run. */
	if (l->paused && process == PROTO_PROCESS_ALL) {
		l->all_due |= life_signal_bit(signo);
		return true;
	}
	r = send_signal(l, signo, process, s, token);
	if (l->pause_token && process == PROTO_PROCESS_ALL)
		l->freezer.doubtful = true;
	if (r == -EAGAIN && !s && process == PROTO_PROCESS_FIRST) {
		l->signals_due |= life_signal_bit(signo);
		return true;
	}
	if (r < 0)
		return life_answer(reply, -r, "the guest does not take signals");
	return !s;
}

/* True: answered in *reply. False: SIGNALED will answer the token. */
static bool deliver(struct life *l, uint32_t signo, uint32_t process, control_token token,
	struct ctl_reply *reply)
{
	switch (l->state) {
	case LIFE_BOOTING:
	case LIFE_PREPARING:
	case LIFE_CREATED: return signo ? signal_before_start(l, signo) : true;
	case LIFE_STARTING:
	case LIFE_RUNNING:
		if (!signo)
			return true;
		if (signo == SIGKILL)
			return kill_now(l, process);
		return forward(l, signo, process, token, reply);
	case LIFE_DRAINING:
		if (signo == SIGKILL) { /* a reader that does not read must not keep the VM */
			life_end(l, l->status);
			return true;
		}
		return life_answer(reply, ESRCH, "the container has ended");
	}
	BUG_ON(true);
}

static int send_clock(struct life *l)
{
	struct proto_clock m;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	m.realtime_ns = htole64((uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec);
	return life_send(l, PROTO_CLOCK, &m, sizeof(m));
}

static bool start(struct life *l, control_token token, struct ctl_reply *reply)
{
	if (l->state == LIFE_BOOTING || l->state == LIFE_PREPARING)
		return life_answer(reply, EAGAIN, "the container is not created yet");
	if (l->paused || l->pause_token)
		return life_answer(reply, EBUSY, "cannot start a paused container");
	if (l->state == LIFE_DRAINING)
		return life_answer(reply, ESRCH, "cannot start a container that has stopped");
	if (l->state != LIFE_CREATED)
		return life_answer(reply, EALREADY, "cannot start an already running container");
	timeline_mark(&l->tl, TL_EXEC_ASKED);
	if (send_clock(l) < 0 || life_send(l, PROTO_START, NULL, 0) < 0)
		return life_answer(reply, EPIPE, "the guest does not answer");
	if (l->cfg->hooks_timeout_ms != VM_HOOKS_FOREVER)
		life_set_deadline(l, DEADLINE_START, l->start_ms + l->cfg->hooks_timeout_ms);
	l->state = LIFE_STARTING;
	l->start_token = token;
	return false;
}

/* From here on the container outlives the command that made it. Not at READY: a command that died before it
 * had written the pid file would leave a VMM that its caller knows nothing of. */
static bool keep(struct life *l, struct ctl_reply *reply)
{
	if (l->state < LIFE_CREATED)
		return life_answer(reply, EAGAIN, "the container is not created yet");
	if (prctl(PR_SET_PDEATHSIG, 0) < 0)
		return life_answer(
			reply, errno, "cannot outlive the command that made the container");
	return true;
}

bool life_request(
	void *opaque, control_token token, const struct ctl_request *req, struct ctl_reply *reply)
{
	struct life *l = opaque;

	switch ((enum ctl_type)req->type) {
	case CTL_START: return start(l, token, reply);
	case CTL_SIGNAL:
		if (req->arg > SIGNAL_MAX)
			return life_answer(reply, EINVAL, "no signal has number %u", req->arg);
		return deliver(l, req->arg,
			req->flags & CTL_SIGNAL_ALL ? PROTO_PROCESS_ALL : PROTO_PROCESS_FIRST,
			token, reply);
	case CTL_KEEP: return keep(l, reply);
	case CTL_STATE:
	case CTL_TIMELINE: return true;
	case CTL_RESIZE: return life_tty_request(l, req->arg, reply);
	case CTL_PAUSE: return life_pause(l, token, reply);
	case CTL_RESUME: return life_resume(l, reply);
	case CTL_EVENTS:
		if (l->state == LIFE_DRAINING)
			return life_answer(reply, ESRCH, "the container has ended");
		control_subscribe(&l->control, token);
		return true;
	case CTL_EXEC: /* these two go to life.c's take_connection() */
	case CTL_ASK:
	case CTL_TYPES: break;
	}
	BUG_ON(true); /* control.c has checked the type */
}

void life_host_signal(struct life *l, uint32_t signo)
{
	struct ctl_reply nobody = {0};

	if (signo == SIGWINCH && l->tty_fd >= 0)
		life_tty_changed(l); /* which signals the process, if the size is another */
	else
		(void)deliver(l, signo, PROTO_PROCESS_FIRST, 0, &nobody);
}

/* The guest had no room for one that was answered long ago: it is due again, a little later. */
static void due_again(struct life *l, const struct life_signal *s)
{
	l->all_due |= life_signal_bit(s->signo);
	life_set_deadline(l, DEADLINE_RETRY, LIFE_RETRY_MS);
}

void life_signaled(struct life *l, uint32_t id, int32_t errnum)
{
	struct ctl_reply reply = {0};

	for (unsigned i = 0; id && i < LIFE_SIGNALS_MAX; i++) {
		struct life_signal *s = &l->signal[i];

		if (s->id != id)
			continue;
		if (errnum)
			life_answer(&reply, errnum > 0 && errnum < 4096 ? errnum : EIO,
				errnum == ESRCH ? "the container's process has ended"
						: "the guest could not deliver the signal");
		control_answer(&l->control, s->token, &reply);
		s->id = 0;
		if (errnum == EAGAIN && s->all && !s->token)
			due_again(l, s);
		else
			life_push_all(l);
		return;
	}
}

void life_answer_signals(struct life *l, int errnum, const char *text)
{
	for (unsigned i = 0; i < LIFE_SIGNALS_MAX; i++) {
		struct ctl_reply reply = {0};
		struct life_signal *s = &l->signal[i];

		if (!s->id || !s->token)
			continue;
		if (errnum)
			life_answer(&reply, errnum, "%s", text);
		control_answer(&l->control, s->token, &reply);
		s->token = 0;
	}
}

void life_expire_signals(struct life *l, uint64_t now_ns)
{
	for (unsigned i = 0; i < LIFE_SIGNALS_MAX; i++) {
		struct ctl_reply reply = {0};
		struct life_signal *s = &l->signal[i];

		if (!s->id || s->until_ns > now_ns)
			continue;
		life_answer(&reply, ETIMEDOUT, "the guest did not answer within %u s",
			l->answer_ms / 1000);
		control_answer(&l->control, s->token, &reply);
		s->id = 0;
	}
	life_push_all(l);
}

void life_postpone_signals(struct life *l, uint64_t ns)
{
	for (unsigned i = 0; i < LIFE_SIGNALS_MAX; i++)
		l->signal[i].until_ns += ns;
}

uint64_t life_next_signal_ns(const struct life *l)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < LIFE_SIGNALS_MAX; i++)
		if (l->signal[i].id)
			next = MIN(next, l->signal[i].until_ns);
	return next;
}
