/* SPDX-License-Identifier: Apache-2.0 */
/* Exec'd processes whose proxies hang up, and the end of the container under them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "tests/unit/exec_world.h"

/* A proxy that goes at each possible moment leaves nothing behind. */
static void test_hang_ups(void)
{
	unsigned before = open_fds(), n = 0;
	struct proto_exec m;
	struct world w;
	uint32_t id;
	int conn;

	exec_begin(&w);
	dev_hold(VSOCK_CMD_BIND);
	close(proxy(&w));
	dev_release(&w, 1);
	dev_wait_unbinds(++n);
	ok(heard_nothing(&w), "gone before a port is bound: the guest never hears of it");

	conn = proxy(&w);
	m = heard_exec(&w);
	close(conn);
	eq_int(heard_kill(&w), m.id, "gone before STARTED: killed");
	say_started(&w, m.id);
	eq_int(heard_kill(&w), m.id, "and once more when it is there to be killed");
	say_exited(&w, m.id, 137);
	say_closed(&w, m.id);
	dev_wait_unbinds(++n);
	ok(is_free_again(&w, m.port), "nothing is left of it");
	dev_wait_unbinds(++n);

	conn = proxy(&w);
	m = heard_exec(&w);
	close(conn);
	eq_int(heard_kill(&w), m.id, "gone before FAILED");
	say_failed(&w, m.id, ENOENT, 127, "no");
	say_closed(&w, m.id);
	dev_wait_unbinds(++n);
	ok(is_free_again(&w, m.port), "nothing is left of it");
	dev_wait_unbinds(++n);

	id = run_one(&w, &conn);
	ctl_send(conn, CTL_SIGNAL, SIGTERM);
	close(conn);
	{
		struct proto_signal sig = {0};

		ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.signo == SIGTERM,
			"gone while it runs: what it said last is done");
	}
	eq_int(heard_kill(&w), id, "then it is killed");
	say_exited(&w, id, 137);
	say_closed(&w, id);
	dev_wait_unbinds(++n);

	id = run_one(&w, &conn);
	dev_hold(VSOCK_CMD_DRAIN);
	say_exited(&w, id, 3);
	close(conn);
	say_closed(&w, id);
	dev_release(&w, 1);
	dev_wait_unbinds(++n);
	ok(heard_nothing(&w),
		"gone between EXITED and DRAIN's reply: no signal for what has ended");

	id = run_one(&w, &conn);
	dev_hold(VSOCK_CMD_UNBIND);
	say_exited(&w, id, 3);
	ctl_answer(conn);
	close(conn);
	say_closed(&w, id);
	dev_release(&w, 1);
	for (n++; !is_free_again(&w, PROTO_PORT_EXEC) && n < 50;) /* the answer may be on its way */
		dev_wait_unbinds(++n);
	dev_wait_unbinds(++n);
	ok(n < 50, "all of that left its ports");
	guest_exited(&w, 0);
	exec_end(&w);
	eq_int(w.life.execs.n, 0, "and no slot");
	eq_int(open_fds(), before, "nor a descriptor");
}

/* Each proxy has its last reply when the VM ends. */
static void test_end(void)
{
	int running, draining, asked;
	struct ctl_reply r;
	struct proto_exec m;
	struct world w;
	uint32_t id;
	uint64_t t;

	exec_begin(&w);
	run_one(&w, &running);
	id = run_one(&w, &draining);
	asked = proxy(&w);
	m = heard_exec(&w);
	dev_hold(VSOCK_CMD_DRAIN);
	say_exited(&w, id, 5);
	t = timeline_now();
	guest_exited(&w, 0);
	exec_end(&w);
	ok(timeline_now() - t >= LIFE_EXECS_MS * 1000000ull && timeline_now() - t < 15000000000ull,
		"a reader of an exec'd process's output that sleeps has a second");
	r = ctl_answer(running);
	ok(!r.errnum && r.exit_status == 137 && r.phase == VM_STOPPED,
		"the container ends: 137 for one that was running");
	r = ctl_answer(draining);
	ok(!r.errnum && r.exit_status == 5, "its own status for one that had ended");
	r = ctl_answer(asked);
	ok(r.errnum == ESRCH && m.id, "an error for one that had not begun");
	has_str(said(r.text), "the container has ended");
	close(running);
	close(draining);
	close(asked);

	exec_begin(&w);
	id = run_one(&w, &draining);
	dev_hold(VSOCK_CMD_DRAIN);
	say_exited(&w, id, 6);
	say_closed(&w, id);
	guest_exited(&w, 0);
	dev_release(&w, 1);
	eq_int(exec_end(&w), 0, "one that reads");
	r = ctl_answer(draining);
	ok(!r.errnum && r.exit_status == 6, "has all of it");
	eq_int(dev.drains, 2, "with what its children wrote");
	close(draining);

	exec_begin(&w);
	run_one(&w, &running);
	dev_hold(VSOCK_CMD_BIND);
	asked = proxy(&w);
	pthread_mutex_lock(&dev.lock);
	while (!dev.n_held)
		pthread_cond_wait(&dev.news, &dev.lock);
	pthread_mutex_unlock(&dev.lock);
	w.vm.vcpus = 1;
	snprintf(w.vcpus.v[0].text, sizeof(w.vcpus.v[0].text), "vCPU 0: triple fault");
	atomic_store(&w.vcpus.v[0].end, VCPU_SHUTDOWN);
	BUG_ON(write(w.vcpu_fd, &(uint64_t){1}, 8) != 8);
	exec_end(&w);
	r = ctl_answer(running);
	ok(r.errnum == EIO && strstr(r.text, "triple fault"), "the VM dies: the reason");
	r = ctl_answer(asked);
	ok(r.errnum == EIO && strstr(r.text, "triple fault"), "to all of them");
	close(running);
	close(asked);
}

int main(void)
{
	exec_start();
	test_hang_ups();
	test_end();
	return tap_done();
}
