/* SPDX-License-Identifier: Apache-2.0 */
#include "init/loop.h"

#include <errno.h>
#include <sys/epoll.h>

#include "init/fail.h"
#include "lib/base.h"

#define EVENTS_MAX 64 /* per turn */

static int epoll_fd = -1;

int loop_open(struct err *err)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd < 0 ? fail(err, errno, "epoll") : 0;
}

int watch_set(struct watch *w, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	if (w->fd == fd && w->events == events)
		return 0;
	BUG_ON(w->fd >= 0 && w->fd != fd);
	if (epoll_ctl(epoll_fd, w->fd < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev) < 0)
		return -errno;
	w->fd = fd;
	w->events = events;
	return 0;
}

void watch_off(struct watch *w)
{
	if (w->fd >= 0)
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	w->fd = -1;
	w->events = 0;
}

int loop_turn(int timeout_ms)
{
	struct epoll_event ev[EVENTS_MAX];
	int n = epoll_wait(epoll_fd, ev, EVENTS_MAX, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		struct watch *w = ev[i].data.ptr;

		if (w->fd >= 0) /* else taken off by one before it */
			w->ready(w, ev[i].events);
	}
	return 0;
}
