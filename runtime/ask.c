/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/ask.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/fd.h"

#define ANSWER_WAIT_MS 30000 /* the guest may be busy */

static int wait_for(const struct container *c, int sock, struct err *err)
{
	struct pollfd pfd = {.fd = sock, .events = POLLIN};
	int n;

	do {
		n = poll(&pfd, 1, ANSWER_WAIT_MS);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return 0;
	return err_plain(err, ETIMEDOUT, "container %s does not answer within %d s", c->id,
		ANSWER_WAIT_MS / 1000);
}

/* An empty message ends the answer, and reads like the end of a connection whose VMM has died. */
static bool hung_up(int sock)
{
	struct pollfd pfd = {.fd = sock};

	return poll(&pfd, 1, 0) > 0 && pfd.revents & POLLHUP;
}

static int receive_answer(
	const struct container *c, int sock, ask_take_fn *take, void *arg, struct err *err)
{
	static uint8_t buf[PROTO_ANSWER_MAX];

	for (bool any = false;; any = true) {
		int r = wait_for(c, sock, err);
		ssize_t n;

		if (r < 0)
			return r;
		n = recv_fds(sock, buf, sizeof(buf), NULL, 0, NULL);
		if (n < 0)
			return err_set(err, (int)-n, "the VMM of container %s", c->id);
		if (n == 0 && hung_up(sock))
			return err_plain(err, ECONNRESET, "container %s has ended", c->id);
		if (n == 0)
			return any || !take ? 0
					    : err_plain(err, EPROTO, "container %s answers nothing",
						      c->id);
		r = take ? take(arg, buf, (size_t)n, err)
			 : err_plain(err, EPROTO, "container %s answers what was not asked", c->id);
		if (r < 0)
			return r;
	}
}

int ask_guest(const struct container *c, enum proto_question what, int payload_fd,
	ask_take_fn *take, void *arg, struct err *err)
{
	const struct ctl_request req = {
		.version = CTL_VERSION, .type = CTL_ASK, .arg = (uint32_t)what};
	autofd int sock = container_send_fds(c, &req, &payload_fd, payload_fd >= 0, err);
	int r;

	if (sock < 0)
		return sock;
	r = wait_for(c, sock, err);
	if (r >= 0)
		r = container_receive(c, sock, err);
	return r < 0 ? r : receive_answer(c, sock, take, arg, err);
}

static int take_stats(void *arg, const void *data, size_t len, struct err *err)
{
	if (len != sizeof(struct proto_stats))
		return err_plain(err, EPROTO, "the guest's figures are %zu bytes long, not %zu",
			len, sizeof(struct proto_stats));
	memcpy(arg, data, len);
	return 0;
}

int ask_stats(const struct container *c, struct proto_stats *ret, struct err *err)
{
	return ask_guest(c, PROTO_ASK_STATS, -1, take_stats, ret, err);
}
