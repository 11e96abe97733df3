/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "oci/json_gate.h"
#include "runtime/files.h"

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

static const char *host_value(const struct resources *res, const char *key)
{
	const char *value = "";

	for (uint32_t i = 0; i < res->n_host; i++)
		if (!strcmp(res->host[i].key, key))
			value = res->host[i].value;
	return value;
}

int scope_start(const struct scope *s, pid_t pid, const struct resources *res, uint64_t memory_max,
	char **ret_group, struct err *err)
{
	char number[5][24];
	char *const argv[] = {PROGRAM, "start", (char *)s->unit, (char *)s->slice, number[0],
		number[1], number[2], number[3], number[4], NULL};
	const char *max = host_value(res, "memory.max");
	uint64_t weight = 0, quota = 0, period = 0;

	(void)sscanf(host_value(res, "cpu.weight"), "%" SCNu64, &weight);
	(void)sscanf(host_value(res, "cpu.max"), "%" SCNu64 " %" SCNu64, &quota, &period);
	snprintf(number[0], sizeof(number[0]), "%d", pid);
	snprintf(number[1], sizeof(number[1]), "%" PRIu64, *max && *max != 'm' ? memory_max : 0);
	snprintf(number[2], sizeof(number[2]), "%" PRIu64, weight);
	snprintf(number[3], sizeof(number[3]), "%" PRIu64, quota);
	snprintf(number[4], sizeof(number[4]), "%" PRIu64, period);
	return ask(argv, ret_group, err);
}

void scope_stop(const char *unit)
{
	char *const argv[] = {PROGRAM, "stop", (char *)unit, NULL};
	autofree char *said = NULL;
	struct err ignored = ERR_INIT;

	if (scope_check(&ignored) == 0)
		(void)ask(argv, &said, &ignored);
}
