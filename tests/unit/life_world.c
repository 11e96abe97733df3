/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/life_world.h"

#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "vmm/virtio/devices.h"

static void *play_device(void *arg)
{
	struct world *w = arg;
	struct vsock_cmd cmd;
	int fds[4];
	unsigned n;

	while (recv_fds(w->vsock_dev, &cmd, sizeof(cmd), fds, 4, &n) == sizeof(cmd)) {
		struct vsock_cmd_reply reply = {.id = cmd.id};

		if (w->command && w->command(w, &cmd, fds, n))
			continue;
		if (cmd.type == VSOCK_CMD_DRAIN && !w->drain_at_once) {
			__atomic_store_n(&w->drain_id, cmd.id, __ATOMIC_SEQ_CST);
			continue;
		}
		if (cmd.type == VSOCK_CMD_BIND) {
			w->binds++;
			if (cmd.port == PROTO_PORT_CONTROL)
				w->guest = fds[0];
			for (unsigned i = cmd.port == PROTO_PORT_CONTROL; i < n; i++)
				close(fds[i]);
		}
		send(w->vsock_dev, &reply, sizeof(reply), MSG_NOSIGNAL);
	}
	return NULL;
}

static void *play_main(void *arg)
{
	struct world *w = arg;

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* as the runtime's child does */
	w->status = life_run(&w->life, &w->vcpus);
	prctl(PR_GET_PDEATHSIG, &w->death_signal);
	return NULL;
}

void world_make(struct world *w, uint32_t boot_timeout_ms)
{
	world_make_with(w, boot_timeout_ms, 0);
}

void world_make_with(struct world *w, uint32_t boot_timeout_ms, uint32_t flags)
{
	static unsigned count;
	struct timeline tl = {.ns = {1}};
	struct err err = ERR_INIT;
	int s[2], p[2], r[2], line;
	struct life_fds fds;

	memset(w, 0, sizeof(*w));
	w->guest = -1;
	w->drain_at_once = true;
	w->vcpus.vm = &w->vm;
	w->addr.sun_family = AF_UNIX; /* abstract: nothing to clean up */
	snprintf(w->addr.sun_path + 1, sizeof(w->addr.sun_path) - 1, "coracle-test-%d-%u", getpid(),
		count++);
	for (unsigned i = 0; i < VM_FDS; i++)
		w->cfg.fd[i] = -1;
	w->cfg.boot_timeout_ms = boot_timeout_ms;
	w->cfg.flags = flags;
	w->cfg.fd[VM_FD_CONTROL] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	BUG_ON(bind(w->cfg.fd[VM_FD_CONTROL], (struct sockaddr *)&w->addr, sizeof(w->addr)) < 0);
	BUG_ON(listen(w->cfg.fd[VM_FD_CONTROL], 64) < 0);
	BUG_ON(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s) < 0 || pipe2(p, O_NONBLOCK) < 0 ||
		pipe(r) < 0);
	w->vsock_main = s[0];
	w->vsock_dev = s[1];
	w->console_r = p[0];
	w->console_w = p[1];
	w->report_r = r[0];
	w->cfg.fd[VM_FD_REPORT] = r[1];
	w->vcpu_fd = eventfd(0, EFD_NONBLOCK);
	w->log_fd = w->cfg.fd[VM_FD_LOG] = memfd_create("log", 0);
	faultlog_init(&w->faults, eventfd(0, EFD_NONBLOCK));
	faultlog_add(&w->faults, "toy", &w->shared);
	pthread_create(&w->device, NULL, play_device, w);
	if (log_channel(&line, &w->line, &err) < 0)
		printf("Bail out! %s\n", err.msg);
	fds = (struct life_fds){.vsock = w->vsock_main,
		.line = line,
		.console = w->console_r,
		.vcpu = w->vcpu_fd,
		.faults = &w->faults,
		.fs = &w->shared};
	if (life_init(&w->life, &w->cfg, &fds, &tl, &err) < 0)
		printf("Bail out! %s\n", err.msg);
}

void world_go(struct world *w)
{
	pthread_create(&w->main, NULL, play_main, w);
}

void world_begin(struct world *w, uint32_t boot_timeout_ms)
{
	world_make(w, boot_timeout_ms);
	world_go(w);
}

int world_end(struct world *w)
{
	pthread_join(w->main, NULL);
	shutdown(w->vsock_dev, SHUT_RDWR);
	pthread_join(w->device, NULL);
	close(w->guest);
	close(w->vsock_main);
	close(w->vsock_dev);
	close(w->console_r);
	close(w->console_w);
	close(w->vcpu_fd);
	close(w->log_fd);
	close(w->line);
	close(w->faults.fd);
	close(w->report_r);
	close(w->cfg.fd[VM_FD_REPORT]);
	close(w->cfg.fd[VM_FD_CONTROL]);
	close(w->life.epoll_fd);
	close(w->life.signal_fd);
	close_fd(&w->life.line_fd);
	if (w->life.tty_fd >= 0)
		close(w->life.tty_fd);
	if (w->life.guest_fd >= 0)
		close(w->life.guest_fd);
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (w->life.control.client[i].fd >= 0)
			close(w->life.control.client[i].fd);
	return w->status;
}

struct vmm_report world_report(struct world *w)
{
	struct pollfd p = {.fd = w->report_r, .events = POLLIN};
	struct vmm_report r = {0};

	if (poll(&p, 1, WORLD_WAIT_MS) != 1 || read_full(w->report_r, &r, sizeof(r)) < 0)
		snprintf(r.text, sizeof(r.text), "(no report)");
	return r;
}

bool world_logged(struct world *w, const char *part, unsigned n)
{
	for (int i = 0; i < WORLD_WAIT_MS; i++) {
		char text[65536];
		ssize_t len = pread(w->log_fd, text, sizeof(text) - 1, 0);
		unsigned seen = 0;

		text[MAX(len, 0)] = '\0';
		for (const char *at = text; (at = strstr(at, part)); at++)
			seen++;
		if (seen >= n)
			return seen == n;
		usleep(1000);
	}
	return false;
}

void guest_say(struct world *w, enum proto_type type, const void *p, uint32_t len)
{
	proto_send(w->guest, type, p, len);
}

void guest_hello(struct world *w)
{
	struct proto_hello m = {.version = PROTO_VERSION, .init_ns = 100, .now_ns = 200};

	guest_say(w, PROTO_HELLO, &m, sizeof(m));
}

void guest_ready(struct world *w)
{
	struct proto_ready m = {.rootfs_ns = 300, .now_ns = 400};

	guest_say(w, PROTO_READY, &m, sizeof(m));
}

void guest_started(struct world *w)
{
	struct proto_ready m = {.now_ns = 500};

	guest_say(w, PROTO_STARTED, &m, sizeof(m));
}

void guest_exited(struct world *w, int32_t status)
{
	struct proto_exited m = {.status = status, .now_ns = 600};

	guest_say(w, PROTO_EXITED, &m, sizeof(m));
}

void guest_failed(struct world *w, int32_t errnum, uint32_t status, const char *text)
{
	struct proto_failed m = {.errnum = errnum, .exit_status = status};

	snprintf(m.text, sizeof(m.text), "%s", text);
	guest_say(w, PROTO_FAILED, &m, sizeof(m));
}

static bool hears(struct world *w, void *ret, size_t len)
{
	struct pollfd p = {.fd = w->guest, .events = POLLIN};

	return poll(&p, 1, WORLD_WAIT_MS) == 1 &&
	       recv(w->guest, ret, len, MSG_WAITALL) == (ssize_t)len;
}

int guest_heard(struct world *w, struct proto_signal *ret_sig)
{
	struct proto_clock clock;
	struct proto_hdr h;

	if (!hears(w, &h, sizeof(h)))
		return 0;
	if (h.type == PROTO_CLOCK) { /* between others; START is what it comes with */
		if (!hears(w, &clock, sizeof(clock)) || !hears(w, &h, sizeof(h)))
			return 0;
		w->clock_ns = le64toh(clock.realtime_ns);
	}
	if (h.type == PROTO_SIGNAL && !hears(w, ret_sig, sizeof(*ret_sig)))
		return 0;
	return h.type;
}

int world_client(struct world *w)
{
	int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	struct timeval tv = {.tv_sec = WORLD_WAIT_MS / 1000};

	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	BUG_ON(connect(s, (struct sockaddr *)&w->addr, sizeof(w->addr)) < 0);
	return s;
}

void ctl_send(int s, uint32_t type, uint32_t arg)
{
	struct ctl_request r = {.version = CTL_VERSION, .type = type, .arg = arg};

	send(s, &r, sizeof(r), MSG_NOSIGNAL);
}

struct ctl_reply ctl_answer(int s)
{
	struct ctl_reply r = {.errnum = -1};

	recv(s, &r, sizeof(r), 0);
	return r;
}

struct ctl_reply world_ask(struct world *w, uint32_t type, uint32_t arg)
{
	autofd int s = world_client(w);

	ctl_send(s, type, arg);
	return ctl_answer(s);
}

void world_run_up(struct world *w)
{
	world_begin(w, 0);
	world_up(w);
}

void world_up(struct world *w)
{
	struct proto_signal sig;
	struct ctl_reply r;
	int s;

	guest_hello(w);
	guest_ready(w);
	BUG_ON(world_report(w).type != VMM_READY);
	s = world_client(w);
	ctl_send(s, CTL_START, 0);
	BUG_ON(guest_heard(w, &sig) != PROTO_START);
	guest_started(w);
	r = ctl_answer(s);
	BUG_ON(r.errnum || r.phase != VM_RUNNING);
	close(s);
}
