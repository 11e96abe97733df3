/* SPDX-License-Identifier: Apache-2.0 */
/* The devices there are, and what each takes in vdev_env.fd[] and on its command socket. */
#ifndef VMM_VIRTIO_DEVICES_H
#define VMM_VIRTIO_DEVICES_H

#include "vmm/virtio/device.h"

extern const struct vdev_ops vdev_fs, vdev_vsock, vdev_rng, vdev_balloon, vdev_console;

/* fs: serves the tree below fd[FS_FD_ROOT]; no command socket. The VMM fills virtio_fs_config (tag "share"). */
#define FS_FD_ROOT         0 /* O_PATH directory */
#define FS_TAG             "share"
#define FS_REQUEST_THREADS 2 /* request queues; queue 0 is hiprio */

/* vsock: guest CID is PROTO_GUEST_CID. Command socket: struct vsock_cmd, answered by vsock_cmd_reply. */
enum vsock_cmd_type {
	/* The guest may connect to (host, port) once; the stream is then tied to the descriptors that come
	 * with the message: bytes from the guest go to the one, bytes read from the other go to the guest. */
	VSOCK_CMD_BIND = 1,
	/* Answered once every byte that the guest has sent so far on the ports is written out, or its reader
	 * gone. */
	VSOCK_CMD_DRAIN,
	/* The ports are free again when this is answered: what is bound is dropped, what is open is reset, what
	 * the guest sent and was not written is lost, the descriptors are closed. */
	VSOCK_CMD_UNBIND,
};

/* vsock_cmd.flags */
#define VSOCK_BIND_RX 0x1u /* a descriptor to write the guest's bytes to is attached (first) */
#define VSOCK_BIND_TX \
	0x2u /* a descriptor to read bytes for the guest from is attached (after it) */

struct vsock_cmd {
	uint32_t type;
	uint32_t port; /* the first of: */
	uint32_t
		count; /* BIND: 1; DRAIN, UNBIND: 1 to PROTO_EXEC_PORTS, DRAIN: 0 for all there are */
	uint32_t flags; /* BIND; else 0 */
	uint32_t id;    /* echoed */
};

struct vsock_cmd_reply {
	uint32_t id; /* 0: of a command of another size */
	int32_t errnum;
};

/* rng: fd[0] unused, getrandom(2). balloon: free page reporting only; fd[0] memfd for FALLOC_FL_PUNCH_HOLE.
 * console: fd[0] a pipe's write end (non-blocking): the guest kernel's log, rate-limited by the reader. */
#define BALLOON_FD_MEM 0
#define CONSOLE_FD_LOG 0

#endif
