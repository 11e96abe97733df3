/* SPDX-License-Identifier: Apache-2.0 */
/* Pause and resume in the life of a container (a guest that says nothing meanwhile), and of real vCPUs. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "tests/unit/life_world.h"

static struct ctl_reply ask_exec(struct world *w, int *ret_conn, uint32_t flags)
{
	struct ctl_request r = {.version = CTL_VERSION, .type = CTL_EXEC, .flags = flags};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[4] = {memfd_with("process", "spec", 4, 1), null, null, null};
	struct pollfd p = {.events = POLLIN};
	struct ctl_reply reply = {.errnum = -1};

	*ret_conn = p.fd = world_client(w);
	BUG_ON(send_fds(*ret_conn, &r, sizeof(r), fds, 4) < 0);
	close(fds[0]);
	close(null);
	if (poll(&p, 1, 300) == 1)
		reply = ctl_answer(*ret_conn);
	return reply;
}

static void test_states(void)
{
	struct proto_signal sig = {0};
	struct ctl_reply r;
	struct world w;
	int conn;

	world_begin(&w, 0);
	eq_int(world_ask(&w, CTL_PAUSE, 0).errnum, EAGAIN, "nothing to pause yet");
	guest_hello(&w);
	guest_ready(&w);
	world_report(&w);
	r = world_ask(&w, CTL_PAUSE, 0);
	ok(r.errnum == 0 && r.phase == VM_PAUSED, "a created container is paused");
	eq_int(world_ask(&w, CTL_START, 0).errnum, EBUSY, "and not started then");
	r = world_ask(&w, CTL_RESUME, 0);
	ok(r.errnum == 0 && r.phase == VM_CREATED, "it is resumed");
	eq_int(world_ask(&w, CTL_RESUME, 0).errnum, EINVAL, "once");
	conn = world_client(&w);
	ctl_send(conn, CTL_START, 0);
	BUG_ON(guest_heard(&w, &sig) != PROTO_START);
	guest_started(&w);
	eq_int(ctl_answer(conn).phase, VM_RUNNING, "and started");
	close(conn);

	r = world_ask(&w, CTL_PAUSE, 0);
	ok(r.errnum == 0 && r.phase == VM_PAUSED, "a running one is paused");
	eq_int(world_ask(&w, CTL_PAUSE, 0).errnum, EALREADY, "once");
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_PAUSED, "and says so");
	r = world_ask(&w, CTL_SIGNAL, SIGTERM);
	eq_int(r.errnum, 0, "a signal is taken without the guest's word");
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.signo == SIGTERM, "it waits in the queue");
	r = ask_exec(&w, &conn, 0);
	eq_int(r.errnum, EBUSY, "no exec");
	has_str(said(r.text),
		"cannot exec in a paused container (use --ignore-paused to override)");
	close(conn);
	r = world_ask(&w, CTL_RESUME, 0);
	ok(r.errnum == 0 && r.phase == VM_RUNNING, "resumed");

	world_ask(&w, CTL_PAUSE, 0);
	guest_exited(&w, 4);
	eq_int(world_end(&w), 4, "EXITED was under way when it was paused: it ends");
}

static void test_kill(void)
{
	struct proto_signal sig = {0};
	struct ctl_reply r;
	struct world w;

	world_run_up(&w);
	world_ask(&w, CTL_PAUSE, 0);
	r = world_ask(&w, CTL_SIGNAL, SIGKILL);
	ok(r.errnum == 0 && r.phase == VM_RUNNING, "SIGKILL resumes it");
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.signo == SIGKILL, "to die in order");
	guest_exited(&w, 137);
	eq_int(world_end(&w), 137, "and it does");

	world_run_up(&w);
	world_ask(&w, CTL_PAUSE, 0);
	world_ask(&w, CTL_SIGNAL, SIGKILL);
	eq_int(world_end(&w), 137, "or its grace runs out");
}

/* Nothing that a paused guest owes runs out. */
static void test_deadlines(void)
{
	struct ctl_reply r;
	struct world w;
	uint64_t before, start_ns;
	int conn;

	world_run_up(&w);
	w.life.start_ms = 1000;
	start_ns = timeline_now();
	ask_exec(&w, &conn, 0); /* returns after 300 ms, unanswered */
	world_ask(&w, CTL_PAUSE, 0);
	usleep(1200000);
	eq_int(recv(conn, &r, sizeof(r), MSG_DONTWAIT), -1, "paused: the proxy waits");
	before = timeline_now();
	world_ask(&w, CTL_RESUME, 0);
	r = ctl_answer(conn);
	eq_int(r.errnum, ETIMEDOUT, "resumed: the guest has the rest of its time");
	ok(timeline_now() - before > 300000000ull && timeline_now() - start_ns > 2000000000ull,
		"and not less");
	close(conn);
	world_ask(&w, CTL_PAUSE, 0);
	r = ask_exec(&w, &conn, CTL_EXEC_IGNORE_PAUSED);
	eq_int(r.errnum, -1, "an exec that asks for it waits for the end of the pause");
	close(conn);
	world_ask(&w, CTL_SIGNAL, SIGKILL);
	world_end(&w);
}

/* A guest that counts in its memory, in 16-bit mode: inc dword [0x2000]; jmp. */
static const uint8_t counting[] = {0x66, 0xff, 0x06, 0x00, 0x20, 0xeb, 0xf9};

static bool set_up(struct vm *vm, int kvm, struct err *err)
{
	struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
	struct kvm_sregs sregs;

	if (vm_init(vm, kvm, 1, err) < 0 || vm_add_memory(vm, 32u << 20, err) < 0)
		return false;
	memcpy(mem_at(&vm->mem, 0x1000, sizeof(counting)), counting, sizeof(counting));
	if (ioctl(vm->vcpu_fd[0], KVM_GET_SREGS, &sregs) < 0)
		return false;
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.ds.base = sregs.ds.selector = 0;
	return ioctl(vm->vcpu_fd[0], KVM_SET_SREGS, &sregs) == 0 &&
	       ioctl(vm->vcpu_fd[0], KVM_SET_REGS, &regs) == 0;
}

static uint32_t count_of(const struct vm *vm)
{
	return __atomic_load_n((uint32_t *)mem_at(&vm->mem, 0x2000, 4), __ATOMIC_SEQ_CST);
}

/* Waits for the guest to be at work; false: it is not, for a long time. */
static bool counts_on(const struct vm *vm)
{
	uint32_t from = count_of(vm);

	for (int i = 0; i < WORLD_WAIT_MS && count_of(vm) == from; i++)
		usleep(1000);
	return count_of(vm) != from;
}

static void test_vcpu(void)
{
	static struct vcpus vcpus;
	autofd int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	autofd int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct err err = ERR_INIT;
	uint32_t at, late = 0, turns = 0;
	struct vm vm;

	if (kvm < 0) {
		skip("no /dev/kvm");
		return;
	}
	if (!set_up(&vm, kvm, &err) || vcpus_start(&vcpus, &vm, event, -1, NULL, &err) < 0) {
		ok(false, "a guest that counts: %s", err.msg);
		return;
	}
	vcpus_run(&vcpus);
	ok(counts_on(&vm), "the guest runs");
	vcpus_hold(&vcpus);
	do { /* it stops within microseconds, when the machine has them */
		at = count_of(&vm);
		usleep(100000);
	} while (count_of(&vm) != at && ++turns < WORLD_WAIT_MS / 100);
	usleep(200000);
	eq_int(count_of(&vm), at, "held, it does not");
	vcpus_run(&vcpus);
	ok(counts_on(&vm), "let go, it does");
	for (int i = 0; i < 300; i++) { /* the kick of a hold may come when that is over */
		vcpus_hold(&vcpus);
		vcpus_run(&vcpus);
		late += !counts_on(&vm);
	}
	eq_int(late, 0, "however short the hold was");
	ok(!vcpus_ended(&vcpus), "and nothing is broken by it");
	vcpus_hold(&vcpus); /* it lives on, held, until this process ends */
}

int main(void)
{
	struct err err = ERR_INIT;

	eq_int(life_block_signals(&err), 0, "signals are blocked");
	test_states();
	test_kill();
	test_deadlines();
	test_vcpu();
	return tap_done();
}
