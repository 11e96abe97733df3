/* SPDX-License-Identifier: Apache-2.0 */
/* CTL_PAUSE and CTL_RESUME: the vCPUs are held. Devices go on with what they have in hand; the guest's clock
 * goes on too, so its timers are late afterwards, as those of a stopped process are. */
#include "vmm/life_priv.h"

#include <errno.h>

bool life_pause(struct life *l, struct ctl_reply *reply)
{
	if (l->state < LIFE_CREATED)
		return life_answer(reply, EAGAIN, "the container is not created yet");
	if (l->state == LIFE_DRAINING || l->killed)
		return life_answer(reply, ESRCH, "the container has ended");
	if (l->paused)
		return life_answer(reply, EALREADY, "the container is paused already");
	vcpus_hold(l->vcpus);
	l->paused = true;
	l->paused_ns = timeline_now();
	return true;
}

void life_go_on(struct life *l)
{
	uint64_t ns = timeline_now() - l->paused_ns;

	if (!l->paused)
		return;
	l->paused = false;
	if (l->deadline_ns[DEADLINE_START])
		l->deadline_ns[DEADLINE_START] += ns;
	life_postpone_signals(l, ns);
	life_exec_postpone(l, ns);
	life_query_postpone(l, ns);
	vcpus_run(l->vcpus);
}

bool life_resume(struct life *l, struct ctl_reply *reply)
{
	if (!l->paused)
		return life_answer(reply, EINVAL, "the container is not paused");
	life_go_on(l);
	return true;
}
