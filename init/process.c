/* SPDX-License-Identifier: Apache-2.0 */
#include "init/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "init/creds.h"
#include "init/exec.h"
#include "init/fail.h"
#include "init/passwd.h"
#include "init/sched.h"
#include "init/seccomp.h"
#include "init/sys.h"
#include "init/userns.h"

#define DEFAULT_UMASK 0022

static const struct gspec *container;

/* What process_become() found for process_exec(). */
static struct {
	char path[PATH_BYTES];
	char home[sizeof("HOME=") + PATH_BYTES];
	const char *envp[GSPEC_ARGS_MAX + 2]; /* HOME and the NULL */
} image;

int process_stdio(const int stdio[3], int report, struct err *err)
{
	int high[4];

	/* Out of the way first: the sources may themselves be 0 to 3. */
	for (int i = 0; i < 4; i++) {
		high[i] = fcntl(i < 3 ? stdio[i] : report, F_DUPFD_CLOEXEC, 10);
		if (high[i] < 0)
			return fail(err, errno, "cannot place the standard streams");
	}
	for (int i = 0; i < 4; i++)
		if (dup3(high[i], i, i < 3 ? 0 : O_CLOEXEC) < 0)
			return fail(err, errno, "cannot place the standard streams");
	if (sys_close_range(PROCESS_REPORT_FD + 1, ~0u, 0) < 0)
		return fail(err, errno, "close_range");
	return 0;
}

/* env as given; HOME is set when it is not there or empty. */
static void make_env(const struct gproc *p)
{
	const char *home = env_get(&p->env, "HOME");
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->env.n; i++)
		if (strcmp(p->env.v[i], "HOME=") != 0)
			image.envp[n++] = p->env.v[i];
	if (!home || !*home) {
		memcpy(image.home, "HOME=", 5);
		passwd_home_at("/etc/passwd", p->uid, image.home + 5, sizeof(image.home) - 5);
		image.envp[n++] = image.home;
	}
	image.envp[n] = NULL;
}

static int cwd_error(const struct gproc *p, int errnum, struct err *err)
{
	return fail(err, errnum, "chdir to cwd (\"%s\") set in config.json failed", p->cwd);
}

/* A magic link could still have led somewhere outside. */
static int check_cwd(struct err *err)
{
	char where[PATH_BYTES];

	if (syscall(SYS_getcwd, where, sizeof(where)) < 0 || where[0] != '/')
		return err_plain(err, EPERM,
			"current working directory is outside of container mount namespace root "
			"-- possible container breakout detected");
	return 0;
}

/* As root; if root may not (a network file system's root may be nobody), later as the user. Before
 * any filter: a profile need not allow what this takes. */
static int enter_cwd(const struct gproc *p, bool *ret_later, struct err *err)
{
	*ret_later = false;
	if (chdir(p->cwd) == 0)
		return check_cwd(err);
	if (errno != EACCES && errno != EPERM)
		return cwd_error(p, errno, err);
	*ret_later = true;
	return 0;
}

static int become_user(const struct gproc *p, bool enter, struct err *err)
{
	int r = creds_become(p, err);

	if (r < 0 || !enter)
		return r;
	return chdir(p->cwd) < 0 ? cwd_error(p, errno, err) : check_cwd(err);
}

void process_setup(const struct gspec *spec)
{
	container = spec;
}

/* Whose cpus_first and cpus_final count: NULL for the container's first process. */
static const struct gproc *cpus_of(const struct gproc *p)
{
	if (p == &container->proc)
		return NULL;
	return p->flags & (GPROC_CPUS_FIRST | GPROC_CPUS_FINAL) ? p : &container->proc;
}

/* What takes privileges, in runc's order. */
static int become_scheduled(const struct gproc *p, struct err *err)
{
	const struct gproc *cpus = cpus_of(p);
	int r = 0;

	if (cpus && (cpus->flags & GPROC_CPUS_FIRST))
		r = sched_cpus(cpus->cpus_first, err);
	if (r == 0)
		r = creds_limits(p, err);
	if (r < 0)
		return r;
	if ((p->flags & GPROC_NO_NEW_PRIVS) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(err, errno, "cannot set no_new_privs");
	r = sched_become(p, err);
	if (r == 0 && (container->flags & GSPEC_PERSONALITY) &&
		syscall(SYS_personality, (unsigned long)container->personality) < 0)
		return fail(err, errno, "cannot set the personality");
	return r;
}

int process_become(const struct gproc *p, struct err *err)
{
	bool cwd_later = false;
	sigset_t none;
	int r;

	if (!p->args.n)
		return err_plain(err, EINVAL, "process.args must not be empty");
	make_env(p);
	r = userns_check(container, p, err);
	if (r == 0)
		r = become_scheduled(p, err);
	if (r == 0)
		r = enter_cwd(p, &cwd_later, err);
	/* Without no_new_privs only while privileged; what follows must then be in the profile. */
	if (r == 0 && !(p->flags & GPROC_NO_NEW_PRIVS))
		r = seccomp_install(container, err);
	if (r == 0)
		r = become_user(p, cwd_later, err);
	if (r < 0)
		return r;
	umask(p->flags & GPROC_HAS_UMASK ? p->umask : DEFAULT_UMASK);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return exec_find(p->args.v[0], &p->env, image.path, err);
}

const char *const *process_env(void)
{
	return image.envp;
}

int process_exec(const struct gproc *p, struct err *err)
{
	const struct gproc *cpus = cpus_of(p);
	int r = 0;

	if (cpus && (cpus->flags & GPROC_CPUS_FINAL))
		r = sched_cpus(cpus->cpus_final, err);
	else if (cpus && (cpus->flags & GPROC_CPUS_FIRST))
		r = sched_cpus(UINT64_MAX, err); /* all of its cgroup's */
	if (r == 0 && (p->flags & GPROC_NO_NEW_PRIVS))
		r = seccomp_install(container, err);
	if (r < 0)
		return r;
	return exec_run(image.path, p->args.v, image.envp, err);
}
