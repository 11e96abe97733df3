/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that are processes: how they start, and what becomes of the container when one ends. The processes here are
 * children that wait, or other programs. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "tests/tap.h"
#include "tests/unit/life_world.h"
#include "vmm/life_priv.h"
#include "vmm/virtio/fault.h"
#include "vmm/worker_config.h"

enum { FS, VSOCK, WORKERS };

#define OWED_MS 1200 /* owed by a guest; LIFE_LAST_WORDS_MS < it < LIFE_WHY_MS */

static struct world w;
static struct worker_procs procs;
static pid_t pid[WORKERS];

static void start_children(void)
{
	static const char *const names[WORKERS] = {"fs", "vsock"};

	memset(&procs, 0, sizeof(procs));
	for (unsigned i = 0; i < WORKERS; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			for (;;)
				pause();
		procs.p[procs.n++] = (struct worker_proc){
			.device = names[i], .pidfd = (int)syscall(SYS_pidfd_open, pid[i], 0)};
	}
	procs.vsock = &procs.p[VSOCK];
}

static void begin_within(uint32_t boot_ms)
{
	struct err err = ERR_INIT;

	start_children();
	world_make(&w, boot_ms);
	w.life.start_ms = OWED_MS;
	w.life.procs = &procs;
	if (life_workers_watch(&w.life, &err) < 0)
		printf("Bail out! %s\n", err.msg);
	world_go(&w);
}

static void begin(void)
{
	begin_within(0);
}

static int end(void)
{
	int status = world_end(&w);

	worker_procs_end(&procs);
	for (unsigned i = 0; i < WORKERS; i++)
		eq_int(kill(pid[i], 0) < 0 ? errno : 0, ESRCH, "its process is gone");
	return status;
}

static void reports(int type, const char *text)
{
	struct vmm_report r = world_report(&w);

	eq_int(r.type, type, "a report of the right kind");
	eq_str(r.text, text, "says which, and how");
}

static void test_killed(void)
{
	begin();
	world_up(&w);
	kill(pid[FS], SIGKILL);
	reports(VMM_ENDED, "the worker of device 'fs' was killed by signal 9");
	ok(world_logged(&w, "the worker of device 'fs' was killed by signal 9", 1),
		"and so the log");
	eq_int(end(), LIFE_STATUS_VM, "the container has failed");
}

static void test_forbidden_call(void)
{
	begin();
	world_up(&w);
	kill(pid[VSOCK], SIGSYS);
	reports(VMM_ENDED, "the worker of device 'vsock' was killed by signal 31");
	eq_int(end(), 128 + SIGSYS, "as a VMM that made a forbidden call");
}

static void test_before_ready(void)
{
	begin();
	kill(pid[FS], SIGSYS);
	reports(VMM_FAILED, "the worker of device 'fs' was killed by signal 31");
	eq_int(end(), 1, "it was not created");
}

/* The socket is closed before the process has ended: what is told is how that ends. */
static void test_socket_first(void)
{
	begin();
	world_up(&w);
	shutdown(w.vsock_dev, SHUT_RDWR);
	usleep(100000); /* the point: the end of the socket is seen, and not told of */
	kill(pid[VSOCK], SIGKILL);
	reports(VMM_ENDED, "the worker of device 'vsock' was killed by signal 9");
	eq_int(end(), LIFE_STATUS_VM, "the container has failed");
}

static void test_socket_only(void)
{
	begin();
	world_up(&w);
	shutdown(w.vsock_dev, SHUT_RDWR);
	reports(VMM_ENDED, "the vsock device has failed");
	eq_int(end(), LIFE_STATUS_VM, "it is not waited for for ever");
}

static void test_after_kill(void)
{
	begin();
	world_up(&w);
	eq_int(world_ask(&w, CTL_SIGNAL, SIGKILL).errnum, 0, "SIGKILL is taken");
	kill(pid[FS], SIGKILL);
	eq_int(end(), 128 + SIGKILL, "the end that was asked for");
}

static void test_while_draining(void)
{
	begin();
	world_up(&w);
	__atomic_store_n(&w.drain_at_once, false, __ATOMIC_SEQ_CST);
	guest_exited(&w, 5);
	while (!__atomic_load_n(&w.drain_id, __ATOMIC_SEQ_CST))
		usleep(1000);
	kill(pid[FS], SIGKILL);
	ok(world_logged(&w, "the worker of device 'fs' was killed", 1), "no more needed: a line");
	kill(pid[VSOCK], SIGKILL);
	reports(VMM_ENDED, "");
	eq_int(end(), 5, "the status is the program's");
}

/* The guest loses a device, and dies of it, before the worker's process has ended. */
static void guest_dies(void)
{
	vdev_note(&w.shared, w.faults.fd, VDEV_MUTE);
	w.vm.vcpus = 1;
	snprintf(w.vcpus.v[0].text, sizeof(w.vcpus.v[0].text), "vCPU 0: triple fault");
	atomic_store(&w.vcpus.v[0].end, VCPU_SHUTDOWN);
	eventfd_write(w.vcpu_fd, 1);
	ok(world_logged(&w, "device toy failed", 1), "a device is lost");
}

static void guest_dies_of(void (*first)(void), void (*then)(void), const char *text)
{
	begin();
	world_up(&w);
	first();
	guest_dies();
	then();
	reports(VMM_ENDED, text);
	eq_int(end(), LIFE_STATUS_VM, "the container has failed");
}

static void nothing(void)
{
}

static void kill_fs(void)
{
	kill(pid[FS], SIGKILL);
}

static void kill_fs_late(void)
{
	usleep((OWED_MS + 500) * 1000); /* the point: nothing is told when that is over */
	kill_fs();
}

/* init dies, and the kernel of that. */
static void panic(void)
{
	static const char line[] = "[    1.0] Kernel panic - not syncing: no init\n";

	BUG_ON(write(w.console_w, line, sizeof(line) - 1) != sizeof(line) - 1);
	shutdown(w.guest, SHUT_RDWR);
}

static void lose_vsock(void)
{
	shutdown(w.vsock_dev, SHUT_RDWR);
}

static void test_guest_first(void)
{
	static const char killed[] = "the worker of device 'fs' was killed by signal 9";

	guest_dies_of(nothing, kill_fs, killed);
	guest_dies_of(panic, kill_fs_late, killed);
	guest_dies_of(nothing, nothing, "the VM stopped: vCPU 0: triple fault");
	guest_dies_of(panic, lose_vsock,
		"the guest kernel died: Kernel panic - not syncing: no init (vCPU 0: triple "
		"fault)");
}

/* Where the guest owes READY, or STARTED, when it dies so. */
static void test_guest_owes(void)
{
	static const char killed[] = "the worker of device 'fs' was killed by signal 9";
	struct proto_signal none;
	int conn;

	begin_within(OWED_MS);
	guest_dies();
	kill_fs_late();
	reports(VMM_FAILED, killed);
	eq_int(end(), 1, "it was not created");

	begin_within(0);
	guest_hello(&w);
	guest_ready(&w);
	eq_int(world_report(&w).type, VMM_READY, "created");
	conn = world_client(&w);
	ctl_send(conn, CTL_START, 0);
	eq_int(guest_heard(&w, &none), PROTO_START, "and asked to start");
	guest_dies();
	kill_fs_late();
	reports(VMM_ENDED, killed);
	eq_int(end(), LIFE_STATUS_VM, "the container has failed");
	close(conn);
}

/* While the container's streams are bound. */
static void test_lost_at_first(void)
{
	struct err err = ERR_INIT;
	struct life l = {.procs = &procs};

	start_children();
	kill(pid[VSOCK], SIGKILL);
	eq_int(life_vsock_lost(&l, &err), -EIO, "an error");
	eq_str(err.msg, "the worker of device 'vsock' was killed by signal 9", "the worker's end");
	worker_procs_end(&procs);
	err = (struct err)ERR_INIT;
	l.procs = NULL;
	eq_int(life_vsock_lost(&l, &err), -EIO, "a thread's");
	eq_str(err.msg, "the vsock device has failed", "has no end of its own");
}

/* Starting */

static const struct vdev_ops toy = {.name = "toy"};

/* `program` as the worker: what the VMM hears of it. */
static void starts(const char *program, const char *want)
{
	static struct guest_mem mem = {.n = 1, .fd = -1};
	struct vdev dev = {
		.ops = &toy, .env = {.mem = &mem, .cmd_fd = -1, .irq_fd = -1, .fault_fd = -1}};
	struct worker_launch launch = {.log_fd = -1, .root_fd = -1, .id = "box"};
	struct worker_procs one = {.n = 1};
	struct err err = ERR_INIT;
	int s[2], r;

	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		dev.env.kick_fd[i] = dev.env.fd[i] = -1;
	launch.exe_fd = open(program, O_PATH | O_CLOEXEC);
	launch.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	BUG_ON(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) < 0);
	dev.env.ctl_fd = s[1];
	eq_int(worker_proc_spawn(&one.p[0], &launch, &dev, -1, &err), 0, "it is started");
	close(s[1]);
	r = worker_proc_await(&one.p[0], s[0], &err);
	ok(r < 0, "and not ready");
	eq_str(err.msg, want, "for this reason");
	worker_procs_end(&one);
	close(s[0]);
	close(launch.exe_fd);
	close(launch.null_fd);
}

static void hears(const void *msg, size_t len, int want, const char *text)
{
	struct worker_proc none = {.device = "toy", .pidfd = -1};
	struct err err = ERR_INIT;
	int s[2];

	BUG_ON(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) < 0);
	send(s[1], msg, len, 0);
	eq_int(worker_proc_await(&none, s[0], &err), want, "the word of a worker");
	eq_str(err.msg, text, "as it is told");
	close(s[0]);
	close(s[1]);
}

static void test_start(void)
{
	struct worker_report r = {.errnum = 0};

	starts("/bin/false", "the worker of device 'toy' ended with status 1");
	starts("/dev/null", "the worker of device 'toy' ended with status 127");
	hears(&r, sizeof(r), 0, "");
	hears(&r, sizeof(r) - 1, -EPROTO, "its worker does not say whether it is ready");
	r.errnum = EPERM;
	hears(&r, sizeof(r), -EPERM, "its worker does not say why");
	memset(r.text, 'x', sizeof(r.text));
	r.errnum = INT32_MIN;
	r.text[5] = '\0';
	hears(&r, sizeof(r), -EPROTO, "xxxxx");
}

int main(void)
{
	struct err err = ERR_INIT;

	if (life_block_signals(&err) < 0)
		printf("Bail out! %s\n", err.msg);
	test_start();
	test_lost_at_first();
	test_killed();
	test_forbidden_call();
	test_before_ready();
	test_socket_first();
	test_socket_only();
	test_after_kill();
	test_guest_first();
	test_guest_owes();
	test_while_draining();
	return tap_done();
}
