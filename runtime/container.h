/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers as the commands find them: one directory each, <root>/<id>/ (mode 0700), with
 * state.json (oci/state.h), control.sock (lib/control.h) and share/ (mount point of the share tree,
 * only ever mounted on in the VMM's own mount namespace); exec.PID for each exec proxy
 * (runtime/exec_mark.h); resources.json and perhaps resources.unsure (oci/update.h). Status is asked of the
 * kernel and of the VMM, never stored.
 *
 * A command holds an exclusive lock (flock on the directory) while it changes the container. The
 * kernel drops the lock of a command that dies.
 */
#ifndef RUNTIME_CONTAINER_H
#define RUNTIME_CONTAINER_H

#include <stdbool.h>

#include "lib/control.h"
#include "lib/err.h"
#include "oci/state.h"

#define CONTAINER_SOCKET "control.sock"
#define CONTAINER_SHARE  "share"
#define CONTAINER_LOG    "vmm.log"

enum container_status {
	CONTAINER_CREATING,
	CONTAINER_CREATED,
	CONTAINER_RUNNING,
	CONTAINER_PAUSED,
	CONTAINER_STOPPED,
};

struct container {
	int root_fd;           /* <root> */
	int dir_fd;            /* <root>/<id> */
	bool locked;           /* by us */
	unsigned lock_wait_ms; /* for another's lock; 0: 30 s */
	const char *root, *id; /* borrowed */
	struct cstate state;
	bool has_state; /* false: create has not come as far as the VMM's pid, or died */
};

#define CONTAINER_INIT                      \
	{                                   \
		.root_fd = -1, .dir_fd = -1 \
	}

/* /run/coracle for root; for others, and for root of another user namespace, $XDG_RUNTIME_DIR/coracle, which the login
 * made for them alone. NULL: it is not set, or not such a directory. */
const char *container_default_root(void);
/* What of it, for a person. */
void container_no_root(char *buf, size_t cap);
/* For who uses a root in another way than by the functions below, which call it: 0, or err says that there is none. */
int container_check_root(const char *root, struct err *err);

/* Makes the root and the container's directory, locked. -EEXIST when the id is taken. */
int container_new(struct container *c, const char *root, const char *id, struct err *err);
/* Opens an existing container, locked, and reads its state. -ENOENT: "container does not exist"; -EBUSY: another
 * command did not let go of its lock.
 * lock false: does not lock (list, state). */
int container_open(
	struct container *c, const char *root, const char *id, bool lock, struct err *err);
void container_release(struct container *c);

enum container_status container_status(const struct container *c);
const char *container_status_name(enum container_status s);

/* Writes c->state. */
int container_save(struct container *c, struct err *err);
/* Waits until a VMM that has ended is gone with all its threads and workers (bounded): while one ends, the process is
 * a zombie already (cstate_pid_alive()), and still in its cgroup. */
int container_wait_gone(const struct container *c, struct err *err);
/* Kills the VMM if it lives and waits likewise. */
int container_kill(struct container *c, struct err *err);
/* For a container whose state cannot be read: asks whoever listens on its control socket to end, and waits
 * until nobody does (bounded). */
void container_end_unknown(const struct container *c);
/* Removes the directory and all in it, which needs no further descriptor. Closes dir_fd, and with it the lock.
 * -EINVAL: it has no state and something that no container has; then all in it is as it was. */
int container_remove(struct container *c, struct err *err);

/* One request to the VMM. timeout_ms < 0: none. The VMM's own refusal becomes err with its text.
 * -ECONNREFUSED or -ENOENT: nobody listens; -ETIMEDOUT. ret_reply may be NULL. */
int container_request(const struct container *c, enum ctl_type type, uint32_t arg, int timeout_ms,
	struct ctl_reply *ret_reply, struct err *err);
/* The same for a request with flags. */
int container_ask(const struct container *c, const struct ctl_request *req, int timeout_ms,
	struct ctl_reply *ret_reply, struct err *err);
int container_timeline(
	const struct container *c, int timeout_ms, struct timeline *ret, struct err *err);

/* The same in two halves, for a caller that waits for more than the answer. send: the socket, to be
 * closed by the caller, or -errno. receive: what container_request() returns. */
int container_send(const struct container *c, enum ctl_type type, uint32_t arg, struct err *err);
int container_receive(const struct container *c, int sock, struct err *err);
/* The same for requests with flags or descriptors (lib/control.h says which), and for what the reply
 * says beside errnum. */
int container_send_fds(const struct container *c, const struct ctl_request *req, const int *fds,
	unsigned n, struct err *err);
int container_receive_reply(
	const struct container *c, int sock, struct ctl_reply *ret_reply, struct err *err);

/* A connected control socket, or -errno. */
int container_connect(const struct container *c);

#endif
