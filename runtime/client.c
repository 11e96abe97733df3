/* SPDX-License-Identifier: Apache-2.0 */
/* The commands' end of the control protocol (lib/control.h). */
#include "runtime/container.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/timeline.h"

#define CONNECT_WAIT_S 2

int container_connect(const struct container *c)
{
	autofd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	const struct timeval wait = {.tv_sec = CONNECT_WAIT_S};

	if (fd < 0)
		return -errno;
	/* A VMM that is stopped takes no connection once its backlog is full: connect() then waits so long. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	/* By descriptor: an id of 255 bytes does not fit sun_path, and nothing is looked up twice.
	 */
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/" CONTAINER_SOCKET, c->dir_fd);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return take_fd(&fd);
}

static int wait_readable(int fd, uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		int timeout = -1, n;

		if (deadline_ns) {
			uint64_t now = timeline_now();

			if (now >= deadline_ns)
				return -ETIMEDOUT;
			timeout = (int)((deadline_ns - now + 999999) / 1000000);
		}
		n = poll(&pfd, 1, timeout);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

int container_send_fds(const struct container *c, const struct ctl_request *req, const int *fds,
	unsigned n, struct err *err)
{
	autofd int fd = container_connect(c);
	int r;

	if (fd < 0)
		return err_set(err, -fd, "cannot reach the VMM of container %s", c->id);
	r = send_fds(fd, req, sizeof(*req), fds, n);
	if (r < 0)
		return err_set(err, -r, "cannot reach the VMM of container %s", c->id);
	return take_fd(&fd);
}

static int receive(const struct container *c, int fd, void *buf, size_t len, struct err *err)
{
	ssize_t n = recv_fds(fd, buf, len, NULL, 0, NULL);

	if (n < 0)
		return err_set(err, (int)-n, "the VMM of container %s", c->id);
	if (n == 0)
		return err_plain(err, ECONNRESET, "container %s has ended", c->id);
	if ((size_t)n != len)
		return err_plain(
			err, EPROTO, "the VMM of container %s answers in another version", c->id);
	return 0;
}

/* Sends req and receives exactly len bytes of answer. */
static int transact(const struct container *c, const struct ctl_request *req, int timeout_ms,
	void *buf, size_t len, struct err *err)
{
	uint64_t deadline = timeout_ms < 0 ? 0 : timeline_now() + (uint64_t)timeout_ms * 1000000;
	autofd int fd = container_send_fds(c, req, NULL, 0, err);
	int r;

	if (fd < 0)
		return fd;
	r = wait_readable(fd, deadline);
	if (r < 0)
		return err_set(err, -r, "the VMM of container %s does not answer", c->id);
	return receive(c, fd, buf, len, err);
}

static int check_reply(struct ctl_reply *reply, struct err *err)
{
	reply->text[sizeof(reply->text) - 1] = '\0';
	if (reply->version != CTL_VERSION)
		return err_plain(
			err, EPROTO, "the VMM speaks another version of the control protocol");
	if (!reply->errnum)
		return 0;
	err->exit_status = (int)(reply->exit_status & 0xff);
	if (reply->text[0])
		return err_plain(err, reply->errnum > 0 ? reply->errnum : EIO, "%s", reply->text);
	return err_set(err, reply->errnum > 0 ? reply->errnum : EIO, "the VMM refused");
}

int container_ask(const struct container *c, const struct ctl_request *req, int timeout_ms,
	struct ctl_reply *ret_reply, struct err *err)
{
	struct ctl_reply reply;
	int r = transact(c, req, timeout_ms, &reply, sizeof(reply), err);

	if (r < 0)
		return r;
	if (ret_reply)
		*ret_reply = reply;
	return check_reply(&reply, err);
}

int container_request(const struct container *c, enum ctl_type type, uint32_t arg, int timeout_ms,
	struct ctl_reply *ret_reply, struct err *err)
{
	struct ctl_request req = {.version = CTL_VERSION, .type = type, .arg = arg};

	return container_ask(c, &req, timeout_ms, ret_reply, err);
}

int container_timeline(
	const struct container *c, int timeout_ms, struct timeline *ret, struct err *err)
{
	struct ctl_request req = {.version = CTL_VERSION, .type = CTL_TIMELINE};
	struct ctl_timeline_reply reply;
	int r = transact(c, &req, timeout_ms, &reply, sizeof(reply), err);

	if (r < 0)
		return r;
	*ret = reply.timeline;
	return check_reply(&reply.reply, err);
}

int container_send(const struct container *c, enum ctl_type type, uint32_t arg, struct err *err)
{
	struct ctl_request req = {.version = CTL_VERSION, .type = type, .arg = arg};

	return container_send_fds(c, &req, NULL, 0, err);
}

int container_receive_reply(
	const struct container *c, int sock, struct ctl_reply *ret_reply, struct err *err)
{
	int r = receive(c, sock, ret_reply, sizeof(*ret_reply), err);

	return r < 0 ? r : check_reply(ret_reply, err);
}

int container_receive(const struct container *c, int sock, struct err *err)
{
	struct ctl_reply reply;

	return container_receive_reply(c, sock, &reply, err);
}
