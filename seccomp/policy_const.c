/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names that policy files may use for numbers. A new one is a line here. Most are the same on every
 * architecture, and the build machine's headers have them; where arm64 differs, its value stands
 * here, because those headers do not.
 */
#include <asm/ioctls.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "lib/base.h"
#include "seccomp/policy_parse.h"

#define C(name)                                           \
	{                                                 \
#name, (uint64_t)(name), (uint64_t)(name) \
	}
#define DIFFERS(name, x86_64, arm64) \
	{                            \
#name, x86_64, arm64 \
	}

/* asm-generic/fcntl.h, which x86 uses as it is, and arch/arm64/include/uapi/asm/fcntl.h */
#define X86_DIRECTORY 0200000
#define X86_NOFOLLOW  0400000
#define X86_DIRECT    040000
#define ARM_DIRECTORY 040000
#define ARM_NOFOLLOW  0100000
#define ARM_DIRECT    0200000
#define BARE_TMPFILE  (O_TMPFILE & ~O_DIRECTORY)
#if defined(__x86_64__)
_Static_assert(O_DIRECTORY == X86_DIRECTORY && O_NOFOLLOW == X86_NOFOLLOW && O_DIRECT == X86_DIRECT,
	"x86's flags of open(2)");
#elif defined(__aarch64__)
_Static_assert(O_DIRECTORY == ARM_DIRECTORY && O_NOFOLLOW == ARM_NOFOLLOW && O_DIRECT == ARM_DIRECT,
	"arm64's flags of open(2)");
#endif

static const struct {
	const char *name;
	uint64_t x86_64, arm64;
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
	C(P_PIDFD),
	C(WEXITED),
	C(WNOHANG),
	C(F_GETFL),
	C(F_SETFL),
	C(F_GETPIPE_SZ),
	C(F_GET_SEALS),
	C(F_DUPFD_CLOEXEC),
	C(F_OFD_SETLK),
	C(F_OFD_SETLKW),
	C(F_OFD_GETLK),
	C(O_NONBLOCK),
	C(O_ACCMODE),
	C(O_RDONLY),
	C(O_EXCL),
	C(O_TRUNC),
	C(O_NOCTTY),
	C(O_DSYNC),
	C(O_SYNC),
	C(O_NOATIME),
	C(O_CLOEXEC),
	C(O_PATH),
	DIFFERS(O_DIRECTORY, X86_DIRECTORY, ARM_DIRECTORY),
	DIFFERS(O_NOFOLLOW, X86_NOFOLLOW, ARM_NOFOLLOW),
	DIFFERS(O_DIRECT, X86_DIRECT, ARM_DIRECT),
	DIFFERS(O_TMPFILE, BARE_TMPFILE | X86_DIRECTORY, BARE_TMPFILE | ARM_DIRECTORY),
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
	C(FALLOC_FL_COLLAPSE_RANGE),
	C(FALLOC_FL_INSERT_RANGE),
	C(FALLOC_FL_UNSHARE_RANGE),
	C(SIGKILL),
	C(SIGURG),
	C(SIG_BLOCK),
	C(SIG_UNBLOCK),
	C(SIG_SETMASK),
	C(EPOLL_CTL_ADD),
	C(EPOLL_CTL_DEL),
	C(EPOLL_CTL_MOD),
	C(MSG_DONTWAIT),
	C(MSG_NOSIGNAL),
	C(MSG_TRUNC),
	C(MSG_CMSG_CLOEXEC),
	C(SOCK_CLOEXEC),
	C(SOCK_NONBLOCK),
	C(AT_EMPTY_PATH),
	C(AT_SYMLINK_NOFOLLOW),
	C(AT_SYMLINK_FOLLOW),
	C(AT_NO_AUTOMOUNT),
	C(AT_REMOVEDIR),
	C(RENAME_NOREPLACE),
	C(RENAME_EXCHANGE),
	C(RENAME_WHITEOUT),
	C(RWF_NOWAIT),
	C(RWF_APPEND),
	C(RWF_DSYNC),
	C(RWF_SYNC),
	C(S_IFIFO),
	C(S_IFSOCK),
	C(S_IFCHR),
	C(S_IFBLK),
	C(S_IRWXU),
	C(S_IRWXG),
	C(S_IRWXO),
	C(XATTR_CREATE),
	C(XATTR_REPLACE),
	C(SEEK_SET),
	C(SEEK_DATA),
	C(SEEK_HOLE),
};

bool policy_constant(const char *name, size_t len, const char *arch, uint64_t *ret_value)
{
	for (size_t i = 0; i < ARRAY_SIZE(constants); i++) {
		if (strlen(constants[i].name) == len && !memcmp(constants[i].name, name, len)) {
			*ret_value =
				!strcmp(arch, "aarch64") ? constants[i].arm64 : constants[i].x86_64;
			return true;
		}
	}
	return false;
}
