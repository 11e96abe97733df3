/* SPDX-License-Identifier: Apache-2.0 */
#include "init/seccomp.h"

#include <assert.h>
#include <errno.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "init/fail.h"
#include "init/sys.h"

static_assert(GSPEC_BPF_MAX <= BPF_MAXINSNS, "the kernel takes what the specification may hold");
static_assert(sizeof(struct sock_filter) == sizeof(uint64_t), "an instruction is one word");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "in the order of its fields");

int seccomp_install(const struct gspec *spec, struct err *err)
{
	struct sock_fprog prog = {
		.len = (unsigned short)spec->n_seccomp,
		.filter = (struct sock_filter *)(uintptr_t)spec->seccomp,
	};
	long r;

	if (!(spec->flags & GSPEC_SECCOMP))
		return 0;
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, spec->seccomp_flags, &prog);
	if (r < 0)
		return fail(err, errno, "unable to init seccomp");
	/* TSYNC: a thread that could not follow. This process has one. */
	return r ? err_plain(err, EBUSY, "unable to init seccomp: thread %ld", r) : 0;
}
