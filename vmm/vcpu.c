/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base.h"

#define KICK_SIGNAL   SIGURG /* ignored by default and never forwarded: nobody else needs it */
#define SERIAL_PORT   0x3f8  /* earlyprintk=serial,0x3f8: its status port reads all ones, "ready" */
#define AMD_RESET_RIP 0xfff0 /* what a processor that KVM reset after a triple fault says */
#define STACK_BYTES   (256u << 10)

static void futex_wait(_Atomic uint32_t *word, uint32_t while_value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static uint64_t vcpu_rip(const struct vcpu *v)
{
	struct kvm_regs regs;

	if (ioctl(v->all->vm->vcpu_fd[v->index], KVM_GET_REGS, &regs) < 0)
		return 0;
	return regs.rip;
}

static void tell(struct vcpu *v)
{
	uint64_t one = 1;

	/* Cannot fail: the counter is far from its end. */
	if (write(v->all->event_fd, &one, sizeof(one)) < 0)
		return;
}

__attribute__((format(printf, 3, 4))) static void ended(
	struct vcpu *v, enum vcpu_end end, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->text, sizeof(v->text), fmt, ap);
	va_end(ap);
	atomic_store(&v->end, end);
	tell(v);
}

/* There are no ports: reads give all ones, writes are ignored, but for the early console's bytes.
 */
static void port_io(struct vcpu *v, struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	size_t bytes = (size_t)run->io.size * run->io.count;

	if (run->io.direction == KVM_EXIT_IO_IN)
		memset(data, 0xff, bytes);
	else if (run->io.port == SERIAL_PORT && run->io.size == 1 && v->all->serial_fd >= 0)
		if (write(v->all->serial_fd, data, bytes) < 0)
			return; /* the reader is behind: this text is lost, as documented */
}

static void mmio(struct vcpu *v, struct kvm_run *run)
{
	uint32_t len = MIN(run->mmio.len, (uint32_t)sizeof(run->mmio.data));

	if (run->mmio.is_write)
		bus_write(&v->all->vm->bus, run->mmio.phys_addr, run->mmio.data, len);
	else
		bus_read(&v->all->vm->bus, run->mmio.phys_addr, run->mmio.data, len);
}

static void shutdown_exit(struct vcpu *v)
{
	uint64_t rip = vcpu_rip(v);

	if (rip == AMD_RESET_RIP)
		ended(v, VCPU_SHUTDOWN, "vCPU %u: triple fault", v->index);
	else
		ended(v, VCPU_SHUTDOWN, "vCPU %u: triple fault at RIP 0x%" PRIx64, v->index, rip);
}

static void internal_error_exit(struct vcpu *v, const struct kvm_run *run)
{
	if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
		ended(v, VCPU_BROKEN,
			"vCPU %u: this KVM failed to emulate the instruction at RIP 0x%" PRIx64
			" ('coracle check' says what this machine's KVM can do)",
			v->index, vcpu_rip(v));
	else
		ended(v, VCPU_BROKEN, "vCPU %u: KVM reports internal error %u at RIP 0x%" PRIx64,
			v->index, run->internal.suberror, vcpu_rip(v));
}

/* Returns false when this vCPU can run no further. */
static bool handle_exit(struct vcpu *v, struct kvm_run *run)
{
	switch (run->exit_reason) {
	case KVM_EXIT_MMIO: mmio(v, run); return true;
	case KVM_EXIT_IO: port_io(v, run); return true;
	case KVM_EXIT_INTR: return true;
	case KVM_EXIT_SHUTDOWN: shutdown_exit(v); return false;
	case KVM_EXIT_INTERNAL_ERROR: internal_error_exit(v, run); return false;
	case KVM_EXIT_FAIL_ENTRY:
		ended(v, VCPU_BROKEN,
			"vCPU %u: the processor refused to enter the guest (hardware reason "
			"0x%llx) "
			"at RIP 0x%" PRIx64,
			v->index, run->fail_entry.hardware_entry_failure_reason, vcpu_rip(v));
		return false;
	case KVM_EXIT_SYSTEM_EVENT:
		ended(v, VCPU_BROKEN, "vCPU %u: system event %u", v->index, run->system_event.type);
		return false;
	case KVM_EXIT_HLT: /* only without the in-kernel APIC: nothing could ever wake it */
		ended(v, VCPU_BROKEN, "vCPU %u: halted for good at RIP 0x%" PRIx64, v->index,
			vcpu_rip(v));
		return false;
	default:
		ended(v, VCPU_BROKEN, "vCPU %u: unexpected KVM exit %u at RIP 0x%" PRIx64, v->index,
			run->exit_reason, vcpu_rip(v));
		return false;
	}
}

static void wait_while_held(struct vcpu *v, struct kvm_run *run)
{
	if (atomic_load(&v->all->held)) {
		atomic_store(&v->parked, 1);
		tell(v);
		while (atomic_load(&v->all->held))
			futex_wait(&v->all->held, 1);
		/* One that is held again from here on is not in the guest either: see below. */
		atomic_store(&v->parked, 0);
	}
	/* A hold that comes from here on sets it again, before its signal. */
	__atomic_store_n(&run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	if (atomic_load(&v->all->held))
		__atomic_store_n(&run->immediate_exit, 1, __ATOMIC_SEQ_CST);
}

/* System calls: ioctl KVM_RUN, KVM_KVMCLOCK_CTRL and KVM_GET_REGS; futex; what a transport does (vmm/virtio/mmio.c);
 * write. */
static void run_guest(struct vcpu *v)
{
	struct kvm_run *run = v->all->vm->run[v->index];
	int fd = v->all->vm->vcpu_fd[v->index];

	for (bool first = true;; first = false) {
		/* After a hold that was over before its signal came, immediate_exit is left. */
		if (atomic_load_explicit(&v->all->held, memory_order_relaxed) ||
			__atomic_load_n(&run->immediate_exit, __ATOMIC_RELAXED)) {
			wait_while_held(v, run);
			if (!first) /* no clock of its own (EINVAL): no watchdog to be told */
				(void)ioctl(fd, KVM_KVMCLOCK_CTRL, 0);
		}
		if (ioctl(fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			ended(v, VCPU_BROKEN, "vCPU %u: KVM cannot run it at RIP 0x%" PRIx64 ": %s",
				v->index, vcpu_rip(v), strerror(errno));
			return;
		}
		if (!handle_exit(v, run))
			return;
	}
}

static int shut_in(struct vcpu *v)
{
	const struct vcpus *all = v->all;
	const struct vcpu_jail *jail = all->jail;
	int keep[3 + VCPU_BUS_FDS_MAX];
	unsigned n = 0;

	BUG_ON(jail->n_fds > VCPU_BUS_FDS_MAX);
	keep[n++] = all->vm->vcpu_fd[v->index];
	keep[n++] = all->event_fd;
	keep[n++] = all->serial_fd;
	memcpy(keep + n, jail->fds, jail->n_fds * sizeof(keep[0]));
	return jail->close(keep, n + jail->n_fds, &v->jail_err);
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	char name[16];
	sigset_t kick;

	snprintf(name, sizeof(name), "vcpu%u", v->index);
	prctl(PR_SET_NAME, name);
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	v->jail_result = v->all->jail ? shut_in(v) : 0;
	atomic_fetch_add(&v->all->ready, 1);
	futex_wake(&v->all->ready);
	if (v->jail_result == 0)
		run_guest(v);
	for (;;) /* the process ends from the main thread only */
		futex_wait(&v->all->held, atomic_load(&v->all->held));
	return NULL;
}

/* Only there to interrupt KVM_RUN. */
static void on_kick(int signo)
{
}

static int spawn(struct vcpu *v, struct err *err)
{
	pthread_attr_t attr;
	int r;

	r = pthread_attr_init(&attr);
	if (r == 0) {
		pthread_attr_setstacksize(&attr, STACK_BYTES);
		r = pthread_create(&v->thread, &attr, vcpu_thread, v);
		pthread_attr_destroy(&attr);
	}
	return r ? err_set(err, r, "cannot start the thread of vCPU %u", v->index) : 0;
}

int vcpus_start(struct vcpus *all, struct vm *vm, int event_fd, int serial_fd,
	const struct vcpu_jail *jail, struct err *err)
{
	struct sigaction sa = {.sa_handler = on_kick}; /* no SA_RESTART */
	uint32_t ready;

	memset(all, 0, sizeof(*all));
	all->vm = vm;
	all->event_fd = event_fd;
	all->serial_fd = serial_fd;
	all->jail = jail;
	atomic_store(&all->held, 1);
	if (sigaction(KICK_SIGNAL, &sa, NULL) < 0)
		return err_set(err, errno, "cannot set the vCPUs' kick signal");
	for (uint32_t i = 0; i < vm->vcpus; i++) {
		struct vcpu *v = &all->v[i];
		int r;

		v->all = all;
		v->index = i;
		r = spawn(v, err);
		if (r < 0)
			return r;
	}
	while ((ready = atomic_load(&all->ready)) < vm->vcpus)
		futex_wait(&all->ready, ready);
	all->jail = NULL;
	for (uint32_t i = 0; i < vm->vcpus; i++)
		if (all->v[i].jail_result < 0) {
			*err = all->v[i].jail_err;
			return err_wrap(err, "cannot jail vCPU %u", i);
		}
	return 0;
}

void vcpus_leave_fds(struct vcpus *all)
{
	/* By number, which the threads go on reading. */
	for (uint32_t i = 0; i < all->vm->vcpus; i++)
		close(all->vm->vcpu_fd[i]);
	if (all->serial_fd >= 0)
		close(all->serial_fd);
}

void vcpus_run(struct vcpus *all)
{
	atomic_store(&all->held, 0);
	futex_wake(&all->held);
}

void vcpus_hold(struct vcpus *all)
{
	atomic_store(&all->held, 1);
	for (uint32_t i = 0; i < all->vm->vcpus; i++) {
		__atomic_store_n(&all->vm->run[i]->immediate_exit, 1, __ATOMIC_SEQ_CST);
		pthread_kill(all->v[i].thread, KICK_SIGNAL);
	}
}

bool vcpus_parked(const struct vcpus *all)
{
	for (uint32_t i = 0; i < all->vm->vcpus; i++)
		if (!atomic_load(&all->v[i].parked) && atomic_load(&all->v[i].end) == VCPU_RUNS)
			return false;
	return true;
}

const struct vcpu *vcpus_ended(const struct vcpus *all)
{
	for (uint32_t i = 0; i < all->vm->vcpus; i++)
		if (atomic_load(&all->v[i].end) != VCPU_RUNS)
			return &all->v[i];
	return NULL;
}
