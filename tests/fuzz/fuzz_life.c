/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's life (vmm/life*.c) between a guest, clients of the control socket, a vsock device, signals and the
 * clock, all of which the input plays. It is a list of steps, one byte each with what it needs behind it; each is taken
 * when the main loop has nothing left to do, which it says by waiting: epoll_wait() and clock_gettime() are wrapped.
 * Time passes only by steps, and at the end: then everybody keeps to the rules, and the life must end.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "vmm/life.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/fault.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_epoll_wait(int fd, struct epoll_event *ev, int max, int timeout_ms);
int __real_epoll_wait(int fd, struct epoll_event *ev, int max, int timeout_ms);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __real_clock_gettime(clockid_t clock, struct timespec *t);

#define STEPS_MAX  300
#define CLIENTS    6
#define IDS        4    /* of each kind, the last ones that the guest was told */
#define ENDING_MAX 2000 /* waits of the main loop after the input's end */
#define FDS_SEEN   128

#define CHECK(cond) BUG_ON(!(cond))

enum step {
	STEP_FRAME,   /* the guest says what it may, or nearly */
	STEP_BYTES,   /* the guest says anything */
	STEP_HEAR,    /* the guest reads */
	STEP_HANG_UP, /* the guest's channel ends, or the vsock device's worker */
	STEP_DEVICE,  /* the vsock device answers the next command */
	STEP_BABBLE,  /* the vsock device says anything */
	STEP_CONNECT,
	STEP_REQUEST,
	STEP_JUNK,
	STEP_READ,
	STEP_CLOSE,
	STEP_SIGNAL,
	STEP_CONSOLE,
	STEP_TIME,
	STEP_FAULT,
	STEP_LINE, /* a worker, which may be the guest's, has something for the log */
	STEPS
};

enum id { ID_SIGNAL, ID_ASK, ID_EXEC, ID_KINDS };

static struct {
	struct vm_config cfg;
	struct life life;
	struct vm vm; /* no vCPU */
	struct vcpus vcpus;
	struct faultlog faults;
	struct vdev_shared shared;
	struct sockaddr_un addr;
	struct rbuf in;
	int steps, ending;
	uint64_t now_ns;
	int guest, vsock[2], console[2], report[2], line, client[CLIENTS];
	unsigned lines;      /* that are in the log, as the worker is told */
	bool asked[CLIENTS]; /* what it reads may be an answer's payload */
	uint32_t id[ID_KINDS][IDS];
	unsigned n_ids[ID_KINDS];
	struct proto_rx rx;
} w;
static int log_fd, spec_fd, open_fd, null_fd;

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	if (clock != CLOCK_MONOTONIC)
		return __real_clock_gettime(clock, t);
	t->tv_sec = (time_t)(w.now_ns / 1000000000);
	t->tv_nsec = (long)(w.now_ns % 1000000000);
	return 0;
}

/* The guest */

static uint32_t known_id(enum id kind, uint8_t arg)
{
	return arg & 0x80 ? rbuf_u32(&w.in) : w.id[kind][arg % IDS];
}

static void say(const void *p, size_t len)
{
	if (w.guest >= 0)
		(void)!send(w.guest, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The body of a frame of the guest's, as it should be but for what the input says. Its length. */
static uint32_t body(uint16_t type, uint8_t arg, uint8_t *out)
{
	struct wbuf b = wbuf_of(out, PROTO_PAYLOAD_MAX);
	uint32_t fill = 0;

	switch (type) {
	case PROTO_HELLO:
		wbuf_u32(&b, arg & 0x40 ? rbuf_u32(&w.in) : PROTO_VERSION);
		fill = 20;
		break;
	case PROTO_READY:
	case PROTO_STARTED: fill = 16; break;
	case PROTO_FAILED:
		wbuf_u32(&b, arg);
		fill = sizeof(struct proto_failed) - 4;
		break;
	case PROTO_SIGNALED:
		wbuf_u32(&b, known_id(ID_SIGNAL, arg));
		wbuf_u32(&b, arg & 0x40 ? ESRCH : 0);
		break;
	case PROTO_EXITED:
		wbuf_u32(&b, arg);
		fill = 12;
		break;
	case PROTO_EXEC_STARTED:
	case PROTO_EXEC_CLOSED:
		wbuf_u32(&b, known_id(ID_EXEC, arg));
		wbuf_u32(&b, 0);
		break;
	case PROTO_EXEC_FAILED:
		wbuf_u32(&b, known_id(ID_EXEC, arg));
		wbuf_u32(&b, 0);
		wbuf_u32(&b, arg);
		fill = sizeof(struct proto_failed) - 4;
		break;
	case PROTO_EXEC_EXITED:
		wbuf_u32(&b, known_id(ID_EXEC, arg));
		wbuf_u32(&b, rbuf_u8(&w.in));
		wbuf_u64(&b, 0);
		break;
	case PROTO_ANSWER:
		wbuf_u32(&b, known_id(ID_ASK, arg));
		wbuf_u32(&b, arg & 0x40 ? rbuf_u8(&w.in) : 0);
		wbuf_u64(&b, arg & 0x20 ? 1 : 0);
		fill = rbuf_u8(&w.in) * 128u;
		break;
	case PROTO_EVENT:
		wbuf_u32(&b, PROTO_EVENT_OOM);
		wbuf_u32(&b, arg);
		break;
	default: fill = arg;
	}
	CHECK(wbuf_ok(&b));
	memset(out + b.len, arg & 0x10 ? rbuf_u8(&w.in) : 0, fill);
	return (uint32_t)b.len + fill;
}

static void step_frame(void)
{
	static uint8_t m[sizeof(struct proto_hdr) + PROTO_PAYLOAD_MAX];
	struct proto_hdr h = {.type = rbuf_u8(&w.in) % (PROTO_TYPES + 1)};
	uint8_t arg = rbuf_u8(&w.in);

	h.len = body(h.type, arg, m + sizeof(h));
	memcpy(m, &h, sizeof(h));
	say(m, sizeof(h) + h.len);
}

static void note_id(enum id kind, const void *payload)
{
	uint32_t id;

	memcpy(&id, payload, sizeof(id));
	w.id[kind][w.n_ids[kind]++ % IDS] = id;
}

/* What the host says must be what the protocol allows. */
static void step_hear(void)
{
	struct proto_frame f;
	uint8_t buf[4096];
	ssize_t n;
	int r;

	while (w.guest >= 0 && (n = recv(w.guest, buf, MIN(sizeof(buf), (size_t)proto_room(&w.rx)),
					MSG_DONTWAIT)) > 0) {
		CHECK(proto_feed(&w.rx, buf, (uint32_t)n) == (uint32_t)n);
		while ((r = proto_next(&w.rx, &f)) > 0) {
			if (f.type == PROTO_SIGNAL)
				note_id(ID_SIGNAL, f.payload);
			if (f.type == PROTO_ASK)
				note_id(ID_ASK, f.payload);
			if (f.type == PROTO_EXEC)
				note_id(ID_EXEC, f.payload);
		}
		CHECK(r == 0);
	}
}

/* The vsock device. Returns whether there was a command. */
static bool step_device(uint8_t arg)
{
	struct vsock_cmd cmd;
	struct vsock_cmd_reply reply = {.errnum = arg & 1 ? EADDRINUSE : 0};
	int fds[4];
	unsigned n = 0;

	if (recv_fds(w.vsock[1], &cmd, sizeof(cmd), fds, 4, &n) != sizeof(cmd))
		return false;
	if (cmd.type == VSOCK_CMD_BIND && cmd.port == PROTO_PORT_CONTROL)
		w.guest = take_fd(&fds[0]);
	for (unsigned i = 0; i < n; i++)
		close_fd(&fds[i]);
	/* Seldom: the container ends with it. */
	reply.id = (arg & 0xc2) == 0xc2 ? arg >> 2 : cmd.id;
	if (!(arg & 4))
		(void)!send(w.vsock[1], &reply, sizeof(reply), MSG_NOSIGNAL | MSG_DONTWAIT);
	return true;
}

/* Clients */

static void connect_client(unsigned i)
{
	close_fd(&w.client[i]);
	w.asked[i] = false;
	w.client[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connect(w.client[i], (struct sockaddr *)&w.addr, sizeof(w.addr)) < 0)
		CHECK(errno == EAGAIN); /* too many in the backlog */
}

static void request(unsigned i, const struct ctl_request *r, uint8_t how)
{
	const int all[] = {how & 8 ? open_fd : spec_fd, null_fd, null_fd, null_fd, null_fd};

	if (w.client[i] < 0)
		connect_client(i);
	w.asked[i] |= r->type == CTL_ASK || r->type == CTL_TIMELINE;
	(void)send_fds(w.client[i], r, sizeof(*r), all, how & 16 ? 1 + how % 5 : 0);
}

static void step_request(void)
{
	unsigned i = rbuf_u8(&w.in) % CLIENTS;
	struct ctl_request r = {.version = CTL_VERSION, .type = rbuf_u8(&w.in) % (CTL_TYPES + 1)};
	uint8_t how = rbuf_u8(&w.in);

	r.arg = how & 32 ? rbuf_u32(&w.in) : rbuf_u8(&w.in);
	if (how & 64)
		r.flags = rbuf_u8(&w.in);
	request(i, &r, how);
}

static void check_reply(const struct ctl_reply *r, size_t len)
{
	CHECK(len == sizeof(*r));
	CHECK(r->version == CTL_VERSION && r->errnum >= 0 && r->phase <= VM_PAUSED);
	CHECK(memchr(r->text, 0, sizeof(r->text)));
	for (const char *p = r->text; *p; p++)
		CHECK((uint8_t)*p >= ' ' && *p != 0x7f);
}

static void step_read(unsigned i)
{
	static union {
		struct ctl_reply reply;
		uint8_t buf[PROTO_ANSWER_MAX + 1];
	} m;
	ssize_t n;

	while (w.client[i] >= 0 && (n = recv(w.client[i], &m, sizeof(m), MSG_DONTWAIT)) > 0)
		if (!w.asked[i])
			check_reply(&m.reply, (size_t)n);
		else if (n == sizeof(m.reply) && m.reply.version == CTL_VERSION && m.reply.errnum)
			check_reply(&m.reply, (size_t)n); /* no payload begins so */
}

/* What anybody says */
static void babble(int fd)
{
	uint32_t len = rbuf_u8(&w.in);
	const void *p = rbuf_bytes(&w.in, len);

	if (p && fd >= 0 && send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static void step_console(uint8_t arg)
{
	static const char panic[] = "\n[    1.0] Kernel panic - not syncing: \033[1m oops\n";
	const void *p = arg < 255 ? rbuf_bytes(&w.in, arg) : NULL;

	if (arg == 255)
		(void)!write(w.console[1], panic, sizeof(panic) - 1);
	else if (p)
		(void)!write(w.console[1], p, arg);
}

static void read_line_acks(void)
{
	char byte[2];

	while (recv(w.line, byte, sizeof(byte), MSG_DONTWAIT) > 0)
		w.lines++;
	CHECK(w.lines <= LOG_LINES_MAX);
}

/* The bytes so many times over: a line may be longer than it should be. */
static void step_line(uint8_t arg)
{
	static char text[2 * LOG_LINE_MAX];
	uint32_t len = rbuf_u8(&w.in), n = 0;
	const void *p = rbuf_bytes(&w.in, len);

	for (unsigned i = 0; p && i <= arg % 32u; i++, n += len)
		memcpy(text + n, p, len);
	if (p)
		(void)!send(w.line, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	read_line_acks();
}

static void do_step(uint8_t step)
{
	static const int signals[] = {SIGTERM, SIGHUP, SIGUSR1, SIGWINCH};
	uint8_t arg = 0;

	if (step != STEP_FRAME && step != STEP_BYTES && step != STEP_HEAR && step != STEP_REQUEST &&
		step != STEP_BABBLE)
		arg = rbuf_u8(&w.in);
	switch (step) {
	case STEP_FRAME: step_frame(); break;
	case STEP_BYTES: babble(w.guest); break;
	case STEP_HEAR: step_hear(); break;
	case STEP_HANG_UP:
		if (w.guest >= 0 && arg > 200)
			shutdown(w.guest, SHUT_RDWR);
		if (arg < 8)
			shutdown(w.vsock[1], SHUT_RDWR);
		break;
	case STEP_DEVICE: step_device(arg); break;
	case STEP_BABBLE: babble(w.vsock[1]); break;
	case STEP_CONNECT: connect_client(arg % CLIENTS); break;
	case STEP_REQUEST: step_request(); break;
	case STEP_JUNK: babble(w.client[arg % CLIENTS]); break;
	case STEP_READ: step_read(arg % CLIENTS); break;
	case STEP_CLOSE: close_fd(&w.client[arg % CLIENTS]); break;
	case STEP_SIGNAL: raise(signals[arg % ARRAY_SIZE(signals)]); break;
	case STEP_CONSOLE: step_console(arg); break;
	case STEP_TIME: w.now_ns += (uint64_t)arg * arg * 1000000; break;
	case STEP_LINE: step_line(arg); break;
	default: vdev_fail(&w.shared, w.faults.fd, 1 + arg % (VFAULTS - 1));
	}
}

/* Nothing more comes: the guest has gone, the device has written all, whoever waits is told to, and at last the
 * user kills it. */
static void wind_up(int timeout_ms)
{
	const struct ctl_request kill = {
		.version = CTL_VERSION, .type = CTL_SIGNAL, .arg = SIGKILL};

	CHECK(w.ending++ < ENDING_MAX);
	if (w.ending == 1) {
		shutdown(w.guest, SHUT_RDWR);
		return;
	}
	while (step_device(0))
		;
	for (unsigned i = 0; i < CLIENTS; i++)
		step_read(i);
	if (timeout_ms >= 0) {
		w.now_ns += (uint64_t)timeout_ms * 1000000;
		return;
	}
	connect_client(0);
	request(0, &kill, 0);
}

int __wrap_epoll_wait(int fd, struct epoll_event *ev, int max, int timeout_ms)
{
	int n = __real_epoll_wait(fd, ev, max, 0);

	if (n)
		return n;
	if (w.steps++ < STEPS_MAX && rbuf_left(&w.in))
		do_step(rbuf_u8(&w.in) % STEPS);
	else
		wind_up(timeout_ms);
	return __real_epoll_wait(fd, ev, max, 0);
}

/* Once for all runs. */
static void prepare(void)
{
	sigset_t set;

	if (spec_fd)
		return;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set); /* those that steps raise: others are the fuzzer's own */
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK(dup2(null_fd, 0) == 0); /* no terminal of somebody's */
	log_fd = memfd_create("log", MFD_CLOEXEC);
	open_fd = memfd_create("open", MFD_CLOEXEC);
	spec_fd = memfd_with("process", "spec", 4, 1);
	CHECK(null_fd > 0 && log_fd > 0 && open_fd > 0 && spec_fd > 0);
}

static void make_fds(void)
{
	static unsigned count;
	int s;

	w.addr.sun_family = AF_UNIX; /* abstract: nothing to clean up */
	snprintf(w.addr.sun_path + 1, sizeof(w.addr.sun_path) - 1, "coracle-fuzz-%d-%u", getpid(),
		count++);
	s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(bind(s, (struct sockaddr *)&w.addr, sizeof(w.addr)) == 0 && listen(s, 16) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, w.vsock) == 0);
	CHECK(pipe2(w.console, O_CLOEXEC | O_NONBLOCK) == 0);
	CHECK(pipe2(w.report, O_CLOEXEC | O_NONBLOCK) == 0);
	CHECK(ftruncate(log_fd, 0) == 0 && lseek(log_fd, 0, SEEK_SET) == 0);
	for (unsigned i = 0; i < VM_FDS; i++)
		w.cfg.fd[i] = -1;
	w.cfg.fd[VM_FD_CONTROL] = s;
	w.cfg.fd[VM_FD_REPORT] = w.report[1];
	w.cfg.fd[VM_FD_LOG] = log_fd;
	w.vcpus.vm = &w.vm;
	w.vcpus.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (unsigned i = 0; i < CLIENTS; i++)
		w.client[i] = -1;
	w.guest = -1;
}

/* life_init() binds the control channel and the streams, and waits for the device: its answers are there before. */
static void begin(uint8_t flags)
{
	const struct timeline tl = {.ns = {1}};
	struct vsock_cmd_reply reply = {.errnum = 0};
	struct err err = ERR_INIT;
	struct life_fds fds = {.vsock = w.vsock[0],
		.console = w.console[0],
		.vcpu = w.vcpus.event_fd,
		.faults = &w.faults,
		.fs = &w.shared};

	w.now_ns = 1000000000;
	CHECK(log_channel(&fds.line, &w.line, &err) == 0);
	w.cfg.flags = (flags & 1 ? VM_FLAG_TERMINAL : 0) | (flags & 2 ? VM_FLAG_LOG_JSON : 0) |
		      (flags & 4 ? VM_FLAG_DEBUG : 0);
	w.cfg.boot_timeout_ms = flags & 8 ? 10000 : 0;
	faultlog_init(&w.faults, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	faultlog_add(&w.faults, "toy", &w.shared);
	for (reply.id = 1; reply.id <= (flags & 1 ? 3 : 4); reply.id++)
		CHECK(send(w.vsock[1], &reply, sizeof(reply), 0) == sizeof(reply));
	CHECK(life_init(&w.life, &w.cfg, &fds, &tl, &err) == 0);
	w.life.execs.ports_known = true;
	while (step_device(4)) /* they have been answered */
		;
	CHECK(w.guest >= 0);
}

static void check_log(void)
{
	static char text[1 << 20];
	ssize_t n = pread(log_fd, text, sizeof(text), 0);

	for (ssize_t i = 0; i < n; i++)
		CHECK((uint8_t)text[i] >= ' ' || text[i] == '\n');
}

/* Everything, as the end of the process does it. */
static void end(void)
{
	struct life *l = &w.life;
	struct signalfd_siginfo si;

	while (read(l->signal_fd, &si, sizeof(si)) > 0)
		; /* none is left for the next run */
	for (unsigned i = 0; i < CLIENTS; i++)
		close_fd(&w.client[i]);
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close_fd(&l->control.client[i].fd);
	for (unsigned i = 0; i < LIFE_ASKS_MAX; i++)
		close_fd(&l->asks.slot[i].conn_fd);
	for (unsigned i = 0; i < PROTO_EXECS_MAX; i++) {
		close_fd(&l->execs.slot[i].conn_fd);
		for (unsigned p = 0; p < PROTO_EXEC_PORTS; p++)
			close_fd(&l->execs.slot[i].fd[p]);
	}
	munmap(l->asks.buf, (size_t)LIFE_ASKS_MAX * LIFE_ASK_BYTES);
	close_fd(&l->epoll_fd);
	close_fd(&l->signal_fd);
	close_fd(&l->guest_fd);
	close_fd(&l->line_fd);
	close_fd(&w.line);
	close_fd(&w.guest);
	close_fd(&w.faults.fd);
	close_fd(&w.vcpus.event_fd);
	close_fd(&w.cfg.fd[VM_FD_CONTROL]);
	for (unsigned i = 0; i < 2; i++) {
		close_fd(&w.vsock[i]);
		close_fd(&w.console[i]);
		close_fd(&w.report[i]);
	}
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < FDS_SEEN; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned fds;
	int status;

	prepare();
	fds = open_fds();
	memset(&w, 0, sizeof(w));
	w.in = rbuf_of(data, size);
	make_fds();
	begin(rbuf_u8(&w.in));
	status = life_run(&w.life, &w.vcpus);
	CHECK(status >= 0 && status <= 255);
	for (unsigned i = 0; i < CLIENTS; i++)
		step_read(i);
	step_hear();
	read_line_acks();
	check_log();
	end();
	CHECK(open_fds() == fds);
	return 0;
}
