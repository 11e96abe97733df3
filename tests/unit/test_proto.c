/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/proto.h"
#include "tests/tap.h"

static struct proto_rx rx;

static void feed_hdr(uint32_t len, uint16_t type, uint16_t reserved)
{
	struct proto_hdr h = {.len = len, .type = type, .reserved = reserved};

	memset(&rx, 0, sizeof(rx));
	proto_feed(&rx, &h, sizeof(h));
}

static void test_send(void)
{
	struct proto_exited out = {.status = 137, .signo = 9, .now_ns = 0x1122334455667788ull}, in;
	struct proto_frame f;
	uint8_t wire[64];
	ssize_t n;
	int s[2], p[2];

	if (!ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0, "socketpair"))
		return;
	eq_int(proto_send(s[0], PROTO_EXITED, &out, sizeof(out)), 0, "send");
	eq_int(proto_send(s[0], PROTO_START, NULL, 0), 0, "send a frame without payload");
	n = read(s[1], wire, sizeof(wire));
	eq_int(n, 8 + 16 + 8, "both arrive");
	ok(wire[0] == 16 && wire[4] == PROTO_EXITED && wire[8] == 137 && wire[16] == 0x88,
		"little endian on the wire");
	for (ssize_t i = 0; i < n; i++) {
		eq_int(proto_feed(&rx, wire + i, 1), 1, "one byte is taken");
		if (i == 23)
			break;
		ok(proto_next(&rx, &f) == 0, "nothing yet");
	}
	eq_int(proto_next(&rx, &f), 1, "a frame");
	memcpy(&in, f.payload, sizeof(in));
	ok(f.type == PROTO_EXITED && f.len == sizeof(in) && !memcmp(&in, &out, sizeof(in)),
		"as it was sent");
	eq_int(proto_feed(&rx, wire + 24, 8), 8, "the next one");
	ok(proto_next(&rx, &f) == 1 && f.type == PROTO_START && f.len == 0, "START");
	eq_int(proto_next(&rx, &f), 0, "and no more");
	close(s[1]);
	eq_int(proto_send(s[0], PROTO_START, NULL, 0), -EPIPE, "peer gone: an error, no signal");
	close(s[0]);
	ok(pipe2(p, O_CLOEXEC) == 0, "pipe");
	eq_int(proto_send(p[1], PROTO_EXITED, &out, sizeof(out)), 0, "a pipe does as well");
	eq_int(read(p[0], wire, sizeof(wire)), 24, "whole");
	close(p[0]);
	close(p[1]);
}

static void test_refused(void)
{
	struct proto_frame f;

	feed_hdr(0, 0, 0);
	eq_int(proto_next(&rx, &f), -EPROTO, "type 0");
	feed_hdr(0, PROTO_TYPES, 0);
	eq_int(proto_next(&rx, &f), -EPROTO, "a type after the last");
	feed_hdr(0, PROTO_START, 1);
	eq_int(proto_next(&rx, &f), -EPROTO, "reserved bits");
	feed_hdr(1, PROTO_START, 0);
	eq_int(proto_next(&rx, &f), -EPROTO, "a payload where none belongs");
	feed_hdr(sizeof(struct proto_signal) - 1, PROTO_SIGNAL, 0);
	eq_int(proto_next(&rx, &f), -EPROTO, "a payload too short");
	feed_hdr(0xffffffff, PROTO_HELLO, 0);
	eq_int(proto_next(&rx, &f), -EPROTO, "a payload of 4 GiB, refused before it comes");
}

static void test_room(void)
{
	static uint8_t zero[sizeof(rx.buf) + 100];
	struct proto_hdr start = {.type = PROTO_START};
	struct proto_frame f;
	uint32_t n, frames = 0;

	memset(&rx, 0, sizeof(rx));
	for (n = 0; n + sizeof(start) <= sizeof(zero); n += sizeof(start))
		memcpy(zero + n, &start, sizeof(start));
	eq_int(proto_room(&rx), sizeof(rx.buf), "room when empty");
	eq_int(proto_feed(&rx, zero, sizeof(zero)), sizeof(rx.buf), "no more is taken than fits");
	eq_int(proto_room(&rx), 0, "full");
	eq_int(proto_feed(&rx, zero, 1), 0, "then nothing is taken");
	eq_int(proto_next(&rx, &f), 1, "one frame out");
	eq_int(proto_room(&rx), sizeof(start), "gives its room back");
	eq_int(proto_feed(&rx, zero, sizeof(zero)), sizeof(start), "which is filled again");
	while (proto_next(&rx, &f) == 1)
		frames++;
	eq_int(frames, sizeof(rx.buf) / sizeof(start), "every frame comes out");
	eq_int(proto_room(&rx), sizeof(rx.buf), "and it is empty");
}

int main(void)
{
	test_send();
	test_refused();
	test_room();
	return tap_done();
}
