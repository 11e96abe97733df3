/* SPDX-License-Identifier: Apache-2.0 */
#include "init/creds.h"

#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <linux/capability.h>

#include "init/fail.h"
#include "init/sys.h"
#include "init/sysctl.h"

static const char *const limit_names[] = {
	"RLIMIT_CPU",
	"RLIMIT_FSIZE",
	"RLIMIT_DATA",
	"RLIMIT_STACK",
	"RLIMIT_CORE",
	"RLIMIT_RSS",
	"RLIMIT_NPROC",
	"RLIMIT_NOFILE",
	"RLIMIT_MEMLOCK",
	"RLIMIT_AS",
	"RLIMIT_LOCKS",
	"RLIMIT_SIGPENDING",
	"RLIMIT_MSGQUEUE",
	"RLIMIT_NICE",
	"RLIMIT_RTPRIO",
	"RLIMIT_RTTIME",
};

int creds_limits(const struct gproc *p, struct err *err)
{
	for (uint32_t i = 0; i < p->n_rlimits; i++) {
		const struct grlimit *l = &p->rlimits[i];
		uint64_t pair[2] = {l->soft, l->hard}; /* struct rlimit64 */

		if (l->resource >= ARRAY_SIZE(limit_names))
			return err_plain(err, EINVAL, "unknown rlimit %u", l->resource);
		if (syscall(SYS_prlimit64, 0, l->resource, pair, NULL) < 0)
			return fail(err, errno, "error setting %s to %llu, %llu",
				limit_names[l->resource], (unsigned long long)l->soft,
				(unsigned long long)l->hard);
	}
	return 0;
}

int creds_raise_limits(pid_t pid, const struct gproc *p, struct err *err)
{
	for (uint32_t i = 0; i < p->n_rlimits; i++) {
		const struct grlimit *l = &p->rlimits[i];
		uint64_t pair[2];

		if (l->resource >= ARRAY_SIZE(limit_names))
			return err_plain(err, EINVAL, "unknown rlimit %u", l->resource);
		if (syscall(SYS_prlimit64, pid, l->resource, NULL, pair) < 0)
			return fail(err, errno, "error getting %s", limit_names[l->resource]);
		if (l->hard <= pair[1])
			continue;
		pair[1] = l->hard;
		if (syscall(SYS_prlimit64, pid, l->resource, pair, NULL) < 0)
			return fail(err, errno, "error setting %s to %llu, %llu",
				limit_names[l->resource], (unsigned long long)l->soft,
				(unsigned long long)l->hard);
	}
	return 0;
}

/* What the kernel counts per user and user namespace. */
static const uint32_t counted[CREDS_COUNTED] = {
	RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE};

int creds_lend_limits(const struct gproc *p, struct creds_lent *ret_lent, struct err *err)
{
	for (unsigned i = 0; i < CREDS_COUNTED; i++)
		if (syscall(SYS_prlimit64, 0, counted[i], NULL, ret_lent->own[i]) < 0)
			return fail(err, errno, "error getting %s", limit_names[counted[i]]);
	for (uint32_t i = 0; i < p->n_rlimits; i++) {
		const struct grlimit *l = &p->rlimits[i];
		unsigned k = 0;
		uint64_t pair[2];

		while (k < CREDS_COUNTED && counted[k] != l->resource)
			k++;
		if (k == CREDS_COUNTED || l->hard <= ret_lent->own[k][0])
			continue;
		pair[0] = l->hard;
		pair[1] = MAX(l->hard, ret_lent->own[k][1]);
		if (syscall(SYS_prlimit64, 0, l->resource, pair, NULL) < 0) {
			fail(err, errno, "error setting %s to %llu, %llu", limit_names[l->resource],
				(unsigned long long)l->soft, (unsigned long long)l->hard);
			creds_take_limits_back(ret_lent);
			return -err->errnum;
		}
	}
	return 0;
}

void creds_take_limits_back(const struct creds_lent *lent)
{
	for (unsigned i = 0; i < CREDS_COUNTED; i++) /* lowering is always allowed */
		BUG_ON(syscall(SYS_prlimit64, 0, counted[i], lent->own[i], NULL) < 0);
}

int creds_oom_score(int proc, pid_t pid, int32_t adj, struct err *err)
{
	char text[16], path[64];
	int r;

	snprintf(text, sizeof(text), "%d", adj);
	/* "self" is a link, which file_put() does not follow: the process's own directory is named.
	 */
	snprintf(path, sizeof(path), "%d/oom_score_adj", pid ? pid : (int)syscall(SYS_getpid));
	r = file_put(proc, path, text);
	return r < 0 ? fail(err, -r, "cannot set oom_score_adj to %d", adj) : 0;
}

static int drop_bounding(uint64_t keep, struct err *err)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		if (keep & BIT64(cap))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL)
			return 0; /* past the last one of this kernel */
		return fail(err, errno, "unable to drop capability %u from the bounding set", cap);
	}
	return 0;
}

static int set_caps(const uint64_t *caps, struct err *err)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3];

	for (unsigned i = 0; i < ARRAY_SIZE(d); i++) {
		d[i].effective = (uint32_t)(caps[GCAP_EFFECTIVE] >> 32 * i);
		d[i].permitted = (uint32_t)(caps[GCAP_PERMITTED] >> 32 * i);
		d[i].inheritable = (uint32_t)(caps[GCAP_INHERITABLE] >> 32 * i);
	}
	if (syscall(SYS_capset, &h, d) < 0)
		return fail(err, errno, "unable to apply caps");
	for (unsigned cap = 0; cap < 64; cap++) {
		if (!(caps[GCAP_AMBIENT] & BIT64(cap)))
			continue;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return fail(err, errno, "unable to raise ambient capability %u", cap);
	}
	return 0;
}

static int set_ids(const struct gproc *p, struct err *err)
{
	if (syscall(SYS_setgroups, p->n_groups, p->groups) < 0)
		return fail(err, errno, "unable to set supplementary groups");
	if (syscall(SYS_setresgid, p->gid, p->gid, p->gid) < 0)
		return fail(err, errno, "unable to setgid to %u", p->gid);
	if (syscall(SYS_setresuid, p->uid, p->uid, p->uid) < 0)
		return fail(err, errno, "unable to setuid to %u", p->uid);
	return 0;
}

int creds_become(const struct gproc *p, struct err *err)
{
	static const uint64_t none[GCAP_SETS];
	const uint64_t *caps = p->flags & GPROC_HAS_CAPS ? p->caps : none;
	int r = drop_bounding(caps[GCAP_BOUNDING], err);

	if (r < 0)
		return r;
	/* The permitted set must survive the change of uid until capset() says what stays of it. */
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return fail(err, errno, "unable to keep capabilities");
	r = set_ids(p, err);
	if (r < 0)
		return r;
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
		return fail(err, errno, "unable to clear keepcaps");
	return set_caps(caps, err);
}
