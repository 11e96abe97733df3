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

/* The guest is asked to freeze ("1") or to thaw ("0") the container; the question's id, 0: it is not. */
static uint32_t heard_freeze(struct world *w, char value)
{
	static const char name[] = "cgroup.freeze";
	struct pollfd p = {.fd = w->guest, .events = POLLIN};
	struct {
		struct proto_hdr h;
		struct proto_ask ask;
		uint8_t payload[4 + 4 + sizeof(name) + 4 + 2];
	} m;

	if (poll(&p, 1, WORLD_WAIT_MS) != 1 || recv(w->guest, &m, sizeof(m), 0) != sizeof(m))
		return 0;
	return m.h.type == PROTO_ASK && m.h.len == sizeof(m) - sizeof(m.h) &&
			       m.ask.what == PROTO_ASK_UPDATE && m.payload[0] == 1 &&
			       !memcmp(m.payload + 8, name, sizeof(name)) &&
			       m.payload[8 + sizeof(name) + 4] == value
		       ? m.ask.id
		       : 0;
}

static void say_answer(struct world *w, uint32_t id, int32_t errnum)
{
	struct proto_answer m = {.id = id, .errnum = errnum};

	guest_say(w, PROTO_ANSWER, &m, sizeof(m));
}

static void freezes(struct world *w, char value, int32_t errnum)
{
	uint32_t id = heard_freeze(w, value);

	ok(id != 0, "the guest is asked to %s the container", value == '1' ? "freeze" : "thaw");
	say_answer(w, id, errnum);
}

/* PAUSE, and a guest that answers it with errnum. */
static struct ctl_reply pauses(struct world *w, int32_t errnum)
{
	autofd int s = world_client(w);

	ctl_send(s, CTL_PAUSE, 0);
	freezes(w, '1', errnum);
	return ctl_answer(s);
}

static struct ctl_reply resumes(struct world *w)
{
	struct ctl_reply r = world_ask(w, CTL_RESUME, 0);

	freezes(w, '0', 0);
	return r;
}

static bool is_held(struct world *w)
{
	return __atomic_load_n(&w->life.held, __ATOMIC_SEQ_CST);
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
	r = pauses(&w, 0);
	ok(r.errnum == 0 && r.phase == VM_PAUSED, "a created container is paused");
	eq_int(world_ask(&w, CTL_START, 0).errnum, EBUSY, "and not started then");
	r = resumes(&w);
	ok(r.errnum == 0 && r.phase == VM_CREATED, "it is resumed");
	eq_int(world_ask(&w, CTL_RESUME, 0).errnum, EINVAL, "once");
	conn = world_client(&w);
	ctl_send(conn, CTL_START, 0);
	BUG_ON(guest_heard(&w, &sig) != PROTO_START);
	guest_started(&w);
	eq_int(ctl_answer(conn).phase, VM_RUNNING, "and started");
	close(conn);

	r = pauses(&w, 0);
	ok(r.errnum == 0 && r.phase == VM_PAUSED && is_held(&w), "a running one is paused");
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
	r = resumes(&w);
	ok(r.errnum == 0 && r.phase == VM_RUNNING, "resumed");

	pauses(&w, 0);
	guest_exited(&w, 4);
	eq_int(world_end(&w), 4, "EXITED was under way when it was paused: it ends");
}

/* What a paused container can be asked, and when it is not let run for it. */
static void test_questions(void)
{
	struct ctl_request all = {.version = CTL_VERSION,
		.type = CTL_SIGNAL,
		.arg = SIGUSR1,
		.flags = CTL_SIGNAL_ALL};
	struct {
		struct proto_hdr h;
		struct proto_ask ask;
	} m = {.ask = {.id = 0}};
	struct proto_signal sig = {0};
	struct ctl_reply r;
	struct world w;
	char end[4];
	int conn;

	world_run_up(&w);
	pauses(&w, 0);
	conn = world_client(&w);
	ctl_send(conn, CTL_ASK, PROTO_ASK_STATS);
	fcntl(w.guest, F_SETFL, 0);
	BUG_ON(recv(w.guest, &m, sizeof(m), 0) != sizeof(m));
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_PAUSED,
		"the container is paused while a question is answered");
	ok(m.ask.what == PROTO_ASK_STATS && !is_held(&w), "the vCPUs are not held");
	say_answer(&w, m.ask.id, 0);
	r = ctl_answer(conn);
	ok(r.errnum == 0 && r.phase == VM_PAUSED && recv(conn, end, 4, 0) == 0, "it is answered");
	ok(world_ask(&w, CTL_STATE, 0).phase == VM_PAUSED && is_held(&w),
		"then they are held again");
	resumes(&w);
	BUG_ON(send(conn, &all, sizeof(all), 0) < 0);
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.process == PROTO_PROCESS_ALL,
		"a signal to all processes, for which the guest thaws them");
	pauses(&w, 0);
	eq_int(ctl_answer(conn).errnum, 0, "and which is under way when it is paused");
	eq_int(world_ask(&w, CTL_ASK, PROTO_ASK_STATS).errnum, EBUSY, "is the end of questions");
	guest_say(&w, PROTO_SIGNALED, &(struct proto_signaled){.id = sig.id}, 8);
	resumes(&w);
	pauses(&w, EIO);
	eq_int(world_ask(&w, CTL_ASK, PROTO_ASK_STATS).errnum, EBUSY,
		"as is a freezer that failed");
	ok(is_held(&w), "the vCPUs are held all the same");
	eq_int(world_ask(&w, CTL_RESUME, 0).phase, VM_RUNNING, "it is resumed, not thawed");
	close(conn);
	guest_exited(&w, 0);
	world_end(&w);
}

/* One question to the freezer at a time, whatever is asked of us meanwhile. */
static void test_freezer(void)
{
	struct world w;
	uint32_t id;
	int conn;

	world_make(&w, 0);
	w.life.freeze_ms = 50;
	world_go(&w);
	world_up(&w);
	eq_int(world_ask(&w, CTL_PAUSE, 0).phase, VM_PAUSED,
		"a guest that does not freeze is held");
	id = heard_freeze(&w, '1');
	eq_int(world_ask(&w, CTL_ASK, PROTO_ASK_STATS).errnum, EBUSY, "and not asked");
	eq_int(world_ask(&w, CTL_RESUME, 0).phase, VM_RUNNING, "resumed");
	say_answer(&w, id, 0);
	freezes(&w, '0', EAGAIN);
	freezes(&w, '0', 0);

	w.life.freeze_ms = WORLD_WAIT_MS;
	conn = world_client(&w);
	ctl_send(conn, CTL_PAUSE, 0);
	id = heard_freeze(&w, '1');
	eq_int(world_ask(&w, CTL_PAUSE, 0).errnum, EALREADY, "one pause at a time");
	eq_int(world_ask(&w, CTL_START, 0).errnum, EBUSY, "and no start meanwhile");
	eq_int(world_ask(&w, CTL_SIGNAL, SIGKILL).errnum, 0, "SIGKILL");
	eq_int(ctl_answer(conn).errnum, EINTR, "is the end of a pause that has not begun");
	close(conn);
	guest_exited(&w, 137);
	eq_int(world_end(&w), 137, "and of the container");
	ok(id != 0, "it had been asked");

	world_run_up(&w);
	conn = world_client(&w);
	ctl_send(conn, CTL_PAUSE, 0);
	heard_freeze(&w, '1');
	w.drain_at_once = false;
	guest_exited(&w, 5);
	eq_int(ctl_answer(conn).errnum, ESRCH, "a container that ends while it is to be paused");
	while (!__atomic_load_n(&w.drain_id, __ATOMIC_SEQ_CST))
		usleep(1000);
	send(w.vsock_dev, &(struct vsock_cmd_reply){.id = w.drain_id}, 8, 0);
	eq_int(world_end(&w), 5, "ends");
	close(conn);
}

/* A signal that the guest has not answered when it is paused. */
static void test_signal_under_way(void)
{
	struct proto_signal sig = {0};
	struct ctl_reply r;
	struct world w;
	int conn;

	world_run_up(&w);
	conn = world_client(&w);
	ctl_send(conn, CTL_SIGNAL, SIGTERM);
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL, "a signal is under way");
	eq_int(pauses(&w, 0).phase, VM_PAUSED, "when the container is paused");
	r = ctl_answer(conn);
	ok(r.errnum == 0 && r.phase == VM_PAUSED, "who sent it does not wait for the resume");
	resumes(&w);
	guest_say(&w, PROTO_SIGNALED, &(struct proto_signaled){.id = sig.id}, 8);
	ctl_send(conn, CTL_STATE, 0);
	r = ctl_answer(conn);
	ok(r.errnum == 0 && r.phase == VM_RUNNING, "and hears of it once");
	close(conn);
	guest_exited(&w, 0);
	world_end(&w);
}

static int errnum_of(int conn, const struct ctl_request *req)
{
	BUG_ON(send(conn, req, sizeof(*req), 0) < 0);
	return (int)ctl_answer(conn).errnum;
}

static void say_signaled(struct world *w, uint32_t id, int32_t errnum)
{
	guest_say(w, PROTO_SIGNALED, &(struct proto_signaled){.id = id, .errnum = errnum}, 8);
}

/* What the main loop sends in one turn is there when it has answered something else. */
static bool hears_no_more(struct world *w)
{
	uint8_t byte;

	world_ask(w, CTL_STATE, 0);
	return recv(w->guest, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/* Signals to all processes of a paused container: however many, each comes once, when it has been thawed. */
static void test_signals_to_all(void)
{
	struct ctl_request all = {
		.version = CTL_VERSION, .type = CTL_SIGNAL, .flags = CTL_SIGNAL_ALL};
	struct {
		struct proto_hdr h;
		struct proto_ask ask;
	} m = {.ask = {.id = 0}};
	struct proto_signal first = {0}, second = {0};
	struct world w;
	int conn, errors = 0;

	world_run_up(&w);
	pauses(&w, 0);
	conn = world_client(&w);
	for (unsigned i = 0; i < 2000; i++) {
		all.arg = i % 2 ? SIGHUP : SIGUSR1;
		errors += errnum_of(conn, &all) != 0;
	}
	eq_int(errors, 0, "2000 signals to all of a paused container: each is taken");
	ctl_send(conn, CTL_ASK, PROTO_ASK_STATS);
	fcntl(w.guest, F_SETFL, 0);
	ok(recv(w.guest, &m, sizeof(m), 0) == sizeof(m) && m.ask.what == PROTO_ASK_STATS,
		"it can be asked as before: it has not heard of them");
	say_answer(&w, m.ask.id, 0);
	eq_int(ctl_answer(conn).errnum, 0, "and answers");
	close(conn);
	eq_int(world_ask(&w, CTL_RESUME, 0).errnum, 0, "resumed");
	freezes(&w, '0', EAGAIN);
	freezes(&w, '0', 0);
	ok(guest_heard(&w, &first) == PROTO_SIGNAL && first.process == PROTO_PROCESS_ALL &&
			first.signo == SIGHUP,
		"once it is thawed it hears of the one");
	ok(hears_no_more(&w), "and not of the other, for which it would be thawed under the first");
	say_signaled(&w, first.id, 0);
	ok(guest_heard(&w, &second) == PROTO_SIGNAL && second.process == PROTO_PROCESS_ALL &&
			second.signo == SIGUSR1,
		"before it has answered");
	pauses(&w, 0);
	eq_int(world_ask(&w, CTL_ASK, PROTO_ASK_STATS).errnum, EBUSY,
		"paused again before it has answered: nobody knows whether it thaws it");
	say_signaled(&w, second.id, 0);
	resumes(&w);
	guest_exited(&w, 0);
	eq_int(world_end(&w), 0, "and that was all");
}

#define MANY 20u /* more than init works on at a time (init/ask.h) */

/* Resumed, with MANY signals to all processes that are due. */
static void resume_many(struct world *w)
{
	autofd int conn = world_client(w);
	int errors = 0;

	pauses(w, 0);
	for (unsigned i = 0; i < MANY; i++)
		errors += errnum_of(conn, &(struct ctl_request){.version = CTL_VERSION,
						  .type = CTL_SIGNAL,
						  .arg = (uint32_t)SIGRTMIN + i,
						  .flags = CTL_SIGNAL_ALL}) != 0;
	eq_int(errors, 0, "many signals to all of a paused container are taken");
	resumes(w);
}

/* None is lost, nor sent while another is under way, whatever the guest answers. */
static void test_many_to_all(void)
{
	struct proto_signal sig = {0};
	uint64_t seen = 0, want = 0, again = 0;
	unsigned at_once = 0;
	struct world w;

	world_run_up(&w);
	resume_many(&w);
	for (unsigned i = 0; i < MANY; i++)
		want |= 1ull << ((uint32_t)SIGRTMIN + i - 1);
	while (seen != want && guest_heard(&w, &sig) == PROTO_SIGNAL) {
		uint64_t bit = 1ull << ((sig.signo - 1) & 63);
		bool full = sig.signo % 3 == 0 && !(again & bit);

		at_once += !hears_no_more(&w);
		again |= full ? bit : 0;
		BUG_ON(seen & bit);
		seen |= full ? 0 : bit;
		say_signaled(&w, sig.id, full ? EAGAIN : 0);
	}
	ok(seen == want, "each comes, again where the guest had no room for it");
	eq_int(__builtin_popcountll(again), 6, "which was so");
	eq_int(at_once, 0, "one at a time");
	guest_exited(&w, 0);
	eq_int(world_end(&w), 0, "and that was all");
}

static void test_many_unanswered(void)
{
	struct proto_signal first = {0}, second = {0};
	struct world w;

	world_make(&w, 0);
	w.life.answer_ms = 50;
	world_go(&w);
	world_up(&w);
	resume_many(&w);
	ok(guest_heard(&w, &first) == PROTO_SIGNAL, "a guest that does not answer the first");
	ok(guest_heard(&w, &second) == PROTO_SIGNAL && second.signo == first.signo + 1,
		"hears of the second all the same");
	guest_exited(&w, 0);
	world_end(&w);
}

/* A question that waits for the guest when the container is paused. */
static void test_question_under_way(void)
{
	struct {
		struct proto_hdr h;
		struct proto_ask ask;
	} m = {.ask = {.id = 0}};
	struct ctl_reply r;
	struct world w;
	int conn;

	world_run_up(&w);
	conn = world_client(&w);
	ctl_send(conn, CTL_ASK, PROTO_ASK_STATS);
	fcntl(w.guest, F_SETFL, 0);
	BUG_ON(recv(w.guest, &m, sizeof(m), 0) != sizeof(m));
	r = pauses(&w, 0);
	ok(r.errnum == 0 && r.phase == VM_PAUSED, "a pause does not wait for a question's answer");
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_PAUSED, "the container is paused");
	ok(!is_held(&w), "and the vCPUs run for the answer");
	say_answer(&w, m.ask.id, 0);
	r = ctl_answer(conn);
	ok(r.errnum == 0 && r.phase == VM_PAUSED, "which comes");
	eq_int(world_ask(&w, CTL_STATE, 0).phase, VM_PAUSED, "then");
	ok(is_held(&w), "they are held");
	close(conn);
	resumes(&w);
	guest_exited(&w, 0);
	world_end(&w);
}

static void test_kill(void)
{
	struct proto_signal sig = {0};
	struct ctl_reply r;
	struct world w;

	world_run_up(&w);
	pauses(&w, 0);
	r = world_ask(&w, CTL_SIGNAL, SIGKILL);
	ok(r.errnum == 0 && r.phase == VM_RUNNING, "SIGKILL resumes it");
	freezes(&w, '0', 0);
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.signo == SIGKILL, "to die in order");
	guest_exited(&w, 137);
	eq_int(world_end(&w), 137, "and it does");

	world_run_up(&w);
	pauses(&w, 0);
	world_ask(&w, CTL_SIGNAL, SIGKILL);
	eq_int(world_end(&w), 137, "or its grace runs out");
}

/* Nothing that a paused guest owes runs out. */
static void test_deadlines(void)
{
	struct proto_signal drop;
	struct proto_exec asked;
	struct ctl_reply r;
	struct world w;
	uint64_t before, start_ns;
	int conn;

	world_run_up(&w);
	fcntl(w.guest, F_SETFL, 0);
	w.life.start_ms = 2500; /* far more than it takes until it is paused */
	start_ns = timeline_now();
	ask_exec(&w, &conn, 0); /* returns after 300 ms, unanswered */
	BUG_ON(guest_heard(&w, &drop) != PROTO_EXEC ||
		recv(w.guest, &asked, sizeof(asked), 0) != sizeof(asked));
	pauses(&w, 0);
	usleep(2700000);
	eq_int(recv(conn, &r, sizeof(r), MSG_DONTWAIT), -1, "paused: the proxy waits");
	before = timeline_now();
	world_ask(&w, CTL_RESUME, 0);
	r = ctl_answer(conn);
	eq_int(r.errnum, ETIMEDOUT, "resumed: the guest has the rest of its time");
	ok(timeline_now() - before > 300000000ull && timeline_now() - start_ns > 5000000000ull,
		"and not less");
	close(conn);
	freezes(&w, '0', 0);
	ok(guest_heard(&w, &drop) == PROTO_SIGNAL, "what it did not answer is killed");
	pauses(&w, 0);
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

/* Waits for the event; a stop of before may have left one. */
static bool parks(const struct vcpus *vcpus, int event)
{
	struct pollfd p = {.fd = event, .events = POLLIN};
	uint64_t count;

	while (!vcpus_parked(vcpus))
		if (poll(&p, 1, WORLD_WAIT_MS) != 1 || read(event, &count, 8) != 8)
			return false;
	return true;
}

static void test_vcpu(void)
{
	static struct vcpus vcpus;
	autofd int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	autofd int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct err err = ERR_INIT;
	uint32_t at, late = 0, moved = 0;
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
	ok(parks(&vcpus, event), "held, it says when it has stopped");
	at = count_of(&vm);
	usleep(200000);
	eq_int(count_of(&vm), at, "held, it does not");
	vcpus_run(&vcpus);
	ok(counts_on(&vm), "let go, it does");
	for (int i = 0; i < 300; i++) { /* the kick of a hold may come when that is over */
		vcpus_hold(&vcpus);
		vcpus_run(&vcpus);
		late += !counts_on(&vm);
	}
	for (int i = 0; i < 300; i++) { /* one hold right behind another */
		vcpus_hold(&vcpus);
		vcpus_run(&vcpus);
		vcpus_hold(&vcpus);
		moved += !parks(&vcpus, event);
		at = count_of(&vm);
		usleep(100);
		moved += count_of(&vm) != at;
		vcpus_run(&vcpus);
	}
	eq_int(moved, 0, "nor does it move once it is said to have stopped");
	eq_int(late, 0, "however short the hold was");
	ok(!vcpus_ended(&vcpus), "and nothing is broken by it");
	vcpus_hold(&vcpus); /* it lives on, held, until this process ends */
}

int main(void)
{
	struct err err = ERR_INIT;

	eq_int(life_block_signals(&err), 0, "signals are blocked");
	test_states();
	test_questions();
	test_freezer();
	test_signal_under_way();
	test_signals_to_all();
	test_many_to_all();
	test_many_unanswered();
	test_question_under_way();
	test_kill();
	test_deadlines();
	test_vcpu();
	return tap_done();
}
