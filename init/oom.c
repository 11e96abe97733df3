/* SPDX-License-Identifier: Apache-2.0 */
#include "init/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "init/log.h"
#include "init/loop.h"
#include "init/say.h"
#include "init/stats.h"
#include "lib/base.h"

static int events_fd =
	-1; /* memory.events: becomes ready with EPOLLPRI, and reading it ends that */
static uint64_t told;

static void ready(struct watch *w, uint32_t events)
{
	oom_check();
}

static struct watch w = WATCH_OFF(ready);

void oom_open(int group)
{
	int r;

	events_fd = openat(group, "memory.events", O_RDONLY | O_CLOEXEC);
	if (events_fd < 0)
		return;
	oom_check();
	r = watch_set(&w, events_fd, EPOLLPRI);
	if (r < 0)
		log_msg("cannot watch for the OOM killer: %s", strerror(-r));
}

void oom_check(void)
{
	struct proto_event m = {.kind = PROTO_EVENT_OOM};
	char text[512];
	uint64_t n;
	ssize_t len = events_fd < 0 ? 0 : pread(events_fd, text, sizeof(text) - 1, 0);

	if (len <= 0) {
		watch_off(&w); /* it would come again and again */
		return;
	}
	text[len] = '\0';
	if (stats_value(text, "oom_kill", &n) < 0 || n <= told)
		return;
	m.count = (uint32_t)MIN(n - told, (uint64_t)UINT32_MAX);
	told = n;
	say(PROTO_EVENT, &m, sizeof(m));
}
