/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a container's life, from the first message to the exit status. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "tests/tap.h"
#include "tests/unit/life_world.h"
#include "vmm/virtio/devices.h"
#include "vmm/virtio/fault.h"

static uint64_t realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void test_start(struct world *w)
{
	uint64_t before;
	struct proto_signal sig;
	struct vmm_report rep;
	struct ctl_reply r;
	int s;

	world_begin(w, 0);
	eq_int(w->binds, 4, "the control channel and three streams are bound");
	s = world_client(w);
	ctl_send(s, CTL_STATE, 0);
	r = ctl_answer(s);
	eq_int(r.phase, VM_BOOTING, "booting");
	ctl_send(s, CTL_START, 0);
	r = ctl_answer(s);
	eq_int(r.errnum, EAGAIN, "too early to start");
	guest_hello(w);
	guest_ready(w);
	rep = world_report(w);
	eq_int(rep.type, VMM_READY, "READY is reported");
	ok(rep.timeline.ns[TL_READY] >= rep.timeline.ns[TL_HELLO] && rep.timeline.ns[TL_INIT] &&
			rep.timeline.ns[TL_ROOTFS],
		"with the guest's times");
	ctl_send(s, CTL_STATE, 0);
	r = ctl_answer(s);
	eq_int(r.phase, VM_CREATED, "created");
	before = realtime_ns();
	ctl_send(s, CTL_START, 0);
	eq_int(guest_heard(w, &sig), PROTO_START, "START reaches the guest");
	ok(w->clock_ns >= before && w->clock_ns <= realtime_ns(), "after the time of day");
	guest_started(w);
	r = ctl_answer(s);
	ok(r.errnum == 0 && r.phase == VM_RUNNING, "and is answered once it has started");
	close(s);
}

static void test_normal(void)
{
	struct proto_signal sig;
	struct vmm_report rep;
	struct ctl_reply r;
	struct world w;
	int s;

	test_start(&w);
	r = world_ask(&w, CTL_START, 0);
	eq_int(r.errnum, EALREADY, "no second start");
	s = world_client(&w);
	ctl_send(s, CTL_SIGNAL, SIGTERM);
	eq_int(guest_heard(&w, &sig), PROTO_SIGNAL, "a signal reaches the guest");
	eq_int(sig.signo, SIGTERM, "with its number");
	r = world_ask(&w, CTL_STATE, 0);
	eq_int(r.phase, VM_RUNNING, "others are served meanwhile");
	guest_say(&w, PROTO_SIGNALED, &(struct proto_signaled){.id = sig.id + 1000}, 8);
	guest_say(&w, PROTO_SIGNALED, &(struct proto_signaled){.id = sig.id, .errnum = ESRCH}, 8);
	r = ctl_answer(s);
	eq_int(r.errnum, ESRCH, "and is answered by the guest's word on that signal");
	close(s);
	r = world_ask(&w, CTL_SIGNAL, 65);
	eq_int(r.errnum, EINVAL, "there is no signal 65");
	r = world_ask(&w, CTL_SIGNAL, 0);
	eq_int(r.errnum, 0, "signal 0 asks whether it is there");
	guest_exited(&w, 42);
	rep = world_report(&w);
	ok(rep.type == VMM_ENDED && rep.exit_status == 42 && !rep.text[0], "the end is reported");
	eq_int(world_end(&w), 42, "the status is the process's");
}

static void test_keep(void)
{
	struct ctl_reply r;
	struct world w;

	world_begin(&w, 0);
	r = world_ask(&w, CTL_KEEP, 0);
	eq_int(r.errnum, EAGAIN, "nothing to keep while it boots");
	guest_hello(&w);
	guest_ready(&w);
	world_report(&w);
	guest_exited(&w, 0);
	world_end(&w);
	eq_int(w.death_signal, SIGKILL, "created or not: it dies with the command that made it");

	world_begin(&w, 0);
	guest_hello(&w);
	guest_ready(&w);
	world_report(&w);
	r = world_ask(&w, CTL_KEEP, 0);
	ok(r.errnum == 0 && r.phase == VM_CREATED, "KEEP is answered at once");
	guest_exited(&w, 0);
	world_end(&w);
	eq_int(w.death_signal, 0, "from then on it outlives it");
}

static void test_drain(void)
{
	struct ctl_reply r;
	struct world w;

	world_run_up(&w);
	w.drain_at_once = false;
	guest_exited(&w, 3);
	for (int i = 0; i < WORLD_WAIT_MS && !__atomic_load_n(&w.drain_id, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	r = world_ask(&w, CTL_STATE, 0);
	eq_int(r.phase, VM_STOPPED, "while the last bytes are written it is stopped");
	r = world_ask(&w, CTL_SIGNAL, SIGTERM);
	eq_int(r.errnum, ESRCH, "and takes no signal");
	send(w.vsock_dev, &(struct vsock_cmd_reply){.id = w.drain_id}, 8, 0);
	eq_int(world_end(&w), 3, "it ends once the device says so");

	world_run_up(&w);
	w.drain_at_once = false;
	guest_exited(&w, 4);
	for (int i = 0; i < WORLD_WAIT_MS && !__atomic_load_n(&w.drain_id, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	world_ask(&w, CTL_SIGNAL, SIGKILL);
	eq_int(world_end(&w), 4, "SIGKILL ends a drain that a reader holds up");
}

static void test_failures(void)
{
	struct proto_signal sig;
	struct vmm_report rep;
	struct ctl_reply r;
	struct world w;
	int s;

	world_begin(&w, 0);
	guest_hello(&w);
	guest_failed(&w, ENOENT, 1, "mount '/x':\033[31m no such file");
	rep = world_report(&w);
	ok(rep.type == VMM_FAILED && rep.errnum == ENOENT && rep.exit_status == 1,
		"FAILED is reported");
	eq_str(rep.text, "mount '/x':?[31m no such file", "in the guest's words, cleaned");
	eq_int(world_end(&w), 1, "exit status 1");

	world_begin(&w, 0);
	guest_hello(&w);
	guest_ready(&w);
	world_report(&w);
	s = world_client(&w);
	ctl_send(s, CTL_START, 0);
	guest_heard(&w, &sig);
	guest_failed(&w, ENOENT, 127, "exec: \"nope\": executable file not found in $PATH");
	r = ctl_answer(s);
	ok(r.errnum == ENOENT && r.exit_status == 127, "a start that fails is answered so");
	has_str(said(r.text), "executable file not found in $PATH");
	close(s);
	rep = world_report(&w);
	ok(rep.type == VMM_ENDED && rep.exit_status == 127, "and ends the VM");
	eq_int(world_end(&w), 127, "with the same status");

	world_begin(&w, 100);
	rep = world_report(&w);
	eq_int(rep.type, VMM_FAILED, "a guest that never calls");
	has_str(said(rep.text), "was not ready within 100 ms: coracle-init did not call");
	eq_int(world_end(&w), 1, "ends by the boot timeout");

	world_run_up(&w);
	BUG_ON(write(w.console_w, "[9.9] Oops\n", 11) != 11);
	shutdown(w.guest, SHUT_RDWR);
	rep = world_report(&w);
	ok(rep.type == VMM_ENDED && rep.exit_status == LIFE_STATUS_VM, "the channel closes");
	has_str(said(rep.text), "coracle-init closed its control channel");
	eq_str(rep.guest_log, "[9.9] Oops\n", "the guest's last words are in the report");
	eq_int(world_end(&w), LIFE_STATUS_VM, "status for a VM that failed");
}

/* A guest that falls silent between START and STARTED. */
static void test_start_deadline(void)
{
	struct proto_signal sig;
	struct vmm_report rep;
	struct ctl_reply r;
	struct world w;
	int s;

	world_make(&w, 0);
	w.life.start_ms = 100;
	world_go(&w);
	guest_hello(&w);
	guest_ready(&w);
	world_report(&w);
	s = world_client(&w);
	ctl_send(s, CTL_START, 0);
	guest_heard(&w, &sig);
	r = ctl_answer(s);
	eq_int(r.errnum, ETIMEDOUT, "a start that is not answered ends");
	has_str(said(r.text), "did not say within 100 ms whether the program was executed");
	close(s);
	rep = world_report(&w);
	ok(rep.type == VMM_ENDED && rep.errnum == ETIMEDOUT, "and is reported");
	eq_int(world_end(&w), LIFE_STATUS_VM, "as a failure of the VM");

	world_begin(&w, 0);
	guest_hello(&w);
	guest_ready(&w);
	world_report(&w);
	s = world_client(&w);
	ctl_send(s, CTL_START, 0);
	guest_heard(&w, &sig);
	world_ask(&w, CTL_STATE, 0); /* by the time it is answered, the start has been dealt with */
	ok(__atomic_load_n(&w.life.deadline_ns[DEADLINE_START], __ATOMIC_SEQ_CST) != 0,
		"a start has a deadline");
	guest_started(&w);
	ctl_answer(s);
	ok(__atomic_load_n(&w.life.deadline_ns[DEADLINE_START], __ATOMIC_SEQ_CST) == 0,
		"one that is answered has none any more");
	r = world_ask(&w, CTL_STATE, 0);
	eq_int(r.phase, VM_RUNNING, "and the container runs");
	close(s);
	guest_exited(&w, 0);
	eq_int(world_end(&w), 0, "and ends in order");
}

static void test_vm_death(void)
{
	struct vmm_report rep;
	struct world w;

	world_begin(&w, 0);
	guest_hello(&w);
	BUG_ON(write(w.console_w, "x\n[1.0] Kernel panic - not syncing: boom\n", 41) != 41);
	w.vm.vcpus = 1;
	snprintf(w.vcpus.v[0].text, sizeof(w.vcpus.v[0].text), "vCPU 0: triple fault");
	atomic_store(&w.vcpus.v[0].end, VCPU_SHUTDOWN);
	eventfd_write(w.vcpu_fd, 1);
	rep = world_report(&w);
	eq_str(rep.text,
		"the guest kernel died: Kernel panic - not syncing: boom (vCPU 0: triple fault)",
		"a panic is told with its cause");
	eq_str(rep.guest_log, "x\n[1.0] Kernel panic - not syncing: boom\n", "and the log");
	eq_int(world_end(&w), 1, "before READY: 1");
}

/* What a worker says that was taken over: it could go on for ever. */
static void nonsense(const void *msg, size_t len, const char *what)
{
	struct vmm_report rep;
	struct world w;

	world_run_up(&w);
	BUG_ON(send(w.vsock_dev, msg, len, 0) != (ssize_t)len);
	rep = world_report(&w);
	eq_str(rep.text, "the vsock device answers what it was not asked", "told as it is");
	eq_int(world_end(&w), LIFE_STATUS_VM, what);
}

static void test_nonsense(void)
{
	struct vsock_cmd_reply reply = {.errnum = EPROTO};
	struct world w;

	nonsense(&reply, sizeof(reply), "a reply to a command that it could not read is the end");
	nonsense(&reply, sizeof(reply) - 1, "a short one");
	reply.id = 1;
	nonsense(&reply, sizeof(reply), "a second reply to a bind");
	reply.id = 4711;
	nonsense(&reply, sizeof(reply), "a reply to nothing");

	world_run_up(&w);
	__atomic_store_n(&w.drain_at_once, false, __ATOMIC_SEQ_CST);
	guest_exited(&w, 5);
	while (!__atomic_load_n(&w.drain_id, __ATOMIC_SEQ_CST))
		usleep(1000);
	BUG_ON(send(w.vsock_dev, &reply, sizeof(reply), 0) != sizeof(reply));
	eq_str(world_report(&w).text, "", "while the output is written there is nothing to report");
	eq_int(world_end(&w), 5, "and the status is the program's");
}

static void fail_toy(struct world *w)
{
	atomic_store(&w->shared.failed, 0); /* the driver resets it */
	vdev_fail(&w->shared, w->faults.fd, VFAULT_DESC_LOOP);
}

static void test_device_faults(void)
{
	static const char line[] = "device toy failed: the guest's driver broke the rules and has "
				   "to reset it (descriptor loop)";
	struct world w;

	world_make(&w, 0);
	w.faults.pause_ms = 50;
	world_go(&w);
	guest_hello(&w);
	guest_ready(&w);
	world_report(&w);
	fail_toy(&w);
	ok(world_logged(&w, line, 1), "a device that fails is told of in the log");
	fail_toy(&w);
	ok(world_logged(&w, line, 2), "and again after a pause");
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_CREATED, "the container lives on");
	guest_exited(&w, 0);
	world_end(&w);

	world_make(&w, 0);
	w.faults.pause_ms = 10 * WORLD_WAIT_MS;
	world_go(&w);
	fail_toy(&w);
	ok(world_logged(&w, line, 1), "the first failure is told of at once");
	for (int i = 0; i < 1000; i++)
		fail_toy(&w);
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_BOOTING, "others are served meanwhile");
	ok(world_logged(&w, line, 1), "a thousand more within the pause are not");
	world_ask(&w, CTL_SIGNAL, SIGKILL);
	world_end(&w);
}

/* How often within the time a full counter is emptied: a worker that was taken over signals without a pause, and counts
 * nothing. */
static void test_signals_for_nothing(void)
{
	const uint64_t ms = FAULTLOG_PAUSE_MS * 3 / 2;
	uint64_t until;
	unsigned served = 0;
	struct world w;

	world_begin(&w, 0);
	eventfd_write(w.faults.fd, UINT64_MAX - 1);
	while (eventfd_write(w.faults.fd, UINT64_MAX - 1) < 0)
		usleep(1000);
	until = timeline_now() + ms * 1000000;
	while (timeline_now() < until && served < 100)
		served += eventfd_write(w.faults.fd, UINT64_MAX - 1) == 0;
	ok(served <= 2, "one that signals for ever is heard once a second: %u in %u ms", served,
		(unsigned)ms);
	fail_toy(&w);
	ok(world_logged(&w, "device toy failed", 1), "and what fails meanwhile is told of");
	world_ask(&w, CTL_SIGNAL, SIGKILL);
	world_end(&w);
}

/* The others' lines: one of a worker that is well, then what one may send that was taken over. */
static void test_lines_of_others(void)
{
	static const char whole[] = "level=error msg=\"a report\"\n";
	char text[LOG_LINE_MAX + 100], c = 1;
	struct world w;
	unsigned n;

	world_begin(&w, 0);
	BUG_ON(write(w.line, whole, strlen(whole)) != (ssize_t)strlen(whole));
	ok(read(w.line, &c, 1) == 1 && c == '\0', "a line is answered");
	BUG_ON(pread(w.log_fd, text, sizeof(text), 0) != (ssize_t)strlen(whole));
	ok(!memcmp(text, whole, strlen(whole)), "and in the log by then, as it was");
	memset(text, 'x', sizeof(text));
	memcpy(text, "two\nlines\033[2J", 14);
	BUG_ON(write(w.line, text, sizeof(text)) != sizeof(text));
	ok(read(w.line, &c, 1) == 1, "so is nonsense");
	ok(world_logged(&w, "two?lines?[2J?xxx", 1), "of which one printable line is made");
	eq_int(lseek(w.log_fd, 0, SEEK_END), (int)strlen(whole) + (int)LOG_LINE_MAX + 1,
		"that is cut");
	for (n = 2; n < 1000 && write(w.line, "x\n", 2) == 2; n++)
		if (read(w.line, &c, 1) != 1)
			break;
	eq_int(n, LOG_LINES_MAX, "the last one is not followed by another");
	ok(world_logged(&w, "x\nx\n", LOG_LINES_MAX - 2), "and is in the log");
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_BOOTING, "the container lives on");
	world_ask(&w, CTL_SIGNAL, SIGKILL);
	world_end(&w);
}

int main(void)
{
	struct err err = ERR_INIT;

	eq_int(life_block_signals(&err), 0, "signals are blocked");
	test_normal();
	test_keep();
	test_drain();
	test_failures();
	test_start_deadline();
	test_vm_death();
	test_nonsense();
	test_device_faults();
	test_signals_for_nothing();
	test_lines_of_others();
	return tap_done();
}
