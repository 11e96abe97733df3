/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_vsock.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/proto.h"
#include "vmm/virtio/devices.h"
#include "vmm/worker_config.h"

struct device_row {
	const struct vdev_ops *ops;
	bool has_cmd; /* the main loop talks to it */
	/* Gives the device its descriptors (duplicates) in env->fd[]. May be NULL. */
	int (*give)(struct vdev_env *env, const struct devices_fds *fds, const struct vm *vm);
	/* Fills config and config_len of the transport's description. May be NULL. */
	void (*config)(struct vmmio_info *info);
};

static int give_dup(struct vdev_env *env, unsigned slot, int fd)
{
	env->fd[slot] = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return env->fd[slot] < 0 ? -errno : 0;
}

static void set_config(struct vmmio_info *info, const void *config, uint32_t len)
{
	BUG_ON(len > sizeof(info->config));
	memcpy(info->config, config, len);
	info->config_len = len;
}

static int give_fs(struct vdev_env *env, const struct devices_fds *fds, const struct vm *vm)
{
	return give_dup(env, FS_FD_ROOT, fds->share);
}

static void config_fs(struct vmmio_info *info)
{
	struct virtio_fs_config c = {.tag = FS_TAG, .num_request_queues = FS_REQUEST_THREADS};

	set_config(info, &c, sizeof(c));
}

static void config_vsock(struct vmmio_info *info)
{
	struct virtio_vsock_config c = {.guest_cid = PROTO_GUEST_CID};

	set_config(info, &c, sizeof(c));
}

static int give_balloon(struct vdev_env *env, const struct devices_fds *fds, const struct vm *vm)
{
	return give_dup(env, BALLOON_FD_MEM, vm->mem.fd);
}

static void config_balloon(struct vmmio_info *info)
{
	struct virtio_balloon_config c = {0};

	set_config(info, &c, sizeof(c));
	/* The driver tells how many pages it gave; nothing of ours depends on it. */
	memset(info->config_writable + offsetof(struct virtio_balloon_config, actual), 0xff,
		sizeof(c.actual));
}

static int give_console(struct vdev_env *env, const struct devices_fds *fds, const struct vm *vm)
{
	return give_dup(env, CONSOLE_FD_LOG, fds->log);
}

static void config_console(struct vmmio_info *info)
{
	struct virtio_console_config c = {.max_nr_ports = 1};

	set_config(info, &c, sizeof(c));
}

/* Linux probes them in this order: the console first, so that what follows can be told. */
static const struct device_row rows[] = {
	{&vdev_console, false, give_console, config_console},
	{&vdev_vsock, true, NULL, config_vsock},
	{&vdev_fs, false, give_fs, config_fs},
	{&vdev_rng, false, NULL, NULL},
	{&vdev_balloon, false, give_balloon, config_balloon},
};
_Static_assert(ARRAY_SIZE(rows) <= LAYOUT_DEVICES_MAX, "no interrupt line left");

unsigned devices_count(void)
{
	return ARRAY_SIZE(rows);
}

const struct vdev_ops *devices_ops(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].ops->name, name))
			return rows[i].ops;
	return NULL;
}

static int socket_pair(int *ret_ours, int *ret_theirs)
{
	int s[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) < 0)
		return -errno;
	*ret_ours = s[0];
	*ret_theirs = s[1];
	return 0;
}

/* A page that a process can be given, whose size none of the two can change. */
static int make_shared_fd(int *ret_fd)
{
	autofd int fd = memfd_create("vdev_shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, WORKER_SHARED_BYTES) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

static int make_shared(struct device *d, bool process)
{
	int r = process ? make_shared_fd(&d->shared_fd) : 0;
	void *p;

	if (r < 0)
		return r;
	p = mmap(NULL, WORKER_SHARED_BYTES, PROT_READ | PROT_WRITE,
		MAP_SHARED | (process ? 0 : MAP_ANONYMOUS), d->shared_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	d->dev.env.shared = p;
	return 0;
}

/* Everything in env but the eventfds of the queues, whose number only init() knows. */
static int make_env(struct device *d, const struct device_row *row, const struct devices_fds *fds,
	const struct vm *vm, bool process)
{
	struct vdev_env *env = &d->dev.env;
	int r;

	env->mem = &vm->mem;
	env->fault_fd = fds->fault;
	r = make_shared(d, process);
	if (r == 0)
		r = socket_pair(&d->main_ctl_fd, &env->ctl_fd);
	if (r == 0 && row->has_cmd)
		r = socket_pair(&d->main_cmd_fd, &env->cmd_fd);
	if (r < 0)
		return r;
	env->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (env->irq_fd < 0)
		return -errno;
	return row->give ? row->give(env, fds, vm) : 0;
}

static void empty_device(struct device *d, const struct vdev_ops *ops)
{
	memset(d, 0, sizeof(*d));
	d->dev.ops = ops;
	d->main_ctl_fd = d->main_cmd_fd = d->shared_fd = -1;
	d->dev.env.ctl_fd = d->dev.env.cmd_fd = d->dev.env.irq_fd = -1;
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		d->dev.env.kick_fd[i] = -1;
	for (unsigned i = 0; i < VDEV_FDS_MAX; i++)
		d->dev.env.fd[i] = -1;
}

static void transport_read(void *opaque, uint64_t off, void *data, uint32_t len)
{
	vmmio_read(opaque, off, data, len);
}

static void transport_write(void *opaque, uint64_t off, const void *data, uint32_t len)
{
	vmmio_write(opaque, off, data, len);
}

/* Doorbells and interrupt straight between KVM and the worker; the registers on the bus. */
static int connect_device(struct device *d, struct vm *vm, unsigned n, struct err *err)
{
	uint64_t base = LAYOUT_VIRTIO_BASE + n * (uint64_t)VMMIO_WINDOW_BYTES;
	static const struct bus_ops ops = {.read = transport_read, .write = transport_write};
	int r = 0;

	for (unsigned q = 0; r == 0 && q < d->dev.n_queues; q++)
		r = vm_ioeventfd(
			vm, base + VIRTIO_MMIO_QUEUE_NOTIFY, q, d->dev.env.kick_fd[q], err);
	if (r == 0)
		r = vm_irqfd(vm, LAYOUT_GSI_BASE + n, d->dev.env.irq_fd, err);
	if (r == 0)
		r = bus_add(&vm->bus, base, VMMIO_WINDOW_BYTES, &ops, &d->transport, err);
	return r;
}

static int make_device(struct devices *ds, unsigned n, struct vm *vm, const struct devices_fds *fds,
	bool process, struct err *err)
{
	const struct device_row *row = &rows[n];
	struct device *d = &ds->d[n];
	struct vmmio_info info = {
		.device_id = row->ops->device_id,
		.queue_size_max = row->ops->queue_size,
		.features = row->ops->features | BIT64(VIRTIO_F_VERSION_1) |
			    BIT64(VIRTIO_RING_F_INDIRECT_DESC) | BIT64(VIRTIO_RING_F_EVENT_IDX),
	};
	int r;

	empty_device(d, row->ops);
	ds->n = n + 1;
	r = make_env(d, row, fds, vm, process);
	if (r < 0)
		return err_set(
			err, -r, "cannot get the descriptors of device '%s'", row->ops->name);
	d->initialised = true;
	r = row->ops->init(&d->dev, err);
	if (r < 0)
		return err_wrap(err, "cannot prepare device '%s'", row->ops->name);
	BUG_ON(!d->dev.n_queues || d->dev.n_queues > VDEV_QUEUES_MAX);
	for (unsigned q = 0; q < d->dev.n_queues; q++) {
		d->dev.env.kick_fd[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (d->dev.env.kick_fd[q] < 0)
			return err_set(err, errno, "cannot get the descriptors of device '%s'",
				row->ops->name);
	}
	info.n_queues = d->dev.n_queues;
	if (row->config)
		row->config(&info);
	vmmio_init(&d->transport, &info, d->dev.env.shared, d->main_ctl_fd, d->dev.env.irq_fd,
		fds->fault, d->dev.env.kick_fd);
	faultlog_add(&ds->faults, row->ops->name, d->dev.env.shared);
	if (row->ops == &vdev_vsock)
		ds->vsock = d;
	if (row->ops == &vdev_fs)
		ds->fs = d;
	r = connect_device(d, vm, n, err);
	return r < 0 ? err_wrap(err, "device '%s'", row->ops->name) : 0;
}

static void release_state(struct device *d)
{
	if (d->initialised)
		d->dev.ops->release(&d->dev);
	d->initialised = false;
}

/* The worker's own: what the transport and KVM use stays. */
static void close_worker_fds(struct device *d)
{
	struct vdev_env *env = &d->dev.env;

	for (unsigned i = 0; i < VDEV_FDS_MAX; i++)
		close_fd(&env->fd[i]);
	close_fd(&env->ctl_fd);
	close_fd(&env->cmd_fd);
	close_fd(&d->shared_fd);
}

/* The process has a state of the device and descriptors of its own: that ours are closed is how its death is seen
 * on the sockets. */
static int spawn_worker(
	struct devices *ds, unsigned n, const struct worker_launch *launch, struct err *err)
{
	struct device *d = &ds->d[n];
	struct worker_proc *p = &ds->procs.p[n];
	int r;

	release_state(d);
	r = worker_proc_spawn(p, launch, &d->dev, d->shared_fd, err);
	close_worker_fds(d);
	if (r < 0)
		return r;
	ds->procs.n = n + 1;
	if (d == ds->vsock)
		ds->procs.vsock = p;
	return 0;
}

/* All are started before the first is waited for. */
static int start_processes(struct devices *ds, const struct worker_launch *launch, struct err *err)
{
	int r = 0;

	for (unsigned n = 0; r == 0 && n < ds->n; n++) {
		r = spawn_worker(ds, n, launch, err);
		if (r < 0)
			err_wrap(err, "cannot start device '%s'", rows[n].ops->name);
	}
	for (unsigned n = 0; r == 0 && n < ds->n; n++) {
		r = worker_proc_await(&ds->procs.p[n], ds->d[n].main_ctl_fd, err);
		if (r < 0)
			err_wrap(err, "cannot start device '%s'", rows[n].ops->name);
	}
	return r;
}

static int start_threads(struct devices *ds, const struct worker_jail *jail, struct err *err)
{
	int r = 0;

	for (unsigned n = 0; r == 0 && n < ds->n; n++) {
		r = worker_start(&ds->d[n].worker, &ds->d[n].dev, jail, err);
		if (r < 0)
			err_wrap(err, "cannot start device '%s'", rows[n].ops->name);
	}
	return r;
}

int devices_start(struct devices *ds, struct vm *vm, const struct devices_fds *fds,
	const struct worker_jail *jail, const struct worker_launch *launch, struct err *err)
{
	int r = 0;

	memset(ds, 0, sizeof(*ds));
	faultlog_init(&ds->faults, fds->fault);
	for (unsigned n = 0; r == 0 && n < ARRAY_SIZE(rows); n++)
		r = make_device(ds, n, vm, fds, launch, err);
	if (r == 0)
		r = launch ? start_processes(ds, launch, err) : start_threads(ds, jail, err);
	if (r < 0)
		devices_release(ds);
	return r;
}

unsigned devices_bus_fds(const struct devices *ds, int fd[DEVICES_BUS_FDS_MAX])
{
	unsigned n = 0;

	fd[n++] = ds->faults.fd;
	for (unsigned i = 0; i < ds->n; i++) {
		const struct device *d = &ds->d[i];

		fd[n++] = d->main_ctl_fd;
		fd[n++] = d->dev.env.irq_fd;
		for (unsigned q = 0; q < d->dev.n_queues; q++)
			fd[n++] = d->dev.env.kick_fd[q];
	}
	return n;
}

void devices_leave_fds(struct devices *ds)
{
	int fd[DEVICES_BUS_FDS_MAX];
	unsigned n = devices_bus_fds(ds, fd);

	for (unsigned i = 0; i < n; i++)
		if (fd[i] != ds->faults.fd) /* the main loop's */
			close(fd[i]);
	for (unsigned i = 0; i < ds->n; i++)
		if (ds->d[i].worker)
			worker_leave_fds(ds->d[i].worker);
}

static void release_device(struct device *d)
{
	struct vdev_env *env = &d->dev.env;

	worker_free(d->worker);
	release_state(d);
	if (d->transport.shared)
		vmmio_release(&d->transport);
	for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
		close_fd(&env->kick_fd[i]);
	close_worker_fds(d);
	close_fd(&env->irq_fd);
	close_fd(&d->main_ctl_fd);
	close_fd(&d->main_cmd_fd);
	if (env->shared)
		munmap(env->shared, WORKER_SHARED_BYTES);
}

void devices_release(struct devices *ds)
{
	worker_procs_end(&ds->procs);
	while (ds->n)
		release_device(&ds->d[--ds->n]);
}
