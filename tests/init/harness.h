/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plays the host for init's agent: a share in a tmpfs with a busybox root, socket pairs for the
 * control channel and the streams, a cgroup of its own. Everything is in namespaces of the test's
 * and goes with it.
 */
#ifndef TESTS_INIT_HARNESS_H
#define TESTS_INIT_HARNESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/gspec.h"
#include "lib/proto.h"
#include "tests/init/guest_exec.h"

#define OUT_MAX (1u << 20)

/* Where the share is; its rootfs/ is the container's root. */
extern char share_path[64];

/* When set, agents first make the guest's base file system their root, as in a VM. */
extern bool agent_in_base;

/* What this machine's root may: in a sandbox not everything. */
uint64_t harness_caps(void);

/* Whether the containers' group has a controller. */
bool harness_controller(const char *name);
/* What a file of the container's group says now; static. */
const char *harness_cgroup_text(const char *file);

/* Moves a process (as this machine numbers it) out of the container's group. */
bool harness_leave_group(pid_t pid);

/* NULL, or why this machine cannot run these tests. */
const char *harness_open(void);
void harness_close(void);

/* A new, clean rootfs, and a spec for it: /proc, /dev..., all namespaces, root with all
 * capabilities, running `sh -c script`. The result is static: change it freely until the next call.
 */
struct gspec *fresh(const char *script);

/* Adds a mount to fresh()'s. */
struct gmount *add_mount(struct gspec *s, struct gmount m);

/* Writes a file below the share, made as needed ("m1", "rootfs/etc/passwd"). */
void put(const char *path, const char *text, unsigned mode);

/* A running agent and what came from it. */
struct guest {
	pid_t pid;
	int control, stream[3];
	struct proto_rx rx;
	char out[OUT_MAX], errout[OUT_MAX];
	size_t out_len, err_len;
	bool out_eof, err_eof, control_eof;
	bool ready, started, exited, failed, signaled;
	struct proto_exited exit;
	struct proto_failed fail;
	struct proto_signaled signal;
	struct proto_ready times;
	int listener; /* for the streams of execs */
	struct texec *execs[PROTO_EXECS_MAX + 8];
	unsigned n_execs;
	struct answer answer;
	uint32_t ooms; /* by EVENT */
	bool oomed;
};

void guest_boot(struct guest *g, const struct gspec *s);
/* Takes what comes until *flag is set or nothing can come any more or 20 s are over. Returns *flag.
 */
bool guest_until(struct guest *g, const bool *flag);
/* The same until standard output holds text. */
bool guest_until_out(struct guest *g, const char *text);
/* One step of taking. False: nothing can come any more. */
bool guest_step(struct guest *g);
/* The same for what is there now, if anything. True. */
bool guest_poll(struct guest *g);
void guest_start(struct guest *g);
/* To the first process, or to another one. */
void guest_signal(struct guest *g, uint32_t id, uint32_t signo);
void guest_signal_to(struct guest *g, uint32_t id, uint32_t signo, uint32_t process);
/* Closes everything; the agent must end by itself. Returns its wait status, 0 when all is well. */
int guest_end(struct guest *g);

/* The whole life: boot, start, wait. The result is static. */
struct guest *run(const struct gspec *s, const char *input);

/* Runs the script in fresh()'s container and gives what it wrote on standard output ("" after a
 * failure). */
const char *output(const struct gspec *s);

#endif
