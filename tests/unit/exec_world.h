/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exec'd processes in life_world.h's world: the test is the guest, the proxies and, in the device's
 * thread, the vsock device, each as slow, gone or hostile as a case wants it.
 */
#ifndef TESTS_UNIT_EXEC_WORLD_H
#define TESTS_UNIT_EXEC_WORLD_H

#include "lib/gspec.h"
#include "tests/unit/life_world.h"

#define EXEC_PORTS (PROTO_EXECS_MAX * PROTO_EXEC_PORTS)
#define EXEC_HELD  (PROTO_EXECS_MAX + 1)

/* The vsock device: what is bound, and commands it has not answered yet. */
struct exec_device {
	pthread_mutex_t lock;
	int fd[EXEC_PORTS]; /* -1: not bound */
	uint32_t flags[EXEC_PORTS];
	uint32_t hold; /* type of command that is kept: 1 << enum vsock_cmd_type */
	uint32_t fail; /* port whose BIND fails with ENOSPC */
	struct vsock_cmd held[EXEC_HELD];
	unsigned n_held, binds, drains, unbinds;
	pthread_cond_t news;
};
extern struct exec_device dev;

void exec_start(void);            /* first thing of main() */
void exec_begin(struct world *w); /* up to a container that runs; ports are known, slot by slot */
int exec_end(struct world *w);
unsigned open_fds(void);

bool exec_command(struct world *w, const struct vsock_cmd *cmd, const int *fds, unsigned n);
void dev_hold(uint32_t type);
/* Waits until the device has seen n commands that it keeps, and lets them and all others go. */
void dev_release(struct world *w, unsigned n);
void dev_wait_unbinds(unsigned n);

int spec_memfd(void); /* a sealed one that says "spec" */
/* The proxy. Asks for a process on `conn`; `streams` descriptors of the null device follow the
 * specification. */
void ask_exec(int conn, uint32_t flags, uint32_t ctl_flags, unsigned streams);
int proxy(struct world *w); /* its connection: an ordinary process was asked for */
bool at_end(int conn);      /* nothing more comes but the end of the connection */

/* The guest. The next frame, whose payload goes to buf; its type, 0: none came. The socket does not
 * block. */
int heard(struct world *w, void *buf, uint32_t max);
struct proto_exec heard_exec(struct world *w); /* id 0: something else */
uint32_t heard_kill(struct world *w);          /* whose; 0: something else */
bool heard_nothing(struct world *w);
void say_started(struct world *w, uint32_t id);
void say_exited(struct world *w, uint32_t id, int32_t status);
void say_closed(struct world *w, uint32_t id);
void say_failed(struct world *w, uint32_t id, int32_t errnum, uint32_t status, const char *text);

/* Up to a running process; its id. */
uint32_t run_one(struct world *w, int *ret_conn);
/* The rest of its life; true: its port is taken again by the next, so nothing is left of it. */
bool is_free_again(struct world *w, uint32_t port);

#endif
