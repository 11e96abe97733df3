/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base.h"

#define MEMORY_STEP (2ull << 20)

static const struct {
	const char *name;
	mode_t type; /* S_IF* it must have; 0: any */
	bool optional;
} fd_rules[VM_FDS] = {
	[VM_FD_KVM] = {"kvm", S_IFCHR, false},
	[VM_FD_KERNEL] = {"kernel", S_IFREG, false},
	[VM_FD_INIT] = {"init", S_IFREG, false},
	[VM_FD_SPEC] = {"spec", S_IFREG, false},
	[VM_FD_SHARE] = {"share", S_IFDIR, false},
	[VM_FD_CONTROL] = {"control", S_IFSOCK, false},
	[VM_FD_REPORT] = {"report", 0, true},
	[VM_FD_LOG] = {"log", 0, true},
};

static int check_fd_numbers(const struct vm_config *cfg, struct err *err)
{
	for (unsigned i = 0; i < VM_FDS; i++) {
		int fd = cfg->fd[i];

		if (fd == -1 && fd_rules[i].optional)
			continue;
		if (fd <= STDERR_FILENO)
			return err_plain(err, EINVAL,
				"VM configuration: descriptor of '%s' is %d, expected 3 or more",
				fd_rules[i].name, fd);
		for (unsigned j = 0; j < i; j++)
			if (cfg->fd[j] == fd)
				return err_plain(err, EINVAL,
					"VM configuration: '%s' and '%s' are both descriptor %d",
					fd_rules[j].name, fd_rules[i].name, fd);
	}
	return 0;
}

/* The command line goes to the guest kernel as text: one line of printable ASCII. */
static bool printable(const char *s)
{
	for (; *s; s++)
		if (*s < ' ' || *s > '~')
			return false;
	return true;
}

int vmconfig_check(struct vm_config *cfg, struct err *err)
{
	if (cfg->magic != VM_CONFIG_MAGIC)
		return err_plain(
			err, EPROTO, "VM configuration: not one (magic 0x%08x)", cfg->magic);
	if (cfg->version != VM_CONFIG_VERSION || cfg->size != sizeof(*cfg))
		return err_plain(err, EPROTONOSUPPORT,
			"VM configuration: version %u of %u bytes, expected version %u of %zu: "
			"coracle and coracle-vmm are not of the same build",
			cfg->version, cfg->size, VM_CONFIG_VERSION, sizeof(*cfg));
	if (cfg->flags & ~VM_FLAGS_ALL)
		return err_plain(err, EINVAL, "VM configuration: unknown flags 0x%x", cfg->flags);
	if (!cfg->vcpus || cfg->vcpus > VM_VCPUS_MAX)
		return err_plain(err, EINVAL, "VM configuration: %u vCPUs, expected 1 to %u",
			cfg->vcpus, VM_VCPUS_MAX);
	if (cfg->boot_timeout_ms > VM_BOOT_TIMEOUT_MAX)
		return err_plain(err, EINVAL,
			"VM configuration: boot timeout of %u ms, expected at most %u",
			cfg->boot_timeout_ms, VM_BOOT_TIMEOUT_MAX);
	if (cfg->memory_bytes < VM_MEMORY_MIN || cfg->memory_bytes > VM_MEMORY_MAX ||
		cfg->memory_bytes % MEMORY_STEP)
		return err_plain(err, EINVAL,
			"VM configuration: %" PRIu64
			" bytes of memory, expected a multiple of 2 MiB from %llu MiB to %llu MiB",
			cfg->memory_bytes, VM_MEMORY_MIN >> 20, VM_MEMORY_MAX >> 20);
	if (!memchr(cfg->id, 0, sizeof(cfg->id)) || !cfg->id[0] || !printable(cfg->id))
		return err_plain(err, EINVAL, "VM configuration: the id is empty or not text");
	if (!memchr(cfg->cmdline_extra, 0, sizeof(cfg->cmdline_extra)) ||
		!printable(cfg->cmdline_extra))
		return err_plain(err, EINVAL,
			"VM configuration: the kernel command line is not one line of printable "
			"text");
	return check_fd_numbers(cfg, err);
}

int vmconfig_read(int fd, struct vm_config *ret_cfg, struct err *err)
{
	uint8_t buf[sizeof(*ret_cfg) + 1]; /* one more: a longer file is another version's */
	ssize_t n = pread(fd, buf, sizeof(buf), 0);

	if (n < 0)
		return err_set(
			err, errno, "cannot read the VM configuration from descriptor %d", fd);
	if (n != sizeof(*ret_cfg))
		return err_plain(err, EPROTO,
			"VM configuration: %zd bytes%s, expected %zu: "
			"coracle and coracle-vmm are not of the same build",
			MIN(n, (ssize_t)sizeof(*ret_cfg)),
			n > (ssize_t)sizeof(*ret_cfg) ? " and more" : "", sizeof(*ret_cfg));
	memcpy(ret_cfg, buf, sizeof(*ret_cfg));
	return vmconfig_check(ret_cfg, err);
}

static int close_others(const struct vm_config *cfg, struct err *err)
{
	unsigned from = STDERR_FILENO + 1;

	for (;;) {
		unsigned next = ~0u; /* the lowest named descriptor from `from` on */

		for (unsigned i = 0; i < VM_FDS; i++)
			if (cfg->fd[i] >= 0 && (unsigned)cfg->fd[i] >= from)
				next = MIN(next, (unsigned)cfg->fd[i]);
		if (next > from &&
			syscall(SYS_close_range, from, next == ~0u ? next : next - 1, 0) < 0)
			return err_set(err, errno, "cannot close inherited descriptors");
		if (next == ~0u)
			return 0;
		from = next + 1;
	}
}

int vmconfig_take_fds(const struct vm_config *cfg, struct err *err)
{
	struct stat st;

	for (unsigned i = 0; i < VM_FDS; i++) {
		if (cfg->fd[i] < 0)
			continue;
		if (fstat(cfg->fd[i], &st) < 0 || fcntl(cfg->fd[i], F_SETFD, FD_CLOEXEC) < 0)
			return err_set(err, errno, "VM configuration: descriptor %d of '%s'",
				cfg->fd[i], fd_rules[i].name);
		if (fd_rules[i].type && (st.st_mode & S_IFMT) != fd_rules[i].type)
			return err_plain(err, EINVAL,
				"VM configuration: descriptor %d of '%s' is of another kind (mode "
				"0%o)",
				cfg->fd[i], fd_rules[i].name, st.st_mode);
	}
	return close_others(cfg, err);
}
