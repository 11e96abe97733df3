/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the guest and its events: answers long, short, wrong, late and never. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "tests/unit/life_world.h"

struct question {
	struct proto_ask head;
	uint8_t payload[PROTO_ASK_MAX];
	uint32_t len; /* of the payload */
};

static uint8_t buf[PROTO_ANSWER_MAX + 1];

static void begin(struct world *w)
{
	world_run_up(w);
	fcntl(w->guest, F_SETFL, 0);
}

/* The next question; id 0: none came. */
static struct question heard(struct world *w)
{
	struct pollfd p = {.fd = w->guest, .events = POLLIN};
	struct question q = {.len = 0};
	struct proto_hdr h;

	if (poll(&p, 1, WORLD_WAIT_MS) != 1 ||
		recv(w->guest, &h, sizeof(h), MSG_WAITALL) != sizeof(h) || h.type != PROTO_ASK)
		return q;
	BUG_ON(h.len < sizeof(q.head) || h.len > sizeof(q.head) + sizeof(q.payload));
	q.len = h.len - (uint32_t)sizeof(q.head);
	BUG_ON(recv(w->guest, &q, h.len, MSG_WAITALL) != (ssize_t)h.len);
	return q;
}

static void answer(
	struct world *w, uint32_t id, int32_t errnum, bool more, const void *data, uint32_t len)
{
	static uint8_t m[sizeof(struct proto_answer) + PROTO_ANSWER_MAX];
	struct proto_answer head = {.id = id, .errnum = errnum, .more = more};

	memcpy(m, &head, sizeof(head));
	memcpy(m + sizeof(head), data, len);
	guest_say(w, PROTO_ANSWER, m, (uint32_t)sizeof(head) + len);
}

static int asker(struct world *w, uint32_t what)
{
	int s = world_client(w);

	ctl_send(s, CTL_ASK, what);
	return s;
}

static void test_answers(void)
{
	struct question q, r;
	struct ctl_reply reply;
	struct world w;
	int a, b;

	begin(&w);
	a = asker(&w, PROTO_ASK_PROCESSES);
	q = heard(&w);
	ok(q.head.id && q.head.what == PROTO_ASK_PROCESSES && !q.len,
		"a question reaches the guest");
	b = asker(&w, PROTO_ASK_STATS);
	r = heard(&w);
	ok(r.head.id && r.head.id != q.head.id, "another one too");
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_RUNNING, "others are served meanwhile");
	answer(&w, q.head.id, 0, true, "one", 3);
	answer(&w, r.head.id, 0, false, "stats", 5);
	reply = ctl_answer(b);
	ok(reply.errnum == 0 && reply.version == CTL_VERSION, "answers come in any order");
	eq_int(recv(b, buf, sizeof(buf), 0), 5, "the payload");
	ok(!memcmp(buf, "stats", 5), "as it is");
	eq_int(recv(b, buf, sizeof(buf), 0), 0, "then the end");
	answer(&w, q.head.id, 0, true, "", 0);
	answer(&w, q.head.id, 0, false, "three", 5);
	eq_int(ctl_answer(a).errnum, 0, "an answer in parts");
	ok(recv(a, buf, sizeof(buf), 0) == 3 && recv(a, buf, sizeof(buf), 0) == 5 &&
			recv(a, buf, sizeof(buf), 0) == 0,
		"is passed on part by part");
	ctl_send(a, CTL_STATE, 0);
	eq_int(ctl_answer(a).phase, VM_RUNNING, "the connection can be used again");
	ctl_send(a, CTL_ASK, PROTO_ASK_STATS);
	q = heard(&w);
	answer(&w, q.head.id, EBUSY, false, "no\33 figures", 11);
	reply = ctl_answer(a);
	eq_int(reply.errnum, EBUSY, "no answer: the errno");
	eq_str(reply.text, "no? figures", "and why, made printable");
	ctl_send(a, CTL_ASK, PROTO_ASK_STATS);
	q = heard(&w);
	answer(&w, q.head.id, -3, false, "", 0);
	reply = ctl_answer(a);
	ok(reply.errnum == EIO && reply.text[0], "an errno that is none, and no text");
	close(a);
	close(b);
	guest_exited(&w, 0);
	world_end(&w);
}

static void test_update(void)
{
	struct ctl_request req = {.version = CTL_VERSION, .type = CTL_ASK, .arg = PROTO_ASK_UPDATE};
	static uint8_t big[PROTO_ASK_MAX + 1];
	int whole = memfd_with("update", big, PROTO_ASK_MAX, 1), s;
	int more = memfd_with("update", big, PROTO_ASK_MAX + 1, 1);
	int loose = memfd_with("update", big, 10, 0), none = memfd_with("update", big, 0, 1);
	struct question q;
	struct world w;

	begin(&w);
	s = world_client(&w);
	BUG_ON(send_fds(s, &req, sizeof(req), &whole, 1) < 0);
	q = heard(&w);
	ok(q.head.what == PROTO_ASK_UPDATE && q.len == PROTO_ASK_MAX,
		"an update with all it may hold");
	answer(&w, q.head.id, 0, false, "", 0);
	ok(ctl_answer(s).errnum == 0 && recv(s, buf, sizeof(buf), 0) == 0, "is done");
	BUG_ON(send_fds(s, &req, sizeof(req), &more, 1) < 0);
	eq_int(ctl_answer(s).errnum, EINVAL, "not with a byte more");
	BUG_ON(send_fds(s, &req, sizeof(req), &loose, 1) < 0);
	eq_int(ctl_answer(s).errnum, EINVAL, "nor from what can change");
	BUG_ON(send_fds(s, &req, sizeof(req), &none, 1) < 0);
	eq_int(ctl_answer(s).errnum, EINVAL, "nor with nothing");
	BUG_ON(send(s, &req, sizeof(req), 0) < 0);
	eq_int(ctl_answer(s).errnum, EINVAL, "nor without");
	req.arg = PROTO_ASK_STATS;
	BUG_ON(send_fds(s, &req, sizeof(req), &whole, 1) < 0);
	eq_int(ctl_answer(s).errnum, EINVAL, "and others take none");
	req.arg = PROTO_QUESTIONS;
	BUG_ON(send(s, &req, sizeof(req), 0) < 0);
	eq_int(ctl_answer(s).errnum, EINVAL, "an unknown question");
	close(s);
	close(whole);
	close(more);
	close(loose);
	close(none);
	guest_exited(&w, 0);
	world_end(&w);
}

/* More than a socket holds, to one that reads late, and too much. */
static void test_long(void)
{
	static uint8_t part[PROTO_ANSWER_MAX];
	unsigned parts = LIFE_ASK_BYTES / (PROTO_ANSWER_MAX + 4), got = 0;
	struct question q;
	struct world w;
	bool same = true;
	int s;

	begin(&w);
	s = asker(&w, PROTO_ASK_PROCESSES);
	q = heard(&w);
	for (unsigned i = 0; i < parts; i++) {
		memset(part, (int)i, sizeof(part));
		answer(&w, q.head.id, 0, i < parts - 1, part, sizeof(part));
	}
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_RUNNING, "an asker that does not read");
	eq_int(ctl_answer(s).errnum, 0, "when it does");
	for (; recv(s, buf, sizeof(buf), 0) == PROTO_ANSWER_MAX; got++)
		same &= buf[0] == got && buf[PROTO_ANSWER_MAX - 1] == got;
	ok(got == parts && same, "all %u KiB are there", parts * PROTO_ANSWER_MAX / 1024);
	ctl_send(s, CTL_STATE, 0);
	eq_int(ctl_answer(s).phase, VM_RUNNING, "and no more");
	ctl_send(s, CTL_ASK, PROTO_ASK_PROCESSES);
	q = heard(&w);
	for (unsigned i = 0; i < parts + 2; i++)
		answer(&w, q.head.id, 0, true, part, sizeof(part));
	eq_int(ctl_answer(s).errnum, EMSGSIZE, "an answer that does not end");
	answer(&w, q.head.id, 0, false, part, 1);
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_RUNNING, "is not listened to any more");
	close(s);
	guest_exited(&w, 0);
	world_end(&w);
}

static void test_silence(void)
{
	int s[LIFE_ASKS_MAX];
	struct question q;
	struct world w;
	unsigned good = 0;

	begin(&w);
	for (unsigned i = 0; i < LIFE_ASKS_MAX; i++)
		s[i] = asker(&w, PROTO_ASK_STATS);
	for (unsigned i = 0; i < LIFE_ASKS_MAX; i++)
		q = heard(&w);
	eq_int(world_ask(&w, CTL_ASK, PROTO_ASK_STATS).errnum, EAGAIN, "one asker too many");
	close(s[0]);
	while (world_ask(&w, CTL_ASK, 99).errnum == EAGAIN) /* until the hang-up is seen */
		;
	s[0] = asker(&w, PROTO_ASK_STATS);
	ok(heard(&w).head.id > q.head.id, "one that goes makes room");
	answer(&w, q.head.id + 1000, 0, false, "x", 1);
	answer(&w, q.head.id, 0, false, "x", 1);
	eq_int(ctl_answer(s[LIFE_ASKS_MAX - 1]).errnum, 0, "answers to nobody are harmless");
	guest_exited(&w, 0);
	world_end(&w);
	for (unsigned i = 0; i < LIFE_ASKS_MAX - 1; i++)
		good += ctl_answer(s[i]).errnum == ESRCH;
	eq_int(good, LIFE_ASKS_MAX - 1, "the container ends: all are told");
	for (unsigned i = 0; i < LIFE_ASKS_MAX; i++)
		close(s[i]);

	begin(&w);
	w.life.asks.ask_ms = 50;
	s[0] = asker(&w, PROTO_ASK_STATS);
	q = heard(&w);
	eq_int(ctl_answer(s[0]).errnum, ETIMEDOUT, "a guest that never answers");
	answer(&w, q.head.id, 0, false, "late", 4);
	world_ask(&w, CTL_PAUSE, 0);
	ctl_send(s[0], CTL_ASK, PROTO_ASK_STATS);
	eq_int(ctl_answer(s[0]).errnum, EBUSY, "a paused one is not asked");
	world_ask(&w, CTL_RESUME, 0);
	close(s[0]);
	guest_exited(&w, 0);
	world_end(&w);
}

static void test_events(void)
{
	struct proto_event oom = {.kind = PROTO_EVENT_OOM, .count = 3};
	struct vmm_report rep;
	struct ctl_reply r;
	struct world w;
	int s, deaf;

	begin(&w);
	guest_say(&w, PROTO_EVENT, &oom, sizeof(oom)); /* nobody listens */
	s = world_client(&w);
	deaf = world_client(&w);
	ctl_send(s, CTL_EVENTS, 0);
	r = ctl_answer(s);
	ok(r.errnum == 0 && r.exit_status == 0, "a subscription");
	ctl_send(deaf, CTL_EVENTS, 0);
	eq_int(ctl_answer(deaf).errnum, 0, "and another");
	guest_say(&w, PROTO_EVENT, &oom, sizeof(oom));
	r = ctl_answer(s);
	ok(r.errnum == 0 && r.exit_status == 3 && r.version == CTL_VERSION, "an event");
	for (int i = 0; i < 2000; i++) {
		oom.count = 1;
		guest_say(&w, PROTO_EVENT, &oom, sizeof(oom));
		BUG_ON(ctl_answer(s).exit_status != 1);
	}
	ok(true, "one that does not read its own holds up nobody");
	while (recv(deaf, buf, sizeof(buf), 0) > 0)
		;
	eq_int(recv(deaf, buf, sizeof(buf), MSG_DONTWAIT), 0, "but loses its connection");
	oom.kind = 9;
	guest_say(&w, PROTO_EVENT, &oom, sizeof(oom));
	rep = world_report(&w);
	has_str(said(rep.text), "broke the control protocol: an event of no kind");
	world_end(&w);
	close(s);
	close(deaf);

	begin(&w);
	guest_say(&w, PROTO_ANSWER, &(struct proto_answer){.id = 1, .more = 2},
		sizeof(struct proto_answer));
	rep = world_report(&w);
	has_str(said(rep.text), "broke the control protocol: a malformed answer");
	world_end(&w);
}

int main(void)
{
	struct err err = ERR_INIT;

	eq_int(life_block_signals(&err), 0, "signals are blocked");
	test_answers();
	test_update();
	test_long();
	test_silence();
	test_events();
	return tap_done();
}
