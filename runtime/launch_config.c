/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/launch_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "runtime/files.h"
#include "runtime/log.h"
#include "runtime/vm_size.h"

#define BOOT_TIMEOUT_MS 120000

/* Bound, and not listened on: until the VMM does, whoever connects is told at once that nobody is there
 * (container_status()). */
static int bind_control(const struct container *c, struct err *err)
{
	autofd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (fd < 0)
		return err_set(err, errno, "cannot make the control socket");
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/" CONTAINER_SOCKET, c->dir_fd);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return err_set(
			err, errno, "cannot bind the control socket in '%s/%s'", c->root, c->id);
	return take_fd(&fd);
}

static int encode_spec(const struct container_spec *spec, struct err *err)
{
	autofree uint8_t *buf = NULL;
	size_t len;
	int fd, r = spec_encode(spec, &buf, &len, err);

	if (r < 0)
		return r;
	fd = memfd_with("spec", buf, len, 1);
	return fd < 0 ? err_set(err, -fd, "cannot make a memfd") : fd;
}

/* The caller's --log, or a file of the container's own. */
static int open_log(const struct container *c, struct err *err)
{
	int fd;

	if (log_fd() >= 0)
		fd = log_open_again();
	else
		fd = openat(
			c->dir_fd, CONTAINER_LOG, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? err_set(err, errno, "cannot open the VMM's log") : fd;
}

static uint32_t hooks_timeout(const struct hook_list *list)
{
	uint64_t ms = 0;

	for (uint32_t i = 0; i < list->n; i++) {
		if (!list->v[i].timeout_s)
			return VM_HOOKS_FOREVER;
		ms += list->v[i].timeout_s * 1000ull;
	}
	return (uint32_t)MIN(ms, (uint64_t)INT32_MAX);
}

int launch_config_fill(struct vm_config *cfg, const struct launch *l, const struct global *g,
	const struct container_spec *spec, const struct container *c, struct err *err)
{
	const struct vm_host host = vm_host();
	int32_t *fd = cfg->fd;

	*cfg = (struct vm_config){
		.magic = VM_CONFIG_MAGIC,
		.version = VM_CONFIG_VERSION,
		.size = sizeof(*cfg),
		.flags = (g->debug ? VM_FLAG_DEBUG : 0) | (log_is_json() ? VM_FLAG_LOG_JSON : 0) |
			 (l->terminal.wanted ? VM_FLAG_TERMINAL : 0) |
			 (l->process ? VM_FLAG_PROCESS : 0),
		.vcpus = vm_size_vcpus(spec, &host),
		.boot_timeout_ms = BOOT_TIMEOUT_MS,
		.hooks_timeout_ms = hooks_timeout(&spec->hooks.list[HOOK_START_CONTAINER]),
		.memory_bytes = vm_size_memory(spec, &host),
		.timeline = l->timeline,
	};
	for (unsigned i = 0; i < VM_FDS; i++)
		fd[i] = -1;
	snprintf(cfg->id, sizeof(cfg->id), "%s", c->id);
	if ((fd[VM_FD_KVM] = files_open_kvm(err)) < 0)
		return fd[VM_FD_KVM];
	if ((fd[VM_FD_KERNEL] = files_open_kernel(spec->vm.kernel, NULL, err)) < 0)
		return fd[VM_FD_KERNEL];
	if ((fd[VM_FD_INIT] = files_open("coracle-init", err)) < 0)
		return fd[VM_FD_INIT];
	if ((fd[VM_FD_SPEC] = encode_spec(spec, err)) < 0)
		return fd[VM_FD_SPEC];
	if ((fd[VM_FD_CONTROL] = bind_control(c, err)) < 0)
		return fd[VM_FD_CONTROL];
	if ((fd[VM_FD_LOG] = open_log(c, err)) < 0)
		return fd[VM_FD_LOG];
	return 0;
}

void launch_config_release(struct vm_config *cfg)
{
	for (unsigned i = 0; i < VM_FDS; i++)
		close_fd(&cfg->fd[i]);
}
