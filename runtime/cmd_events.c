/* SPDX-License-Identifier: Apache-2.0 */
/* coracle events: a container's figures, once or every so often, and its OOM kills, as they happen. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "oci/events.h"
#include "oci/json.h"
#include "runtime/ask.h"
#include "runtime/command.h"
#include "runtime/duration.h"
#include "runtime/log.h"

#define NS_PER_MS   1000000u
#define END_WAIT_MS 2000
#define OOMS_MAX    1024u /* lines for one message: the count is the guest's */

static int print_event(struct json_object *o, struct err *err)
{
	int r = o ? json_print(stdout, o, JSON_COMPACT) : -ENOMEM;

	json_object_put(o);
	if (r >= 0 && fflush(stdout)) /* now: a reader follows */
		r = -errno;
	return r < 0 ? err_set(err, -r, "cannot print the event") : 0;
}

static int print_stats(const struct container *c, struct err *err)
{
	struct proto_stats s;
	int r = ask_stats(c, &s, err);

	return r < 0 ? r : print_event(event_stats_json(c->id, &s), err);
}

/* 1: the container has ended. */
static int print_ooms(const struct container *c, int sock, struct err *err)
{
	struct ctl_reply reply;
	struct err why = ERR_INIT;
	int r = container_receive_reply(c, sock, &reply, &why);

	if (r == -ECONNRESET)
		return 1;
	if (r < 0)
		return err_plain(err, -r, "%s", why.msg);
	for (uint32_t i = 0; i < MIN(reply.exit_status, OOMS_MAX) && r >= 0; i++)
		r = print_event(event_oom_json(c->id), err);
	return r;
}

/* A VMM that ends closes its connections at about the same time. */
static bool ends(int sock)
{
	struct pollfd pfd = {.fd = sock, .events = POLLIN};

	return poll(&pfd, 1, END_WAIT_MS) > 0 && pfd.revents & POLLHUP;
}

/* As runc: figures that cannot be had this time are no reason to end. 1: the container has ended. */
static int print_stats_again(const struct container *c, int sock, struct err *err)
{
	int r = print_stats(c, err);

	if (r >= 0 || ferror(stdout))
		return r;
	if (ends(sock))
		return 1;
	log_msg(LOG_LEVEL_WARNING, "%s", err->msg);
	*err = (struct err)ERR_INIT;
	return 0;
}

static int follow(const struct container *c, uint64_t interval_ns, struct err *err)
{
	autofd int sock = container_send(c, CTL_EVENTS, 0, err);
	uint64_t next = timeline_now() + interval_ns;
	int r = sock < 0 ? sock : container_receive(c, sock, err);

	while (r == 0) {
		struct pollfd pfd = {.fd = sock, .events = POLLIN};
		uint64_t now = timeline_now();
		int n = 0;

		if (now < next)
			n = poll(
				&pfd, 1, (int)MIN((next - now) / NS_PER_MS + 1, (uint64_t)INT_MAX));
		if (n < 0 && errno != EINTR)
			return err_set(err, errno, "cannot wait for events");
		if (n > 0) {
			r = print_ooms(c, sock, err);
		} else if (timeline_now() >= next) {
			r = print_stats_again(c, sock, err);
			next = timeline_now() + interval_ns;
		}
	}
	return r < 0 ? r : 0;
}

static int events(const struct container *c, bool once, uint64_t interval_ns, struct err *err)
{
	enum container_status status = container_status(c);

	if (status == CONTAINER_STOPPED || status == CONTAINER_CREATING)
		return err_plain(err, ESRCH, "container with id %s is not running", c->id);
	if (!once)
		return follow(c, interval_ns, err);
	return print_stats(c, err);
}

int cmd_events(const struct global *g, int argc, char **argv, struct err *err)
{
	const char *interval = "5s";
	bool once = false;
	const struct option_def options[] = {
		{"interval", 0, OPTION_STRING, "DURATION", "between figures (default 5s)",
			&interval},
		{"stats", 0, OPTION_FLAG, NULL, "print the figures once and end", &once},
	};
	const struct usage u = {"events [OPTION]... ID",
		"Prints a container's figures and OOM kills as JSON, one object per line.", options,
		ARRAY_SIZE(options), 1, 1};
	struct container c = CONTAINER_INIT;
	int first = command_open(&u, g, argc, argv, false, &c, err);
	uint64_t ns = 0;
	int r;

	if (first <= 0)
		return first;
	if (duration_parse(interval, &ns) < 0)
		r = err_plain(err, EINVAL, "--interval: expected a duration such as 5s, got '%s'",
			interval);
	else if (!ns)
		r = err_plain(err, EINVAL, "duration interval must be greater than 0");
	else
		r = events(&c, once, ns, err);
	container_release(&c);
	return r;
}
