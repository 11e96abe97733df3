/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host-guest protocol (docs/protocol.md): frames on one vsock stream, the control channel,
 * which coracle-init opens to (VMADDR_CID_HOST, PROTO_PORT_CONTROL) as the first thing it does.
 * Standard streams are vsock streams of their own on the ports below. Both ends are written against
 * this header alone and take every byte of the other as hostile. Integers are little endian.
 *
 *	guest                                 host
 *	HELLO{version, times}        ->
 *	READY{times} | FAILED{...}   ->        (container prepared, waiting for start)
 *	                             <-        START
 *	STARTED{times} | FAILED{...} ->        (execve succeeded or failed)
 *	                             <-        SIGNAL{id, signo}
 *	SIGNALED{id, errnum}         ->
 *	EXITED{status, times}        ->        (every stdio byte sent, file data synced)
 */
#ifndef LIB_PROTO_H
#define LIB_PROTO_H

#include <assert.h>
#include <stdint.h>

#define PROTO_VERSION      1
#define PROTO_GUEST_CID    3
#define PROTO_PORT_CONTROL 1024
#define PROTO_PORT_STDIN   1025
#define PROTO_PORT_STDOUT  1026
#define PROTO_PORT_STDERR  1027
#define PROTO_PORT_EXEC    2048 /* first of the ports given to exec'd processes (issue 3) */

#define PROTO_PAYLOAD_MAX (64u << 10)
#define PROTO_TEXT_MAX    512u /* bytes of an error text with its NUL */

enum proto_type {
	PROTO_HELLO = 1,
	PROTO_READY,
	PROTO_FAILED,
	PROTO_START,
	PROTO_STARTED,
	PROTO_SIGNAL,
	PROTO_SIGNALED,
	PROTO_EXITED,
	PROTO_TYPES
};

struct proto_hdr {
	uint32_t len;      /* of the payload that follows */
	uint16_t type;     /* enum proto_type */
	uint16_t reserved; /* 0 */
};
static_assert(sizeof(struct proto_hdr) == 8, "wire");

/* Guest times: CLOCK_BOOTTIME in nanoseconds (0 at the kernel's start of timekeeping). */
struct proto_hello {
	uint32_t version;
	uint32_t reserved;
	uint64_t init_ns; /* at init's first instruction */
	uint64_t now_ns;  /* when this was sent */
};
static_assert(sizeof(struct proto_hello) == 24, "wire");

struct proto_ready {        /* also STARTED */
	uint64_t rootfs_ns; /* when the root file system was mounted */
	uint64_t now_ns;
};
static_assert(sizeof(struct proto_ready) == 16, "wire");

struct proto_failed {
	int32_t errnum;            /* positive errno of Linux */
	uint32_t exit_status;      /* 127 not found, 126 not executable, 1 anything else */
	char text[PROTO_TEXT_MAX]; /* NUL-terminated, printable */
};
static_assert(sizeof(struct proto_failed) == 520, "wire");

struct proto_signal {
	uint32_t id;    /* echoed in SIGNALED */
	uint32_t signo; /* 1..64 */
};
static_assert(sizeof(struct proto_signal) == 8, "wire");

struct proto_signaled {
	uint32_t id;
	int32_t errnum; /* 0, ESRCH: the process has ended */
};
static_assert(sizeof(struct proto_signaled) == 8, "wire");

struct proto_exited {
	int32_t status; /* 0..255, or 128+N for signal N */
	uint32_t signo; /* N when a signal ended it, else 0 */
	uint64_t now_ns;
};
static_assert(sizeof(struct proto_exited) == 16, "wire");

/*
 * Reassembles frames from a byte stream of a hostile peer. Fixed memory.
 * proto_feed() copies what fits and returns how many bytes it took; proto_next() gives the next
 * whole frame (payload valid until the next call) : 1 a frame, 0 not yet, -EPROTO the stream is
 * broken for good (unknown type, non-zero reserved, payload size wrong for its type). Never called
 * again after -EPROTO.
 */
struct proto_rx {
	uint8_t buf[sizeof(struct proto_hdr) + PROTO_PAYLOAD_MAX];
	uint32_t have;
	uint32_t drop; /* bytes of the frame given out last */
};

struct proto_frame {
	enum proto_type type;
	uint32_t len;
	const void *payload;
};

uint32_t proto_room(const struct proto_rx *rx); /* bytes proto_feed() would take */
uint32_t proto_feed(struct proto_rx *rx, const void *data, uint32_t len);
int proto_next(struct proto_rx *rx, struct proto_frame *ret_f);

/* Writes one frame to a blocking stream socket or fd. 0 or -errno. */
int proto_send(int fd, enum proto_type type, const void *payload, uint32_t len);

#endif
