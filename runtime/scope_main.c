/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coracle-scope: systemd's side of scope.h, org.freedesktop.systemd1(5) on the system bus. A program of
 * its own, so that libsystemd and what it brings along is loaded where it is asked for only.
 *
 *	coracle-scope start UNIT SLICE PID PROPERTY=VALUE...	prints the unit's cgroup
 *	coracle-scope set UNIT PROPERTY=VALUE...
 *	coracle-scope stop UNIT
 *
 * Fails with status 1 and one line on standard output.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/err.h"
#include "lib/timeline.h"

#define SERVICE      "org.freedesktop.systemd1"
#define OBJECT       "/org/freedesktop/systemd1"
#define MANAGER      SERVICE ".Manager"
#define JOB_WAIT_MS  30000
#define STOP_WAIT_MS 10000
#define CPUS_MAX     8192 /* that a list may name: what the kernel can have */

static void cleanup_bus(sd_bus **bus)
{
	sd_bus_flush_close_unref(*bus);
}

static void cleanup_message(sd_bus_message **m)
{
	sd_bus_message_unref(*m);
}

#define autobus __attribute__((cleanup(cleanup_bus)))
#define automsg __attribute__((cleanup(cleanup_message)))

/* The job that starts the unit: which one it is, and how it ended. */
struct job {
	char *path;                              /* NULL: not known yet */
	char *result;                            /* NULL: under way */
	char *ended_path[16], *ended_result[16]; /* jobs that ended before we knew ours */
	unsigned n;
};

/* A unit that systemd is to forget. */
struct leaving {
	const char *unit;
	bool gone;
};

static int bus_error(struct err *err, int r, const sd_bus_error *e, const char *what)
{
	if (e && e->message)
		return err_plain(err, -r, "%s: %s", what, e->message);
	return err_set(err, -r, "%s", what);
}

static int job_removed(sd_bus_message *m, void *opaque, sd_bus_error *ignored)
{
	const char *path, *unit, *result;
	struct job *job = opaque;
	uint32_t id;

	if (sd_bus_message_read(m, "uoss", &id, &path, &unit, &result) < 0)
		return 0;
	if (job->path && !strcmp(path, job->path) && !job->result) {
		job->result = strdup(result);
	} else if (!job->path && job->n < ARRAY_SIZE(job->ended_path)) {
		job->ended_path[job->n] = strdup(path);
		job->ended_result[job->n++] = strdup(result);
	}
	return 0;
}

static void job_release(struct job *job)
{
	free(job->path);
	free(job->result);
	for (unsigned i = 0; i < job->n; i++) {
		free(job->ended_path[i]);
		free(job->ended_result[i]);
	}
}

static void job_is(struct job *job, const char *path)
{
	job->path = strdup(path);
	for (unsigned i = 0; job->path && i < job->n; i++)
		if (job->ended_path[i] && !strcmp(job->ended_path[i], path) && job->ended_result[i])
			job->result = strdup(job->ended_result[i]);
}

struct request {
	const char *unit, *slice;
	uint32_t pid;
	char **properties; /* "NAME=VALUE", then NULL */
};

/* "0-3,7" as systemd wants it: bit N of the bytes in their order. */
static int put_list(sd_bus_message *m, const char *name, const char *list)
{
	uint8_t mask[CPUS_MAX / 8] = {0};
	size_t len = 0;
	int r;

	for (const char *p = list; *p;) {
		unsigned long first, last;
		char *end;

		first = last = strtoul(p, &end, 10);
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (end == p || (*end && *end != ',') || last < first || last >= CPUS_MAX)
			return -EINVAL;
		for (unsigned long i = first; i <= last; i++)
			mask[i / 8] |= (uint8_t)(1u << i % 8);
		len = MAX(len, (size_t)last / 8 + 1);
		p = end + (*end == ',');
	}
	r = sd_bus_message_open_container(m, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", name);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "ay");
	if (r >= 0)
		r = sd_bus_message_append_array(m, 'y', mask, len);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int put_property(sd_bus_message *m, const char *property)
{
	const char *value = strchr(property, '=');
	char name[64];

	if (!value || (size_t)(value - property) >= sizeof(name))
		return -EINVAL;
	memcpy(name, property, (size_t)(value - property));
	name[value++ - property] = '\0';
	if (!strncmp(name, "Allowed", 7))
		return put_list(m, name, value);
	return sd_bus_message_append(m, "(sv)", name, "t",
		strcmp(value, "infinity") ? (uint64_t)strtoull(value, NULL, 10) : UINT64_MAX);
}

/* systemd writes these files itself, and again at every daemon-reload. */
static int put_limits(sd_bus_message *m, const struct request *q)
{
	int r = 0;

	for (char **p = q->properties; *p && r >= 0; p++)
		r = put_property(m, *p);
	return r;
}

static int put_properties(sd_bus_message *m, const struct request *q)
{
	static const char *const on[] = {
		"Delegate", "MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"};
	int r = sd_bus_message_open_container(m, 'a', "(sv)");

	if (r >= 0)
		r = sd_bus_message_append(
			m, "(sv)", "Description", "s", "sandbox of a container (coracle)");
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)", "Slice", "s", q->slice);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)", "DefaultDependencies", "b", 0);
	for (size_t i = 0; i < ARRAY_SIZE(on) && r >= 0; i++)
		r = sd_bus_message_append(m, "(sv)", on[i], "b", 1);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)", "PIDs", "au", 1, q->pid);
	if (r >= 0)
		r = put_limits(m, q);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int start_unit(sd_bus *bus, const struct request *q, struct job *job, struct err *err)
{
	automsg sd_bus_message *m = NULL, *reply = NULL;
	sd_bus_error e = SD_BUS_ERROR_NULL;
	const char *path;
	int r = sd_bus_message_new_method_call(
		bus, &m, SERVICE, OBJECT, MANAGER, "StartTransientUnit");

	if (r >= 0)
		r = sd_bus_message_append(m, "ss", q->unit, "replace");
	if (r >= 0)
		r = put_properties(m, q);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r >= 0)
		r = sd_bus_call(bus, m, 0, &e, &reply);
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r >= 0)
		job_is(job, path);
	if (r < 0) {
		r = bus_error(err, r, &e, "cannot start the scope");
		err_wrap(err, "unable to start unit '%s'", q->unit);
	}
	sd_bus_error_free(&e);
	return r < 0 ? r : 0;
}

static int wait_job(sd_bus *bus, const struct job *job, const struct request *q, struct err *err)
{
	uint64_t deadline = timeline_now() + JOB_WAIT_MS * 1000000ull;

	while (!job->result) {
		uint64_t now = timeline_now();
		int r = sd_bus_process(bus, NULL);

		if (r > 0)
			continue;
		if (r >= 0 && now >= deadline)
			return err_plain(
				err, ETIMEDOUT, "systemd does not start unit '%s'", q->unit);
		if (r >= 0)
			r = sd_bus_wait(bus, (deadline - now) / 1000);
		if (r < 0 && r != -EINTR)
			return err_set(err, -r, "cannot wait for systemd");
	}
	if (strcmp(job->result, "done"))
		return err_plain(err, EIO, "error creating systemd unit '%s': got '%s'", q->unit,
			job->result);
	return 0;
}

static int get_group(sd_bus *bus, const struct request *q, char **ret_group, struct err *err)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	autofree char *path = NULL;
	int r = sd_bus_path_encode(OBJECT "/unit", q->unit, &path);

	if (r >= 0)
		r = sd_bus_get_property_string(
			bus, SERVICE, path, SERVICE ".Scope", "ControlGroup", &e, ret_group);
	if (r < 0)
		r = bus_error(err, r, &e, "cannot ask systemd for the scope's cgroup");
	sd_bus_error_free(&e);
	return r < 0 ? r : 0;
}

static int reset_failed(sd_bus *bus, const char *unit)
{
	return sd_bus_call_method(
		bus, SERVICE, OBJECT, MANAGER, "ResetFailedUnit", NULL, NULL, "s", unit);
}

static int start(const struct request *q, struct err *err)
{
	autobus sd_bus *bus = NULL;
	autofree char *group = NULL;
	struct job job = {0};
	int r = sd_bus_open_system(&bus);

	if (r < 0)
		return err_set(err, -r, "cannot reach systemd on the system bus");
	r = sd_bus_match_signal(
		bus, NULL, SERVICE, OBJECT, MANAGER, "JobRemoved", job_removed, &job);
	if (r < 0)
		return err_set(err, -r, "cannot listen to systemd");
	(void)reset_failed(bus, q->unit); /* what a crash left of the same name */
	r = start_unit(bus, q, &job, err);
	if (r == 0)
		r = wait_job(bus, &job, q, err);
	if (r == 0)
		r = get_group(bus, q, &group, err);
	job_release(&job);
	if (r == 0)
		printf("%s", group);
	return r;
}

static int set_properties(sd_bus *bus, const struct request *q, struct err *err)
{
	automsg sd_bus_message *m = NULL;
	sd_bus_error e = SD_BUS_ERROR_NULL;
	int r = sd_bus_message_new_method_call(
		bus, &m, SERVICE, OBJECT, MANAGER, "SetUnitProperties");

	if (r >= 0) /* true: until the unit ends */
		r = sd_bus_message_append(m, "sb", q->unit, 1);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = put_limits(m, q);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_call(bus, m, 0, &e, NULL);
	if (r < 0) {
		r = bus_error(err, r, &e, "cannot set the scope's properties");
		err_wrap(err, "unable to update unit '%s'", q->unit);
	}
	sd_bus_error_free(&e);
	return r < 0 ? r : 0;
}

/* systemd writes the files after its answer and before it reads another question: the second answer says that
 * it has, and what the caller writes now stays. */
static int set(const struct request *q, struct err *err)
{
	autobus sd_bus *bus = NULL;
	autofree char *group = NULL;
	int r = sd_bus_open_system(&bus);

	if (r < 0)
		return err_set(err, -r, "cannot reach systemd on the system bus");
	r = set_properties(bus, q, err);
	return r < 0 ? r : get_group(bus, q, &group, err);
}

static int unit_removed(sd_bus_message *m, void *arg, sd_bus_error *e)
{
	struct leaving *l = arg;
	const char *unit;

	(void)e;
	if (sd_bus_message_read(m, "so", &unit, NULL) >= 0 && !strcmp(unit, l->unit))
		l->gone = true;
	return 0;
}

/* True: systemd still has the unit, though its cgroup is gone. */
static bool is_leaving(sd_bus *bus, const char *unit)
{
	const struct request q = {.unit = unit};
	struct err ignored = ERR_INIT;
	autofree char *group = NULL, *dir = NULL;

	if (sd_bus_call_method(bus, SERVICE, OBJECT, MANAGER, "GetUnit", NULL, NULL, "s", unit) < 0)
		return false;
	if (get_group(bus, &q, &group, &ignored) < 0 ||
		asprintf(&dir, "/sys/fs/cgroup%s", group) < 0)
		return false;
	return !*group || access(dir, F_OK) < 0;
}

/* A scope ends by itself when its last process has, and those of another container that took the name since
 * are not ours to end. What is left to do is to have systemd forget one that failed, to end one whose cgroup is
 * gone (seen: right after its start, it stayed loaded), and to wait until systemd has no such unit any more, or the
 * next container of this name would find it there. */
static int stop(const char *unit, struct err *err)
{
	autobus sd_bus *bus = NULL;
	struct leaving l = {.unit = unit};
	uint64_t deadline = timeline_now() + STOP_WAIT_MS * 1000000ull, now;
	int r = sd_bus_open_system(&bus);

	if (r < 0)
		return err_set(err, -r, "cannot reach systemd on the system bus");
	r = sd_bus_match_signal(
		bus, NULL, SERVICE, OBJECT, MANAGER, "UnitRemoved", unit_removed, &l);
	if (r >= 0)
		r = sd_bus_call_method(
			bus, SERVICE, OBJECT, MANAGER, "Subscribe", NULL, NULL, NULL);
	(void)reset_failed(bus, unit);
	if (r >= 0 && !is_leaving(bus, unit))
		return 0;
	if (r >= 0)
		(void)sd_bus_call_method(bus, SERVICE, OBJECT, MANAGER, "StopUnit", NULL, NULL,
			"ss", unit, "replace");
	while (r >= 0 && !l.gone && (now = timeline_now()) < deadline) {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, (deadline - now) / 1000);
		if (r == -EINTR)
			r = 0;
	}
	return r < 0 ? err_set(err, -r, "cannot listen to systemd") : 0;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int r;

	if (argc >= 5 && !strcmp(argv[1], "start")) {
		struct request q = {.unit = argv[2],
			.slice = argv[3],
			.pid = (uint32_t)strtoul(argv[4], NULL, 10),
			.properties = argv + 5};

		r = start(&q, &err);
	} else if (argc >= 3 && !strcmp(argv[1], "set")) {
		struct request q = {.unit = argv[2], .properties = argv + 3};

		r = set(&q, &err);
	} else if (argc == 3 && !strcmp(argv[1], "stop")) {
		r = stop(argv[2], &err);
	} else {
		r = err_plain(&err, EINVAL, "coracle-scope is for coracle --systemd-cgroup");
	}
	if (r < 0)
		printf("%s", err.msg);
	return r < 0;
}
