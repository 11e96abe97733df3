/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers that are processes (worker_proc.h). One that ends takes its device along, and a container without one of
 * its devices is not let run on: it ends, with a line that names the device and how its worker ended. The socket of a
 * worker ends a moment before its process does: what fails there waits for that, for LIFE_WORKER_MS.
 */
#include "vmm/life_priv.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>

#include "vmm/virtio/fault.h"

static bool has_process(const struct life *l)
{
	return l->procs && l->procs->vsock && l->procs->vsock->pidfd >= 0;
}

int life_workers_watch(struct life *l, struct err *err)
{
	for (unsigned i = 0; l->procs && i < l->procs->n; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u64 = EV_WORKER + i};

		if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->procs->p[i].pidfd, &ev) < 0)
			return err_set(err, errno, "cannot watch a worker");
	}
	return 0;
}

/* As the VMM itself would have ended: by a forbidden system call, by SIGKILL after the user's, or as a VM that
 * failed. */
static uint32_t status_of(const struct life *l, int signo)
{
	return l->ready_reported && signo == SIGSYS ? 128 + SIGSYS : 0;
}

void life_worker_ended(struct life *l, unsigned index)
{
	struct worker_proc *p = &l->procs->p[index];
	struct err err = ERR_INIT;
	int signo;

	if (!worker_proc_ended(p, &signo, &err))
		return;
	while (log_take_line(&l->log, &l->line_fd)) /* its last word comes first */
		;
	if (l->state != LIFE_DRAINING && !l->killed) {
		life_fail(l, status_of(l, signo), &err, false);
		return;
	}
	/* The end is under way, and its status is known. Only the output needs a device still. */
	log_write(&l->log, LOG_LEVEL_ERROR, "%s", err.msg);
	if (l->state != LIFE_DRAINING)
		life_end(l, 128 + SIGKILL);
	else if (p == l->procs->vsock)
		life_end(l, l->status);
}

static void fail(struct life *l, const char *text)
{
	struct err err = ERR_INIT;

	if (l->state == LIFE_DRAINING) {
		life_end(l, l->status);
		return;
	}
	err_plain(&err, EIO, "%s", text);
	life_fail(l, 0, &err, false);
}

static const char failed[] = "the vsock device has failed";

void life_vsock_broken(struct life *l)
{
	fail(l, "the vsock device answers what it was not asked");
}

void life_vsock_failed(struct life *l)
{
	if (!has_process(l)) {
		fail(l, failed);
		return;
	}
	if (l->vsock_gone)
		return;
	l->vsock_gone = true;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, l->vsock_fd, NULL);
	life_set_deadline(l, DEADLINE_WORKER, LIFE_WORKER_MS);
}

void life_worker_expired(struct life *l)
{
	/* Both: how the VM died says more. While draining it is the output that was waited for. */
	if (l->vsock_gone && (!l->vm_waits || l->state == LIFE_DRAINING))
		fail(l, failed);
	else
		life_vm_died(l);
}

/* A device whose worker's socket has ended is lost to the guest at once, which may die of it before the process is seen to
 * have ended. */
bool life_worker_is_why(struct life *l)
{
	bool mute = false;

	for (unsigned i = 0; l->procs && l->procs->n && i < l->faults->n; i++)
		mute |= atomic_load(&l->faults->device[i].shared->faults[VDEV_MUTE]) != 0;
	if (!mute)
		return false;
	if (l->vm_waits) /* until the deadline, which is 0 when it is over */
		return l->deadline_ns[DEADLINE_WORKER];
	l->vm_waits = true;
	life_set_deadline(l, DEADLINE_WORKER, LIFE_WHY_MS);
	return true;
}

int life_vsock_lost(struct life *l, struct err *err)
{
	if (has_process(l) && worker_proc_wait(l->procs->vsock, LIFE_WORKER_MS, err))
		return -err->errnum;
	return err_plain(err, EIO, "%s", failed);
}
