/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration's checks: a good one, then one bad value after another; the descriptors in a
 * child. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "vmm/config.h"

static struct vm_config good(void)
{
	struct vm_config c = {
		.magic = VM_CONFIG_MAGIC,
		.version = VM_CONFIG_VERSION,
		.size = sizeof(struct vm_config),
		.fd = {10, 11, 12, 13, 14, 15, -1, -1},
		.vcpus = 1,
		.memory_bytes = 128ull << 20,
		.id = "box",
	};

	return c;
}

static void bad(struct vm_config c, int want_errno, const char *want)
{
	struct err err = ERR_INIT;

	eq_int(vmconfig_check(&c, &err), -want_errno, want);
	has_str(err.msg, want);
}

#define BAD(change, want_errno, want)        \
	do {                                 \
		struct vm_config c = good(); \
		change;                      \
		bad(c, want_errno, want);    \
	} while (0)

static void test_check(void)
{
	struct vm_config fine = good();
	struct err err = ERR_INIT;

	eq_int(vmconfig_check(&fine, &err), 0, "a good configuration");
	BAD(c.magic = 0, EPROTO, "not one (magic 0x00000000)");
	BAD(c.version++, EPROTONOSUPPORT, "not of the same build");
	BAD(c.size--, EPROTONOSUPPORT, "not of the same build");
	BAD(c.flags = 0x80, EINVAL, "unknown flags 0x80");
	BAD(c.vcpus = 0, EINVAL, "0 vCPUs, expected 1 to 16");
	BAD(c.vcpus = 17, EINVAL, "17 vCPUs");
	BAD(c.boot_timeout_ms = VM_BOOT_TIMEOUT_MAX + 1, EINVAL, "boot timeout");
	BAD(c.memory_bytes = VM_MEMORY_MIN - (2 << 20), EINVAL, "bytes of memory");
	BAD(c.memory_bytes = VM_MEMORY_MAX + (2 << 20), EINVAL, "bytes of memory");
	BAD(c.memory_bytes += 4096, EINVAL, "multiple of 2 MiB");
	BAD(c.id[0] = 0, EINVAL, "id is empty");
	BAD(memset(c.id, 'x', sizeof(c.id)), EINVAL, "id is empty or not text");
	BAD(c.id[1] = '\n', EINVAL, "not text");
	BAD(memset(c.cmdline_extra, 'x', sizeof(c.cmdline_extra)), EINVAL, "command line");
	BAD(strcpy(c.cmdline_extra, "quiet\ninit=/bin/sh"), EINVAL, "one line of printable text");
	BAD(c.fd[VM_FD_KVM] = -1, EINVAL, "descriptor of 'kvm' is -1");
	BAD(c.fd[VM_FD_SPEC] = 2, EINVAL, "descriptor of 'spec' is 2, expected 3 or more");
	BAD(c.fd[VM_FD_LOG] = -2, EINVAL, "descriptor of 'log' is -2");
	BAD(c.fd[VM_FD_LOG] = 12, EINVAL, "'init' and 'log' are both descriptor 12");
}

static void test_read(void)
{
	struct vm_config c = good(), got;
	struct err err = ERR_INIT;
	char more[sizeof(c) + 1];
	autofd int whole = memfd_with("c", &c, sizeof(c), 1), cut = memfd_with("c", &c, 100, 1);
	autofd int longer = -1;

	memcpy(more, &c, sizeof(c));
	more[sizeof(c)] = 0;
	longer = memfd_with("c", more, sizeof(more), 1);
	eq_int(vmconfig_read(whole, &got, &err), 0, "read from a memfd");
	ok(!memcmp(&c, &got, sizeof(c)), "as it was written");
	eq_int(vmconfig_read(cut, &got, &err), -EPROTO, "a short one is refused");
	has_str(err.msg, "100 bytes, expected");
	eq_int(vmconfig_read(longer, &got, &err), -EPROTO, "a longer one is refused");
	has_str(err.msg, "and more, expected");
	eq_int(vmconfig_read(-1, &got, &err), -EBADF, "no descriptor is an error");
}

/* In a child, whose descriptors may be closed. Exit status: which check failed; 0: none. */
static int take_in_child(bool wrong_kind)
{
	struct vm_config c = good();
	struct err err = ERR_INIT;
	int extra, r, last = 0;

	c.fd[VM_FD_KVM] = open("/dev/null", O_RDWR);
	c.fd[VM_FD_KERNEL] = memfd_with("k", "k", 1, 0);
	extra = open("/dev/null", O_RDONLY);
	c.fd[VM_FD_INIT] = memfd_with("i", "i", 1, 0);
	c.fd[VM_FD_SPEC] = memfd_with("s", "s", 1, 0);
	c.fd[VM_FD_SHARE] = open(wrong_kind ? "/dev/null" : "/", O_PATH);
	c.fd[VM_FD_CONTROL] = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	c.fd[VM_FD_LOG] = fcntl(2, F_DUPFD, 100);
	r = vmconfig_take_fds(&c, &err);
	if (wrong_kind)
		return r == -EINVAL && strstr(err.msg, "'share' is of another kind") ? 0 : 1;
	if (r < 0)
		return 2;
	if (fcntl(extra, F_GETFD) >= 0)
		return 3;
	for (unsigned i = 0; i < VM_FDS; i++)
		if (c.fd[i] >= 0 && fcntl(c.fd[i], F_GETFD) != FD_CLOEXEC)
			return 4;
	for (int fd = 3; fd < 256; fd++)
		last += fcntl(fd, F_GETFD) >= 0;
	return last == VM_FDS - 1 ? 0 : 5; /* no report */
}

static int child(bool wrong_kind)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(take_in_child(wrong_kind));
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void)
{
	test_check();
	test_read();
	eq_int(child(false), 0, "descriptors: the named stay, CLOEXEC; all others are closed");
	eq_int(child(true), 0, "descriptors: one of another kind is refused");
	return tap_done();
}
