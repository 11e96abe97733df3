/* SPDX-License-Identifier: Apache-2.0 */
/* The names that policy files may use for numbers. A new one is a line here. */
#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "lib/base.h"
#include "seccomp/policy_parse.h"

#define C(name)                         \
	{                               \
#name, (uint64_t)(name) \
	}

static const struct {
	const char *name;
	uint64_t value;
} constants[] = {
	C(KVM_RUN),
	C(KVM_GET_REGS),
	C(KVM_KVMCLOCK_CTRL),
	C(TIOCGWINSZ),
	C(PROT_READ),
	C(PROT_WRITE),
	C(PROT_EXEC),
	C(MAP_PRIVATE),
	C(MAP_SHARED),
	C(MAP_ANONYMOUS),
	C(MAP_NORESERVE),
	C(MAP_STACK),
	C(MADV_DONTNEED),
	C(MADV_FREE),
	C(FUTEX_WAIT_PRIVATE),
	C(FUTEX_WAKE_PRIVATE),
	C(FUTEX_WAIT_BITSET_PRIVATE),
	C(FUTEX_WAIT_BITSET),
	C(FUTEX_WAKE),
	C(FUTEX_CLOCK_REALTIME),
	C(F_GETFL),
	C(F_SETFL),
	C(F_GETPIPE_SZ),
	C(F_GET_SEALS),
	C(F_DUPFD_CLOEXEC),
	C(F_OFD_SETLK),
	C(F_OFD_SETLKW),
	C(F_OFD_GETLK),
	C(O_NONBLOCK),
	C(SOL_SOCKET),
	C(SO_TYPE),
	C(SO_PEERCRED),
	C(AF_UNIX),
	C(PR_SET_NAME),
	C(PR_SET_NO_NEW_PRIVS),
	C(PR_SET_PDEATHSIG),
	C(CLONE_THREAD),
	C(FALLOC_FL_KEEP_SIZE),
	C(FALLOC_FL_PUNCH_HOLE),
	C(FALLOC_FL_ZERO_RANGE),
	C(SIGURG),
	C(SIG_BLOCK),
	C(SIG_UNBLOCK),
	C(SIG_SETMASK),
	C(EPOLL_CTL_ADD),
	C(EPOLL_CTL_DEL),
	C(EPOLL_CTL_MOD),
	C(MSG_DONTWAIT),
	C(MSG_NOSIGNAL),
	C(AT_EMPTY_PATH),
	C(SEEK_SET),
};

bool policy_constant(const char *name, size_t len, uint64_t *ret_value)
{
	for (size_t i = 0; i < ARRAY_SIZE(constants); i++) {
		if (strlen(constants[i].name) == len && !memcmp(constants[i].name, name, len)) {
			*ret_value = constants[i].value;
			return true;
		}
	}
	return false;
}
