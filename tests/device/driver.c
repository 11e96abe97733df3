/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/timeline.h"

#define ALLOC_BASE \
	0x10000u /* below: nothing valid, so that a null address is never right by chance */

const struct worker_jail *drv_jail;
bool drv_process;

void drv_die(const char *fmt, ...)
{
	va_list ap;

	printf("Bail out! ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	exit(2);
}

static int new_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		drv_die("eventfd: %s", strerror(errno));
	return fd;
}

/* The descriptors that the VMM makes for every device. */
static void open_env(struct drv *d)
{
	struct vdev_env *env = &d->dev.env;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		drv_die("socketpair: %s", strerror(errno));
	env->mem = &d->mem;
	d->shared = mmap(NULL, sizeof(*d->shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (d->shared == MAP_FAILED)
		drv_die("mmap: %s", strerror(errno));
	env->shared = d->shared;
	env->ctl_fd = pair[0];
	d->ctl_fd = pair[1];
	env->cmd_fd = d->cmd_fd = -1;
	env->irq_fd = new_eventfd();
	env->fault_fd = new_eventfd();
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		env->kick_fd[i] = new_eventfd();
	for (unsigned i = 0; i < VDEV_FDS_MAX; i++)
		env->fd[i] = -1;
}

/* The threads have a table of their own: drv_jail's. */
_Noreturn static void be_worker(struct drv *d, int ready)
{
	struct err err = ERR_INIT;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (worker_start(&d->worker, &d->dev, drv_jail, &err) < 0)
		drv_die("%s: %s", d->row->ops->name, err.msg);
	if (write(ready, "", 1) != 1)
		_exit(1);
	close_range(STDERR_FILENO + 1, ~0u, 0);
	worker_wait(d->worker);
	_exit(0);
}

static void start_process(struct drv *d)
{
	int ready[2];
	char c;

	fflush(stdout);
	if (pipe2(ready, O_CLOEXEC) < 0)
		drv_die("pipe: %s", strerror(errno));
	d->child = fork();
	if (d->child == 0)
		be_worker(d, ready[1]);
	close(ready[1]);
	if (d->child < 0 || read(ready[0], &c, 1) != 1)
		drv_die("%s: its process did not start", d->row->ops->name);
	close(ready[0]);
	close_fd(&d->dev.env.ctl_fd);
	close_fd(&d->dev.env.cmd_fd);
}

/* It ends when its control socket does, and in order. */
static void end_process(struct drv *d)
{
	int status;

	close_fd(&d->ctl_fd);
	if (waitpid(d->child, &status, 0) != d->child || status)
		drv_die("%s: its process ended with 0x%x", d->row->ops->name, (unsigned)status);
}

static void start(struct drv *d)
{
	struct err err = ERR_INIT;

	if (drv_process)
		start_process(d);
	else if (worker_start(&d->worker, &d->dev, drv_jail, &err) < 0)
		drv_die("%s: %s", d->row->ops->name, err.msg);
}

void drv_open(struct drv *d, const struct device_row *row)
{
	struct err err = ERR_INIT;

	*d = (struct drv){.row = row, .alloc_base = ALLOC_BASE, .alloc_at = ALLOC_BASE};
	d->dev.ops = row->ops;
	if (guest_mem_init(&d->mem, row->mem_bytes ? row->mem_bytes : DRV_MEM_BYTES, &err) < 0)
		drv_die("%s", err.msg);
	open_env(d);
	if (row->setup)
		row->setup(d);
	if (row->ops->init(&d->dev, &err) < 0)
		drv_die("%s: %s", row->ops->name, err.msg);
	start(d);
	d->info.device_id = row->ops->device_id;
	d->info.n_queues = d->dev.n_queues;
	d->info.queue_size_max = row->ops->queue_size;
	d->info.features = row->ops->features | BIT64(VIRTIO_F_VERSION_1) |
			   BIT64(VIRTIO_RING_F_INDIRECT_DESC) | BIT64(VIRTIO_RING_F_EVENT_IDX);
	vmmio_init(&d->mmio, &d->info, d->shared, d->ctl_fd, d->dev.env.irq_fd, d->dev.env.fault_fd,
		d->dev.env.kick_fd);
}

void drv_close(struct drv *d)
{
	if (drv_process)
		end_process(d);
	worker_free(d->worker);
	vmmio_release(&d->mmio);
	d->row->ops->release(&d->dev);
	if (d->row->teardown)
		d->row->teardown(d);
	close_fd(&d->ctl_fd);
	close_fd(&d->cmd_fd);
	close_fd(&d->dev.env.ctl_fd);
	close_fd(&d->dev.env.cmd_fd);
	close_fd(&d->dev.env.irq_fd);
	close_fd(&d->dev.env.fault_fd);
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		close_fd(&d->dev.env.kick_fd[i]);
	guest_mem_release(&d->mem);
	munmap(d->shared, sizeof(*d->shared));
}

void *drv_ptr(struct drv *d, uint64_t gpa, uint64_t len)
{
	void *p = mem_at(&d->mem, gpa, len);

	if (!p)
		drv_die("the test itself uses memory that is not there: %#llx+%#llx",
			(unsigned long long)gpa, (unsigned long long)len);
	return p;
}

uint32_t drv_rd(struct drv *d, uint32_t reg)
{
	uint32_t v;

	vmmio_read(&d->mmio, reg, &v, sizeof(v));
	return v;
}

void drv_wr(struct drv *d, uint32_t reg, uint32_t v)
{
	vmmio_write(&d->mmio, reg, &v, sizeof(v));
}

void drv_kick_hard(struct drv *d, unsigned q)
{
	if (d->kick_by_register)
		drv_wr(d, VIRTIO_MMIO_QUEUE_NOTIFY, q);
	else
		eventfd_write(d->dev.env.kick_fd[q], 1);
}

uint32_t drv_wait_irq(struct drv *d, int ms)
{
	struct pollfd p = {.fd = d->dev.env.irq_fd, .events = POLLIN};
	eventfd_t v;
	uint32_t isr;

	if (poll(&p, 1, ms) != 1 || eventfd_read(d->dev.env.irq_fd, &v) < 0)
		return 0;
	isr = drv_rd(d, VIRTIO_MMIO_INTERRUPT_STATUS);
	drv_wr(d, VIRTIO_MMIO_INTERRUPT_ACK, isr);
	return isr;
}

/* As a Linux interrupt handler: asks for an interrupt at the next used element, looks, only then
 * sleeps. */
bool drv_wait_used(struct drv *d, unsigned q, uint32_t *ret_id, uint32_t *ret_len, int ms)
{
	struct drv_queue *dq = &d->q[q];
	uint64_t end = timeline_now() + (uint64_t)ms * 1000000u;

	for (;;) {
		uint64_t now;

		if (d->features & BIT64(VIRTIO_RING_F_EVENT_IDX))
			__atomic_store_n(
				&dq->avail->ring[dq->size], dq->last_used, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (drv_pop_used(d, q, ret_id, ret_len))
			return true;
		now = timeline_now();
		if (now >= end || drv_needs_reset(d))
			return false;
		drv_wait_irq(d, (int)((end - now) / 1000000u) + 1);
	}
}

uint32_t drv_failures(struct drv *d)
{
	eventfd_t n;

	return eventfd_read(d->dev.env.fault_fd, &n) < 0 ? 0 : (uint32_t)n;
}

bool drv_wait_needs_reset(struct drv *d, int ms)
{
	uint64_t end = timeline_now() + (uint64_t)ms * 1000000u;

	while (!drv_needs_reset(d)) {
		uint64_t now = timeline_now();

		if (now >= end)
			return false;
		drv_wait_irq(d, (int)((end - now) / 1000000u) + 1);
	}
	return true;
}
