/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket's server (lib/control.h): a bounded number of clients, each with one request
 * at a time, none of whom can make the main loop wait. A request is either answered at once or
 * later, by token.
 */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/control.h"
#include "lib/proto.h"

#define CONTROL_CLIENTS_MAX (16 + PROTO_EXECS_MAX) /* all proxies may come at the same time */
#define CONTROL_BACKLOG     256                    /* as many proxies may come at once */
#define CONTROL_PAUSE_MS    1000 /* nobody is accepted for so long when there is no descriptor left */

typedef uint64_t control_token; /* names one request of one client; 0: none */

struct control_client {
	int fd;              /* -1: free */
	uint32_t generation; /* of the slot: an old token never reaches a new client */
	uint64_t since;      /* order of arrival */
	bool waiting;        /* a request is not answered yet */
	bool subscribed;     /* control_publish() reaches it */
};

struct control {
	int listen_fd, epoll_fd; /* borrowed */
	uint64_t first_data;     /* epoll data of the listener; slot n has first_data + 1 + n */
	uint64_t arrivals;
	uint64_t resume_ns; /* when the listener is watched again; 0: it is */
	struct control_client client[CONTROL_CLIENTS_MAX];
	/* What came with the request being served: the callback takes (-1) what it keeps. */
	int fd[CTL_FDS_MAX + 1]; /* one more: too many are told from enough */
	unsigned n_fds;
	/* A checked request. Fills *reply (zeroed, version and phase are set after) and returns
	 * true, or returns false: control_answer() will be called with the token. */
	bool (*request)(void *opaque, control_token token, const struct ctl_request *req,
		struct ctl_reply *reply);
	/* CTL_EXEC and CTL_ASK, as request(); but false: it has taken *conn_fd (now -1, watched with its own
	 * epoll data) and answers there itself. */
	bool (*take)(
		void *opaque, int *conn_fd, const struct ctl_request *req, struct ctl_reply *reply);
	/* For CTL_TIMELINE and every reply: */
	enum vm_phase (*phase)(void *opaque);
	const struct timeline *timeline;
	void *opaque;
};

/* The callbacks are set by the caller. Listens on listen_fd and watches it; uses epoll data first_data to
 * first_data + CONTROL_CLIENTS_MAX. 0 or -errno. */
int control_init(
	struct control *c, int listen_fd, int epoll_fd, uint64_t first_data, struct err *err);
void control_event(struct control *c, uint64_t data);
/* The time of the next control_tick(); UINT64_MAX: none is needed. */
uint64_t control_next_ns(const struct control *c);
void control_tick(struct control *c, uint64_t now_ns);
/* Answers a request that was left waiting; does nothing when its client is gone. */
void control_answer(struct control *c, control_token token, struct ctl_reply *reply);
/* Takes back (-1) a connection that take() took, for further requests. */
void control_give_back(struct control *c, int *conn_fd);
/* From request(): the client gets what is published, after this request's reply. */
void control_subscribe(struct control *c, control_token token);
void control_publish(struct control *c, const struct ctl_reply *reply);
/* Answers everyone who waits: the VM ends. */
void control_end(struct control *c, const struct ctl_reply *reply);

#endif
