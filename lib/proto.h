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
 *
 * Beside it, from READY on, up to PROTO_EXECS_MAX further processes:
 *
 *	                             <-        EXEC{id, port, flags}
 *	EXEC_STARTED{id}             ->        or EXEC_FAILED{id, ...}, then no EXITED
 *	EXEC_EXITED{id, status}      ->        (what the process had written by then is sent)
 *	EXEC_CLOSED{id}              ->        (always last: its streams have ended, nothing is left)
 *
 * and questions, answered in any order:
 *
 *	                             <-        ASK{id, what} payload
 *	ANSWER{id, errnum} payload   ->        the last one has `more` 0
 *	EVENT{kind}                  ->        whenever it happens
 */
#ifndef LIB_PROTO_H
#define LIB_PROTO_H

#include <assert.h>
#include <stdint.h>

#define PROTO_VERSION      4
#define PROTO_GUEST_CID    3
#define PROTO_PORT_CONTROL 1024
#define PROTO_PORT_STDIN   1025
#define PROTO_PORT_STDOUT  1026
#define PROTO_PORT_STDERR  1027
#define PROTO_PORT_EXEC    2048 /* the ports of exec'd processes are anywhere from here on */

#define PROTO_EXECS_MAX 250u /* at a time */

/* A name that is never at the share's top level. Who looks it up says that the container has ended: what the
 * guest syncs from then on is to be with the host's kernel, but not on its disk. */
#define PROTO_SHARE_ENDED ".ended"

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
	PROTO_EXEC,
	PROTO_EXEC_STARTED,
	PROTO_EXEC_FAILED,
	PROTO_EXEC_EXITED,
	PROTO_EXEC_CLOSED,
	PROTO_RESIZE,
	PROTO_ASK,
	PROTO_ANSWER,
	PROTO_EVENT,
	PROTO_CLOCK,
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

/* The guest's kernel starts with KVM's wall clock, but loses what passes before its clock source runs. */
struct proto_clock {
	uint64_t realtime_ns; /* the host's CLOCK_REALTIME when this was sent */
};
static_assert(sizeof(struct proto_clock) == 8, "wire");

/* Whom SIGNAL and RESIZE mean: the id of an EXEC, or one of these. */
#define PROTO_PROCESS_FIRST 0u         /* the container's first process */
#define PROTO_PROCESS_ALL   UINT32_MAX /* SIGNAL: every process of the container */

struct proto_signal {
	uint32_t id;    /* echoed in SIGNALED */
	uint32_t signo; /* 1..64 */
	uint32_t process;
	uint32_t reserved;
};
static_assert(sizeof(struct proto_signal) == 16, "wire");

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

/* Streams of an exec'd process, as distances from EXEC's port. Each is opened by the guest. */
enum proto_exec_port {
	PROTO_EXEC_SPEC, /* host to guest: an encoded struct gproc (lib/gspec.h), then the end */
	PROTO_EXEC_STDIN,
	PROTO_EXEC_STDOUT, /* with a terminal: what it shows */
	PROTO_EXEC_STDERR, /* not with a terminal */
	PROTO_EXEC_PORTS
};

struct proto_exec {
	uint32_t id;   /* 1..UINT32_MAX-1, not in use */
	uint32_t port; /* of PROTO_EXEC_SPEC; the others follow it */
	uint32_t
		flags; /* GPROC_TERMINAL, GPROC_STDIN_NULL, ..STDOUT.., ..STDERR..: they count, not gproc's own */
	uint32_t reserved;
};
static_assert(sizeof(struct proto_exec) == 16, "wire");

struct proto_exec_id { /* EXEC_STARTED, EXEC_CLOSED */
	uint32_t id;
	uint32_t reserved;
};
static_assert(sizeof(struct proto_exec_id) == 8, "wire");

struct proto_exec_failed {
	uint32_t id;
	uint32_t reserved;
	struct proto_failed why;
};
static_assert(sizeof(struct proto_exec_failed) == 528, "wire");

struct proto_exec_exited {
	uint32_t id;
	int32_t status; /* as in EXITED */
	uint32_t signo;
	uint32_t reserved;
};
static_assert(sizeof(struct proto_exec_exited) == 16, "wire");

/* The terminal of a process has a new size. Not answered; ignored when there is no such terminal. */
struct proto_resize {
	uint32_t process; /* PROTO_PROCESS_FIRST or an EXEC's id */
	uint16_t rows, cols;
};
static_assert(sizeof(struct proto_resize) == 8, "wire");

enum proto_question {
	PROTO_ASK_PROCESSES =
		1,       /* no payload; answer: struct proto_process, any number per message */
	PROTO_ASK_STATS, /* no payload; answer: one struct proto_stats */
	PROTO_ASK_UPDATE, /* payload: cgroup v2 files as gspec's cgfiles: a u32 count, then (name, value) strings;
			     answer: none, or with errnum the text of what failed */
	PROTO_QUESTIONS
};

#define PROTO_ASK_MAX    (4u << 10)  /* bytes of a question's payload */
#define PROTO_ANSWER_MAX (32u << 10) /* of an answer's message */

struct proto_ask {
	uint32_t id;
	uint32_t what; /* enum proto_question */
		       /* payload */
};
static_assert(sizeof(struct proto_ask) == 8, "wire");

struct proto_answer {
	uint32_t id;
	int32_t errnum; /* 0, or why there is no (more) answer: the payload is then text */
	uint32_t more;  /* 1: another message with this id follows */
	uint32_t reserved;
	/* payload */
};
static_assert(sizeof(struct proto_answer) == 16, "wire");

/* One process of the container, as the container numbers it. */
struct proto_process {
	uint32_t pid, ppid, uid;
	uint32_t tty;        /* device number, 0: none */
	uint64_t start_s;    /* wall clock, seconds since 1970 */
	uint64_t cpu_ms;     /* user and system time */
	uint64_t elapsed_ms; /* since its start */
	char comm[16];       /* NUL-terminated */
	char stat[8];        /* as ps(1) has it: the state's letter, then flags; NUL-terminated */
	char args
		[104]; /* command line, blanks between, cut, NUL-terminated; "": comm in brackets */
};
static_assert(sizeof(struct proto_process) == 168, "wire");

/* What the container's cgroup counts. UINT64_MAX: no limit. */
struct proto_stats {
	uint64_t cpu_usage_us, cpu_user_us, cpu_system_us;
	uint64_t cpu_periods, cpu_throttled, cpu_throttled_us;
	uint64_t memory_usage, memory_peak, memory_limit;
	uint64_t swap_usage, swap_limit;
	uint64_t memory_anon, memory_file, memory_kernel, memory_sock, memory_mapped;
	uint64_t memory_failcnt; /* memory.events: max */
	uint64_t oom, oom_kill;
	uint64_t pgfault, pgmajfault;
	uint64_t pids, pids_limit;
	uint64_t guest_total, guest_free, guest_available; /* /proc/meminfo, bytes */
};
static_assert(sizeof(struct proto_stats) == 26 * 8, "wire");

enum proto_event_kind {
	PROTO_EVENT_OOM = 1 /* the guest's OOM killer took a process of the container */
};

struct proto_event {
	uint32_t kind;  /* enum proto_event_kind */
	uint32_t count; /* how many more of them since the last */
};
static_assert(sizeof(struct proto_event) == 8, "wire");

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
int proto_send(int fd, enum proto_type type, const void *data, uint32_t len);

#endif
