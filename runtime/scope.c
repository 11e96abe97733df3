/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "oci/json_gate.h"
#include "runtime/files.h"
#include "runtime/rootless.h"

#define PROGRAM "coracle-scope"

/* What a unit's name may hold (systemd.unit(5)), but for ".." and a leading dot. */
static bool is_name(const char *s, size_t len)
{
	return len && *s != '.' &&
	       strspn(s,
		       "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:-_.\\@+") >=
		       len;
}

static int put(char out[SCOPE_NAME_MAX + 1], const char *s, size_t len, struct err *err)
{
	if (!is_name(s, len) || len > SCOPE_NAME_MAX)
		return err_plain(err, EINVAL,
			"linux.cgroupsPath: '%.*s' cannot be the name of a unit",
			(int)(len > 300 ? 300 : len), s);
	memcpy(out, s, len);
	out[len] = '\0';
	return 0;
}

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), e = strlen(end);

	return n > e && !strcmp(s + n - e, end);
}

int scope_parse(const char *path, const char *id, struct scope *ret, struct err *err)
{
	const char *first, *second;
	char unit[2 * SCOPE_NAME_MAX + 16];
	int r;

	if (!path || !*path) {
		snprintf(ret->slice, sizeof(ret->slice), "system.slice");
		snprintf(unit, sizeof(unit), "coracle-%.255s.scope", id);
		return put(ret->unit, unit, strlen(unit), err);
	}
	first = strchr(path, ':');
	second = first ? strchr(first + 1, ':') : NULL;
	if (!second || strchr(second + 1, ':'))
		return err_plain(err, EINVAL,
			"expected cgroupsPath to be of format \"slice:prefix:name\" for systemd "
			"cgroups, "
			"got \"%.200s\" instead",
			path);
	snprintf(ret->slice, sizeof(ret->slice), "system.slice");
	r = first == path ? 0 : put(ret->slice, path, (size_t)(first - path), err);
	if (r == 0 && !ends_in(ret->slice, ".slice"))
		return err_plain(err, EINVAL, "linux.cgroupsPath: '%s' is not the name of a slice",
			ret->slice);
	if (r == 0 && ends_in(second + 1, ".slice"))
		return err_plain(err, EOPNOTSUPP,
			"linux.cgroupsPath: a container can be a scope, not a slice: '%.200s'",
			second + 1);
	if (r < 0)
		return r;
	first++;
	snprintf(unit, sizeof(unit), "%.*s%s%.255s.scope", (int)(second - first), first,
		second == first ? "" : "-", second + 1);
	return put(ret->unit, unit, strlen(unit), err);
}

int scope_check(struct err *err)
{
	struct err ignored = ERR_INIT;
	autofd int program = files_open(PROGRAM, &ignored);

	if (program < 0)
		return err_plain(err, EOPNOTSUPP,
			"--systemd-cgroup: this coracle was built without libsystemd");
	/* The system's manager takes units of its own user namespace's root only. */
	if (rootless_caller() != 0 || (rootless_in_userns() && !rootless_has_init()))
		return err_plain(err, EOPNOTSUPP,
			"--systemd-cgroup: only for root; without it a delegated cgroup is used "
			"(docs/rootless.md)");
	if (access("/run/systemd/system", F_OK) < 0) /* sd_booted(3) */
		return err_plain(
			err, ENOENT, "--systemd-cgroup: systemd is not running on this host");
	return 0;
}

/* Runs coracle-scope; what it prints is a group, or why there is none. */
static int ask(char *const argv[], char **ret_said, struct err *err)
{
	autofd int program = files_open(PROGRAM, err), out = -1;
	char *const no_env[] = {NULL};
	int fd[2], status, r;
	size_t len;
	pid_t pid;

	if (program < 0)
		return program;
	if (pipe2(fd, O_CLOEXEC) < 0)
		return err_set(err, errno, "cannot make a pipe");
	out = fd[0];
	pid = fork();
	if (pid == 0) {
		if (dup2(fd[1], STDOUT_FILENO) < 0)
			_exit(1);
		fexecve(program, argv, no_env);
		_exit(1);
	}
	close(fd[1]);
	if (pid < 0)
		return err_set(err, errno, "cannot fork");
	r = read_file(out, PATH_MAX, ret_said, &len);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return err_set(err, -r, "cannot read what " PROGRAM " says");
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	json_printable(*ret_said);
	return err_plain(err, EIO, "--systemd-cgroup: %s", *ret_said);
}

/* Files whose values systemd takes as they are, "max" being its "infinity". */
static const struct {
	const char *file, *property;
} plain[] = {
	{"memory.low", "MemoryLow"},
	{"memory.min", "MemoryMin"},
	{"memory.swap.max", "MemorySwapMax"},
	{"cpu.weight", "CPUWeight"},
	{"cpuset.cpus", "AllowedCPUs"},
	{"cpuset.mems", "AllowedMemoryNodes"},
};

__attribute__((format(printf, 2, 3))) static int add(struct scope_args *a, const char *fmt, ...)
{
	va_list ap;
	int r;

	if (a->n == ARRAY_SIZE(a->v) - 1)
		return -E2BIG;
	va_start(ap, fmt);
	r = vasprintf(&a->v[a->n], fmt, ap);
	va_end(ap);
	if (r < 0) {
		a->v[a->n] = NULL;
		return -ENOMEM;
	}
	a->n++;
	return 0;
}

/* "QUOTA PERIOD" or "max PERIOD". Per second, in whole per cents of a CPU, as systemd rounds. */
static int add_quota(struct scope_args *a, const char *value)
{
	uint64_t quota, period;
	int r;

	if (sscanf(value, "max %" SCNu64, &period) == 1) {
		r = add(a, "CPUQuotaPeriodUSec=%" PRIu64, period);
		return r < 0 ? r : add(a, "CPUQuotaPerSecUSec=infinity");
	}
	if (sscanf(value, "%" SCNu64 " %" SCNu64, &quota, &period) != 2 || !period)
		return 0;
	r = add(a, "CPUQuotaPeriodUSec=%" PRIu64, period);
	return r < 0 ? r
		     : add(a, "CPUQuotaPerSecUSec=%" PRIu64,
			       (quota * 100 + period - 1) / period * 10000);
}

static int add_property(struct scope_args *a, const struct gkeyval *kv, uint64_t memory_max)
{
	bool max = !strcmp(kv->value, "max");

	if (!strcmp(kv->key, "cpu.max"))
		return add_quota(a, kv->value);
	if (!strcmp(kv->key, "memory.max") && max)
		return add(a, "MemoryMax=infinity");
	if (!strcmp(kv->key, "memory.max"))
		return memory_max ? add(a, "MemoryMax=%" PRIu64, memory_max) : 0;
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (!strcmp(kv->key, plain[i].file))
			return add(a, "%s=%s", plain[i].property, max ? "infinity" : kv->value);
	return 0;
}

int scope_properties(
	struct scope_args *a, const struct gkeyval *files, uint32_t n, uint64_t memory_max)
{
	int r = 0;

	for (uint32_t i = 0; i < n && r == 0; i++)
		r = add_property(a, &files[i], memory_max);
	return r;
}

void scope_args_release(struct scope_args *a)
{
	for (unsigned i = 0; i < a->n; i++)
		free(a->v[i]);
	*a = (struct scope_args){0};
}

int scope_start(const struct scope *s, pid_t pid, const struct resources *res, uint64_t memory_max,
	char **ret_group, struct err *err)
{
	struct scope_args a = {0};
	int r;

	if ((r = add(&a, PROGRAM)) < 0 || (r = add(&a, "start")) < 0 ||
		(r = add(&a, "%s", s->unit)) < 0 || (r = add(&a, "%s", s->slice)) < 0 ||
		(r = add(&a, "%d", pid)) < 0 ||
		(r = scope_properties(&a, res->host, res->n_host, memory_max)) < 0)
		r = err_set(err, -r, "cannot ask systemd for a scope");
	else
		r = ask(a.v, ret_group, err);
	scope_args_release(&a);
	return r;
}

int scope_set(const char *unit, const struct gkeyval *files, uint32_t n, uint64_t memory_max,
	struct err *err)
{
	struct scope_args a = {0};
	autofree char *said = NULL;
	int r = scope_check(err);

	if (r < 0)
		return r;
	if ((r = add(&a, PROGRAM)) < 0 || (r = add(&a, "set")) < 0 ||
		(r = add(&a, "%s", unit)) < 0 ||
		(r = scope_properties(&a, files, n, memory_max)) < 0)
		r = err_set(err, -r, "cannot tell systemd of the limits");
	else if (a.n > 3)
		r = ask(a.v, &said, err);
	scope_args_release(&a);
	return r;
}

void scope_stop(const char *unit)
{
	char *const argv[] = {PROGRAM, "stop", (char *)unit, NULL};
	autofree char *said = NULL;
	struct err ignored = ERR_INIT;

	if (scope_check(&ignored) == 0)
		(void)ask(argv, &said, &ignored);
}
