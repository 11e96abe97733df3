/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of exec'd processes, and of questions, for the tests of init's agent. */
#ifndef TESTS_INIT_GUEST_EXEC_H
#define TESTS_INIT_GUEST_EXEC_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/gspec.h"
#include "lib/proto.h"

struct guest;

#define EXEC_OUT_MAX 4096u

/* A process that the test executes. */
struct texec {
	struct gproc proc; /* args: the ones below */
	const char *args[4];
	uint32_t id, flags; /* flags: what EXEC carries */
	const char *input;  /* written and ended at once; NULL: stdin stays open */
	bool hold_spec;     /* the specification is not sent */
	bool hold_out;      /* stdout is not read */
	int stream[PROTO_EXEC_PORTS];
	char out[EXEC_OUT_MAX], errout[EXEC_OUT_MAX]; /* the beginning of it */
	size_t out_bytes, err_bytes;                  /* all of it */
	bool wrote;                                   /* something to stdout */
	bool started, failed, exited, closed;
	size_t out_at_exit; /* of out_bytes when EXEC_EXITED was read */
	struct proto_exec_failed fail;
	struct proto_exec_exited exit;
};

/* A process like fresh()'s, for e->proc: `sh -c script`. */
void texec_init(struct texec *e, const char *script);

/* Sends EXEC; e belongs to g until guest_end(). */
void texec_start(struct guest *g, struct texec *e);

/* The whole life of one: until closed. */
void texec_run(struct guest *g, struct texec *e);

/* ASK; the answer is in g->answer. False: none came. */
#define ANSWERS_MAX (1u << 20)

struct answer {
	uint32_t id;
	int32_t errnum;
	bool done;
	bool several; /* questions have this id: further answers may come */
	uint32_t messages;
	size_t len;
	uint8_t data[ANSWERS_MAX + 1]; /* all payloads, and a NUL */
};

void ask_send(struct guest *g, uint32_t what, const void *payload, uint32_t len);
bool ask(struct guest *g, uint32_t what, const void *payload, uint32_t len);

/* Where agents find the host: listening socket of the test, and connect() of init_env. */
int texec_listen(void);
int texec_connect(uint32_t port, struct err *err);

/* For the harness's loop: room for what execs wait for, how many entries that is, and taking one of
 * them. */
#define TEXEC_POLL_MAX (1 + 2 * (PROTO_EXECS_MAX + 8))
unsigned texec_want(struct guest *g, struct pollfd *pf);
bool texec_take(struct guest *g, const struct pollfd *pf, unsigned n);
/* True when the frame was about an exec. */
bool texec_frame(struct guest *g, const struct proto_frame *f);
void texec_forget(struct guest *g);

#endif
