/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/life_priv.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/logline.h"
#include "vmm/mem.h"

#define ASK_SLOT_BITS 8
static_assert(LIFE_ASKS_MAX <= 1u << ASK_SLOT_BITS, "a slot's number fits");

static uint32_t slot_of(const struct life *l, const struct ask_slot *a)
{
	return (uint32_t)(a - l->asks.slot);
}

static uint8_t *buf_of(const struct life *l, const struct ask_slot *a)
{
	return l->asks.buf + (size_t)slot_of(l, a) * LIFE_ASK_BYTES;
}

int life_query_init(struct life *l, struct err *err)
{
	l->asks.ask_ms = LIFE_ASK_MS;
	for (unsigned i = 0; i < LIFE_ASKS_MAX; i++)
		l->asks.slot[i].conn_fd = -1;
	l->asks.buf = mem_reserve((size_t)LIFE_ASKS_MAX * LIFE_ASK_BYTES);
	return l->asks.buf ? 0 : err_set(err, ENOMEM, "cannot reserve room for answers");
}

/* With the id: an event of a slot's last asker, fetched with others, must not reach the next one. */
static int watch(struct life *l, struct ask_slot *a, uint32_t events)
{
	struct epoll_event ev = {.events = events,
		.data.u64 = EV_ASK | (uint64_t)a->id << ASK_SLOT_BITS | slot_of(l, a)};

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, a->conn_fd, &ev) < 0 ? -errno : 0;
}

static void set_free(struct life *l, struct ask_slot *a)
{
	close_fd(&a->conn_fd);
	if (a->len) /* what a long answer needed is not kept */
		madvise(buf_of(l, a), LIFE_ASK_BYTES, MADV_DONTNEED);
	a->state = ASK_FREE;
	l->asks.n--;
	life_questions_changed(l);
}

/* The client may ask again. */
static void give_back(struct life *l, struct ask_slot *a)
{
	control_give_back(&l->control, &a->conn_fd);
	set_free(l, a);
}

/* Sends one message without waiting. 1 sent, 0 not now, -1 the asker has gone. */
static int send_some(struct ask_slot *a, const void *msg, size_t len)
{
	if (send(a->conn_fd, msg, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 1;
	return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? 0 : -1;
}

static int send_head(struct life *l, struct ask_slot *a)
{
	struct ctl_reply reply = {.version = CTL_VERSION, .phase = life_phase(l)};

	return send_some(a, &reply, sizeof(reply));
}

static int send_message(struct life *l, struct ask_slot *a)
{
	const uint8_t *p = buf_of(l, a) + a->sent;
	uint32_t len = 0;
	int r;

	if (a->sent < a->len)
		memcpy(&len, p, sizeof(len));
	r = send_some(a, p + sizeof(len), len); /* the last one is empty */
	if (r > 0)
		a->sent += (uint32_t)sizeof(len) + len;
	return r;
}

/* As much as the asker takes now. */
static void send_answer(struct life *l, struct ask_slot *a)
{
	int r = 1;

	if (!a->head_sent) {
		r = send_head(l, a);
		a->head_sent = r > 0;
	}
	while (r > 0 && a->sent <= a->len)
		r = send_message(l, a);
	if (r > 0)
		give_back(l, a);
	else if (r < 0 || watch(l, a, EPOLLOUT) < 0)
		set_free(l, a);
}

/* The one reply of a question that has no answer. */
static void send_error(struct life *l, struct ask_slot *a, struct ctl_reply *reply)
{
	reply->version = CTL_VERSION;
	reply->phase = life_phase(l);
	if (send_some(a, reply, sizeof(*reply)) > 0)
		give_back(l, a);
	else
		set_free(l, a);
}

/* Requests */

/* The payload of UPDATE. Bytes read, or -EINVAL. */
static int read_payload(int fd, uint8_t *buf)
{
	ssize_t n;

	if (fd < 0 || !life_is_sealed(fd))
		return -EINVAL;
	n = pread(fd, buf, PROTO_ASK_MAX + 1, 0);
	return n > 0 && n <= (ssize_t)PROTO_ASK_MAX ? (int)n : -EINVAL;
}

static bool refused(const struct life *l, struct ctl_reply *reply)
{
	if (l->ended || l->state == LIFE_DRAINING)
		return life_answer(reply, ESRCH, "the container has ended");
	if (l->state < LIFE_CREATED)
		return life_answer(reply, EAGAIN, "the container is not created yet");
	if (!life_answers(l))
		return life_answer(reply, EBUSY,
			"the container is paused, and the guest has not frozen it: it is not "
			"asked");
	if (l->asks.n == LIFE_ASKS_MAX)
		return life_answer(
			reply, EAGAIN, "%u questions wait for the guest already", LIFE_ASKS_MAX);
	return false;
}

/* Takes the connection. */
static bool wait_for_answer(struct life *l, int *conn_fd, uint32_t id, struct ctl_reply *reply)
{
	struct ask_slot *a = l->asks.slot;

	while (a->state != ASK_FREE) /* asks.n says that there is one */
		a++;
	*a = (struct ask_slot){
		.state = ASK_WAITING,
		.id = id,
		.conn_fd = *conn_fd,
		.until_ns = timeline_now() + l->asks.ask_ms * 1000000ull,
	};
	if (watch(l, a, 0) < 0) { /* hang-up only */
		a->state = ASK_FREE;
		a->conn_fd = -1;
		return life_answer(reply, errno, "cannot watch the connection");
	}
	*conn_fd = -1;
	l->asks.n++;
	life_questions_changed(l);
	return false;
}

bool life_query_request(struct life *l, int *conn_fd, const struct ctl_request *req, int fd,
	struct ctl_reply *reply)
{
	uint8_t msg[sizeof(struct proto_ask) + PROTO_ASK_MAX + 1];
	struct proto_ask ask = {.what = htole32(req->arg)};
	int r = 0;

	if (refused(l, reply))
		return true;
	if (!req->arg || req->arg >= PROTO_QUESTIONS)
		return life_answer(reply, EINVAL, "no question has number %u", req->arg);
	if (req->arg == PROTO_ASK_UPDATE)
		r = read_payload(fd, msg + sizeof(ask));
	if (r < 0 || (req->arg != PROTO_ASK_UPDATE && fd >= 0))
		return life_answer(reply, EINVAL,
			"expected a sealed memfd of at most %u bytes with UPDATE, and with it only",
			PROTO_ASK_MAX);
	if (!++l->next_id)
		l->next_id = 1;
	ask.id = htole32(l->next_id);
	memcpy(msg, &ask, sizeof(ask));
	r = life_send(l, PROTO_ASK, msg, (uint32_t)sizeof(ask) + (uint32_t)r);
	if (r < 0)
		return life_answer(reply, -r, "the guest does not take questions");
	return wait_for_answer(l, conn_fd, l->next_id, reply);
}

bool life_query_waiting(const struct life *l)
{
	for (unsigned i = 0; i < LIFE_ASKS_MAX; i++)
		if (l->asks.slot[i].state == ASK_WAITING)
			return true;
	return false;
}

/* The guest's word */

static struct ask_slot *find(struct life *l, uint32_t id)
{
	for (unsigned i = 0; i < LIFE_ASKS_MAX; i++)
		if (l->asks.slot[i].state == ASK_WAITING && l->asks.slot[i].id == id)
			return &l->asks.slot[i];
	return NULL;
}

/* False: there is no room. */
static bool keep(struct life *l, struct ask_slot *a, const uint8_t *payload, uint32_t len)
{
	uint8_t *p = buf_of(l, a) + a->len;

	if (!len)
		return true; /* that would be the end for the asker */
	if (len > LIFE_ASK_BYTES - a->len || sizeof(len) > LIFE_ASK_BYTES - a->len - len)
		return false;
	memcpy(p, &len, sizeof(len));
	memcpy(p + sizeof(len), payload, len);
	a->len += (uint32_t)sizeof(len) + len;
	return true;
}

static void refuse_answer(
	struct life *l, struct ask_slot *a, int32_t errnum, const void *text, uint32_t len)
{
	struct ctl_reply reply = {.errnum = errnum > 0 && errnum < 4096 ? errnum : EIO};

	len = MIN(len, (uint32_t)sizeof(reply.text) - 1);
	memcpy(reply.text, text, len);
	if (!reply.text[0])
		life_answer(&reply, reply.errnum, "the guest gave no reason");
	logline_printable(reply.text);
	send_error(l, a, &reply);
}

bool life_query_answer(struct life *l, const struct proto_frame *f)
{
	const uint8_t *payload = (const uint8_t *)f->payload + sizeof(struct proto_answer);
	uint32_t len = f->len - (uint32_t)sizeof(struct proto_answer);
	struct proto_answer m;
	struct ask_slot *a;

	memcpy(&m, f->payload, sizeof(m));
	if (le32toh(m.more) > 1)
		return false;
	if (life_freezer_answer(l, le32toh(m.id), (int32_t)le32toh((uint32_t)m.errnum)))
		return true;
	a = find(l, le32toh(m.id));
	if (!a) /* whoever asked has gone, or was told to wait no longer */
		return true;
	if (m.errnum) {
		refuse_answer(l, a, (int32_t)le32toh((uint32_t)m.errnum), payload, len);
	} else if (!keep(l, a, payload, len)) {
		static const char text[] = "the guest's answer is too long";

		refuse_answer(l, a, EMSGSIZE, text, sizeof(text) - 1);
	} else if (!m.more) {
		a->state = ASK_SENDING;
		life_questions_changed(l);
		a->until_ns = timeline_now() + l->asks.ask_ms * 1000000ull;
		send_answer(l, a);
	}
	return true;
}

bool life_query_event(struct life *l, const struct proto_frame *f)
{
	struct ctl_reply reply = {0};
	struct proto_event m;

	memcpy(&m, f->payload, sizeof(m));
	reply.exit_status = le32toh(m.count);
	if (le32toh(m.kind) != PROTO_EVENT_OOM || !reply.exit_status)
		return false;
	control_publish(&l->control, &reply);
	return true;
}

void life_query_conn(struct life *l, uint64_t data, uint32_t events)
{
	struct ask_slot *a = &l->asks.slot[data & ((1u << ASK_SLOT_BITS) - 1)];

	if (a->state == ASK_FREE || a->id != (uint32_t)(data >> ASK_SLOT_BITS))
		return;
	if (events & (EPOLLHUP | EPOLLERR))
		set_free(l, a); /* an answer that comes later is of an unknown id */
	else if (a->state == ASK_SENDING)
		send_answer(l, a);
}

/* Deadlines, and the end */

uint64_t life_query_next_ns(const struct life *l)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < LIFE_ASKS_MAX; i++)
		if (l->asks.slot[i].state != ASK_FREE)
			next = MIN(next, l->asks.slot[i].until_ns);
	return next;
}

void life_query_expire(struct life *l, uint64_t now_ns)
{
	for (unsigned i = 0; i < LIFE_ASKS_MAX; i++) {
		static const char text[] = "the guest does not answer";
		struct ask_slot *a = &l->asks.slot[i];

		if (a->state == ASK_FREE || a->until_ns > now_ns)
			continue;
		if (a->state == ASK_WAITING)
			refuse_answer(l, a, ETIMEDOUT, text, sizeof(text) - 1);
		else
			set_free(l, a);
	}
}

void life_query_postpone(struct life *l, uint64_t ns)
{
	for (unsigned i = 0; i < LIFE_ASKS_MAX; i++)
		l->asks.slot[i].until_ns += ns;
}

void life_query_end(struct life *l, const struct ctl_reply *reply)
{
	for (unsigned i = 0; i < LIFE_ASKS_MAX; i++) {
		struct ctl_reply r = *reply;

		if (l->asks.slot[i].state == ASK_WAITING)
			send_error(l, &l->asks.slot[i], &r);
	}
}
