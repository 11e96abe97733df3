/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between fork and execve(2): what the container's first process and the exec'd ones have in
 * common. A child talks to init on a seqpacket socket that closes on exec; so its end is "execve
 * succeeded".
 */
#ifndef INIT_CHILD_H
#define INIT_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/gspec.h"
#include "lib/proto.h"

enum child_kind {
	CHILD_TERMINAL = 1, /* carries the terminal's master */
	CHILD_READY,        /* execve(2) is all that is left */
	CHILD_FAILED,
};

struct child_msg {
	uint32_t kind; /* enum child_kind */
	int32_t errnum;
	uint32_t exit_status;
	uint32_t reserved;
	uint64_t rootfs_ns;
	char text[PROTO_TEXT_MAX];
};

/* By stream: what in gproc.flags says that there is none. */
extern const uint32_t child_null_flags[3];

/* Whether there is such a stream to the host. With a terminal there is one each way. */
bool child_has_stream(uint32_t flags, int stream);

/* The pipes of the streams that flags ask for: ours non-blocking, theirs blocking, -1 for none; a
 * terminal needs none. After a failure some may be made. 0 or -errno. */
int child_pipes(uint32_t flags, int ours[3], int theirs[3]);

/* Gives the pipes to p's user, who may then open them again as /dev/stdout: from outside the
 * container's user namespace, to which they do not belong. */
int child_own_stdio(
	const int stdio[3], const struct gspec *spec, const struct gproc *p, struct err *err);

/*
 * The standard streams in the container: stdio, which holds the pipes' ends, is completed with the
 * terminal's slave, the container's /dev/null or, if it has none worth the name, `null`. Gives the
 * terminal's master or -1; console: shows the terminal at /dev/console too.
 */
int child_stdio(int root, int null, const struct gproc *p, bool console, int stdio[3],
	int *ret_master, struct err *err);

/* Closes all descriptors but these (-1 is ignored); from then on the child does not log. 0 or -1 with errno. */
int child_keep_only(const int *keep, size_t n);

/* Sends READY, or FAILED with e. 0 or -errno. */
int child_report(int sock, enum child_kind kind, uint64_t rootfs_ns, const struct err *e);

/* Sends the terminal's master, if there is one (not -1). */
int child_hand_over(int sock, int master, struct err *err);

/* Copies text to a FAILED message: cut, NUL-terminated, control characters as '?'. */
void text_copy(char out[PROTO_TEXT_MAX], const char *text);

#endif
