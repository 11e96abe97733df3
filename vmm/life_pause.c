/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CTL_PAUSE and CTL_RESUME. Two things stop: the guest is asked to freeze the container's control group, and
 * then the vCPUs are held, whatever the guest has said. The second is what counts; the first is why a paused
 * container can be asked (ps, update, events): the vCPUs run for the time of an answer, the container does not.
 * A guest that has not frozen it is not let run for any question.
 *
 * Devices go on with what they have in hand; the guest's clock goes on too, so its timers are late afterwards,
 * as those of a stopped process are.
 */
#include "vmm/life_priv.h"

#include <endian.h>
#include <errno.h>

#include "lib/base.h"
#include "lib/buf.h"

/* The freezer: one UPDATE at a time. The guest works on questions side by side, so the next one waits for the
 * answer to the last. */

static bool send_freeze(struct life *l, bool on)
{
	uint8_t msg[sizeof(struct proto_ask) + 64];
	struct wbuf b = wbuf_of(msg, sizeof(msg));
	struct proto_ask ask = {.what = htole32(PROTO_ASK_UPDATE)};

	if (!++l->next_id)
		l->next_id = 1;
	ask.id = htole32(l->next_id);
	wbuf_bytes(&b, &ask, sizeof(ask));
	wbuf_u32(&b, 1);
	wbuf_str(&b, "cgroup.freeze");
	wbuf_str(&b, on ? "1" : "0");
	BUG_ON(!wbuf_ok(&b));
	return life_send(l, PROTO_ASK, msg, (uint32_t)b.len) == 0;
}

void life_freezer_push(struct life *l)
{
	struct freezer *f = &l->freezer;

	if (f->id || f->wanted == f->is || !send_freeze(l, f->wanted))
		return;
	f->id = l->next_id;
	f->asked = f->wanted;
}

/* A signal to all processes freezes and thaws them in the guest: after it nobody knows. */
static bool is_frozen(const struct life *l)
{
	return l->freezer.is && !l->freezer.doubtful;
}

bool life_answers(const struct life *l)
{
	return !l->paused || is_frozen(l);
}

/* Holds the vCPUs, or lets them run: for questions, if there are any, but not before the pause itself has been
 * answered, which questions one after the other would put off. */
void life_questions_changed(struct life *l)
{
	bool hold = l->paused && (l->pause_token || !is_frozen(l) || !life_query_waiting(l));

	if (hold == l->held || l->state == LIFE_DRAINING || l->ended)
		return;
	l->held = hold;
	if (hold)
		vcpus_hold(l->vcpus);
	else
		vcpus_run(l->vcpus);
}

static void answer_pause(struct life *l, int errnum, const char *text)
{
	struct ctl_reply reply = {0};

	if (errnum)
		life_answer(&reply, errnum, "%s", text);
	control_answer(&l->control, l->pause_token, &reply);
	l->pause_token = 0;
	l->deadline_ns[DEADLINE_FREEZE] = 0;
}

void life_parked(struct life *l)
{
	if (!l->pause_token || !l->held || !l->paused || !vcpus_parked(l->vcpus))
		return;
	answer_pause(l, 0, NULL);
	life_questions_changed(l);
}

/* The guest has frozen the container, or will not. */
static void hold(struct life *l)
{
	l->paused = true;
	l->paused_ns = timeline_now();
	l->deadline_ns[DEADLINE_FREEZE] = 0;
	life_answer_signals(l, 0, NULL); /* as those that come from now on: they are in its queue */
	life_questions_changed(l);
	life_parked(l);
}

void life_freeze_expired(struct life *l)
{
	if (l->pause_token && !l->paused)
		hold(l);
}

bool life_freezer_answer(struct life *l, uint32_t id, int32_t errnum)
{
	struct freezer *f = &l->freezer;

	if (!id || id != f->id)
		return false;
	f->id = 0;
	if (!errnum)
		f->is = f->asked;
	else if (errnum == ESRCH || f->asked)
		f->wanted = f->is; /* the container ends, or is held without */
	if (!errnum)
		life_freezer_push(l);
	else if (f->wanted != f->is)
		life_set_deadline(l, DEADLINE_RETRY, LIFE_RETRY_MS); /* it must not stay frozen */
	if (l->pause_token && !l->paused && (f->is || errnum))
		hold(l);
	life_push_all(l);
	return true;
}

/* True: answered. False: once the vCPUs are out of the guest. */
bool life_pause(struct life *l, control_token token, struct ctl_reply *reply)
{
	if (l->state < LIFE_CREATED)
		return life_answer(reply, EAGAIN, "the container is not created yet");
	if (l->state == LIFE_DRAINING || l->killed)
		return life_answer(reply, ESRCH, "the container has ended");
	if (l->paused || l->pause_token)
		return life_answer(reply, EALREADY, "the container is paused already");
	l->pause_token = token;
	l->freezer.wanted = true;
	l->freezer.doubtful = life_signals_all(l);
	life_freezer_push(l);
	/* No question under way: it is frozen still, or the guest does not read its channel. */
	life_set_deadline(l, DEADLINE_FREEZE, l->freezer.id ? l->freeze_ms : 0);
	return false;
}

void life_pause_over(struct life *l)
{
	if (l->pause_token)
		answer_pause(l, ESRCH, "the container has ended");
	l->paused = false;
}

void life_go_on(struct life *l)
{
	uint64_t ns = timeline_now() - l->paused_ns;

	if (!l->paused && !l->pause_token)
		return;
	if (l->pause_token)
		answer_pause(l, EINTR, "the container was resumed before it had paused");
	if (l->paused) {
		if (l->deadline_ns[DEADLINE_START])
			l->deadline_ns[DEADLINE_START] += ns;
		life_postpone_signals(l, ns);
		life_exec_postpone(l, ns);
		if (!is_frozen(l)) /* else it had time for each of them */
			life_query_postpone(l, ns);
	}
	l->paused = false;
	l->freezer.wanted = l->freezer.doubtful = false;
	life_questions_changed(l);
	life_freezer_push(l);
	life_push_all(l);
}

bool life_resume(struct life *l, struct ctl_reply *reply)
{
	if (!l->paused)
		return life_answer(reply, EINVAL, "the container is not paused");
	life_go_on(l);
	return true;
}
