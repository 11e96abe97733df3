/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's life without a VM: a thread plays the vsock device and hands the guest's end of
 * the control channel over; another plays coracle-init and the `coracle` command against life_run()
 * in a third.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "vmm/life.h"
#include "vmm/virtio/devices.h"

#define WAIT_MS 20000

struct world {
	struct vm_config cfg;
	struct life life;
	struct vm vm; /* no vCPU: nothing of KVM is touched */
	struct vcpus vcpus;
	struct sockaddr_un addr;
	int vsock_main, vsock_dev, console_r, console_w, vcpu_fd, report_r, guest;
	unsigned binds;
	bool drain_at_once;
	uint32_t drain_id;
	pthread_t device, main;
	int status, death_signal; /* what it returned; PR_GET_PDEATHSIG of its thread then */
};

static void *play_device(void *arg)
{
	struct world *w = arg;
	struct vsock_cmd cmd;
	int fds[4];
	unsigned n;

	while (recv_fds(w->vsock_dev, &cmd, sizeof(cmd), fds, 4, &n) == sizeof(cmd)) {
		struct vsock_cmd_reply reply = {.id = cmd.id};

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

static void begin(struct world *w, uint32_t boot_timeout_ms)
{
	static unsigned count;
	struct timeline tl = {.ns = {1}};
	struct err err = ERR_INIT;
	int s[2], p[2], r[2];
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
	pthread_create(&w->device, NULL, play_device, w);
	fds = (struct life_fds){
		.vsock = w->vsock_main, .console = w->console_r, .vcpu = w->vcpu_fd};
	if (life_init(&w->life, &w->cfg, &fds, &tl, &err) < 0)
		printf("# %s\n", err.msg);
	pthread_create(&w->main, NULL, play_main, w);
}

/* Waits for the end and gives everything back. */
static int end(struct world *w)
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
	close(w->report_r);
	close(w->cfg.fd[VM_FD_REPORT]);
	close(w->cfg.fd[VM_FD_CONTROL]);
	close(w->life.epoll_fd);
	close(w->life.signal_fd);
	if (w->life.guest_fd >= 0)
		close(w->life.guest_fd);
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (w->life.control.client[i].fd >= 0)
			close(w->life.control.client[i].fd);
	return w->status;
}

static struct vmm_report report(struct world *w)
{
	struct pollfd p = {.fd = w->report_r, .events = POLLIN};
	struct vmm_report r = {0};

	if (poll(&p, 1, WAIT_MS) != 1 || read_full(w->report_r, &r, sizeof(r)) < 0)
		snprintf(r.text, sizeof(r.text), "(no report)");
	return r;
}

/* has_str() wants something that could be NULL. */
static const char *said(const char *s)
{
	return s;
}

/* The guest's side */

static void say(struct world *w, enum proto_type type, const void *p, uint32_t len)
{
	proto_send(w->guest, type, p, len);
}

static void hello(struct world *w)
{
	struct proto_hello m = {.version = PROTO_VERSION, .init_ns = 100, .now_ns = 200};

	say(w, PROTO_HELLO, &m, sizeof(m));
}

static void ready(struct world *w)
{
	struct proto_ready m = {.rootfs_ns = 300, .now_ns = 400};

	say(w, PROTO_READY, &m, sizeof(m));
}

static void started(struct world *w)
{
	struct proto_ready m = {.now_ns = 500};

	say(w, PROTO_STARTED, &m, sizeof(m));
}

static void exited(struct world *w, int32_t status)
{
	struct proto_exited m = {.status = status, .now_ns = 600};

	say(w, PROTO_EXITED, &m, sizeof(m));
}

static void failed(struct world *w, int32_t errnum, uint32_t status, const char *text)
{
	struct proto_failed m = {.errnum = errnum, .exit_status = status};

	snprintf(m.text, sizeof(m.text), "%s", text);
	say(w, PROTO_FAILED, &m, sizeof(m));
}

/* The next frame of the host; *ret_sig is filled for SIGNAL. 0: none came. */
static int heard(struct world *w, struct proto_signal *ret_sig)
{
	struct pollfd p = {.fd = w->guest, .events = POLLIN};
	struct proto_hdr h;

	if (poll(&p, 1, WAIT_MS) != 1 || recv(w->guest, &h, sizeof(h), MSG_WAITALL) != sizeof(h))
		return 0;
	if (h.type == PROTO_SIGNAL &&
		recv(w->guest, ret_sig, sizeof(*ret_sig), 0) != sizeof(*ret_sig))
		return 0;
	return h.type;
}

/* The command's side */

static int client(struct world *w)
{
	int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	struct timeval tv = {.tv_sec = WAIT_MS / 1000};

	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	BUG_ON(connect(s, (struct sockaddr *)&w->addr, sizeof(w->addr)) < 0);
	return s;
}

static void request(int s, uint32_t type, uint32_t arg)
{
	struct ctl_request r = {.version = CTL_VERSION, .type = type, .arg = arg};

	send(s, &r, sizeof(r), MSG_NOSIGNAL);
}

static struct ctl_reply answer(int s)
{
	struct ctl_reply r = {.errnum = -1};

	recv(s, &r, sizeof(r), 0);
	return r;
}

static struct ctl_reply ask(struct world *w, uint32_t type, uint32_t arg)
{
	autofd int s = client(w);

	request(s, type, arg);
	return answer(s);
}

/* To "running", with everything on the way checked where `check` says so. */
static void run_up(struct world *w, bool check)
{
	struct proto_signal sig;
	struct vmm_report rep;
	autofd int s = -1;
	struct ctl_reply r;
	int frame;

	begin(w, 0);
	if (check)
		eq_int(w->binds, 4, "the control channel and three streams are bound");
	s = client(w);
	request(s, CTL_STATE, 0);
	r = answer(s);
	if (check)
		eq_int(r.phase, VM_BOOTING, "booting");
	request(s, CTL_START, 0);
	r = answer(s);
	if (check)
		eq_int(r.errnum, EAGAIN, "too early to start");
	hello(w);
	ready(w);
	rep = report(w);
	if (check) {
		eq_int(rep.type, VMM_READY, "READY is reported");
		ok(rep.timeline.ns[TL_READY] >= rep.timeline.ns[TL_HELLO] &&
				rep.timeline.ns[TL_INIT] && rep.timeline.ns[TL_ROOTFS],
			"with the guest's times");
	}
	request(s, CTL_STATE, 0);
	r = answer(s);
	if (check)
		eq_int(r.phase, VM_CREATED, "created");
	request(s, CTL_START, 0);
	frame = heard(w, &sig);
	if (check)
		eq_int(frame, PROTO_START, "START reaches the guest");
	started(w);
	r = answer(s);
	if (check)
		ok(r.errnum == 0 && r.phase == VM_RUNNING, "and is answered once it has started");
}

static void test_normal(void)
{
	struct proto_signal sig;
	struct vmm_report rep;
	struct ctl_reply r;
	struct world w;
	int s;

	run_up(&w, true);
	r = ask(&w, CTL_START, 0);
	eq_int(r.errnum, EALREADY, "no second start");
	s = client(&w);
	request(s, CTL_SIGNAL, SIGTERM);
	eq_int(heard(&w, &sig), PROTO_SIGNAL, "a signal reaches the guest");
	eq_int(sig.signo, SIGTERM, "with its number");
	r = ask(&w, CTL_STATE, 0);
	eq_int(r.phase, VM_RUNNING, "others are served meanwhile");
	say(&w, PROTO_SIGNALED, &(struct proto_signaled){.id = sig.id + 1000}, 8);
	say(&w, PROTO_SIGNALED, &(struct proto_signaled){.id = sig.id, .errnum = ESRCH}, 8);
	r = answer(s);
	eq_int(r.errnum, ESRCH, "and is answered by the guest's word on that signal");
	close(s);
	r = ask(&w, CTL_SIGNAL, 65);
	eq_int(r.errnum, EINVAL, "there is no signal 65");
	r = ask(&w, CTL_SIGNAL, 0);
	eq_int(r.errnum, 0, "signal 0 asks whether it is there");
	exited(&w, 42);
	rep = report(&w);
	ok(rep.type == VMM_ENDED && rep.exit_status == 42 && !rep.text[0], "the end is reported");
	eq_int(end(&w), 42, "the status is the process's");
}

static void test_keep(void)
{
	struct ctl_reply r;
	struct world w;

	begin(&w, 0);
	r = ask(&w, CTL_KEEP, 0);
	eq_int(r.errnum, EAGAIN, "nothing to keep while it boots");
	hello(&w);
	ready(&w);
	report(&w);
	exited(&w, 0);
	end(&w);
	eq_int(w.death_signal, SIGKILL, "created or not: it dies with the command that made it");

	begin(&w, 0);
	hello(&w);
	ready(&w);
	report(&w);
	r = ask(&w, CTL_KEEP, 0);
	ok(r.errnum == 0 && r.phase == VM_CREATED, "KEEP is answered at once");
	exited(&w, 0);
	end(&w);
	eq_int(w.death_signal, 0, "from then on it outlives it");
}

static void test_drain(void)
{
	struct ctl_reply r;
	struct world w;

	run_up(&w, false);
	w.drain_at_once = false;
	exited(&w, 3);
	for (int i = 0; i < WAIT_MS && !__atomic_load_n(&w.drain_id, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	r = ask(&w, CTL_STATE, 0);
	eq_int(r.phase, VM_STOPPED, "while the last bytes are written it is stopped");
	r = ask(&w, CTL_SIGNAL, SIGTERM);
	eq_int(r.errnum, ESRCH, "and takes no signal");
	send(w.vsock_dev, &(struct vsock_cmd_reply){.id = w.drain_id}, 8, 0);
	eq_int(end(&w), 3, "it ends once the device says so");

	run_up(&w, false);
	w.drain_at_once = false;
	exited(&w, 4);
	for (int i = 0; i < WAIT_MS && !__atomic_load_n(&w.drain_id, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	ask(&w, CTL_SIGNAL, SIGKILL);
	eq_int(end(&w), 4, "SIGKILL ends a drain that a reader holds up");
}

static void test_failures(void)
{
	struct proto_signal sig;
	struct vmm_report rep;
	struct ctl_reply r;
	struct world w;
	int s;

	begin(&w, 0);
	hello(&w);
	failed(&w, ENOENT, 1, "mount '/x':\033[31m no such file");
	rep = report(&w);
	ok(rep.type == VMM_FAILED && rep.errnum == ENOENT && rep.exit_status == 1,
		"FAILED is reported");
	eq_str(rep.text, "mount '/x':?[31m no such file", "in the guest's words, cleaned");
	eq_int(end(&w), 1, "exit status 1");

	begin(&w, 0);
	hello(&w);
	ready(&w);
	report(&w);
	s = client(&w);
	request(s, CTL_START, 0);
	heard(&w, &sig);
	failed(&w, ENOENT, 127, "exec: \"nope\": executable file not found in $PATH");
	r = answer(s);
	ok(r.errnum == ENOENT && r.exit_status == 127, "a start that fails is answered so");
	has_str(said(r.text), "executable file not found in $PATH");
	close(s);
	rep = report(&w);
	ok(rep.type == VMM_ENDED && rep.exit_status == 127, "and ends the VM");
	eq_int(end(&w), 127, "with the same status");

	begin(&w, 100);
	rep = report(&w);
	eq_int(rep.type, VMM_FAILED, "a guest that never calls");
	has_str(said(rep.text), "was not ready within 100 ms: coracle-init did not call");
	eq_int(end(&w), 1, "ends by the boot timeout");

	run_up(&w, false);
	BUG_ON(write(w.console_w, "[9.9] Oops\n", 11) != 11);
	shutdown(w.guest, SHUT_RDWR);
	rep = report(&w);
	ok(rep.type == VMM_ENDED && rep.exit_status == LIFE_STATUS_VM, "the channel closes");
	has_str(said(rep.text), "coracle-init closed its control channel");
	eq_str(rep.guest_log, "[9.9] Oops\n", "the guest's last words are in the report");
	eq_int(end(&w), LIFE_STATUS_VM, "status for a VM that failed");
}

static void break_protocol(const char *what, void (*up)(struct world *), enum proto_type type,
	const void *p, uint32_t len)
{
	struct vmm_report rep;
	struct world w;

	up(&w);
	if (type)
		say(&w, type, p, len);
	else
		BUG_ON(send(w.guest, p, len, 0) != (ssize_t)len);
	rep = report(&w);
	ok(strstr(rep.text, "broke the control protocol") != NULL, "%s is the end", what);
	end(&w);
}

static void up_booting(struct world *w)
{
	begin(w, 0);
}

static void up_prepared(struct world *w)
{
	begin(w, 0);
	hello(w);
}

static void up_running(struct world *w)
{
	run_up(w, false);
}

static void test_protocol(void)
{
	static const struct proto_ready ready_msg;
	static const struct proto_hello hello_msg = {.version = PROTO_VERSION};
	static const struct proto_exited exited_msg, odd = {.status = 256},
						     negative = {.status = -1};
	static const struct proto_failed failed_msg;
	struct vmm_report rep;
	struct world w;

	break_protocol(
		"READY before HELLO", up_booting, PROTO_READY, &ready_msg, sizeof(ready_msg));
	break_protocol(
		"STARTED unasked", up_prepared, PROTO_STARTED, &ready_msg, sizeof(ready_msg));
	break_protocol(
		"EXITED before start", up_prepared, PROTO_EXITED, &exited_msg, sizeof(exited_msg));
	break_protocol("a second HELLO", up_prepared, PROTO_HELLO, &hello_msg, sizeof(hello_msg));
	break_protocol("a second READY", up_running, PROTO_READY, &ready_msg, sizeof(ready_msg));
	break_protocol(
		"FAILED while running", up_running, PROTO_FAILED, &failed_msg, sizeof(failed_msg));
	break_protocol("status 256", up_running, PROTO_EXITED, &odd, sizeof(odd));
	break_protocol("status -1", up_running, PROTO_EXITED, &negative, sizeof(negative));
	break_protocol("a message of the host's", up_running, PROTO_START, NULL, 0);
	break_protocol("garbage", up_running, 0, "not a frame at all", 18);
	begin(&w, 0);
	say(&w, PROTO_HELLO, &(struct proto_hello){.version = 99}, sizeof(struct proto_hello));
	rep = report(&w);
	has_str(said(rep.text), "version 99 of the control protocol, expected 2");
	eq_int(end(&w), 1, "another version's init is refused");
}

static void test_kill(void)
{
	struct proto_signal sig;
	struct vmm_report rep;
	struct ctl_reply r;
	uint64_t t;
	struct world w;

	begin(&w, 0);
	hello(&w);
	ready(&w);
	report(&w);
	r = ask(&w, CTL_SIGNAL, SIGWINCH);
	ok(r.errnum == 0 && r.phase == VM_CREATED, "SIGWINCH leaves a created container alone");
	r = ask(&w, CTL_SIGNAL, SIGKILL);
	ok(r.errnum == 0 && r.phase == VM_STOPPED, "SIGKILL does not");
	eq_int(end(&w), 137, "created: 137, without the guest's help");

	begin(&w, 0);
	r = ask(&w, CTL_SIGNAL, SIGTERM);
	rep = report(&w);
	ok(rep.type == VMM_FAILED && rep.exit_status == 143,
		"SIGTERM while booting fails the start");
	eq_int(end(&w), 143, "booting: 143");

	run_up(&w, false);
	t = timeline_now();
	r = ask(&w, CTL_SIGNAL, SIGKILL);
	ok(r.errnum == 0 && timeline_now() - t < LIFE_KILL_GRACE_MS * 1000000ull,
		"answered at once");
	heard(&w, &sig);
	eq_int(sig.signo, SIGKILL, "the guest is told");
	exited(&w, 137);
	eq_int(end(&w), 137, "a guest that answers ends in order");
	ok(timeline_now() - t < LIFE_KILL_GRACE_MS * 1000000ull, "well before the grace is over");

	run_up(&w, false);
	t = timeline_now();
	ask(&w, CTL_SIGNAL, SIGKILL);
	eq_int(end(&w), 137, "a deaf guest ends as well");
	ok(timeline_now() - t >= LIFE_KILL_GRACE_MS * 1000000ull, "after its grace");

	run_up(&w, false);
	kill(getpid(), SIGUSR1);
	heard(&w, &sig);
	eq_int(sig.signo, SIGUSR1, "a signal to the VMM's pid goes to the guest");
	for (int i = 0; i < 3000; i++) { /* far more than a socket takes: the guest reads none */
		struct ctl_reply full = ask(&w, CTL_SIGNAL, 0);

		kill(getpid(), SIGUSR2);
		if (full.errnum)
			break;
	}
	ask(&w, CTL_SIGNAL, SIGKILL);
	eq_int(end(&w), 137, "a guest that reads nothing can still be killed");
}

static void test_clients(void)
{
	int idle[CONTROL_CLIENTS_MAX + 4];
	struct ctl_timeline_reply tr;
	struct ctl_reply r;
	char big[4096] = "";
	struct world w;
	int s;

	run_up(&w, false);
	for (unsigned i = 0; i < ARRAY_SIZE(idle); i++)
		idle[i] = client(&w);
	r = ask(&w, CTL_STATE, 0);
	eq_int(r.phase, VM_RUNNING, "idle connections keep nobody out");
	r = answer(idle[0]);
	eq_int(r.errnum, EBUSY, "the oldest is told why it lost its place");
	for (unsigned i = 0; i < ARRAY_SIZE(idle); i++)
		close(idle[i]);

	s = client(&w);
	send(s, big, 15, 0);
	r = answer(s);
	eq_int(r.errnum, EPROTO, "a short request is refused");
	eq_int(recv(s, big, 1, 0), 0, "and its connection closed");
	close(s);
	s = client(&w);
	send(s, big, sizeof(big), 0);
	r = answer(s);
	eq_int(r.errnum, EPROTO, "a long one too");
	close(s);
	r = ask(&w, 77, 0);
	eq_int(r.errnum, EPROTO, "an unknown type too");
	s = client(&w);
	send(s, &(struct ctl_request){.version = CTL_VERSION, .type = CTL_STATE, .flags = 1}, 16,
		0);
	r = answer(s);
	eq_int(r.errnum, EPROTO, "reserved bits too");
	close(s);

	s = client(&w);
	request(s, CTL_SIGNAL, SIGTERM); /* the guest will not answer */
	close(s);
	s = client(&w);
	for (int i = 0; i < 2000; i++) /* never reads: dropped when its socket is full */
		if (send(s, &(struct ctl_request){.version = CTL_VERSION, .type = CTL_STATE}, 16,
			    MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	r = ask(&w, CTL_STATE, 0);
	eq_int(r.phase, VM_RUNNING, "clients that go away or do not read hold up nobody");
	close(s);

	s = client(&w);
	request(s, CTL_TIMELINE, 0);
	eq_int(recv(s, &tr, sizeof(tr), 0), sizeof(tr), "the timeline");
	ok(tr.timeline.ns[TL_EXEC] > tr.timeline.ns[TL_READY], "up to the running program");
	request(s, CTL_SIGNAL, SIGUSR1);
	exited(&w, 0);
	r = answer(s);
	eq_int(r.errnum, ESRCH, "whoever waits when it ends is told");
	close(s);
	eq_int(end(&w), 0, "done");
}

static void test_vm_death(void)
{
	struct vmm_report rep;
	struct world w;

	begin(&w, 0);
	hello(&w);
	BUG_ON(write(w.console_w, "x\n[1.0] Kernel panic - not syncing: boom\n", 41) != 41);
	w.vm.vcpus = 1;
	snprintf(w.vcpus.v[0].text, sizeof(w.vcpus.v[0].text), "vCPU 0: triple fault");
	atomic_store(&w.vcpus.v[0].end, VCPU_SHUTDOWN);
	eventfd_write(w.vcpu_fd, 1);
	rep = report(&w);
	eq_str(rep.text,
		"the guest kernel died: Kernel panic - not syncing: boom (vCPU 0: triple fault)",
		"a panic is told with its cause");
	eq_str(rep.guest_log, "x\n[1.0] Kernel panic - not syncing: boom\n", "and the log");
	eq_int(end(&w), 1, "before READY: 1");
}

int main(void)
{
	struct err err = ERR_INIT;

	eq_int(life_block_signals(&err), 0, "signals are blocked");
	test_normal();
	test_keep();
	test_drain();
	test_failures();
	test_protocol();
	test_kill();
	test_clients();
	test_vm_death();
	return tap_done();
}
