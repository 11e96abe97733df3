/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/life_priv.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/logline.h"
#include "vmm/report.h"

#define STATUS_MAX 255

static void watch_guest(struct life *l, bool room)
{
	struct epoll_event ev = {.events = EPOLLIN | (room ? EPOLLOUT : 0), .data.u64 = EV_GUEST};

	/* It was added by life_init(), with the same arguments. */
	BUG_ON(epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, l->guest_fd, &ev) < 0);
	l->guest_full = room;
}

int life_send(struct life *l, enum proto_type type, const void *payload, uint32_t len)
{
	uint8_t frame[sizeof(struct proto_hdr) + sizeof(struct proto_ask) + PROTO_ASK_MAX];
	struct proto_hdr h = {.len = htole32(len), .type = htole16((uint16_t)type)};
	ssize_t n;

	BUG_ON(len > sizeof(frame) - sizeof(h));
	if (l->guest_fd < 0)
		return -EPIPE;
	memcpy(frame, &h, sizeof(h));
	if (len)
		memcpy(frame + sizeof(h), payload, len);
	/* A Unix stream takes so small a message whole or not at all. */
	n = send(l->guest_fd, frame, sizeof(h) + len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN) {
		watch_guest(l, true);
		return -EAGAIN;
	}
	if (n < 0 && life_passes(errno)) {
		l->guest_full = true; /* not EPOLLOUT: it may be writable all the time */
		life_set_deadline(l, DEADLINE_RETRY, LIFE_RETRY_MS);
		return -EAGAIN;
	}
	return n >= 0 && (size_t)n == sizeof(h) + len ? 0 : -EPIPE;
}

void life_guest_room(struct life *l)
{
	if (l->guest_fd < 0)
		return;
	watch_guest(l, false);
	life_push_pending(l);
	life_tty_push(l);
	life_exec_guest_room(l);
}

static void broken(struct life *l, const char *what)
{
	struct err err = ERR_INIT;

	err_plain(&err, EPROTO, "the guest broke the control protocol: %s", what);
	life_fail(l, 0, &err, true);
}

/* Puts a time of the guest on the host's clock: it was `guest_now` when the message came. */
static void mark_guest(
	struct life *l, enum timeline_point p, uint64_t guest_now, uint64_t guest_then)
{
	uint64_t now = timeline_now(), ago = guest_now - guest_then;

	if (guest_then > guest_now || ago > now - l->tl.ns[TL_KERNEL] || l->tl.ns[p])
		return; /* the guest's clock is nonsense: better no time than a wrong one */
	l->tl.ns[p] = now - ago;
}

static void on_hello(struct life *l, const void *payload)
{
	struct proto_hello m;
	struct err err = ERR_INIT;

	memcpy(&m, payload, sizeof(m));
	if (l->state != LIFE_BOOTING) {
		broken(l, "HELLO out of turn");
		return;
	}
	if (le32toh(m.version) != PROTO_VERSION) {
		err_plain(&err, EPROTONOSUPPORT,
			"coracle-init speaks version %u of the control protocol, expected %u: it "
			"is not "
			"of the same build as coracle-vmm",
			le32toh(m.version), PROTO_VERSION);
		life_fail(l, 0, &err, false);
		return;
	}
	timeline_mark(&l->tl, TL_HELLO);
	mark_guest(l, TL_INIT, le64toh(m.now_ns), le64toh(m.init_ns));
	l->state = LIFE_PREPARING;
}

static void on_ready(struct life *l, const void *payload)
{
	struct proto_ready m;

	memcpy(&m, payload, sizeof(m));
	if (l->state != LIFE_PREPARING) {
		broken(l, "READY out of turn");
		return;
	}
	timeline_mark(&l->tl, TL_READY);
	mark_guest(l, TL_ROOTFS, le64toh(m.now_ns), le64toh(m.rootfs_ns));
	l->deadline_ns[DEADLINE_BOOT] = 0;
	l->state = LIFE_CREATED;
	report_send(l->report_fd, VMM_READY, NULL, 0, NULL, &l->tl);
	l->ready_reported = true;
}

static void on_started(struct life *l, const void *payload)
{
	struct ctl_reply reply = {0};

	if (l->state != LIFE_STARTING) {
		broken(l, "STARTED out of turn");
		return;
	}
	timeline_mark(&l->tl, TL_EXEC);
	l->deadline_ns[DEADLINE_START] = 0;
	l->state = LIFE_RUNNING;
	control_answer(&l->control, l->start_token, &reply);
	l->start_token = 0;
	life_tty_changed(l); /* a change may have come too early */
}

void life_read_failed(const void *payload, struct proto_failed *ret)
{
	memcpy(ret, payload, sizeof(*ret));
	ret->errnum = (int32_t)le32toh((uint32_t)ret->errnum);
	if (ret->errnum <= 0 || ret->errnum > 4095)
		ret->errnum = EIO;
	ret->exit_status = le32toh(ret->exit_status);
	if (!ret->exit_status || ret->exit_status > STATUS_MAX)
		ret->exit_status = 1;
	ret->text[sizeof(ret->text) - 1] = '\0';
	if (!ret->text[0])
		snprintf(ret->text, sizeof(ret->text), "the guest gave no reason");
	logline_printable(ret->text);
}

/* The container cannot be prepared or its program not executed: the guest says why. */
static void on_failed(struct life *l, const void *payload)
{
	struct err err = ERR_INIT;
	struct proto_failed m;

	if (l->state != LIFE_PREPARING && l->state != LIFE_BOOTING && l->state != LIFE_STARTING) {
		broken(l, "FAILED out of turn");
		return;
	}
	life_read_failed(payload, &m);
	err_plain(&err, m.errnum, "%s", m.text);
	err.exit_status = (int)m.exit_status;
	life_fail(l, m.exit_status, &err, false);
}

static void on_signaled(struct life *l, const void *payload)
{
	struct proto_signaled m;

	memcpy(&m, payload, sizeof(m));
	life_signaled(l, le32toh(m.id), (int32_t)le32toh((uint32_t)m.errnum));
}

static void on_exited(struct life *l, const void *payload)
{
	struct proto_exited m;
	uint32_t status;

	memcpy(&m, payload, sizeof(m));
	status = le32toh((uint32_t)m.status);
	/* CREATED, STARTING: something in the guest (its OOM killer) ended the process before its start. */
	if (l->state < LIFE_CREATED || l->state > LIFE_RUNNING || status > STATUS_MAX) {
		broken(l, status > STATUS_MAX ? "EXITED with no status" : "EXITED out of turn");
		return;
	}
	timeline_mark(&l->tl, TL_EXIT);
	life_drain(l, status);
}

static void handle_frame(struct life *l, const struct proto_frame *f)
{
	switch (f->type) {
	case PROTO_HELLO: on_hello(l, f->payload); break;
	case PROTO_READY: on_ready(l, f->payload); break;
	case PROTO_STARTED: on_started(l, f->payload); break;
	case PROTO_FAILED: on_failed(l, f->payload); break;
	case PROTO_SIGNALED: on_signaled(l, f->payload); break;
	case PROTO_EXITED: on_exited(l, f->payload); break;
	case PROTO_EXEC_STARTED:
	case PROTO_EXEC_FAILED:
	case PROTO_EXEC_EXITED:
	case PROTO_EXEC_CLOSED:
		if (!life_exec_frame(l, f))
			broken(l, "a message about an exec'd process out of turn");
		break;
	case PROTO_ANSWER:
		if (!life_query_answer(l, f))
			broken(l, "a malformed answer");
		break;
	case PROTO_EVENT:
		if (!life_query_event(l, f))
			broken(l, "an event of no kind");
		break;
	default: broken(l, "a message that only the host sends"); break;
	}
}

/* When init dies the kernel panics a moment later, and says why: wait for that. */
static void channel_closed(struct life *l)
{
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, l->guest_fd, NULL);
	close_fd(&l->guest_fd);
	l->guest_full = false;
	if (l->state == LIFE_DRAINING)
		return;
	if (l->killed)
		life_end(l, 128 + 9);
	else
		life_set_deadline(l, DEADLINE_LAST_WORDS, LIFE_LAST_WORDS_MS);
}

void life_guest_event(struct life *l)
{
	struct proto_frame f;
	uint8_t buf[4096];
	ssize_t n;
	int r;

	if (l->guest_fd < 0)
		return;
	n = recv(l->guest_fd, buf, MIN(sizeof(buf), (size_t)proto_room(&l->rx)), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		channel_closed(l);
		return;
	}
	proto_feed(&l->rx, buf, (uint32_t)n);
	while (!l->ended && l->state != LIFE_DRAINING && (r = proto_next(&l->rx, &f)) != 0) {
		if (r < 0) {
			broken(l, "malformed frame");
			return;
		}
		handle_frame(l, &f);
	}
	if (l->state == LIFE_DRAINING) /* nothing it says from now on counts */
		l->rx = (struct proto_rx){.have = 0};
}
